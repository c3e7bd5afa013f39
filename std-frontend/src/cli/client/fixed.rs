//! `client fixed`: sends a file in messages of one length, and checks that each comes back.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, anyhow};
use anywire_core::client::fixed::Session;
use anywire_core::event::{End, Event, Host};
use anywire_core::service::StreamService;
use anywire_core::service::fixed::Fixed as Service;
use anywire_core::store::NoStore;

use crate::cli::client::upload::shown;
use crate::cli::client::{Body, Server};
use crate::cli::failure::Failure;
use crate::cli::network::Network;
use crate::cli::options::Fixed;
use crate::console::output::Output;
use crate::os;

pub(super) fn run<N: Network>(options: N::Options, args: Fixed) -> Result<(), Failure> {
    let server = Server::new::<N>(args.target, &options, Service::ABOUT);
    let file = open(&args.file).with_context(|| format!("cannot read {}", shown(&args.file)))?;
    let mut network = N::open(options)?;
    let wire = server.connect(&mut network)?;
    let mut messages = Messages { network: &mut network, file, returned: 0, failed: None };
    let mut room = vec![0; args.length as usize];
    let session = Session::new(&mut room);
    let outcome = server.talk(wire, session, &mut NoStore, &mut messages);
    let (returned, length) = (messages.returned, args.length);
    if let Some(error) = messages.failed {
        return Err(anyhow!("cannot read {}: {error}", shown(&args.file)).into());
    }
    if outcome.end != End::Finished {
        let why = server.why(&outcome, Body::Comes);
        return Err(anyhow!("{why}; {returned} messages of {length} bytes came back").into());
    }
    let mut output = Output::stdout();
    output.line(format_args!("{returned} messages of {length} bytes came back"));
    output.check().map_err(Failure::Output)
}

/// `-` is standard input.
fn open(path: &Path) -> io::Result<File> {
    let file = match path.to_str() {
        Some("-") => os::stdin_file()?,
        _ => File::open(path)?,
    };
    // Windows knows nothing of a pipe.
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

/// The host of the session: gives it the file, a message at a time.
struct Messages<'o, N> {
    network: &'o mut N,
    file: File,
    returned: u64,
    failed: Option<io::Error>,
}

impl<N: Network> Host for Messages<'_, N> {
    fn observe(&mut self, event: Event<'_>) {
        if let Event::Message { .. } = event {
            self.returned += 1;
        }
    }

    fn line(&mut self, _: &str, message: &mut [u8]) -> Option<usize> {
        let mut len = 0;
        while let Some(room) = message.get_mut(len..).filter(|room| !room.is_empty()) {
            // A pipe may have nothing yet.
            if let Some(input) = os::waitable(&self.file) {
                self.network.await_input(input);
            }
            match self.file.read(room) {
                Ok(0) => break,
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = Some(error);
                    return None;
                }
            }
        }
        (len > 0).then_some(len)
    }
}
