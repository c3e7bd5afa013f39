//! The core's blocking driver over a stack, and datagrams.

use std::cell::Cell;

use anywire_core::blocking::{Buffers, Wire as _, converse};
use anywire_core::client;
use anywire_core::conversation::Limits;
use anywire_core::event::Host;
use anywire_core::instant::{Instant, earliest};
use anywire_core::service::echo::Echo;
use anywire_core::service::file;
use anywire_core::service::hello::Hello;
use embedded_io::{Read, Write};
use smoltcp::socket::udp::PacketMetadata;

use super::*;
use crate::blocking::{ConnectError, Pump, ask, connect};
use crate::chance::Chance;
use crate::sim::Station;
use crate::udp::{self, Asker, Datagrams};

/// Sleeps by letting the server have its turn, and the clock jump.
struct Jump<'n> {
    net: &'n mut Net<'static, Server, Client<'static>>,
    now: Instant,
    /// Nothing of the client's arrives any more.
    cut: Rc<Cell<bool>>,
}

impl<'n> Jump<'n> {
    fn new(sim: &'n mut Sim) -> Self {
        Self { now: sim.net.now(), net: &mut sim.net, cut: Rc::default() }
    }
}

impl Pump<'static> for Jump<'_> {
    fn now(&mut self) -> Instant {
        self.now
    }

    fn stack(&mut self) -> &mut Stack<'static> {
        &mut self.net.b.stack
    }

    fn pump(&mut self, until: Option<Instant>) {
        let Net { a, b, wire, .. } = &mut *self.net;
        if self.cut.get() {
            wire.link(Side::B).loss = Chance::ALWAYS;
        }
        a.poll(self.now, &mut wire.end(Side::A));
        b.poll(self.now, &mut wire.end(Side::B));
        let due = earliest(earliest(a.poll_at(self.now), b.poll_at(self.now)), wire.due());
        self.now = earliest(due, until).unwrap_or(self.now).max(self.now);
        a.poll(self.now, &mut wire.end(Side::A));
        b.poll(self.now, &mut wire.end(Side::B));
    }
}

struct Heard(Vec<u8>);

impl Host for Heard {
    fn observe(&mut self, event: Event<'_>) {
        if let Event::Data { bytes } | Event::Message { text: bytes } = event {
            self.0.extend(bytes);
        }
    }
}

pub(super) fn memory(slots: usize, len: usize) -> udp::Memory<'static> {
    udp::Memory {
        receive_slots: leak(vec![PacketMetadata::EMPTY; slots]),
        receive: leak(vec![0; len]),
        send_slots: leak(vec![PacketMetadata::EMPTY; slots]),
        send: leak(vec![0; len]),
    }
}

pub(super) fn all() -> Sim {
    let mut sim = Sim::new(|stack| {
        vec![
            pool(stack, Watched(Echo), 4, (4096, 4096), Settings::default()),
            pool(stack, Watched(Hello), 4, (2048, 2048), Settings::default()),
            pool(stack, Watched(file::File), 4, (2048, 4096), Settings::default()),
            Box::new(Datagrams::new(stack, Echo, 9900, memory(4, 140_000)).unwrap()),
        ]
    });
    for side in [Side::A, Side::B] {
        sim.net.wire.link(side).delay = MS;
    }
    sim
}

fn talk<S: anywire_core::session::Session>(
    sim: &mut Sim,
    port: u16,
    session: S,
    store: &mut Files,
) -> (End, Vec<u8>) {
    let at = sim.stream(4096, 4096);
    let mut stream = sim.streams.remove(at);
    let mut pump = Jump::new(sim);
    let peer = sim::address(Side::A, port);
    let mut wire = connect(&mut pump, &mut stream, peer, SECOND).unwrap();
    let (mut input, mut output, mut heard) = ([0; 8192], [0; 4096], Heard(Vec::new()));
    let buffers = Buffers { input: &mut input, output: &mut output };
    let limits = Limits::default();
    let outcome = converse(Checked::new(session), &mut wire, store, &mut heard, buffers, &limits);
    assert!(wire.linger(SECOND));
    (outcome.end, heard.0)
}

#[test]
fn the_clients_hold_their_conversations_over_a_stack() {
    let mut sim = all();
    let mut store = Files::new();
    let text = pattern(20_000);
    let echoed = talk(&mut sim, 9900, client::echo::Session::new(&text), &mut store);
    assert_eq!(echoed, (End::Finished, text));

    let (end, said) = talk(&mut sim, 65432, client::hello::Session::new(Some(b"Ali")), &mut store);
    let reply = b"I got \"Ali\" from you and I am sending it back.";
    assert_eq!((end, &said[..]), (End::Finished, &reply[..]));

    sim.file("f", &pattern(50_000));
    let name = FileName::new(b"copy").unwrap();
    let (end, _) = talk(&mut sim, 6565, client::file::Session::new(b"f", name), &mut store);
    assert_eq!((end, store.get(name)), (End::Finished, Some(&pattern(50_000)[..])));
}

#[test]
fn a_client_whose_file_is_refused_keeps_nothing() {
    let mut sim = all();
    let mut store = Files::new();
    let name = FileName::new(b"copy").unwrap();
    let (end, _) = talk(&mut sim, 6565, client::file::Session::new(b"no", name), &mut store);
    assert!(matches!(end, End::Aborted(_)), "{end:?}");
    assert_eq!(store.in_use(), 0);
}

#[test]
fn connecting_is_refused_or_takes_no_longer_than_it_may() {
    let mut sim = all();
    let at = sim.stream(64, 64);
    let mut stream = sim.streams.remove(at);
    let mut pump = Jump::new(&mut sim);
    let nobody = sim::address(Side::A, 4242);
    let refused = connect(&mut pump, &mut stream, nobody, SECOND);
    assert_eq!(refused.err(), Some(ConnectError::Refused));
    pump.stack().interface().update_ip_addrs(|all| all.retain(|cidr| cidr.prefix_len() == 24));
    for unaddressable in ["[fd00::1]:9900", "[2001:db8::1]:80"] {
        let peer = unaddressable.parse().unwrap();
        let no_way = connect(&mut pump, &mut stream, peer, SECOND);
        assert_eq!(no_way.err(), Some(ConnectError::Unaddressable), "{peer}");
    }
    let nowhere = "10.0.0.77:80".parse().unwrap();
    let before = pump.now;
    let silent = connect(&mut pump, &mut stream, nowhere, SECOND * 5);
    assert_eq!(silent.err(), Some(ConnectError::TimedOut));
    assert_eq!(pump.now.saturating_since(before), SECOND * 5);
}

#[test]
fn a_connection_knows_its_ends_and_says_whether_all_has_arrived() {
    for cut in [false, true] {
        let mut sim = all();
        let at = sim.stream(512, 512);
        let mut stream = sim.streams.remove(at);
        let mut pump = Jump::new(&mut sim);
        let is_cut = pump.cut.clone();
        let peer = sim::address(Side::A, 9900);
        let mut wire = connect(&mut pump, &mut stream, peer, SECOND).unwrap();
        let (ours, theirs) = wire.endpoints().unwrap();
        assert_eq!((ours.ip(), theirs), (sim::address(Side::B, 0).ip(), peer));
        assert_eq!(wire.write(b"hello"), Ok(5));
        assert_eq!(wire.read(&mut [0; 8]), Ok(5));
        is_cut.set(cut);
        wire.shutdown().unwrap();
        let before = wire.now();
        assert_eq!(wire.linger(SECOND), !cut);
        let after = wire.now().saturating_since(before);
        assert_eq!(after, if cut { SECOND } else { MS * 2 });
    }
}

#[test]
fn what_is_decided_leaves_at_once() {
    let mut sim = all();
    let at = sim.stream(512, 512);
    let mut stream = sim.streams.remove(at);
    let mut pump = Jump::new(&mut sim);
    let sent = Rc::new(Cell::new(0));
    let count = sent.clone();
    let tap = move |_: Instant, side: Side, _: &[u8]| {
        count.set(count.get() + u32::from(side == Side::B));
    };
    pump.net.wire.watch(Box::leak(Box::new(tap)));
    let mut wire = connect(&mut pump, &mut stream, sim::address(Side::A, 9900), SECOND).unwrap();
    let before = sent.take();
    assert!(before > 0, "the handshake");
    wire.write(b"hello").unwrap();
    assert_eq!(sent.take(), 0, "more may follow");
    wire.flush().unwrap();
    assert_eq!(sent.take(), 1);
    assert_eq!(wire.read(&mut [0; 8]), Ok(5));
    sent.take();
    wire.abort();
    assert_eq!(sent.take(), 1);
    assert_eq!(wire.read(&mut [0; 8]), Err(StreamError::NotConnected));
    assert!(!stream.lingers(&mut sim.net.b.stack), "the reset has left");
    sim.net.run(SECOND);
    assert_eq!(sim.log.ends(), [End::Reset]);
}

#[test]
fn an_end_leaves_at_once_and_who_sleeps_sleeps_as_long_as_was_said() {
    let mut sim = all();
    let at = sim.stream(512, 512);
    let mut stream = sim.streams.remove(at);
    let mut pump = Jump::new(&mut sim);
    let mut wire = connect(&mut pump, &mut stream, sim::address(Side::A, 9900), SECOND).unwrap();
    let until = wire.now() + SECOND;
    assert!(wire.sleep(until), "this wire can");
    assert_eq!(wire.now(), until);
    wire.shutdown().unwrap();
    assert_eq!(wire.now(), until);
}

#[test]
fn a_failure_to_connect_has_the_words_of_its_field() {
    for (error, said) in [
        (ConnectError::Refused, "connection refused"),
        (ConnectError::TimedOut, "no answer in time"),
        (ConnectError::Unaddressable, "no route to that address"),
    ] {
        assert_eq!(format!("{error}"), said);
    }
}

#[test]
fn a_datagram_comes_back_whole_empty_ones_and_the_longest_too() {
    for len in [0, 1, 1472, 1473, udp::MAX_ANSWER] {
        // Without the feature `large-datagrams` there are no fragments.
        let len = len.min(udp::MAX_ANSWER);
        let mut sim = all();
        let mut asker = Asker::new(&mut sim.net.b.stack, memory(4, 140_000)).unwrap();
        let mut pump = Jump::new(&mut sim);
        let (datagram, mut answer) = (pattern(len), vec![0; 70_000]);
        let peer = sim::address(Side::A, 9900);
        let got = ask(&mut pump, &mut asker, peer, &datagram, SECOND * 4, &mut answer);
        assert_eq!(got, Some(len));
        assert_eq!(&answer[..len], &datagram[..]);
        assert_eq!(sim.net.a.endpoints[3].counts().served, 1);
    }
}

#[test]
fn a_question_that_nobody_answers_is_given_up_when_its_time_is_up() {
    let mut sim = all();
    let mut asker = Asker::new(&mut sim.net.b.stack, memory(4, 4096)).unwrap();
    let mut pump = Jump::new(&mut sim);
    let before = pump.now;
    let peer = sim::address(Side::A, 4242);
    assert_eq!(ask(&mut pump, &mut asker, peer, b"?", SECOND * 4, &mut [0; 8]), None);
    assert_eq!(pump.now.saturating_since(before), SECOND * 4);
}

#[test]
#[cfg(feature = "large-datagrams")]
fn two_fragmented_datagrams_do_not_overwrite_each_other() {
    let mut sim = all();
    let mut asker = Asker::new(&mut sim.net.b.stack, memory(4, 140_000)).unwrap();
    let (peer, stack) = (sim::address(Side::A, 9900), &mut sim.net.b.stack);
    asker.bind(stack, 0).unwrap();
    let datagrams = [pattern(9000), vec![7; 8000]];
    for datagram in &datagrams {
        asker.send(stack, peer, datagram).unwrap();
    }
    for datagram in &datagrams {
        let mut buf = vec![0; 9000];
        assert!(sim.net.run_until(SECOND, |net| {
            asker.receive(&mut net.b.stack, peer, &mut buf) == Poll::Ready(datagram.len())
        }));
        assert_eq!(&buf[..datagram.len()], &datagram[..]);
    }
}

#[test]
fn what_is_too_large_to_answer_is_dropped_and_counted() {
    let mut sim = Sim::new(|stack| {
        let small = udp::Memory { send: leak(vec![0; 100]), ..memory(4, 4096) };
        vec![Box::new(Datagrams::new(stack, Echo, 9900, small).unwrap())]
    });
    let mut asker = Asker::new(&mut sim.net.b.stack, memory(8, 8192)).unwrap();
    let peer = sim::address(Side::A, 9900);
    asker.bind(&mut sim.net.b.stack, 0).unwrap();
    for len in [100, 101, 50] {
        asker.send(&mut sim.net.b.stack, peer, &pattern(len)).unwrap();
        sim.net.run(MS * 10);
    }
    assert_eq!((sim.counts().served, sim.counts().dropped), (2, 1));
    let told = sim.log.0.borrow();
    let told = told.iter().filter_map(|(_, told)| match told {
        Told::Other(text) if text.starts_with("Answered") => Some(&**text),
        _ => None,
    });
    let expected = [100, 50].map(|len| format!("Answered {{ received: {len}, sent: {len} }}"));
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn an_answer_to_nobody_does_not_stand_in_the_way_for_ever() {
    let mut sim = Sim::new(|stack| {
        vec![Box::new(Datagrams::new(stack, Echo, 9900, memory(4, 4096)).unwrap())]
    });
    let mut asker = Asker::new(&mut sim.net.b.stack, memory(8, 8192)).unwrap();
    let (peer, stack) = (sim::address(Side::A, 9900), &mut sim.net.b.stack);
    asker.bind(stack, 0).unwrap();
    let mut buf = [0; 8];
    // From an address on the own network that nobody has: the answer goes where the question came from, and is in nobody's way.
    let nobody = smoltcp::wire::IpAddress::v4(10, 0, 0, 99);
    asker.send_from(stack, peer, nobody, b"who am I?").unwrap();
    asker.send(stack, peer, b"me").unwrap();
    assert!(
        sim.net.run_until(MS * 10, |net| {
            asker.receive(&mut net.b.stack, peer, &mut buf).is_ready()
        })
    );
    // From another network, to which nobody leads.
    let router = core::net::Ipv4Addr::new(10, 0, 0, 98);
    sim.net.a.stack.interface().routes_mut().add_default_ipv4_route(router).unwrap();
    let far = smoltcp::wire::IpAddress::v4(10, 9, 9, 9);
    asker.send_from(&mut sim.net.b.stack, peer, far, b"who am I?").unwrap();
    sim.net.run(MS * 10);
    asker.send(&mut sim.net.b.stack, peer, b"me").unwrap();
    let got = sim
        .net
        .run_until(SECOND * 2, |net| asker.receive(&mut net.b.stack, peer, &mut buf).is_ready());
    assert!(!got, "smoltcp has one queue");
    sim.net.run(SECOND * 2);
    asker.send(&mut sim.net.b.stack, peer, b"me").unwrap();
    assert!(
        sim.net.run_until(SECOND, |net| {
            asker.receive(&mut net.b.stack, peer, &mut buf).is_ready()
        })
    );
    assert_eq!(sim.counts().dropped, 1);
}

/// Whoever knows our port may write to it, from whatever port.
#[test]
fn an_answer_counts_only_from_who_was_asked() {
    let mut sim = Sim::new(|_| Vec::new());
    let (asked, us) = (sim::address(Side::A, 9900), sim::address(Side::B, 5000));
    let mut asker = Asker::new(&mut sim.net.b.stack, memory(4, 4096)).unwrap();
    asker.bind(&mut sim.net.b.stack, us.port()).unwrap();
    let stack = &mut sim.net.a.stack;
    let mut others = [9901, asked.port()].map(|port| {
        let mut other = Asker::new(stack, memory(4, 4096)).unwrap();
        other.bind(stack, port).unwrap();
        other
    });
    others[0].send(stack, us, b"the port is another").unwrap();
    let nobody = smoltcp::wire::IpAddress::v4(10, 0, 0, 99);
    others[1].send_from(stack, us, nobody, b"the address is another").unwrap();
    sim.net.run(MS * 10);
    others[1].send(&mut sim.net.a.stack, us, b"the answer").unwrap();
    let (mut buf, mut got) = ([0; 32], Poll::Pending);
    sim.net.run_until(SECOND, |net| {
        got = asker.receive(&mut net.b.stack, asked, &mut buf);
        got.is_ready()
    });
    assert_eq!((got, &buf[..10]), (Poll::Ready(10), &b"the answer"[..]));
}
