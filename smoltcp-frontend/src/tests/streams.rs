//! The client's side: what a stream says of a connection that is over, or is not.

use anywire_core::service::echo::Echo;
use anywire_core::service::file;
use embedded_io::{Error, ErrorKind};
use smoltcp::socket::tcp::{ConnectError, State};

use super::*;
use crate::chance::Chance;

const ECHO: u16 = 9900;
const FILE: u16 = 6565;

fn echo() -> Sim {
    Sim::new(|stack| vec![pool(stack, Watched(Echo), 4, (2048, 2048), Settings::default())])
}

/// A server that is in the middle of a file, and the client's stream, whose small ring is full.
fn in_a_file() -> (Sim, usize) {
    let service = Watched(file::File);
    let mut sim =
        Sim::new(|stack| vec![pool(stack, service, 1, (2048, 2048), Settings::default())]);
    sim.file("big", &pattern(50_000));
    let at = sim.stream(1000, 1000);
    sim.dial(at, FILE);
    sim.connected(at).unwrap();
    sim.send(at, b"big\n");
    sim.net.run(SECOND);
    (sim, at)
}

#[test]
fn a_silent_peer_is_given_up_only_by_whoever_asks_it() {
    for ask in [true, false] {
        let mut sim = echo();
        let at = sim.connect(ECHO);
        sim.streams[at].set_keep_alive(&mut sim.net.b.stack, ask.then_some(SECOND));
        sim.net.run(SECOND * 60);
        assert_eq!(sim.streams[at].read(&mut sim.net.b.stack, &mut [0]), Poll::Pending);
        sim.net.wire.link(Side::A).loss = Chance::ALWAYS;
        sim.net.run(SECOND * 3);
        assert_eq!(sim.streams[at].read(&mut sim.net.b.stack, &mut [0]), Poll::Pending);
        sim.net.run(SECOND * 60);
        let given_up = Poll::Ready(Err(StreamError::Reset));
        let expected = if ask { given_up } else { Poll::Pending };
        assert_eq!(sim.streams[at].read(&mut sim.net.b.stack, &mut [0]), expected);
    }
}

#[test]
fn nothing_is_written_behind_our_own_end() {
    let mut sim = echo();
    let at = sim.connect(ECHO);
    sim.shutdown(at);
    for _ in 0..2 {
        let stack = &mut sim.net.b.stack;
        let refused = Poll::Ready(Err(StreamError::ShutDown));
        assert_eq!(sim.streams[at].writable(stack), refused);
        assert_eq!(sim.streams[at].write(stack, b"x"), refused.map_ok(|()| 0));
        sim.net.run(SECOND);
    }
}

#[test]
fn what_is_not_acknowledged_is_unsent() {
    let mut sim = echo();
    let at = sim.connect(ECHO);
    assert_eq!(sim.streams[at].unsent(&sim.net.b.stack), 0);
    sim.net.wire.link(Side::B).loss = Chance::ALWAYS;
    assert!(sim.streams[at].write(&mut sim.net.b.stack, b"hello").is_ready());
    sim.net.run(MS);
    assert_eq!(sim.streams[at].unsent(&sim.net.b.stack), 5);
    sim.net.wire.link(Side::B).loss = Chance::NEVER;
    sim.read_exact(at, 5);
    assert_eq!(sim.streams[at].unsent(&sim.net.b.stack), 0);
}

/// The server's end comes twice, and to the second acknowledgement it has nothing to say but a reset: it knows of no connection.
#[test]
fn a_reset_behind_both_ends_takes_nothing_that_nobody_has_read() {
    let mut sim = echo();
    let at = sim.connect(ECHO);
    let stack = &mut sim.net.b.stack;
    assert_eq!(sim.streams[at].write(stack, b"hello"), Poll::Ready(Ok(5)));
    sim.shutdown(at);
    sim.net.wire.link(Side::A).duplicate = Chance::ALWAYS;
    sim.net.run(SECOND);
    assert_eq!(sim.streams[at].state(&sim.net.b.stack), State::Closed);
    for _ in 0..2 {
        assert!(!sim.streams[at].lingers(&mut sim.net.b.stack));
    }
    assert_eq!(sim.read_all(at), Ok(b"hello".to_vec()));
    assert_eq!(sim.read(at), Ok(vec![]));
}

#[test]
fn a_reset_behind_our_end_alone_is_one_when_the_rest_is_read() {
    let (mut sim, at) = in_a_file();
    sim.shutdown(at);
    sim.net.run(SECOND);
    sim.net.a.endpoints[0].abort();
    sim.net.run(SECOND);
    assert_eq!(sim.streams[at].state(&sim.net.b.stack), State::Closed);
    assert_eq!(sim.read(at), Ok(pattern(1000)));
    assert_eq!(sim.read(at), Err(StreamError::Reset));
    assert_eq!(sim.read(at), Err(StreamError::Reset));
}

#[test]
fn a_reset_before_our_end_is_told_at_once() {
    let (mut sim, at) = in_a_file();
    sim.net.a.endpoints[0].abort();
    sim.net.run(SECOND);
    assert_eq!(sim.read(at), Err(StreamError::Reset));
}

#[test]
fn what_was_left_of_a_connection_is_gone_though_there_is_no_way_to_the_next_peer() {
    let mut sim = echo();
    let at = sim.connect(ECHO);
    let stack = &mut sim.net.b.stack;
    stack.interface().update_ip_addrs(|all| all.retain(|cidr| cidr.prefix_len() == 24));
    let peer = "[fd00::1]:9900".parse().unwrap();
    let refused = sim.streams[at].connect(stack, peer, 0);
    assert_eq!(refused, Err(ConnectError::Unaddressable));
    assert_eq!(sim.read(at), Err(StreamError::Reset));
    sim.dial(at, ECHO);
    sim.connected(at).unwrap();
    sim.send(at, b"again");
    assert_eq!(sim.read_exact(at, 5), b"again");
}

#[test]
fn errors_have_the_words_and_the_kinds_of_their_field() {
    let all = [
        (StreamError::Refused, "connection refused", ErrorKind::ConnectionRefused),
        (StreamError::Reset, "connection reset", ErrorKind::ConnectionReset),
        (StreamError::NotConnected, "not connected", ErrorKind::NotConnected),
        (StreamError::ShutDown, "our side of the stream is shut down", ErrorKind::BrokenPipe),
    ];
    for (error, said, kind) in all {
        assert_eq!((format!("{error}"), error.kind()), (said.into(), kind));
    }
}
