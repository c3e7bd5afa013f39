//! `client knock`: connects, and waits for the end; again at each Enter.

use std::io::{self, IsTerminal};
use std::net::Ipv6Addr;

use anywire_core::client::knock::Session;
use anywire_core::event::Event;
use anywire_core::service::StreamService;
use anywire_core::service::knock::Knock as Service;
use anywire_core::store::NoStore;

use crate::cli::client::lines::Lines;
use crate::cli::client::{Server, input_failed};
use crate::cli::failure::Failure;
use crate::cli::network::Network;
use crate::cli::options::Knock;
use crate::console::output::Output;

pub(super) fn run<N: Network>(options: N::Options, args: Knock) -> Result<(), Failure> {
    let server = Server::new::<N>(args.target, &options, Service::ABOUT);
    let mut network = N::open(options)?;
    let mut output = Output::stdout();
    // A script that says how often need not say when: nobody is there to press Enter.
    let at_once = args.count.is_some() && !io::stdin().is_terminal();
    let mut lines = Lines::of(None);
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 && (at_once || enter(&mut lines, &mut network, &mut output)?) {
        left -= 1;
        knock(&server, &mut network, &mut output)?;
    }
    Ok(())
}

/// Waits for Enter; `false`: nobody will press it any more.
fn enter<N: Network>(
    lines: &mut Lines,
    network: &mut N,
    output: &mut Output,
) -> Result<bool, Failure> {
    let prompt = || output.write(b"Press Enter to knock: ");
    let line = lines.next(0, prompt, |input| network.await_input(input)).map_err(input_failed)?;
    output.check().map_err(Failure::Output)?;
    Ok(line.is_some())
}

fn knock<N: Network>(server: &Server, network: &mut N, output: &mut Output) -> Result<(), Failure> {
    server.converse(network, Session, &mut NoStore, output, |output, event| {
        if let Event::Connected = event {
            let Server { host, port, .. } = server;
            if host.parse::<Ipv6Addr>().is_ok() {
                output.line(format_args!("Connected to [{host}]:{port}"));
            } else {
                output.line(format_args!("Connected to {host}:{port}"));
            }
        }
    })
}
