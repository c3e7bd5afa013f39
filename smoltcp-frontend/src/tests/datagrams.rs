//! A datagram service: whose answers leave from where, which never can, and what is counted.

use anywire_core::datagram::DatagramService;
use anywire_core::event::Host;
use anywire_core::service::echo::Echo;
use smoltcp::iface::Route;
use smoltcp::wire::{IpAddress, IpCidr, Ipv4Cidr};

use super::waiting::memory;
use super::*;
use crate::udp::{Asker, Datagrams, DatagramsError};

const PORT: u16 = 9900;

fn echo() -> (Sim, Asker) {
    let mut sim = Sim::new(|stack| {
        vec![Box::new(Datagrams::new(stack, Echo, PORT, memory(8, 8192)).unwrap())]
    });
    let stack = &mut sim.net.b.stack;
    let mut asker = Asker::new(stack, memory(8, 8192)).unwrap();
    asker.bind(stack, 5000).unwrap();
    (sim, asker)
}

fn server() -> SocketAddr {
    sim::address(Side::A, PORT)
}

/// Whether the server answers within so long.
fn answers(sim: &mut Sim, asker: &mut Asker, peer: SocketAddr, within: Duration) -> bool {
    asker.send(&mut sim.net.b.stack, peer, b"me").unwrap();
    sim.net.run_until(within, |net| {
        asker.receive(&mut net.b.stack, peer, &mut [0; 8]) == Poll::Ready(2)
    })
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let (mut sim, mut asker) = echo();
    sim.net.a.stack.interface().update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, 3), 24)).unwrap();
    });
    for asked in [server(), SocketAddr::from(([10, 0, 0, 3], PORT)), server()] {
        assert!(answers(&mut sim, &mut asker, asked, MS * 10), "{asked}");
    }
}

#[test]
fn a_service_says_what_and_where_it_is_and_counts_its_answers() {
    let (mut sim, mut asker) = echo();
    assert_eq!((sim.net.a.endpoints[0].service(), sim.net.a.endpoints[0].port()), ("echo", PORT));
    let listening = Counts { listening: 1, ..Counts::default() };
    assert_eq!(sim.counts(), listening);
    assert!(answers(&mut sim, &mut asker, server(), MS * 10));
    // What has left stands in nobody's way.
    sim.net.run(SECOND * 20);
    assert_eq!(sim.counts(), Counts { served: 1, ..listening });
    assert_eq!(sim.net.a.endpoints[0].deadline(), None);
}

#[test]
fn one_that_is_retired_or_aborted_answers_no_more() {
    for abort in [false, true] {
        let (mut sim, mut asker) = echo();
        let endpoint = &mut sim.net.a.endpoints[0];
        if abort {
            endpoint.abort()
        } else {
            endpoint.retire()
        }
        assert!(!answers(&mut sim, &mut asker, server(), SECOND));
        assert_eq!(sim.counts(), Counts { retired: 1, ..Counts::default() });
    }
}

/// Leads answers to networks far away through routers that are not there yet.
fn route(sim: &mut Sim, network: u8, router: u8) {
    let far = Ipv4Cidr::new([10, network, 0, 0].into(), 16);
    let via_router = IpAddress::v4(10, 0, 0, router);
    let route = Route { cidr: far.into(), via_router, preferred_until: None, expires_at: None };
    sim.net.a.stack.interface().routes_mut().update(|routes| routes.push(route).unwrap());
}

fn ask_from_afar(sim: &mut Sim, asker: &mut Asker, network: u8) {
    let from = IpAddress::v4(10, network, 0, 1);
    asker.send_from(&mut sim.net.b.stack, server(), from, b"far").unwrap();
}

/// The router is found: it is the client's stack.
fn be_router(sim: &mut Sim, router: u8) {
    sim.net.b.stack.interface().update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, router), 24)).unwrap();
    });
}

#[test]
fn an_answer_that_cannot_leave_is_dropped_after_three_seconds() {
    let (mut sim, mut asker) = echo();
    route(&mut sim, 9, 98);
    ask_from_afar(&mut sim, &mut asker, 9);
    sim.net.poll();
    sim.net.poll();
    let due = Some(sim.net.now() + SECOND * 3);
    assert_eq!(sim.net.a.endpoints[0].deadline(), due);
    sim.net.run(SECOND * 3 - MS);
    assert_eq!(sim.counts().dropped, 0);
    sim.net.run(MS);
    assert_eq!(sim.counts().dropped, 1);
    sim.net.run(SECOND * 10);
    assert_eq!(sim.counts().dropped, 1);
    assert!(answers(&mut sim, &mut asker, server(), MS * 10));
}

#[test]
fn a_queue_that_goes_on_is_not_stuck() {
    let (mut sim, mut asker) = echo();
    for (network, router) in [(9, 98), (8, 97)] {
        route(&mut sim, network, router);
        ask_from_afar(&mut sim, &mut asker, network);
        sim.net.run(MS);
    }
    sim.net.run(SECOND * 2);
    be_router(&mut sim, 98);
    sim.net.run(SECOND * 2);
    be_router(&mut sim, 97);
    assert!(answers(&mut sim, &mut asker, server(), SECOND * 2));
    assert_eq!((sim.counts().served, sim.counts().dropped), (3, 0));
}

/// Needs room for what it answers.
struct Wide;

impl DatagramService for Wide {
    const ABOUT: About = About { name: "wide", port: 1, summary: "" };
    const SCRATCH: usize = 10_000;
    fn answer<'d>(
        &mut self,
        _: &'d [u8],
        _: &'d mut [u8],
        _: SocketAddr,
        _: &mut dyn Host,
    ) -> Option<&'d [u8]> {
        None
    }
}

#[test]
fn what_is_missing_is_said() {
    let mut wire = Wire::new(leak(vec![Packet::EMPTY]), leak(vec![Packet::EMPTY]));
    let mut small = stack(&mut wire, Side::A, 0, 0);
    let said = |error: DatagramsError| format!("{error}");
    let missing = Datagrams::new(&mut small, Wide, 1, memory(1, 100)).map(|_| ()).unwrap_err();
    assert_eq!(missing, DatagramsError::Hold { len: 8192, needed: 10_000 });
    assert_eq!(said(missing), "a hold scratch of 8192 bytes; the service needs 10000");
    let port = Datagrams::new(&mut small, Echo, 0, memory(1, 100)).map(|_| ()).unwrap_err();
    assert_eq!(said(port), "a datagram service needs a port other than 0");
    let sockets = Datagrams::new(&mut small, Echo, 1, memory(1, 100)).map(|_| ()).unwrap_err();
    assert_eq!(said(sockets), "the stack has no room for another socket");
}
