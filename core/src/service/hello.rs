//! hello: each message is answered with `I got "X" from you and I am sending it back.`
//!
//! A message is what one receive returned, as in the lab: TCP keeps no boundaries, and may split one anywhere.

use core::time::Duration;

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{Found, Overflow, UntilQuiet, Watch};
use crate::service::{About, StreamService};
use crate::session::{self, Next, Phase};

/// The service. It has no options; one that has keeps them here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hello;

impl StreamService for Hello {
    type Session = Session;

    const ABOUT: About = About {
        name: "hello",
        port: 65432,
        summary: "says what it got from you, and sends it back",
    };

    fn open(&self) -> Session {
        Session::default()
    }
}

const FRAMING: UntilQuiet = UntilQuiet {
    max: 1024,
    quiet: Some(Duration::ZERO),
    newline: false,
    overflow: Overflow::Split,
};

const BEFORE: &[u8] = b"I got \"";
const AFTER: &[u8] = b"\" from you and I am sending it back.";

/// One conversation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    watch: Watch,
}

impl session::Session for Session {
    const HOLD: usize = FRAMING.max;
    const ROOM: usize = BEFORE.len() + FRAMING.max + AFTER.len();

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match FRAMING.find(&mut self.watch, io.input(), io.ended(), io.now()) {
            Found::Message(message) => {
                // The reply is one write: it waits until there is room for all of it, and the message with it.
                if !io.put_all(&[BEFORE, message.text, AFTER]) {
                    return Next::Wait(Phase::Inside, None);
                }
                io.take(message.len);
                self.watch.next(&message);
                io.observe(Event::Message { text: message.text });
                Next::Progress
            }
            Found::Skip(len) => {
                io.take(len);
                Next::Progress
            }
            Found::More { quiet_at } => Next::Wait(Phase::Between, quiet_at),
            Found::End => Next::Finish,
        }
    }
}
