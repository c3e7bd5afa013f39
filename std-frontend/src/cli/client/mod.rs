//! `client`: the core's client sessions, for a person.

mod echo;
mod file;
mod hello;
mod outbox;
mod progress;
mod typed;
mod upload;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::anyhow;
use anywire_core::blocking::{Buffers, Outcome, converse};
use anywire_core::conversation::Limits;
use anywire_core::event::{End, Event, Host};
use anywire_core::request::Stop;
use anywire_core::service::About;
use anywire_core::session::{Reason, Session};
use anywire_core::store::Store;

use crate::cli::failure::Failure;
use crate::cli::network::{HostWire, Network, in_words, is_reset};
use crate::cli::options::{Client, Target};
use crate::cli::signals;
use crate::console::input;
use crate::console::output::Output;

pub(super) fn run<N: Network>(options: N::Options, client: Client) -> Result<(), Failure> {
    signals::leave_nothing_behind().map_err(anyhow::Error::from)?;
    match client {
        Client::Echo(args) => echo::run::<N>(options, args),
        Client::Hello(args) => hello::run::<N>(options, args),
        Client::File(args) => file::run::<N>(options, args),
        Client::Typed(args) => typed::run::<N>(options, args),
        Client::Upload(args) => upload::run::<N>(options, args),
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
        let mut host = Person { network, output, on_event, input_failed: None };
        let outcome = self.talk(wire, session, store, &mut host);
        let input_failed = host.input_failed;
        output.check().map_err(Failure::Output)?;
        if let Some(error) = input_failed {
            return Err(anyhow!("cannot read from standard input: {error}").into());
        }
        match outcome.end {
            End::Finished => Ok(()),
            _ => Err(anyhow!(self.why(&outcome, Body::Comes)).into()),
        }
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
        let limits =
            Limits { idle: Some(self.timeout), head: Some(self.timeout), ..Limits::default() };
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
            End::Reset => match &outcome.error {
                Some(error) if !is_reset(error) => {
                    format!("the connection to {self} failed: {}", in_words(error))
                }
                _ => format!("{self} reset the connection"),
            },
            End::Aborted(Reason::Idle | Reason::HeadTimeout) => {
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
    on_event: F,
    input_failed: Option<std::io::Error>,
}

impl<N: Network, F: FnMut(&mut Output, Event<'_>)> Host for Person<'_, N, F> {
    fn observe(&mut self, event: Event<'_>) {
        (self.on_event)(self.output, event);
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        getrandom::fill(buf).is_ok()
    }

    fn line(&mut self, prompt: &str, line: &mut [u8]) -> Option<usize> {
        let prompt = || self.output.write(prompt.as_bytes());
        let asked = input::ask_while(prompt, line.len(), |input| self.network.await_input(input));
        let typed = match asked {
            Ok(typed) => typed?,
            Err(error) => {
                self.input_failed = Some(error);
                return None;
            }
        };
        line.get_mut(..typed.len())?.copy_from_slice(&typed);
        Some(typed.len())
    }
}
