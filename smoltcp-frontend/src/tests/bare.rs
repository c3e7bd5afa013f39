//! A line for packets without frames (a TUN device, SLIP, PPP), where stations have no address but IP's.

use anywire_core::instant::Instant;
use anywire_core::service::echo::Echo;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use super::waiting::memory;
use super::*;
use crate::chance::Chance;
use crate::sim::Station;
use crate::udp::{Asker, Datagrams};

/// Ethernet's header.
const HEADER: usize = 14;

/// A station on such a line: its packets are put into frames for the wire, and taken out again.
struct Bare<S>(S);

struct Line<'d, D>(&'d mut D);

struct Taken<T>(T);

struct Framed<T>(T);

impl<S: Station> Station for Bare<S> {
    fn poll<D: Device>(&mut self, now: Instant, device: &mut D) {
        self.0.poll(now, &mut Line(device));
    }

    fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        self.0.poll_at(now)
    }
}

impl<D: Device> Device for Line<'_, D> {
    type RxToken<'t>
        = Taken<D::RxToken<'t>>
    where
        Self: 't;
    type TxToken<'t>
        = Framed<D::TxToken<'t>>
    where
        Self: 't;

    fn receive(
        &mut self,
        now: smoltcp::time::Instant,
    ) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (received, sent) = self.0.receive(now)?;
        Some((Taken(received), Framed(sent)))
    }

    fn transmit(&mut self, now: smoltcp::time::Instant) -> Option<Self::TxToken<'_>> {
        self.0.transmit(now).map(Framed)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit -= HEADER;
        capabilities
    }
}

impl<T: RxToken> RxToken for Taken<T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        self.0.consume(|frame| f(&frame[HEADER..]))
    }
}

impl<T: TxToken> TxToken for Framed<T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.consume(HEADER + len, |frame| {
            let result = f(&mut frame[HEADER..]);
            // What the wire looks at before it breaks a packet.
            let ethertype = if frame[HEADER] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
            frame[12..HEADER].copy_from_slice(&ethertype);
            result
        })
    }
}

fn v4(side: Side) -> IpAddress {
    sim::address(side, 0).ip().into()
}

fn v6(side: Side) -> IpAddress {
    let last = if side == Side::A { 1 } else { 2 };
    IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, last)
}

fn stack(wire: &mut Wire<'_>, side: Side) -> Stack<'static> {
    let config = Config::new(HardwareAddress::Ip);
    let start = smoltcp::time::Instant::ZERO;
    let mut interface = Interface::new(config, &mut Line(&mut wire.end(side)), start);
    interface.update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(v4(side), 24)).unwrap();
        addresses.push(IpCidr::new(v6(side), 64)).unwrap();
    });
    // More than one set of sockets.
    let sockets = leak((0..40).map(|_| SocketStorage::EMPTY).collect());
    let (output, hold) = (leak(vec![0; 4096]), leak(vec![0; 4096]));
    let memory = stack::Memory { sockets, output, hold, backlog: leak(vec![Parked::EMPTY; 4]) };
    Stack::new(Box::leak(Box::new(interface)), memory)
}

#[test]
fn conversations_and_datagrams_need_no_frames() {
    let mut wire = Wire::new(leak(vec![Packet::EMPTY; 256]), leak(vec![Packet::EMPTY; 256]));
    let mut server = stack(&mut wire, Side::A);
    let endpoints: &mut [Served] = leak(vec![
        pool(&mut server, Watched(Echo), 35, (2048, 2048), Settings::default()),
        Box::new(Datagrams::new(&mut server, Echo, 9900, memory(4, 8192)).unwrap()),
    ]);
    let server = Bare(Node::new(server, endpoints, Files::new(), ()));
    let client = Bare(Node::client(stack(&mut wire, Side::B)));
    for side in [Side::A, Side::B] {
        let link = wire.link(side);
        (link.loss, link.corrupt, link.delay) = (Chance::percent(5), Chance::percent(5), MS);
    }
    let mut net = Net::new(server, client, wire);
    let sent = pattern(30_000);
    let mut streams = Vec::new();
    for address in [v4(Side::A), v6(Side::A), v4(Side::A)] {
        let stack = &mut net.b.0.stack;
        let rings = [(); 2].map(|()| leak(vec![0; 4096]));
        let [receive, send] = rings;
        let mut stream = Stream::new(stack, receive, send).unwrap();
        let ip: core::net::IpAddr = address.into();
        stream.connect(stack, SocketAddr::new(ip, 9900), 0).unwrap();
        streams.push((stream, 0, Vec::new()));
    }
    let whole = net.run_until(SECOND * 600, |net| {
        let stack = &mut net.b.0.stack;
        for (stream, written, got) in &mut streams {
            if let Poll::Ready(len) = stream.write(stack, &sent[*written..]) {
                *written += len.unwrap();
            }
            let mut buf = [0; 4096];
            if let Poll::Ready(len) = stream.read(stack, &mut buf) {
                got.extend_from_slice(&buf[..len.unwrap()]);
            }
        }
        streams.iter().all(|(.., got)| got.len() >= sent.len())
    });
    assert!(whole);
    assert!(streams.iter().all(|(.., got)| *got == sent));

    for side in [Side::A, Side::B] {
        *net.wire.link(side) = Default::default();
    }
    let mut asker = Asker::new(&mut net.b.0.stack, memory(4, 8192)).unwrap();
    asker.bind(&mut net.b.0.stack, 5000).unwrap();
    for address in [v4(Side::A), v6(Side::A)] {
        let ip: core::net::IpAddr = address.into();
        let peer = SocketAddr::new(ip, 9900);
        asker.send(&mut net.b.0.stack, peer, b"datagram").unwrap();
        let mut buf = [0; 100];
        assert!(net.run_until(SECOND, |net| {
            asker.receive(&mut net.b.0.stack, peer, &mut buf) == Poll::Ready(8)
        }));
        assert_eq!(&buf[..8], b"datagram");
    }
}
