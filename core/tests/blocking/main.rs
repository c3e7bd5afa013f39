//! The blocking driver, over a wire in memory that can be slow, short and broken.

mod bodies;
mod conversations;
mod failures;
mod limits;
mod long;
mod stores;
mod wire;

use anywire_core::blocking::{Buffers, Outcome, converse};
use anywire_core::conversation::Limits;
use anywire_core::event::{Event, Host};
use anywire_core::name::FileName;
use anywire_core::ram::RamStore;
use anywire_core::session::Session;
use anywire_core::store::Store;

use wire::{Broken, Scripted};

type Files = RamStore<2, 4096>;

fn name(name: &'static str) -> FileName<'static> {
    FileName::new(name.as_bytes()).unwrap()
}

/// What a host is told, and the lines that its user types.
#[derive(Default)]
struct User {
    lines: Vec<&'static [u8]>,
    prompts: Vec<String>,
    /// How often something was drawn: each time something else.
    draws: u8,
    told: Vec<String>,
}

impl Host for User {
    fn observe(&mut self, event: Event<'_>) {
        self.told.push(match event {
            Event::Message { text } => format!("message {}", text.escape_ascii()),
            Event::Data { bytes } => format!("data {}", bytes.escape_ascii()),
            other => format!("{other:?}"),
        });
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        self.draws += 1;
        buf.fill(self.draws);
        true
    }

    fn line(&mut self, prompt: &str, line: &mut [u8]) -> Option<usize> {
        self.prompts.push(prompt.into());
        let typed = (!self.lines.is_empty()).then(|| self.lines.remove(0))?;
        let len = typed.len().min(line.len());
        line[..len].copy_from_slice(&typed[..len]);
        Some(len)
    }
}

/// Holds a conversation in buffers of those lengths.
fn hold<S: Session, St: Store>(
    session: S,
    wire: &mut Scripted,
    store: &mut St,
    user: &mut User,
    (input, output): (usize, usize),
) -> Outcome<Broken> {
    let buffers = Buffers { input: &mut vec![0; input], output: &mut vec![0; output] };
    let outcome = converse(session, wire, store, user, buffers, &Limits::default());
    assert!(user.told.last().is_some_and(|last| last.starts_with("Ended")), "{:?}", user.told);
    outcome
}

/// The same, for those who have neither files nor a user.
fn hold_plain<S: Session>(
    session: S,
    wire: &mut Scripted,
    lens: (usize, usize),
) -> Outcome<Broken> {
    hold(session, wire, &mut anywire_core::store::NoStore, &mut User::default(), lens)
}
