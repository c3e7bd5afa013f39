//! `client hello`: says something, and shows the answer.

use anyhow::anyhow;
use anywire_core::client::hello::Session;
use anywire_core::event::{End, Event};
use anywire_core::service::StreamService;
use anywire_core::service::hello::Hello as Service;
use anywire_core::session::Reason;
use anywire_core::store::NoStore;

use crate::cli::client::Server;
use crate::cli::failure::Failure;
use crate::cli::network::Network;
use crate::cli::options::Hello;
use crate::console::output::Output;

pub(super) fn run<N: Network>(options: N::Options, args: Hello) -> Result<(), Failure> {
    let server = Server::new::<N>(args.target, &options, Service::ABOUT);
    let text = args.text.map(|text| text.into_encoded_bytes());
    let mut network = N::open(options)?;
    let mut output = Output::stdout();
    let mut silent = false;
    let done = server.converse(
        &mut network,
        Session::new(text.as_deref()),
        &mut NoStore,
        &mut output,
        |output, event| match event {
            Event::Connected => {
                output.line(format_args!("Connected to: {} {}", server.host, server.port));
            }
            Event::Message { text } => output.line_with("Server says: ", text),
            Event::Ended { end: End::Aborted(Reason::NoAnswer), sent: 0, .. } => silent = true,
            _ => {}
        },
    );
    if silent {
        return Err(anyhow!("nothing was said, so there is no answer").into());
    }
    done
}
