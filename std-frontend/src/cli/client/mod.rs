//! `client`: the core's client sessions, for a person.

mod chat;
mod date;
mod echo;
mod file;
mod fixed;
mod guess;
mod hello;
mod knock;
mod lines;
mod outbox;
mod progress;
mod report_size;
mod typed;
mod upload;

use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

use anyhow::anyhow;
use anywire_core::blocking::{Buffers, Outcome, converse};
use anywire_core::client::{greet, message};
use anywire_core::conversation::Limits;
use anywire_core::event::{End, Event, Host};
use anywire_core::request::Stop;
use anywire_core::service::date::Date;
use anywire_core::service::greet::Greet;
use anywire_core::service::logdate::LogDate;
use anywire_core::service::message::Message;
use anywire_core::service::{About, StreamService};
use anywire_core::session::{Reason, Session};
use anywire_core::store::Store;

use crate::cli::client::lines::Lines;
use crate::cli::failure::Failure;
use crate::cli::network::{HostWire, Network, in_words, is_reset};
use crate::cli::options::{Client, Target};
use crate::cli::signals;
use crate::console::output::Output;

pub(super) fn run<N: Network>(options: N::Options, client: Client) -> Result<(), Failure> {
    signals::leave_nothing_behind().map_err(anyhow::Error::from)?;
    match client {
        Client::Echo(args) => echo::run::<N>(options, args),
        Client::Hello(args) => hello::run::<N>(options, args),
        Client::Message(args) => {
            chat::run::<N>(options, args, Message::ABOUT, message::Session::default())
        }
        Client::Fixed(args) => fixed::run::<N>(options, args),
        Client::Knock(args) => knock::run::<N>(options, args),
        Client::Typed(args) => typed::run::<N>(options, args),
        Client::Upload(args) => upload::run::<N>(options, args),
        Client::File(args) => file::run::<N>(options, args),
        Client::Date(target) => date::run::<N>(options, target, Date::ABOUT),
        Client::LogDate(target) => date::run::<N>(options, target, LogDate::ABOUT),
        Client::Guess(args) => guess::run::<N>(options, args),
        Client::Greet(args) => chat::run::<N>(options, args, Greet::ABOUT, greet::Session::new()),
        Client::ReportSize(args) => report_size::run::<N>(options, args),
    }
}

/// Whom a client talks to, with nothing left open.
struct Server {
    host: String,
    port: u16,
    timeout: Duration,
}

impl Server {
    fn new<N: Network>(target: Target, options: &N::Options, about: About) -> Self {
        Self {
            host: target.host.unwrap_or_else(|| N::default_host(options)),
            port: target.port.unwrap_or(about.port),
            timeout: target.timeout,
        }
    }

    /// Connects and holds one conversation. `on_event` is told what happens.
    fn converse<N: Network, S: Session>(
        &self,
        network: &mut N,
        session: S,
        store: &mut impl Store,
        output: &mut Output,
        on_event: impl FnMut(&mut Output, Event<'_>),
    ) -> Result<(), Failure> {
        let wire = self.connect(network)?;
        let lines = Lines::Asked { ended: false };
        let mut person = Person::new(network, output, lines, on_event);
        let outcome = self.talk(wire, session, store, &mut person);
        person.settle(self, &outcome).map(drop)
    }

    fn connect<N: Network>(&self, network: &mut N) -> anyhow::Result<N::Wire> {
        let (wire, _): (_, SocketAddr) = network.connect(&self.host, self.port, self.timeout)?;
        Ok(wire)
    }

    /// Holds one conversation, and closes the connection.
    fn talk<W: HostWire, S: Session>(
        &self,
        mut wire: W,
        session: S,
        store: &mut impl Store,
        host: &mut impl Host,
    ) -> Outcome<W::Error> {
        let timeout = Some(self.timeout);
        let limits = Limits { idle: timeout, head: timeout, answer: timeout, ..Limits::default() };
        let mut input = vec![0; (S::HOLD + S::ROOM).max(BUFFER)];
        let mut room = vec![0; S::ROOM.max(BUFFER)];
        let buffers = Buffers { input: &mut input, output: &mut room };
        let outcome = converse(session, &mut wire, store, host, buffers, &limits);
        wire.close(self.timeout);
        outcome
    }

    /// Why a conversation did not end in good order, for a person.
    fn why(&self, outcome: &Outcome<impl embedded_io::Error>, body: Body) -> String {
        let seconds = self.timeout.as_secs_f64();
        match outcome.end {
            End::Reset | End::Vanished => match &outcome.error {
                Some(error) if !is_reset(error) => {
                    format!("the connection to {self} failed: {}", in_words(error))
                }
                _ => format!("{self} reset the connection"),
            },
            End::Aborted(Reason::Idle | Reason::Unread | Reason::HeadTimeout) => {
                format!("{self} did not answer within {seconds} s")
            }
            End::Aborted(Reason::NoAnswer) => {
                format!("{self} ended the connection without an answer")
            }
            End::Aborted(Reason::Cut { moved, stop }) => match (body, stop) {
                (Body::Comes, Stop::TimedOut) => {
                    format!("{self} sent nothing for {seconds} s, after {moved} bytes")
                }
                (Body::Goes, Stop::TimedOut) => {
                    format!("{self} took nothing for {seconds} s, after {moved} bytes")
                }
                (Body::Comes, Stop::Reset) if moved == 0 => {
                    format!("{self} reset the connection: it has no such file, or does not give it")
                }
                (_, Stop::Reset) => format!("{self} reset the connection after {moved} bytes"),
                (Body::Goes, Stop::FileShort) => {
                    format!("it became shorter while it was sent, after {moved} bytes")
                }
                _ => format!("the conversation with {self} failed: {stop}, after {moved} bytes"),
            },
            End::Aborted(reason) => format!("the conversation with {self} failed: {reason}"),
            other => format!("the conversation with {self} failed: {other:?}"),
        }
    }
}

/// Where a body goes.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// To us.
    Comes,
    /// To the server.
    Goes,
}

/// For a session: enough to be fast.
const BUFFER: usize = 256 << 10;

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.host, self.port)
    }
}

/// The host of a client's session: somebody who reads standard output, and types.
struct Person<'o, N, F> {
    network: &'o mut N,
    output: &'o mut Output,
    lines: Lines,
    on_event: F,
    input_failed: Option<io::Error>,
}

impl<'o, N: Network, F: FnMut(&mut Output, Event<'_>)> Person<'o, N, F> {
    /// `lines` are what is typed; `on_event` is told what happens.
    fn new(network: &'o mut N, output: &'o mut Output, lines: Lines, on_event: F) -> Self {
        Self { network, output, lines, on_event, input_failed: None }
    }

    /// The conversation is over: says what went wrong, or which lines were not asked for.
    fn settle(
        self,
        server: &Server,
        outcome: &Outcome<impl embedded_io::Error>,
    ) -> Result<Lines, Failure> {
        self.output.check().map_err(Failure::Output)?;
        if let Some(error) = self.input_failed {
            return Err(input_failed(error));
        }
        match outcome.end {
            End::Finished => Ok(self.lines),
            _ => Err(anyhow!(server.why(outcome, Body::Comes)).into()),
        }
    }
}

fn input_failed(error: io::Error) -> Failure {
    anyhow!("cannot read from standard input: {error}").into()
}

impl<N: Network, F: FnMut(&mut Output, Event<'_>)> Host for Person<'_, N, F> {
    fn observe(&mut self, event: Event<'_>) {
        (self.on_event)(self.output, event);
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        getrandom::fill(buf).is_ok()
    }

    fn line(&mut self, prompt: &str, line: &mut [u8]) -> Option<usize> {
        if self.output.has_failed() {
            // Nobody would see what comes back.
            return None;
        }
        let prompt = || self.output.write(prompt.as_bytes());
        match self.lines.next(line.len(), prompt, |input| self.network.await_input(input)) {
            Ok(typed) => {
                let typed = typed?;
                line.get_mut(..typed.len())?.copy_from_slice(&typed);
                Some(typed.len())
            }
            Err(error) => {
                self.input_failed = Some(error);
                None
            }
        }
    }
}
