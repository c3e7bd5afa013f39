//! `client typed`: one message to a connection, a text or data, and whether it was accepted.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use anywire_core::client::typed::{Message, Session};
use anywire_core::event::{End, Event};
use anywire_core::name::FileName;
use anywire_core::schema::{STRING, STRING_MAX, Schema};
use anywire_core::service::StreamService;
use anywire_core::service::typed::Typed as Service;
use anywire_core::session::Reason;

use crate::cli::client::lines::Lines;
use crate::cli::client::outbox::{Outbox, Source};
use crate::cli::client::progress::Progress;
use crate::cli::client::upload::shown;
use crate::cli::client::{Body, Person, Server};
use crate::cli::failure::{Failure, say};
use crate::cli::network::Network;
use crate::cli::options::Typed;
use crate::cli::values;
use crate::console::escape::Shown;
use crate::console::input;
use crate::console::output::Output;
use crate::os;

pub(super) fn run<N: Network>(options: N::Options, args: Typed) -> Result<(), Failure> {
    let server = Server::new::<N>(args.target, &options, Service::ABOUT);
    let what = match (args.string, args.random, args.file) {
        (Some(text), ..) => Some(What::text(text.into_encoded_bytes()).map_err(Failure::usage)?),
        (_, Some(len), _) => Some(What::random(len)?),
        (.., Some(path)) => Some(What::file(path)?),
        _ => None,
    };
    let network = N::open(options)?;
    let mut client = Client { server, network, schema: args.schema, output: Output::stdout() };
    match what {
        Some(what) => client.send(what),
        None => client.ask(),
    }
}

/// What is to be sent.
enum What {
    Text(Vec<u8>),
    Data { name: String, source: Source },
}

impl What {
    fn text(text: Vec<u8>) -> anyhow::Result<Self> {
        let len = text.len();
        ensure!(len <= STRING_MAX, "a STRING has at most {STRING_MAX} bytes, this has {len}");
        Ok(Self::Text(text))
    }

    fn random(len: u64) -> anyhow::Result<Self> {
        let source = Source::random(len).context("no random bytes")?;
        Ok(Self::Data { name: "random bytes".to_owned(), source })
    }

    fn file(path: PathBuf) -> anyhow::Result<Self> {
        let name = shown(&path);
        let source = Source::file(&path).with_context(|| name.clone())?;
        Ok(Self::Data { name, source })
    }
}

struct Client<N> {
    server: Server,
    network: N,
    schema: Schema,
    output: Output,
}

impl<N: Network> Client<N> {
    /// Asks what to send, again and again.
    fn ask(&mut self) -> Result<(), Failure> {
        let mut all_accepted = true;
        while let Some(asked) = self.next()? {
            let sent = asked.map_err(Failure::from).and_then(|what| self.send(what));
            match sent {
                Ok(()) => {}
                Err(Failure::Failed(problems)) => {
                    all_accepted = false;
                    for problem in problems {
                        say(N::PROGRAM, format_args!("{problem:#}"));
                    }
                }
                Err(other) => return Err(other),
            }
        }
        if all_accepted { Ok(()) } else { Err(Failure::Failed(Vec::new())) }
    }

    /// What the user wants to send, if that can be sent; `None`: nothing more.
    fn next(&mut self) -> Result<Option<anyhow::Result<What>>, Failure> {
        let kind = self.line("Type (string, random, file; empty line ends): ")?;
        let Some(kind) = kind.filter(|kind| !kind.is_empty()) else { return Ok(None) };
        let value = match kind.trim_ascii() {
            b"string" => self.line("Text: ")?,
            b"random" => self.line("How many bytes: ")?,
            b"file" => self.line("File: ")?,
            other => {
                let other = Shown(other);
                return Ok(Some(Err(anyhow!("\"{other}\" is none of string, random, file"))));
            }
        };
        let Some(value) = value else {
            return Ok(Some(Err(anyhow!("{}: nothing came behind it", Shown(kind.trim_ascii())))));
        };
        Ok(Some(match kind.trim_ascii() {
            b"string" => What::text(value),
            b"random" => {
                values::bytes(String::from_utf8_lossy(&value).trim()).and_then(What::random)
            }
            _ => What::file(os::path_from(value)),
        }))
    }

    /// A line of standard input, one byte longer than a text may be at most: so that too long a one is seen.
    fn line(&mut self, prompt: &str) -> Result<Option<Vec<u8>>, Failure> {
        let line = input::ask(|| self.output.write(prompt.as_bytes()), STRING_MAX + 1)
            .map_err(|error| anyhow!("cannot read from standard input: {error}"))?;
        self.output.check().map_err(Failure::Output)?;
        Ok(line)
    }

    /// Sends one message, and says what became of it.
    fn send(&mut self, what: What) -> Result<(), Failure> {
        // The outbox has one thing to give, whatever it is asked for.
        let formality = FileName::new(b"data").map_err(anyhow::Error::from)?;
        let outbox = Outbox::default();
        let (row, len, name, text) = match what {
            What::Text(text) => (Some(&STRING), text.len() as u64, String::new(), Some(text)),
            What::Data { name, source } => {
                let len = source.len;
                outbox.put(source);
                (self.schema.data().fitting(len), len, name, None)
            }
        };
        // Some DATA fits every length.
        let sent = format!("{} of {len} bytes", row.map_or("DATA", |row| row.name));
        let message = text.as_deref().map_or(Message::File(formality), Message::Text);

        let wire = self.server.connect(&mut self.network)?;
        let (mut progress, mut nearly_all) = (Progress::default(), false);
        let on_event = |_: &mut Output, event: Event<'_>| {
            // The last piece goes by itself, and has no bar of its own.
            if !nearly_all {
                progress.observe(name.as_bytes(), event);
            }
            nearly_all |= matches!(event, Event::Moved { .. });
        };
        // It asks for no lines.
        let lines = Lines::Asked { ended: true };
        let mut host = Person::new(&mut self.network, &mut self.output, lines, on_event);
        let session = Session::new(self.schema, message);
        let outcome = self.server.talk(wire, session, &mut &outbox, &mut host);
        if outcome.end == End::Finished {
            self.output.line(format_args!("{sent}: accepted"));
            return self.output.check().map_err(Failure::Output);
        }
        // Only a server that did not answer at all may have stored it.
        let fate = match outcome.end {
            End::Aborted(Reason::Idle | Reason::Unread) => "not known to be accepted",
            _ => "not accepted",
        };
        let why = match outbox.take_failed() {
            Some(error) => format!("cannot read {name}: {error}"),
            None => self.server.why(&outcome, Body::Goes),
        };
        Err(anyhow!("{sent}: {fate}: {why}").into())
    }
}
