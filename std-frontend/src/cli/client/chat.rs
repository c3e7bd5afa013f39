//! `client message` and `client greet`: lines go out, and for each an answer comes back.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use anywire_core::event::Event;
use anywire_core::service::About;
use anywire_core::session::Session;
use anywire_core::store::NoStore;

use crate::cli::client::lines::Lines;
use crate::cli::client::{Person, Server, input_failed};
use crate::cli::failure::{Failure, say};
use crate::cli::network::Network;
use crate::cli::options::Chat;
use crate::console::output::Output;

pub(super) fn run<N: Network>(
    options: N::Options,
    args: Chat,
    about: About,
    session: impl Session,
) -> Result<(), Failure> {
    let server = Server::new::<N>(args.target, &options, about);
    let mut network = N::open(options)?;
    let mut output = Output::stdout();
    let wire = server.connect(&mut network)?;
    let show = |output: &mut Output, event: Event<'_>| {
        if let Event::Message { text } = event {
            output.line_with("", text);
        }
    };
    let mut person = Person::new(&mut network, &mut output, Lines::of(args.text), show);
    let outcome = server.talk(wire, session, &mut NoStore, &mut person);
    let lines = person.settle(&server, &outcome)?;
    nothing_left::<N>(&server, lines)
}

/// The server may have ended before everything was said: that is not to be passed over.
fn nothing_left<N: Network>(server: &Server, mut lines: Lines) -> Result<(), Failure> {
    if matches!(lines, Lines::Asked { ended: false }) && io::stdin().is_terminal() {
        // Whoever sits there need not press Ctrl-D.
        say(N::PROGRAM, format_args!("{server} has ended the connection"));
        return Ok(());
    }
    let left = lines.next(0, || (), |_| ()).map_err(input_failed)?;
    if left.is_some() {
        return Err(anyhow!("{server} ended the connection before all lines were sent").into());
    }
    Ok(())
}
