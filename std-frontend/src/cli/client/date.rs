//! `client date` and `client logdate`: what time is it?

use anywire_core::client::date::Session;
use anywire_core::event::Event;
use anywire_core::service::About;
use anywire_core::store::NoStore;

use crate::cli::client::Server;
use crate::cli::failure::Failure;
use crate::cli::network::Network;
use crate::cli::options::Target;
use crate::console::output::Output;

pub(super) fn run<N: Network>(
    options: N::Options,
    target: Target,
    about: About,
) -> Result<(), Failure> {
    let server = Server::new::<N>(target, &options, about);
    let mut network = N::open(options)?;
    let mut output = Output::stdout();
    let session = Session::default();
    server.converse(&mut network, session, &mut NoStore, &mut output, |output, event| {
        if let Event::Message { text } = event {
            output.line_with("", text);
        }
    })
}
