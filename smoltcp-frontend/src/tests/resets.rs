//! Ends and resets, told apart.

use anywire_core::exchange::Exchange;
use anywire_core::service::echo::Echo;
use anywire_core::service::message::Message;
use anywire_core::session::{Breach, Next, Phase, Reason, Session};

use super::*;

const ECHO: u16 = 9900;

fn echo() -> Sim {
    Sim::new(|stack| vec![pool(stack, Watched(Echo), 4, (2048, 2048), Settings::default())])
}

#[test]
fn a_peer_that_resets_is_told_as_such_and_its_socket_listens_again() {
    let mut sim = echo();
    let at = sim.connect(ECHO);
    sim.send(at, b"hello");
    sim.read_exact(at, 5);
    sim.abort(at);
    sim.net.run(MS);
    assert_eq!(sim.log.ends(), [End::Reset]);
    assert_eq!(sim.counts().listening, 4);
}

/// Nothing is taken back by that, and nobody is waited for.
#[test]
fn a_reset_behind_our_end_is_an_end_at_once() {
    let service = Watched(Message { close_after_reply: true, ..Message::default() });
    let mut sim =
        Sim::new(|stack| vec![pool(stack, service, 1, (8192, 8192), Settings::default())]);
    let at = sim.connect(9001);
    sim.send(at, b"one\n");
    assert_eq!(sim.read_all(at), Ok(b"Message: one".to_vec()));
    assert_eq!(sim.log.ends(), []);
    sim.abort(at);
    sim.net.run(MS * 10);
    assert_eq!((sim.log.ends(), sim.counts().listening), (vec![End::Finished], 1));
}

/// The server sees data, FIN and RST in one poll: the FIN is no end.
#[test]
fn a_reset_right_behind_an_end_is_a_reset() {
    let mut sim = echo();
    let at = sim.connect(ECHO);
    sim.net.run(MS);
    let now = sim.net.now();
    let stack = &mut sim.net.b.stack;
    assert_eq!(sim.streams[at].write(stack, b"last words"), Poll::Ready(Ok(10)));
    sim.streams[at].shutdown(stack).unwrap();
    sim::Station::poll(&mut sim.net.b, now, &mut sim.net.wire.end(Side::B));
    sim.abort(at);
    sim::Station::poll(&mut sim.net.b, now, &mut sim.net.wire.end(Side::B));
    sim.net.run(SECOND);
    assert_eq!(sim.log.ends(), [End::Reset]);
    assert_eq!(sim.counts().listening, 4);
}

#[test]
fn a_reset_is_sticky_at_the_client_too() {
    let mut sim = echo();
    let at = sim.connect(ECHO);
    sim.net.a.endpoints[0].abort();
    assert_eq!(sim.read_all(at), Err(StreamError::Reset));
    for _ in 0..3 {
        sim.net.run(SECOND);
        assert_eq!(sim.read(at), Err(StreamError::Reset));
    }
    assert_eq!(sim.streams[at].shutdown(&mut sim.net.b.stack), Err(StreamError::Reset));
    assert_eq!(sim.read(at), Err(StreamError::Reset));
}

#[test]
fn a_reset_behind_the_peers_end_is_noticed_by_whoever_ends_then() {
    let service = Watched(Message { close_after_reply: true, ..Message::default() });
    let mut sim =
        Sim::new(|stack| vec![pool(stack, service, 1, (8192, 8192), Settings::default())]);
    let at = sim.connect(9001);
    sim.send(at, b"x\n");
    assert_eq!(sim.read_all(at), Ok(b"Message: x".to_vec()));
    // The server has waited for our end long enough, and knows us no longer.
    sim.net.run(SECOND * 5);
    sim.send(at, b"still here?");
    sim.net.run(SECOND);
    assert_eq!(sim.streams[at].shutdown(&mut sim.net.b.stack), Err(StreamError::Reset));
}

/// Says that it went on, and did not.
#[derive(Clone, Copy)]
struct Broken;
struct BrokenSession;

impl StreamService for Broken {
    type Session = BrokenSession;
    const ABOUT: About = About { name: "broken", port: 666, summary: "" };
    fn open(&self) -> BrokenSession {
        BrokenSession
    }
}

impl Session for BrokenSession {
    const HOLD: usize = 8;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        if io.input().is_empty() { Next::Wait(Phase::Between, None) } else { Next::Progress }
    }
}

#[test]
fn a_broken_session_is_reported_and_aborted_and_not_spun_on() {
    let mut sim = Sim::new(|stack| vec![pool(stack, Broken, 2, (512, 512), Settings::default())]);
    let at = sim.connect(666);
    sim.send(at, b"x");
    assert_eq!(sim.read_all(at), Err(StreamError::Reset));
    let broken = End::Aborted(Reason::Broken(Breach::NoProgress));
    assert_eq!(sim.log.ends(), [broken]);
    assert_eq!(sim.counts().listening, 2);
}

/// Asks without end.
#[derive(Clone, Copy)]
struct Asks;
struct AsksSession;

impl StreamService for Asks {
    type Session = AsksSession;
    const ABOUT: About = About { name: "asks", port: 667, summary: "" };
    fn open(&self) -> AsksSession {
        AsksSession
    }
}

impl Session for AsksSession {
    const HOLD: usize = 8;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        io.answer();
        Next::Ask
    }
    fn request<'a>(&'a self, _: &'a [u8]) -> Option<anywire_core::request::Request<'a>> {
        Some(anywire_core::request::Request::Log { time: b"now", text: b"again" })
    }
}

#[test]
fn one_that_asks_without_end_does_not_stop_the_others() {
    let mut sim = Sim::new(|stack| {
        vec![
            pool(stack, Asks, 1, (512, 512), Settings::default()),
            pool(stack, Watched(Echo), 2, (512, 512), Settings::default()),
        ]
    });
    let _asks = sim.connect(667);
    let at = sim.stream(512, 512);
    sim.dial(at, ECHO);
    let stream = &mut sim.streams[at];
    let (mut sent, mut got) = (false, Poll::Pending);
    let mut buf = [0; 8];
    sim.net.run_until(MS * 100, |net| {
        let stack = &mut net.b.stack;
        sent = sent || stream.write(stack, b"hi").is_ready();
        got = stream.read(stack, &mut buf);
        got.is_ready()
    });
    assert_eq!(got, Poll::Ready(Ok(2)));
}
