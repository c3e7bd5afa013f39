//! `client echo`: what is sent comes back, over TCP or UDP.

use anywire_core::client::echo::Session;
use anywire_core::datagram::DatagramService;
use anywire_core::event::Event;
use anywire_core::service::echo::Echo as Service;
use anywire_core::store::NoStore;

use crate::cli::client::Server;
use crate::cli::failure::Failure;
use crate::cli::network::Network;
use crate::cli::options::Echo;
use crate::console::output::Output;

pub(super) fn run<N: Network>(options: N::Options, args: Echo) -> Result<(), Failure> {
    let server = Server::new::<N>(args.target, &options, <Service as DatagramService>::ABOUT);
    let text = args.text.into_encoded_bytes();
    let mut network = N::open(options)?;
    let mut output = Output::stdout();
    output.line(format_args!("Connecting to {server}"));
    if args.udp {
        output.line_with("Sending ", &text);
        let mut reply = Vec::new();
        let answered = network.ask(&server.host, server.port, &text, &mut reply, server.timeout);
        if answered.is_ok() {
            output.line_with("received ", &reply);
        }
        output.line(CLOSING);
        output.check().map_err(Failure::Output)?;
        return Ok(answered?);
    }
    server.converse(
        &mut network,
        Session::new(&text),
        &mut NoStore,
        &mut output,
        |output, event| match event {
            Event::Connected => output.line_with("Sending ", &text),
            Event::Data { bytes } => output.line_with("Received: ", bytes),
            Event::Ended { .. } => output.line(CLOSING),
            _ => {}
        },
    )
}

const CLOSING: &str = "Closing connection to the server";
