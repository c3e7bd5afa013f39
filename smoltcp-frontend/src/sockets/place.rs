//! Which set a frame is for.

use smoltcp::iface::SocketSet;
use smoltcp::phy::Medium;
use smoltcp::socket::Socket;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpEndpoint, IpProtocol, Ipv4Address, Ipv4Packet,
    Ipv6Packet, TcpPacket,
};

use super::{ALL, SETS, Sockets, bit, tcp};
use crate::syn::{Segment, carried};

/// What is remembered of the frames that came, so that the next ones find their way.
pub(super) struct Memory {
    /// In which set a connection was last: nothing more than a place to look first.
    hints: [[Hint; WAYS]; BUCKETS],
    /// The segments in fragments that came last.
    fragmented: [Option<Fragmented>; 4],
}

impl Memory {
    pub(super) const fn new() -> Self {
        Self { hints: [[Hint { of: 0, set: 0 }; WAYS]; BUCKETS], fragmented: [None; 4] }
    }
}

#[derive(Clone, Copy)]
struct Fragmented {
    peer: Ipv4Address,
    ident: u16,
    set: usize,
}

/// Where a connection may be; `of` is all that is remembered of whose hint it is.
#[derive(Clone, Copy)]
struct Hint {
    of: u8,
    set: u8,
}

/// As many as a byte can tell.
const BUCKETS: usize = 256;

/// So many connections have a bucket together before they are in each other's way.
const WAYS: usize = 8;

/// The bucket of a connection's hint, and what tells it from most others there.
fn bucket(local: IpEndpoint, peer: IpEndpoint) -> (usize, u8) {
    let last = |addr: IpAddress| match addr {
        IpAddress::Ipv4(addr) => u32::from(addr),
        IpAddress::Ipv6(addr) => addr.to_bits() as u32,
    };
    let addrs = last(local.addr).rotate_left(16) ^ last(peer.addr);
    let ports = u32::from(local.port) << 16 | u32::from(peer.port);
    // The first bits depend on all: 2^32 over the golden ratio, as Knuth has it.
    let [at, of, ..] = (addrs ^ ports).wrapping_mul(0x9e37_79b1).to_be_bytes();
    (at.into(), of)
}

impl Sockets<'_> {
    pub(super) fn place(&mut self, medium: Medium, frame: &[u8]) -> usize {
        if let Some(Segment { local, peer, at }) = Segment::find(medium, frame) {
            let segment = frame.get(at).map(TcpPacket::new_checked);
            let Some(Ok(segment)) = segment else { return 0 };
            let local = IpEndpoint::new(local, segment.dst_port());
            let peer = IpEndpoint::new(peer, segment.src_port());
            return self
                .connection(local, peer)
                .or_else(|| self.listening(local).filter(|_| !segment.ack() && !segment.rst()))
                .unwrap_or(0);
        }
        match other(medium, frame) {
            Other::Udp { .. } | Other::Fragment { protocol: IpProtocol::Udp, .. }
                if self.spilled == 0 =>
            {
                0
            }
            Other::Udp { to } => self.bound(to).unwrap_or(0),
            Other::Fragment { protocol, ident, local, peer, ports } => {
                if let Some((to, from)) = ports {
                    let set = if protocol == IpProtocol::Udp {
                        self.bound(to)
                    } else {
                        let local = IpEndpoint::new(local.into(), to);
                        self.connection(local, IpEndpoint::new(peer.into(), from))
                    };
                    self.memory.fragmented.rotate_right(1);
                    if let (Some(first), Some(set)) = (self.memory.fragmented.first_mut(), set) {
                        *first = Some(Fragmented { peer, ident, set });
                    }
                }
                let same = |of: &&Fragmented| of.peer == peer && of.ident == ident;
                self.memory.fragmented.iter().flatten().find(same).map_or(0, |of| of.set)
            }
            // A neighbour may have been found that sockets of any set wait for.
            Other::Any => {
                self.dirty = ALL;
                0
            }
        }
    }

    /// The set of a connection.
    fn connection(&mut self, local: IpEndpoint, peer: IpEndpoint) -> Option<usize> {
        let ends = (Some(local), Some(peer));
        let (at, of) = bucket(local, peer);
        let has = |set: &usize| {
            let set = self.sets.get(*set);
            let mut sockets = set.into_iter().flat_map(|set| set.iter());
            sockets.any(|(_, socket)| {
                tcp(socket).is_some_and(|socket| {
                    (socket.local_endpoint(), socket.remote_endpoint()) == ends
                        && socket.state() != State::Closed
                })
            })
        };
        let hints = self.memory.hints.get(at).into_iter().flatten();
        let mut hinted = hints.filter(|hint| hint.of == of).map(|hint| usize::from(hint.set));
        if let Some(set) = hinted.find(has) {
            return Some(set);
        }
        let set = (0..SETS).find(has)?;
        if let Some(hints) = self.memory.hints.get_mut(at) {
            // The oldest goes.
            hints.rotate_right(1);
            if let Some(hint) = hints.first_mut() {
                *hint = Hint { of, set: set as u8 };
            }
        }
        Some(set)
    }

    /// The set behind the first one that has a UDP socket of that port.
    fn bound(&self, port: u16) -> Option<usize> {
        let is_bound = |socket: &Socket<'_>| match socket {
            Socket::Udp(socket) => socket.endpoint().port == port,
            #[allow(unreachable_patterns, reason = "smoltcp has more kinds with more features")]
            _ => false,
        };
        let has = |(set, sockets): &(usize, &SocketSet<'_>)| {
            self.spilled & bit(*set) != 0 && sockets.iter().any(|(_, socket)| is_bound(socket))
        };
        self.sets.iter().enumerate().find(has).map(|(set, _)| set)
    }

    /// A set with a socket that listens there.
    fn listening(&self, local: IpEndpoint) -> Option<usize> {
        let listens = |socket: &tcp::Socket<'_>| {
            let at = socket.listen_endpoint();
            socket.state() == State::Listen
                && at.port == local.port
                && at.addr.is_none_or(|addr| addr == local.addr)
        };
        self.sets
            .iter()
            .position(|set| set.iter().any(|(_, socket)| tcp(socket).is_some_and(listens)))
    }
}

/// A frame without a whole TCP segment.
enum Other {
    /// A whole datagram to that port.
    Udp {
        to: u16,
    },
    /// A piece of a segment or datagram; the first one has its ports, the destination's first.
    Fragment {
        protocol: IpProtocol,
        ident: u16,
        local: Ipv4Address,
        peer: Ipv4Address,
        ports: Option<(u16, u16)>,
    },
    Any,
}

fn other(medium: Medium, frame: &[u8]) -> Other {
    let packet = match medium {
        Medium::Ethernet => match EthernetFrame::new_checked(frame) {
            Ok(frame) if frame.ethertype() == EthernetProtocol::Ipv4 => Some(4),
            Ok(frame) if frame.ethertype() == EthernetProtocol::Ipv6 => Some(6),
            _ => None,
        }
        .zip(frame.get(EthernetFrame::<&[u8]>::header_len()..)),
        #[allow(unreachable_patterns, reason = "smoltcp has more media with more features")]
        _ => frame.first().map(|first| first >> 4).zip(Some(frame)),
    };
    match packet {
        Some((4, packet)) => {
            let Ok(packet) = Ipv4Packet::new_checked(packet) else { return Other::Any };
            let protocol = packet.next_header();
            let ports = ports(packet.payload()).filter(|_| packet.frag_offset() == 0);
            match (protocol, ports) {
                (IpProtocol::Udp, Some((to, _))) if !packet.more_frags() => Other::Udp { to },
                (IpProtocol::Udp | IpProtocol::Tcp, ports) => {
                    let (local, peer) = (packet.dst_addr(), packet.src_addr());
                    Other::Fragment { protocol, ident: packet.ident(), local, peer, ports }
                }
                _ => Other::Any,
            }
        }
        Some((6, packet)) => match Ipv6Packet::new_checked(packet) {
            Ok(ip) => match carried(&ip) {
                Some((IpProtocol::Udp, header_len)) => {
                    let datagram = packet.get(header_len..ip.total_len());
                    Other::Udp { to: datagram.and_then(ports).map_or(0, |(to, _)| to) }
                }
                _ => Other::Any,
            },
            Err(_) => Other::Any,
        },
        _ => Other::Any,
    }
}

/// The ports that TCP and UDP begin with, the destination's first.
fn ports(payload: &[u8]) -> Option<(u16, u16)> {
    match payload {
        [a, b, c, d, ..] => Some((u16::from_be_bytes([*c, *d]), u16::from_be_bytes([*a, *b]))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use smoltcp::iface::SocketStorage;

    use super::super::FIRST;
    use super::super::tests::{datagrams, stream};
    use super::*;
    use crate::sim::{self, Packet, Side, Wire};
    use crate::tests::packets::hop_by_hop;

    const N: u16 = 98;
    const LOCAL: [u8; 4] = [10, 0, 0, 1];
    const PEER: [u8; 4] = [10, 0, 0, 2];

    /// An IP packet from the peer, with these first bytes of a TCP segment; `fragment` is what the header has of fragments.
    fn packet(ident: u16, fragment: u16, transport: &[u8]) -> Vec<u8> {
        let len = 20 + transport.len() as u16;
        let mut packet = [&[0x45, 0][..], &len.to_be_bytes(), &ident.to_be_bytes()].concat();
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, 6, 0, 0]);
        packet.extend([PEER, LOCAL].concat());
        packet.extend(transport);
        packet
    }

    fn segment(from: u16, to: u16) -> Vec<u8> {
        let mut segment = [from.to_be_bytes(), to.to_be_bytes()].concat();
        segment.extend([0, 0, 0, 1, 0, 0, 0, 2, 5 << 4, 0x10, 1, 0, 0, 0, 0, 0]);
        segment
    }

    /// Where this IP packet goes, with Ethernet's header and without.
    fn placed(sockets: &mut Sockets<'_>, packet: &[u8]) -> usize {
        let set = sockets.place(Medium::Ip, packet);
        let ethertypes = [[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06]];
        let right = if packet[0] >> 4 == 4 { 0 } else { 1 };
        for (at, ethertype) in ethertypes.iter().enumerate() {
            let frame = [&[2; 12][..], ethertype, packet].concat();
            let expected = if at == right { set } else { 0 };
            assert_eq!(sockets.place(Medium::Ethernet, &frame), expected, "{ethertype:02x?}");
        }
        set
    }

    #[test]
    fn a_segment_finds_the_set_of_its_connection_and_so_do_its_fragments() {
        let (mut a, mut b) = ([Packet::EMPTY; 1], [Packet::EMPTY; 1]);
        let mut wire = Wire::new(&mut a, &mut b);
        let mut interface = sim::interface(&mut wire, Side::A);
        let local = interface.ipv4_addr().unwrap();
        let mut storage: Vec<_> = (0..N + 2).map(|_| SocketStorage::EMPTY).collect();
        let mut sockets = Sockets::new(&mut storage);
        let handles: Vec<_> = (0..N).map(|_| sockets.add(stream()).unwrap()).collect();
        for _ in 0..2 {
            let handle = sockets.add(datagrams()).unwrap();
            assert_eq!(handle.set, 0, "there is room for it where frames that are not TCP's go");
        }
        assert_eq!(sockets.free(), 0);
        assert!(sockets.add(stream()).is_none());
        for (n, &handle) in (0..).zip(&handles) {
            let to = IpEndpoint::new(Ipv4Address::from(PEER).into(), 1000 + n);
            let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
            socket.connect(interface.context(), to, (local, 2000 + n)).unwrap();
        }
        let ours = local.octets();
        let to_us = |mut packet: Vec<u8>| {
            packet[16..20].copy_from_slice(&ours);
            packet
        };
        // The second time by a hint, which may be another's.
        for _ in 0..2 {
            for (n, handle) in (0u16..).zip(&handles) {
                let whole = to_us(packet(0, 0, &segment(1000 + n, 2000 + n)));
                assert_eq!(placed(&mut sockets, &whole), handle.set, "{n}");
            }
        }
        for (n, handle) in (0u16..).zip(&handles) {
            let first = to_us(packet(n, 0x2000, &segment(1000 + n, 2000 + n)));
            let last = to_us(packet(n, 3, b"the rest"));
            assert_eq!(placed(&mut sockets, &first), handle.set);
            assert_eq!(placed(&mut sockets, &last), handle.set);
        }
        // Two of one peer are on their way at once.
        let two = [(0, handles[0]), (50, handles[50])];
        assert_ne!(two[0].1.set, two[1].1.set);
        for (n, handle) in two {
            let first = to_us(packet(n, 0x2000, &segment(1000 + n, 2000 + n)));
            assert_eq!(placed(&mut sockets, &first), handle.set);
        }
        for (n, handle) in two {
            let last = to_us(packet(n, 3, b"the rest"));
            assert_eq!(placed(&mut sockets, &last), handle.set);
        }
        // One that is aborted is none, though its reset has not left.
        sockets.get_mut::<tcp::Socket<'_>>(handles[0]).abort();
        let late = to_us(packet(0, 0, &segment(1000, 2000)));
        assert_eq!(placed(&mut sockets, &late), 0);
        let strangers = to_us(packet(0, 0, &segment(9, 9)));
        assert_eq!(placed(&mut sockets, &strangers), 0);
    }

    #[test]
    fn a_datagram_finds_the_set_of_its_port_and_so_do_its_fragments() {
        let mut storage: Vec<_> = (0..N).map(|_| SocketStorage::EMPTY).collect();
        let mut sockets = Sockets::new(&mut storage);
        let mut datagram = packet(0, 0, &segment(9, 0));
        datagram[9] = 17;
        let handles: Vec<_> = (0..N)
            .map(|n| {
                let mut socket = datagrams();
                socket.bind(5000 + n).unwrap();
                sockets.add(socket).unwrap()
            })
            .collect();
        assert!(handles[..FIRST].iter().all(|handle| handle.set == 0));
        assert!(handles[FIRST..].iter().all(|handle| handle.set > 0));
        for (n, handle) in (0u16..).zip(&handles) {
            datagram[22..24].copy_from_slice(&(5000 + n).to_be_bytes());
            datagram[4..6].copy_from_slice(&n.to_be_bytes());
            datagram[6..8].copy_from_slice(&[0, 0]);
            assert_eq!(placed(&mut sockets, &datagram), handle.set, "{n}");
            datagram[6..8].copy_from_slice(&[0x20, 0]);
            assert_eq!(placed(&mut sockets, &datagram), handle.set, "{n}");
            let mut last = datagram.clone();
            last[6..8].copy_from_slice(&[0, 3]);
            // What is no port is none.
            last[22..24].copy_from_slice(&[0, 9]);
            assert_eq!(placed(&mut sockets, &last), handle.set, "{n}");
        }
        datagram[6..8].copy_from_slice(&[0, 0]);
        datagram[22..24].copy_from_slice(&[0, 9]);
        assert_eq!(placed(&mut sockets, &datagram), 0);
    }

    #[test]
    fn what_is_behind_hop_by_hop_options_finds_its_set_too() {
        let mut storage: Vec<_> = (0..N).map(|_| SocketStorage::EMPTY).collect();
        let mut sockets = Sockets::new(&mut storage);
        let mut listener = stream();
        listener.listen(9900).unwrap();
        let listener = sockets.add(listener).unwrap();
        let handles: Vec<_> = (0..=FIRST as u16)
            .map(|n| {
                let mut socket = datagrams();
                socket.bind(5000 + n).unwrap();
                sockets.add(socket).unwrap()
            })
            .collect();
        let bound = handles.last().unwrap();
        assert!(listener.set > 0 && bound.set > 0 && listener.set != bound.set);
        for (protocol, to, set) in [(6, 9900, listener.set), (17, 5000 + FIRST as u16, bound.set)] {
            let mut transport = segment(9, to);
            // SYN, or a datagram's payload.
            transport[13] = 2;
            let len = transport.len() as u8;
            let plain = [&[0x60, 0, 0, 0, 0, len, protocol, 64][..], &[0xfd; 32], &transport];
            let mut packet = plain.concat();
            assert_eq!(placed(&mut sockets, &packet), set, "{protocol}");
            for eights in [3, 1] {
                packet = hop_by_hop(plain.concat(), eights);
                assert_eq!(placed(&mut sockets, &packet), set, "{protocol} {eights}");
            }
            for len in 0..packet.len() {
                sockets.place(Medium::Ip, &packet[..len]);
            }
            for at in 0..packet.len() {
                for flip in 1..=255 {
                    let mut broken = packet.clone();
                    broken[at] ^= flip;
                    sockets.place(Medium::Ip, &broken);
                }
            }
        }
    }

    /// How many of these connections are in a bucket with more others than it has room for.
    fn crowded(connections: impl Iterator<Item = (IpEndpoint, IpEndpoint)>) -> usize {
        let mut buckets = [0; BUCKETS];
        for (local, peer) in connections {
            buckets[bucket(local, peer).0] += 1;
        }
        buckets.iter().filter(|&&busy| busy > WAYS).sum()
    }

    fn end(address: [u8; 4], port: u16) -> IpEndpoint {
        IpEndpoint::new(Ipv4Address::from(address).into(), port)
    }

    /// Linux takes ports for its connections here and there, but only even ones.
    #[test]
    fn a_thousand_connections_of_one_peer_leave_each_other_their_hints() {
        for (first, step) in [(32_768, 2), (32_769, 26), (1024, 64), (40_000, 24)] {
            let all = (0..1000).map(|n| (end(LOCAL, 7), end(PEER, first + n * step)));
            let crowded = crowded(all);
            assert!(crowded < 50, "{crowded} {first} {step}");
        }
    }

    #[test]
    fn connections_are_told_apart_by_either_end_and_by_its_address_as_by_its_port() {
        let n = |n: u16| (n >> 8) as u8;
        let all: [&dyn Fn(u16) -> (IpEndpoint, IpEndpoint); 4] = [
            &|it| (end(LOCAL, 1000 + it), end(PEER, 40_000)),
            &|it| (end(LOCAL, 7), end([10, 1, n(it), it as u8], 40_000)),
            &|it| (end([10, 1, n(it), it as u8], 7), end(PEER, 40_000)),
            &|it| (end([10, 1, 0, it as u8], 7), end([10, 2, n(it), 0], 40_000)),
        ];
        for (at, one) in all.iter().enumerate() {
            let crowded = crowded((0..1000).map(one));
            assert!(crowded < 50, "{crowded} {at}");
        }
        // Of those in one bucket each has a name of its own, or nearly so.
        let names = (0..1000).map(|n| bucket(end(LOCAL, 7), end(PEER, 32_768 + 2 * n)).1);
        let names: std::collections::BTreeSet<_> = names.collect();
        assert!(names.len() > 200, "{}", names.len());
    }

    /// A second look finds it where the first has said, and says nothing anew.
    #[test]
    fn a_connection_that_was_found_is_remembered_once() {
        let (mut a, mut b) = ([Packet::EMPTY; 1], [Packet::EMPTY; 1]);
        let mut interface = sim::interface(&mut Wire::new(&mut a, &mut b), Side::A);
        let local = interface.ipv4_addr().unwrap();
        let mut storage: Vec<_> = (0..N).map(|_| SocketStorage::EMPTY).collect();
        let mut sockets = Sockets::new(&mut storage);
        let handle = sockets.add(stream()).unwrap();
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        let peer = IpEndpoint::new(Ipv4Address::from(PEER).into(), 1000);
        socket.connect(interface.context(), peer, (local, 2000)).unwrap();
        let remembered = |sockets: &Sockets<'_>| {
            let hints = sockets.memory.hints.as_flattened();
            hints.iter().filter(|hint| usize::from(hint.set) == handle.set).count()
        };
        assert_ne!(handle.set, 0);
        assert_eq!(remembered(&sockets), 0);
        for _ in 0..3 {
            let found = sockets.connection(IpEndpoint::new(local.into(), 2000), peer);
            assert_eq!(found, Some(handle.set));
            assert_eq!(remembered(&sockets), 1);
        }
    }

    /// Only who asks for a connection goes to one who listens.
    #[test]
    fn a_segment_of_no_connection_goes_to_the_first_set() {
        let mut storage: Vec<_> = (0..N).map(|_| SocketStorage::EMPTY).collect();
        let mut sockets = Sockets::new(&mut storage);
        let handle = sockets.add(stream()).unwrap();
        sockets.get_mut::<tcp::Socket<'_>>(handle).listen(7).unwrap();
        let (ack, rst, syn) = (0x10, 0x04, 0x02);
        for (flags, set) in
            [(syn, handle.set), (syn | ack, 0), (syn | rst, 0), (ack, 0), (rst, 0), (ack | rst, 0)]
        {
            let mut segment = segment(1000, 7);
            segment[13] = flags;
            assert_eq!(placed(&mut sockets, &packet(0, 0, &segment)), set, "{flags:#x}");
        }
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_it_panic() {
        let mut storage: Vec<_> = (0..N).map(|_| SocketStorage::EMPTY).collect();
        let mut sockets = Sockets::new(&mut storage);
        for whole in [packet(1, 0, &segment(1, 2)), packet(1, 0x2000, &segment(1, 2))] {
            for len in 0..=whole.len() {
                sockets.place(Medium::Ip, &whole[..len]);
                sockets.place(Medium::Ethernet, &whole[..len]);
            }
            for at in 0..whole.len() {
                for flip in 1..=255 {
                    let mut broken = whole.clone();
                    broken[at] ^= flip;
                    sockets.place(Medium::Ip, &broken);
                }
            }
        }
    }
}
