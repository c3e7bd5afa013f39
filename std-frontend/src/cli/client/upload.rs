//! `client upload`: files over one connection, or over as many as the server makes necessary.
//!
//! After the server has declined a file, and after a connection has failed, it goes on with the next file on a new one. Each connection
//! settles at least one file, for better or worse; so there is an end.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use anywire_core::blocking::Outcome;
use anywire_core::client::upload::Session;
use anywire_core::event::{End, Event, Host};
use anywire_core::name::FileName;
use anywire_core::request::Stop;
use anywire_core::service::StreamService;
use anywire_core::service::upload::Upload as Service;

use crate::cli::client::outbox::{Outbox, Source};
use crate::cli::client::progress::Progress;
use crate::cli::client::{Body, Server};
use crate::cli::failure::{Failure, say};
use crate::cli::network::Network;
use crate::cli::options::Upload;
use crate::console::escape::Shown;
use crate::console::input;
use crate::console::output::Output;
use crate::os;

pub(super) fn run<N: Network>(options: N::Options, args: Upload) -> Result<(), Failure> {
    let server = Server::new::<N>(args.target, &options, Service::ABOUT);
    let network = N::open(options)?;
    let files = match args.files {
        files if files.is_empty() => Files::Asked { ended: false },
        files => Files::Given(files.into_iter()),
    };
    let outbox = Outbox::default();
    let mut uploads = Uploads {
        network,
        files,
        outbox: &outbox,
        output: Output::stdout(),
        progress: Progress::default(),
        next: None,
        current: None,
        unproven: None,
        said: None,
        failed: false,
        input_failed: None,
    };
    // No connection is made, or kept, for a file that is not there.
    while uploads.find_next() {
        let wire = server.connect(&mut uploads.network).map_err(|error| uploads.give_up(error))?;
        let outcome = server.talk(wire, Session::new(), &mut &outbox, &mut uploads);
        uploads.settle(&server, &outcome);
        uploads.output.check().map_err(Failure::Output)?;
    }
    if let Some(error) = uploads.input_failed {
        return Err(anyhow!("cannot read from standard input: {error}").into());
    }
    if uploads.failed { Err(Failure::Failed(Vec::new())) } else { Ok(()) }
}

/// Where the files' paths come from.
enum Files {
    Given(std::vec::IntoIter<PathBuf>),
    /// The user is asked, until there are no more.
    Asked {
        ended: bool,
    },
}

/// All that is to be uploaded: what the sessions ask, and whom they tell. Of each file only the name is kept, and of one the
/// bytes: in the outbox.
struct Uploads<'a, N> {
    network: N,
    files: Files,
    outbox: &'a Outbox,
    output: Output,
    progress: Progress,
    /// In the outbox, and no session has been told of it.
    next: Option<String>,
    /// In the outbox, and a session is at it.
    current: Option<String>,
    /// Sent whole; the server has not said that it is stored.
    unproven: Option<String>,
    /// What the server said where it should have answered.
    said: Option<String>,
    /// Some file was not stored, as far as is known.
    failed: bool,
    input_failed: Option<io::Error>,
}

impl<N: Network> Uploads<'_, N> {
    /// Puts the next file that can be sent into the outbox; what cannot is told. `false`: there are no more.
    fn find_next(&mut self) -> bool {
        while self.next.is_none() {
            let Some(path) = self.next_path() else { return false };
            match open(&path) {
                Ok((name, source)) => {
                    self.outbox.put(source);
                    self.next = Some(name);
                }
                Err(error) => self.say_failed(format_args!("{}: {error:#}", shown(&path))),
            }
        }
        true
    }

    fn next_path(&mut self) -> Option<PathBuf> {
        let ended = match &mut self.files {
            Files::Given(paths) => return paths.next(),
            Files::Asked { ended } => ended,
        };
        // A terminal can be read on behind its end.
        while !*ended {
            let prompt = || self.output.write(b"Enter the name of the file: ");
            match input::ask_while(prompt, PATH_MAX, |input| self.network.await_input(input)) {
                Ok(Some(line)) if line.is_empty() => {}
                Ok(Some(line)) => return Some(os::path_from(line)),
                Ok(None) => *ended = true,
                Err(error) => {
                    self.input_failed = Some(error);
                    *ended = true;
                }
            }
        }
        None
    }

    /// A conversation is over: whatever is not proven by now has failed.
    fn settle(&mut self, server: &Server, outcome: &Outcome<impl embedded_io::Error>) {
        if outcome.end == End::Finished {
            return;
        }
        let why = match self.outbox.take_failed() {
            Some(error) => format!("cannot be read: {error}"),
            None => match self.said.take() {
                Some(said) => {
                    format!("{server} answered \"{said}\", where OK or ERR and a reason belongs")
                }
                None => server.why(outcome, Body::Goes),
            },
        };
        // That no session has asked for it cannot be; but it would be tried for ever.
        let untold = self.next.take();
        match (self.unproven.take(), self.current.take().or(untold)) {
            (Some(sent), current) => {
                self.say_failed(format_args!("{sent}: not known to be stored: {why}"));
                // Its name was waiting for an answer: it is not what failed.
                self.next = current;
            }
            (None, Some(current)) => {
                self.say_failed(format_args!("{current}: not stored: {why}"));
            }
            // Something was declined, and told.
            (None, None) => {}
        }
    }

    /// There is no connection to be had: says what was not sent.
    fn give_up(&mut self, error: anyhow::Error) -> Failure {
        let mut left: Vec<_> = self.next.take().into_iter().collect();
        match &mut self.files {
            Files::Given(paths) => left.extend(paths.map(|path| shown(&path))),
            Files::Asked { ended } if *ended || io::stdin().is_terminal() => {}
            Files::Asked { .. } => left.push("whatever else standard input names".to_owned()),
        }
        Failure::Failed(vec![error, anyhow!("not sent: {}", left.join(", "))])
    }

    fn say_failed(&mut self, words: std::fmt::Arguments<'_>) {
        self.failed = true;
        say(N::PROGRAM, words);
    }
}

/// So many bytes of a path are read: what is longer is no path here, and is told so.
const PATH_MAX: usize = 4096;

/// A path, for a person.
pub(super) fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_encoded_bytes()).to_string()
}

/// Opens the file at `path`, and says under which name it is to be stored.
fn open(path: &Path) -> anyhow::Result<(String, Source)> {
    let name = path.file_name().context("this names no file")?;
    let source = Source::file(path)?;
    let name = FileName::new(name.as_encoded_bytes())?.as_str().to_owned();
    Ok((name, source))
}

impl<N: Network> Host for Uploads<'_, N> {
    fn observe(&mut self, event: Event<'_>) {
        self.progress.observe(self.current.as_deref().unwrap_or_default().as_bytes(), event);
        match event {
            Event::Moved { stop: Stop::Complete, .. } => self.unproven = self.current.take(),
            Event::Stored { len } => {
                if let Some(name) = self.unproven.take() {
                    let mut line = self.output.fit(name.as_bytes());
                    line.extend_from_slice(format!(": {len} bytes stored\n").as_bytes());
                    self.output.write(&line);
                }
            }
            Event::Message { text } => self.said = Some(Shown(text).to_string()),
            Event::Declined { words } => {
                if let Some(name) = self.current.take() {
                    let words = Shown(words);
                    self.say_failed(format_args!("{name}: the server does not store it: {words}"));
                }
            }
            // What the server would not take either has been seen before it was named.
            Event::Refused { why, .. } => {
                if let Some(name) = self.current.take() {
                    self.say_failed(format_args!("{name}: {why}"));
                }
            }
            _ => {}
        }
    }

    /// The prompt is not needed: who is to be asked has been, or is.
    fn line(&mut self, _: &str, line: &mut [u8]) -> Option<usize> {
        self.find_next().then_some(())?;
        let name = self.next.take()?;
        let len = name.len();
        line.get_mut(..len)?.copy_from_slice(name.as_bytes());
        self.current = Some(name);
        Some(len)
    }
}
