//! Neighbours that come to us need not be looked for: their frames say where they are.
//!
//! smoltcp looks for one neighbour a second, whoever it is, and forgets the one that was silent longest when its cache is full. With more peers
//! than there is room for, or with many that come at once and have not asked for us themselves, each answer would wait for its turn. So the
//! interface is told of whoever sends us a packet from our own network, as if they had said so by ARP or neighbour discovery, which anybody
//! can say too.

use anywire_core::instant::Instant;
use core::time::Duration;
use smoltcp::iface::Interface;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, Ipv4Address, Ipv4Packet, Ipv6Address,
    Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

/// Those of whom the interface was told a moment ago.
#[derive(Debug)]
pub(crate) struct Neighbours([Option<Told>; PLACES]);

/// A power of two. Two peers in one place are told of more often, which costs time and nothing else.
const PLACES: usize = 64;

/// Within so long an interface does not forget a neighbour, unless there are more than it has room for.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Told {
    neighbour: Neighbour,
    at: Instant,
}

/// A station of our own network, and the address of ours that it has written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    hardware: EthernetAddress,
    ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    V4 { local: Ipv4Address, peer: Ipv4Address },
    V6 { local: Ipv6Address, peer: Ipv6Address },
}

/// The longest of the frames below: Ethernet, IPv6, and an advertisement with a hardware address.
pub(crate) const FRAME_LEN: usize = 14 + 40 + 32;

impl Neighbours {
    pub(crate) fn none() -> Self {
        Self([None; PLACES])
    }

    /// Who has sent this frame, if the interface must be told.
    pub(crate) fn news(
        &mut self,
        interface: &Interface,
        ours: EthernetAddress,
        frame: &[u8],
        now: Instant,
    ) -> Option<Neighbour> {
        let neighbour = Neighbour::parse(interface, ours, frame)?;
        let place = self.0.get_mut(neighbour.place())?;
        if place.is_some_and(|told| told.neighbour == neighbour && told.at + AGAIN > now) {
            return None;
        }
        *place = Some(Told { neighbour, at: now });
        Some(neighbour)
    }
}

impl Neighbour {
    fn parse(interface: &Interface, ours: EthernetAddress, frame: &[u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let hardware = frame.src_addr();
        if frame.dst_addr() != ours || !hardware.is_unicast() {
            return None;
        }
        let ends = match frame.ethertype() {
            EthernetProtocol::Ipv4 => {
                let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
                Ends::V4 { local: packet.dst_addr(), peer: packet.src_addr() }
            }
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
                Ends::V6 { local: packet.dst_addr(), peer: packet.src_addr() }
            }
            _ => return None,
        };
        let (local, peer) = ends.addresses();
        let near = interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&peer));
        let theirs = peer.is_unicast() && !interface.has_ip_addr(peer);
        (near && theirs && interface.has_ip_addr(local)).then_some(Self { hardware, ends })
    }

    fn place(&self) -> usize {
        let last = match self.ends {
            Ends::V4 { peer, .. } => peer.octets()[3],
            Ends::V6 { peer, .. } => peer.octets()[15],
        };
        usize::from(last) % PLACES
    }

    /// What they would say of themselves if they were asked: the length of the frame in `buf`.
    pub(crate) fn introduce(&self, buf: &mut [u8; FRAME_LEN], ours: EthernetAddress) -> usize {
        match self.ends {
            Ends::V4 { local, peer } => {
                let reply = ArpRepr::EthernetIpv4 {
                    operation: ArpOperation::Reply,
                    source_hardware_addr: self.hardware,
                    source_protocol_addr: peer,
                    target_hardware_addr: ours,
                    target_protocol_addr: local,
                };
                arp(buf, self.hardware, ours, &reply)
            }
            Ends::V6 { local, peer } => {
                let advert = NdiscRepr::NeighborAdvert {
                    flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
                    target_addr: peer,
                    lladdr: Some(self.hardware.into()),
                };
                ndisc(buf, (self.hardware, peer), (ours, local), advert)
            }
        }
    }
}

/// Asks where a station of our own network is: the length of the frame in `buf`, or 0 if there is no asking.
pub(crate) fn ask(
    buf: &mut [u8; FRAME_LEN],
    interface: &Interface,
    ours: EthernetAddress,
    target: IpAddress,
) -> usize {
    match (target, interface.get_source_address(&target)) {
        (IpAddress::Ipv4(target), Some(IpAddress::Ipv4(local))) => {
            let request = ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Request,
                source_hardware_addr: ours,
                source_protocol_addr: local,
                target_hardware_addr: EthernetAddress::BROADCAST,
                target_protocol_addr: target,
            };
            arp(buf, ours, EthernetAddress::BROADCAST, &request)
        }
        (IpAddress::Ipv6(target), Some(IpAddress::Ipv6(local))) => {
            let [.., a, b, c] = target.octets();
            let group = Ipv6Address::new(
                0xff02,
                0,
                0,
                0,
                0,
                1,
                u16::from_be_bytes([0xff, a]),
                u16::from_be_bytes([b, c]),
            );
            let solicit =
                NdiscRepr::NeighborSolicit { target_addr: target, lladdr: Some(ours.into()) };
            let all = EthernetAddress([0x33, 0x33, 0xff, a, b, c]);
            ndisc(buf, (ours, local), (all, group), solicit)
        }
        _ => 0,
    }
}

fn arp(
    buf: &mut [u8; FRAME_LEN],
    from: EthernetAddress,
    to: EthernetAddress,
    arp: &ArpRepr,
) -> usize {
    let mut frame = EthernetFrame::new_unchecked(&mut buf[..]);
    frame.set_src_addr(from);
    frame.set_dst_addr(to);
    frame.set_ethertype(EthernetProtocol::Arp);
    arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    EthernetFrame::<&[u8]>::header_len() + arp.buffer_len()
}

fn ndisc(
    buf: &mut [u8; FRAME_LEN],
    from: (EthernetAddress, Ipv6Address),
    to: (EthernetAddress, Ipv6Address),
    message: NdiscRepr<'_>,
) -> usize {
    let message = Icmpv6Repr::Ndisc(message);
    let header = Ipv6Repr {
        src_addr: from.1,
        dst_addr: to.1,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let mut frame = EthernetFrame::new_unchecked(&mut buf[..]);
    frame.set_src_addr(from.0);
    frame.set_dst_addr(to.0);
    frame.set_ethertype(EthernetProtocol::Ipv6);
    let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
    header.emit(&mut packet);
    let mut payload = Icmpv6Packet::new_unchecked(packet.payload_mut());
    message.emit(&from.1, &to.1, &mut payload, &ChecksumCapabilities::default());
    EthernetFrame::<&[u8]>::header_len() + header.buffer_len() + message.buffer_len()
}

impl Ends {
    fn addresses(&self) -> (IpAddress, IpAddress) {
        match *self {
            Self::V4 { local, peer } => (local.into(), peer.into()),
            Self::V6 { local, peer } => (local.into(), peer.into()),
        }
    }
}
