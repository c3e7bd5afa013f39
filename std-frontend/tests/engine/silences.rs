//! Silences that end a message: they begin with its last byte, and each connection has its own.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anywire_core::exchange::Exchange;
use anywire_core::request::Request;
use anywire_core::service::message::{self, Message};
use anywire_core::service::{About, StreamService};
use anywire_core::session::{Next, Session};
use anywire_std::engine::Options;
use mio::{Events, Interest, Poll, Token};

use super::{TIMEOUT, Watched, serve};

/// What `message` takes for the end of one.
pub(crate) const QUIET: Duration = Duration::from_millis(50);

/// `message`, but a `!` holds up whoever steps it until the test lets go.
#[derive(Clone, Copy)]
pub(crate) struct Held(&'static Mutex<(Sender<()>, Receiver<()>)>);

impl Held {
    /// The service, what comes when a step is held up, and what lets it go.
    pub(crate) fn new() -> (Self, Receiver<()>, Sender<()>) {
        let ((entering, entered), (let_go, go_on)) = (channel(), channel());
        (Self(Box::leak(Box::new(Mutex::new((entering, go_on))))), entered, let_go)
    }
}

impl StreamService for Held {
    type Session = HeldSession;
    const ABOUT: About = Message::ABOUT;
    fn open(&self) -> HeldSession {
        HeldSession(Message::default().open(), *self)
    }
}

pub(crate) struct HeldSession(message::Session, Held);

impl Session for HeldSession {
    const HOLD: usize = message::Session::HOLD;
    const ROOM: usize = message::Session::ROOM;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        if io.input().starts_with(b"!") {
            let (entered, go_on) = &*self.1.0.lock().unwrap();
            entered.send(()).unwrap();
            go_on.recv_timeout(TIMEOUT).unwrap();
        }
        self.0.step(io)
    }

    fn request<'a>(&'a self, held: &'a [u8]) -> Option<Request<'a>> {
        self.0.request(held)
    }
}

#[test]
fn bytes_that_have_arrived_beat_a_silence_that_has_passed() {
    let (held, entered, let_go) = Held::new();
    let server = serve(Options::default(), held);
    let mut stream = server.connect();
    stream.write_all(b"!hel").unwrap();
    entered.recv_timeout(TIMEOUT).unwrap();
    // While it is held up the silence behind these bytes passes, and more come.
    std::thread::sleep(2 * QUIET);
    stream.write_all(b"lo").unwrap();
    let_go.send(()).unwrap();
    let_go.send(()).unwrap();
    let_go.send(()).unwrap();
    let mut answer = [0; 64];
    let len = stream.read(&mut answer).unwrap();
    assert_eq!(&answer[..len], b"Message: !hello");
}

/// So many connections, each with a silence of its own,
const CONNECTIONS: usize = 1000;
/// and so many silences of each.
const ROUNDS: usize = 3;

/// Opens the connections, lets each fall silent `ROUNDS` times at moments of its own, and returns how late each answer was: the time
/// since just before its last byte left, less the silence.
fn lateness() -> Vec<Duration> {
    let server = serve(Options { workers: 1, ..Options::default() }, Watched(Message::default()));
    let mut poll = Poll::new().unwrap();
    let mut streams: Vec<_> = (0..CONNECTIONS)
        .map(|at| {
            let stream = server.connect();
            stream.set_nonblocking(true).unwrap();
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(at), Interest::READABLE).unwrap();
            (stream, None)
        })
        .collect();
    let mut events = Events::with_capacity(CONNECTIONS);
    let mut late = Vec::with_capacity(CONNECTIONS * ROUNDS);
    for round in 1..=ROUNDS {
        let began = Instant::now();
        let mut next = 0;
        while late.len() < CONNECTIONS * round {
            // One falls silent every millisecond.
            let due = began + Duration::from_millis(next as u64);
            if next < CONNECTIONS && Instant::now() >= due {
                let (stream, silent) = &mut streams[next];
                *silent = Some(Instant::now());
                stream.write_all(b"hello").unwrap();
                next += 1;
                continue;
            }
            let wait = if next < CONNECTIONS {
                due.saturating_duration_since(Instant::now())
            } else {
                TIMEOUT
            };
            poll.poll(&mut events, Some(wait)).unwrap();
            assert!(
                next < CONNECTIONS || !events.is_empty(),
                "{} answers are missing",
                CONNECTIONS * round - late.len()
            );
            for event in &events {
                let (stream, silent) = &mut streams[event.token().0];
                let mut answer = [0; 64];
                let len = stream.read(&mut answer).unwrap();
                assert_eq!(&answer[..len], b"Message: hello");
                let took = silent.take().unwrap().elapsed();
                assert!(took >= QUIET, "answered {took:?} after the last byte");
                late.push(took - QUIET);
            }
        }
    }
    late.sort();
    late
}

#[test]
fn a_thousand_silences_at_once_and_none_is_cut_short() {
    lateness();
}

/// How late they are on an idle machine: `cargo test --release -p anywire-std --test poll -- --ignored --nocapture silences`.
#[test]
#[ignore = "measures time: wants an idle machine"]
fn a_thousand_silences_at_once_and_none_is_late() {
    let late = lateness();
    let at = |share: usize| late[(late.len() - 1) * share / 1000];
    println!("late: p50 {:?}, p99 {:?}, max {:?}", at(500), at(990), at(1000));
    assert!(at(1000) <= Duration::from_millis(20));
}
