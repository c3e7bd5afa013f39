//! What a stack makes of frames as such: their number, their kinds, and a flood of them.

use std::collections::VecDeque;

use anywire_core::instant::Instant;
use anywire_core::service::echo::Echo;
use anywire_core::service::message::Message;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::wire::{HardwareAddress, IpAddress, IpProtocol, IpRepr};

use super::packets::inject;
use super::waiting::memory;
use super::*;
use crate::sim::Station;
use crate::udp::Asker;

/// A device with these frames, and behind them one that comes again for ever. What is sent is gone.
struct Feed {
    frames: VecDeque<Vec<u8>>,
    again: Option<Vec<u8>>,
    medium: Medium,
}

struct Given(Vec<u8>);
struct Gone;

impl Device for Feed {
    type RxToken<'t> = Given;
    type TxToken<'t> = Gone;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Given, Gone)> {
        let frame = self.frames.pop_front().or_else(|| self.again.clone())?;
        Some((Given(frame), Gone))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Gone> {
        Some(Gone)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = self.medium;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl RxToken for Given {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Gone {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f(&mut vec![0; len])
    }
}

/// A silence ends a message while frames come faster than they can be looked at; and the poll comes to its end, too.
#[test]
fn a_flood_does_not_hold_a_deadline_up_for_ever() {
    let service = Watched(Message::default());
    let mut sim =
        Sim::new(|stack| vec![pool(stack, service, 1, (8192, 8192), Settings::default())]);
    let at = sim.connect(9001);
    sim.send(at, b"x");
    sim.net.run(MS);
    let silence = sim.net.now() + SECOND;
    let again = Some(vec![0; 60]);
    let mut flood = Feed { frames: VecDeque::new(), again, medium: Medium::Ethernet };
    let Net { a, .. } = &mut sim.net;
    assert!(a.endpoints[0].deadline().is_some_and(|deadline| deadline < silence));
    a.stack.poll(|| silence, &mut flood, a.endpoints, &mut a.store, &mut a.observer);
    assert_eq!(a.stack.poll_at(silence, a.endpoints), Some(silence), "there is more");
    assert!(a.endpoints[0].deadline().is_some_and(|deadline| deadline > silence), "it was met");
    flood.again = None;
    a.stack.poll(|| silence, &mut flood, a.endpoints, &mut a.store, &mut a.observer);
    let next = a.stack.poll_at(silence, a.endpoints);
    assert!(next.is_none_or(|next| next > silence), "there is no more");
}

#[test]
fn who_is_at_rest_does_not_want_to_be_polled() {
    let mut sim = Sim::new(|stack| vec![pool(stack, Echo, 2, (2048, 2048), Settings::default())]);
    let at = sim.connect(9900);
    sim.send(at, b"hello");
    sim.shutdown(at);
    assert_eq!(sim.read_all(at), Ok(b"hello".to_vec()));
    sim.net.run(SECOND * 100);
    let (now, Net { a, b, .. }) = (sim.net.now(), &mut sim.net);
    assert_eq!((a.poll_at(now), b.poll_at(now)), (None, None));
    // Whoever is polled all the same is at rest again.
    sim.net.poll();
    let Net { a, b, .. } = &mut sim.net;
    assert_eq!((a.poll_at(now), b.poll_at(now)), (None, None));
}

#[test]
fn frames_are_counted() {
    let mut sim = Sim::new(|stack| vec![pool(stack, Echo, 1, (2048, 2048), Settings::default())]);
    let at = sim.connect(9900);
    sim.send(at, b"hello");
    sim.shutdown(at);
    assert_eq!(sim.read_all(at), Ok(b"hello".to_vec()));
    sim.net.run(SECOND);
    let sent = sim.net.wire.counters(Side::B).sent;
    assert_eq!(sim.net.a.stack.traffic().frames, sent);
    inject(&mut sim, b"no frame");
    sim.net.run(MS);
    assert_eq!(sim.net.a.stack.traffic().frames, sent + 1);
}

#[test]
fn pieces_of_datagrams_over_ipv6_are_counted_and_nothing_else_is() {
    let packet = |from: &str, to: &str, protocol| {
        let [from, to] = [from, to].map(|address| address.parse::<IpAddress>().unwrap());
        let ip = IpRepr::new(from, to, protocol, 16, 64);
        let mut packet = vec![0; ip.header_len() + 16];
        ip.emit(&mut packet[..], &Default::default());
        packet
    };
    let v6 = |protocol| packet("fd00::2", "fd00::1", protocol);
    let piece = v6(IpProtocol::Ipv6Frag);
    let packets = [
        (piece.clone(), 1),
        (piece[..30].to_vec(), 0),
        (v6(IpProtocol::Udp), 0),
        (packet("10.0.0.2", "10.0.0.1", IpProtocol::Ipv6Frag), 0),
        (vec![], 0),
    ];
    for medium in [Medium::Ethernet, Medium::Ip] {
        let mut feed = Feed { frames: VecDeque::new(), again: None, medium };
        let address = match medium {
            Medium::Ip => HardwareAddress::Ip,
            _ => HardwareAddress::Ethernet(smoltcp::wire::EthernetAddress([2, 0, 0, 0, 0, 1])),
        };
        let start = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(Config::new(address), &mut feed, start);
        let memory =
            stack::Memory { sockets: &mut [], output: &mut [], hold: &mut [], backlog: &mut [] };
        let mut stack = Stack::new(&mut interface, memory);
        let mut pieces = 0;
        for (packet, counts) in &packets {
            let (from, to) = ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
            let ethertype: [u8; 2] =
                if packet.first() == Some(&0x45) { [8, 0] } else { [0x86, 0xdd] };
            let header = [&to[..], &from[..], &ethertype[..]].concat();
            let frame = match medium {
                Medium::Ip => packet.clone(),
                _ => [&header[..], packet].concat(),
            };
            feed.frames.push_back(frame);
            let none: &mut [&mut dyn Endpoint<Files>] = &mut [];
            stack.poll(|| Instant::ZERO, &mut feed, none, &mut Files::new(), &mut ());
            pieces += counts;
            assert_eq!(stack.traffic().fragments_ipv6, pieces, "{medium:?} {packet:02x?}");
        }
        assert_eq!(stack.traffic().frames, packets.len() as u64);
    }
}

#[test]
fn connections_come_from_the_ports_behind_the_one_that_is_set() {
    let mut sim = Sim::new(|stack| vec![pool(stack, Echo, 4, (2048, 2048), Settings::default())]);
    let from = |sim: &mut Sim, port| {
        sim.net.b.stack.set_next_port(port);
        let at = sim.connect(9900);
        sim.streams[at].endpoints(&sim.net.b.stack).unwrap().0.port()
    };
    assert_eq!(from(&mut sim, 50_000), 50_000);
    // A port that is in use is passed over, and behind the last comes the first.
    assert_eq!(from(&mut sim, 50_000), 50_001);
    assert_eq!(from(&mut sim, 65_535), 65_535);
    assert_eq!(from(&mut sim, 65_535), 1024);
}

#[test]
fn a_port_of_a_datagram_socket_is_passed_over_too() {
    let mut sim = Sim::new(|_| vec![]);
    let stack = &mut sim.net.b.stack;
    for expected in [50_000, 50_001] {
        stack.set_next_port(50_000);
        assert_eq!(stack.ephemeral_port(), expected);
        let mut asker = Asker::new(stack, memory(1, 100)).unwrap();
        asker.bind(stack, expected).unwrap();
    }
}

#[test]
fn ports_that_everybody_knows_are_nobodys_to_connect_from() {
    let mut sim = Sim::new(|stack| vec![pool(stack, Echo, 1, (2048, 2048), Settings::default())]);
    sim.net.b.stack.set_next_port(80);
    let at = sim.connect(9900);
    assert_eq!(sim.streams[at].endpoints(&sim.net.b.stack).unwrap().0.port(), 1024);
}
