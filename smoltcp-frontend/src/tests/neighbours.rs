//! Neighbours: known by what they send, and found in time by whoever wants them.

use anywire_core::instant::Instant;
use smoltcp::wire::IpAddress;

use super::waiting::{all, memory};
use super::*;
use crate::udp::Asker;

/// Whoever writes to us need not be looked for; nor does a broken frame, or one from nobody, break anything.
#[test]
fn neighbours_are_known_by_their_frames() {
    use crate::neighbours::{FRAME_LEN, Neighbours};
    use smoltcp::wire::{ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, HardwareAddress};

    let mut wire_packets = (vec![sim::Packet::EMPTY; 4], vec![sim::Packet::EMPTY; 4]);
    let mut wire = sim::Wire::new(&mut wire_packets.0, &mut wire_packets.1);
    let interface = sim::interface(&mut wire, Side::A);
    let HardwareAddress::Ethernet(ours) = interface.hardware_addr() else { unreachable!() };
    let SocketAddr::V4(local) = sim::address(Side::A, 1) else { unreachable!() };
    let SocketAddr::V4(peer) = sim::address(Side::B, 1) else { unreachable!() };
    let mac = EthernetAddress([2, 0, 0, 0, 0, 77]);
    let mut frame = vec![0; 14 + 20];
    frame[..6].copy_from_slice(&ours.0);
    frame[6..12].copy_from_slice(&mac.0);
    frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0]);
    frame[17] = 20;
    frame[26..30].copy_from_slice(&peer.ip().octets());
    frame[30..34].copy_from_slice(&local.ip().octets());

    let mut neighbours = Neighbours::none();
    let now = Instant::ZERO;
    let news = neighbours.news(&interface, ours, &frame, now).expect("they are new");
    let mut said = [0; FRAME_LEN];
    let len = news.introduce(&mut said, ours);
    let said = EthernetFrame::new_checked(&said[..len]).unwrap();
    let arp = ArpRepr::parse(&ArpPacket::new_checked(said.payload()).unwrap()).unwrap();
    let ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. } = arp else {
        unreachable!()
    };
    assert_eq!((source_hardware_addr, source_protocol_addr), (mac, *peer.ip()));
    assert!(neighbours.news(&interface, ours, &frame, now).is_none(), "it is no news any longer");
    assert!(
        neighbours.news(&interface, ours, &frame, now + SECOND).is_some(),
        "it may be forgotten"
    );
    frame[11] = 78;
    assert!(neighbours.news(&interface, ours, &frame, now + SECOND).is_some(), "they have moved");

    // From another network, from nobody, from us, to somebody else.
    for (at, bytes) in [
        (26, [10, 9, 9, 9]),
        (26, [0; 4]),
        (26, local.ip().octets()),
        (30, peer.ip().octets()),
        (30, [255; 4]),
        (6, [0xff; 4]),
        (0, [2, 0, 0, 9]),
    ] {
        let mut other = frame.clone();
        other[at..at + 4].copy_from_slice(&bytes);
        assert!(Neighbours::none().news(&interface, ours, &other, now).is_none(), "{at} {bytes:?}");
    }
    for at in 0..frame.len() {
        assert!(Neighbours::none().news(&interface, ours, &frame[..at], now).is_none());
        for flip in 1..=255 {
            let mut broken = frame.clone();
            broken[at] ^= flip;
            if let Some(news) = Neighbours::none().news(&interface, ours, &broken, now) {
                news.introduce(&mut [0; FRAME_LEN], ours);
            }
        }
    }
}

#[test]
fn neighbours_of_ipv6_are_known_by_their_frames_too() {
    use crate::neighbours::{FRAME_LEN, Neighbours};
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{
        EthernetAddress, EthernetFrame, Icmpv6Packet, Icmpv6Repr, Ipv6Packet, NdiscNeighborFlags,
        NdiscRepr,
    };

    let mut packets = [vec![sim::Packet::EMPTY; 4], vec![sim::Packet::EMPTY; 4]];
    let [to_b, to_a] = &mut packets;
    let mut wire = sim::Wire::new(to_b, to_a);
    let interface = sim::interface(&mut wire, Side::A);
    let [ours, mac] = [1, 77].map(|last| EthernetAddress([2, 0, 0, 0, 0, last]));
    let [local, peer] = [1, 2].map(|last| core::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    let header = [0x60, 0, 0, 0, 0, 0, 59, 64];
    let packet = [&header[..], &peer.octets(), &local.octets()].concat();
    let frame = [&ours.0[..], &mac.0, &[0x86, 0xdd], &packet].concat();

    let news = Neighbours::none().news(&interface, ours, &frame, Instant::ZERO).expect("it is new");
    let mut said = [0; FRAME_LEN];
    let len = news.introduce(&mut said, ours);
    let said = EthernetFrame::new_checked(&said[..len]).unwrap();
    assert_eq!((said.src_addr(), said.dst_addr()), (mac, ours));
    let said = Ipv6Packet::new_checked(said.payload()).unwrap();
    assert_eq!((said.src_addr(), said.dst_addr(), said.hop_limit()), (peer, local, 255));
    let advert = Icmpv6Packet::new_checked(said.payload()).unwrap();
    let caps = ChecksumCapabilities::default();
    let advert = Icmpv6Repr::parse(&peer, &local, &advert, &caps).unwrap();
    let expected = NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
        target_addr: peer,
        lladdr: Some(mac.into()),
    };
    assert_eq!(advert, Icmpv6Repr::Ndisc(expected));
}

/// With few neighbours nobody takes another's place, of either kind.
#[test]
fn neighbours_that_talk_at_the_same_time_are_told_of_once_each() {
    use crate::neighbours::Neighbours;
    use smoltcp::wire::{EthernetAddress, EthernetProtocol};

    let mut packets = [vec![sim::Packet::EMPTY; 4], vec![sim::Packet::EMPTY; 4]];
    let [to_b, to_a] = &mut packets;
    let mut wire = sim::Wire::new(to_b, to_a);
    let interface = sim::interface(&mut wire, Side::A);
    for (at, protocol) in [EthernetProtocol::Ipv4, EthernetProtocol::Ipv6].into_iter().enumerate() {
        let frame = |last: u8| {
            let (local, peer) = packets::ends()[at];
            let peer = match peer {
                IpAddress::Ipv4(_) => IpAddress::v4(10, 0, 0, last),
                IpAddress::Ipv6(_) => IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, last.into()),
            };
            let packet = packets::packet(peer, local, &packets::SEGMENT);
            let mut frame = packets::ethernet(last, &packet);
            frame[12..14].copy_from_slice(&u16::from(protocol).to_be_bytes());
            frame
        };
        let (mut neighbours, ours) = (Neighbours::none(), EthernetAddress([2, 0, 0, 0, 0, 1]));
        let mut news =
            |last| neighbours.news(&interface, ours, &frame(last), Instant::ZERO).is_some();
        assert!((100..164).all(&mut news), "{protocol}");
        assert!(!(100..164).any(&mut news), "{protocol}");
    }
}

/// Between the wish and the poll the address may be lost, as with DHCP.
#[test]
fn nobody_is_asked_for_from_no_address() {
    let mut sim = all();
    let stack = &mut sim.net.b.stack;
    for last in [97, 98] {
        stack.want(IpAddress::v4(10, 0, 0, last));
    }
    stack.interface().update_ip_addrs(|addresses| addresses.clear());
    let before = sim.net.wire.frames();
    sim.net.run(MS);
    assert_eq!(sim.net.wire.frames(), before);
}

/// smoltcp looks for one neighbour a second. The second one is found at once all the same, and nobody is asked for again and again.
#[test]
fn neighbours_that_are_wanted_at_once_are_found_at_once() {
    let mut sim = all();
    let local = SocketAddr::new("fd00::1".parse().unwrap(), 9900);
    let strangers = ["10.0.0.98:7", "10.0.0.99:7"].map(|stranger| stranger.parse().unwrap());
    let began = (sim.net.now(), sim.net.wire.frames());
    for stranger in strangers {
        let at = sim.stream(512, 512);
        sim.streams[at].connect(&mut sim.net.b.stack, stranger, 0).unwrap();
    }
    let at = sim.stream(512, 512);
    sim.streams[at].connect(&mut sim.net.b.stack, local, 0).unwrap();
    sim.connected(at).unwrap();
    sim.send(at, b"here");
    assert_eq!(sim.read_exact(at, 4), b"here");
    let took = sim.net.now().saturating_since(began.0);
    assert!(took < MS * 100, "{took:?}");
    // Three questions and an answer; three of the handshake, and two with data or three.
    let frames = sim.net.wire.frames() - began.1;
    assert!((9..=10).contains(&frames), "{frames}");

    // Datagrams for somebody who is not there.
    let mut asker = Asker::new(&mut sim.net.b.stack, memory(8, 1000)).unwrap();
    asker.bind(&mut sim.net.b.stack, 0).unwrap();
    let before = sim.net.wire.frames();
    for _ in 0..8 {
        asker.send(&mut sim.net.b.stack, "10.0.0.97:7".parse().unwrap(), b"there?").unwrap();
        sim.net.run(MS);
    }
    assert_eq!(sim.net.wire.frames() - before, 1);
}

/// smoltcp looks for one neighbour a second. One that is given up is looked for no longer, or none after it would ever be found.
#[test]
fn a_neighbour_that_is_given_up_is_in_nobodys_way() {
    let mut sim = all();
    let at = sim.stream(512, 512);
    let (stack, stream) = (&mut sim.net.b.stack, &mut sim.streams[at]);
    stream.connect(stack, "10.0.0.99:7".parse().unwrap(), 0).unwrap();
    sim.net.run(MS * 1200);
    sim.abort(at);
    assert!(!sim.streams[at].lingers(&mut sim.net.b.stack), "there is nobody to reset");
    let frames = sim.net.wire.frames();
    sim.net.run(SECOND * 20);
    assert_eq!(sim.net.wire.frames(), frames, "it is looked for");

    // The same socket, at once, for a neighbour that is known.
    let (stack, stream) = (&mut sim.net.b.stack, &mut sim.streams[at]);
    stream.connect(stack, "10.0.0.99:7".parse().unwrap(), 0).unwrap();
    sim.net.run(MS * 10);
    sim.abort(at);
    let before = sim.net.now();
    sim.dial(at, 9900);
    sim.connected(at).unwrap();
    assert!(sim.net.now().saturating_since(before) < MS * 100);
    sim.send(at, b"others");
    assert_eq!(sim.read_exact(at, 6), b"others");
}
