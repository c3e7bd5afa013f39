//! `client report-size`: fetches a file to see how long it is, and says so to hello, over a connection that was there before.

use std::convert::Infallible;

use anyhow::anyhow;
use anywire_core::blocking::Wire;
use anywire_core::client::{file, hello};
use anywire_core::event::Event;
use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::service::StreamService;
use anywire_core::service::file::File as FileService;
use anywire_core::service::hello::Hello as HelloService;
use anywire_core::store::Store;

use crate::cli::client::file::{ask_name, size_line};
use crate::cli::client::lines::Lines;
use crate::cli::client::{Person, Server};
use crate::cli::failure::Failure;
use crate::cli::network::Network;
use crate::cli::options::{ReportSize, Target};
use crate::console::output::Output;

pub(super) fn run<N: Network>(options: N::Options, args: ReportSize) -> Result<(), Failure> {
    let ReportSize { host, hello_port, file_port, timeout, name } = args;
    let target = |port| Target { host: host.clone(), port, timeout };
    let hello = Server::new::<N>(target(hello_port), &options, HelloService::ABOUT);
    let file = Server::new::<N>(target(file_port), &options, FileService::ABOUT);
    let mut network = N::open(options)?;
    let mut output = Output::stdout();
    let mut wire = hello.connect(&mut network)?;
    // As in the lab, a thread fetches the file. A stack of our own is driven by the one thread that has it: there the file is fetched in
    // this one, while hello's connection is open all the same.
    let name = name.map(|name| name.into_encoded_bytes());
    let fetched = network.beside(|network| measure(network, &file, name, &mut output));
    let line = match fetched.map_err(|error| anyhow!("cannot start a thread: {error}").into()) {
        Ok(Ok(line)) => line,
        Ok(Err(failure)) | Err(failure) => {
            // Nothing will be said: an end would be one in good order.
            wire.abort();
            return Err(failure);
        }
    };
    let show = |output: &mut Output, event: Event<'_>| {
        if let Event::Message { text } = event {
            output.line_with("Server says: ", text);
        }
    };
    let mut person = Person::new(&mut network, &mut output, Lines::of(None), show);
    let session = hello::Session::new(Some(&line));
    let outcome = hello.talk(wire, session, &mut Counted, &mut person);
    person.settle(&hello, &outcome).map(drop)
}

/// Asks for the name, unless it is known, and says how long that file is.
fn measure<N: Network>(
    network: &mut N,
    server: &Server,
    name: Option<Vec<u8>>,
    output: &mut Output,
) -> Result<Vec<u8>, Failure> {
    let name = match name {
        Some(name) => name,
        None => ask_name(output, false, |input| network.await_input(input))?,
    };
    let mut stored = None;
    // The file is not kept: under no name.
    let save_as = FileName::new(b"nothing").map_err(anyhow::Error::from)?;
    let session = file::Session::new(&name, save_as);
    server.converse(network, session, &mut Counted, output, |_, event| {
        if let Event::Stored { len } = event {
            stored = Some(len);
        }
    })?;
    let len = stored.ok_or_else(|| anyhow!("the file was not counted: a bug, please report it"))?;
    Ok(size_line(&name, len))
}

/// A store that keeps nothing: how many bytes there were the session counts.
struct Counted;

impl Store for Counted {
    type Reader = Infallible;
    type Writer = ();

    fn open(&mut self, _: FileName<'_>) -> Result<(Infallible, u64), Refusal> {
        Err(Refusal::Unsupported)
    }

    fn read(&mut self, none: &mut Infallible, _: &mut [u8]) -> Result<usize, Refusal> {
        match *none {}
    }

    fn close(&mut self, none: Infallible) {
        match none {}
    }

    fn create(&mut self, _: FileName<'_>, _: bool) -> Result<(), Refusal> {
        Ok(())
    }

    fn write(&mut self, (): &mut (), bytes: &[u8]) -> Result<usize, Refusal> {
        Ok(bytes.len())
    }

    fn commit(&mut self, (): ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn abandon(&mut self, (): ()) {}
}
