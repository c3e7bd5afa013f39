//! Telling the frames that ask for a connection from all others, before the stack sees them.

use core::ops::Range;

use smoltcp::phy::Medium;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpEndpoint, IpProtocol, Ipv4Packet, Ipv6Packet,
    TcpPacket,
};

/// Who asks, and whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syn {
    /// Where the frame is going: us.
    pub local: IpEndpoint,
    /// Where it comes from.
    pub peer: IpEndpoint,
}

impl Syn {
    /// Reads a frame that asks for a connection: TCP with SYN and neither ACK nor RST. `None` is every other frame,
    /// whole or broken: the stack knows what to do with those.
    pub fn parse(medium: Medium, frame: &[u8]) -> Option<Self> {
        let Segment { local, peer, at } = Segment::find(medium, frame)?;
        let segment = TcpPacket::new_checked(frame.get(at)?).ok()?;
        (segment.syn() && !segment.ack() && !segment.rst()).then(|| Self {
            local: IpEndpoint::new(local, segment.dst_port()),
            peer: IpEndpoint::new(peer, segment.src_port()),
        })
    }
}

/// Where in a frame a TCP segment is, and from whom to whom it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is going.
    pub local: IpAddress,
    /// Where it comes from.
    pub peer: IpAddress,
    /// The bytes of the frame that it takes up.
    pub at: Range<usize>,
}

impl Segment {
    /// Finds it, if there is one that is not in fragments; whether that is whole, nobody has looked.
    pub fn find(medium: Medium, frame: &[u8]) -> Option<Self> {
        match medium {
            Medium::Ethernet => {
                let header = EthernetFrame::<&[u8]>::header_len();
                match EthernetFrame::new_checked(frame).ok()?.ethertype() {
                    EthernetProtocol::Ipv4 => Self::ipv4(frame, header),
                    EthernetProtocol::Ipv6 => Self::ipv6(frame, header),
                    _ => None,
                }
            }
            // The version is the first half of the first byte: smoltcp's own way to ask panics when there is none.
            Medium::Ip => match frame.first()? >> 4 {
                4 => Self::ipv4(frame, 0),
                6 => Self::ipv6(frame, 0),
                _ => None,
            },
            #[allow(unreachable_patterns, reason = "smoltcp has more media with more features")]
            _ => None,
        }
    }

    fn ipv4(frame: &[u8], start: usize) -> Option<Self> {
        let packet = Ipv4Packet::new_checked(frame.get(start..)?).ok()?;
        let in_fragments = packet.frag_offset() != 0 || packet.more_frags();
        if packet.next_header() != IpProtocol::Tcp || in_fragments {
            return None;
        }
        let at = start + usize::from(packet.header_len())..start + usize::from(packet.total_len());
        Some(Self { local: packet.dst_addr().into(), peer: packet.src_addr().into(), at })
    }

    fn ipv6(frame: &[u8], start: usize) -> Option<Self> {
        let packet = Ipv6Packet::new_checked(frame.get(start..)?).ok()?;
        let (IpProtocol::Tcp, header_len) = carried(&packet)? else { return None };
        let at = start + header_len..start + packet.total_len();
        Some(Self { local: packet.dst_addr().into(), peer: packet.src_addr().into(), at })
    }
}

/// What an IPv6 packet carries, and how long the headers in front of that are: as smoltcp 0.14 takes it, which knows hop-by-hop options, once,
/// and no other extension header. The packet is one that `new_checked` has seen.
pub(crate) fn carried(packet: &Ipv6Packet<&[u8]>) -> Option<(IpProtocol, usize)> {
    let header_len = packet.header_len();
    match packet.next_header() {
        IpProtocol::HopByHop => {
            let payload = packet.payload();
            let [next, more, ..] = *payload else { return None };
            let len = 8 * (1 + usize::from(more));
            (len <= payload.len()).then(|| (next.into(), header_len + len))
        }
        protocol => Some((protocol, header_len)),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use smoltcp::wire::{TcpControl, TcpRepr, TcpSeqNumber};

    use super::*;
    use crate::tests::packets::{self, SEGMENT, ends, hop_by_hop};

    fn segment(control: TcpControl, ack: bool, local: IpAddress, peer: IpAddress) -> Vec<u8> {
        let ack_number = ack.then_some(TcpSeqNumber(9));
        packets::packet(peer, local, &TcpRepr { control, ack_number, ..SEGMENT })
    }

    #[test]
    fn a_syn_is_told_with_both_its_ends_and_nothing_else_is() {
        for (local, peer) in ends() {
            let syn = segment(TcpControl::Syn, false, local, peer);
            let expected =
                Syn { local: IpEndpoint::new(local, 9900), peer: IpEndpoint::new(peer, 49152) };
            assert_eq!(Syn::parse(Medium::Ip, &syn), Some(expected));
            for (control, ack) in [
                (TcpControl::Syn, true),
                (TcpControl::Rst, false),
                (TcpControl::None, true),
                (TcpControl::Fin, true),
            ] {
                let other = segment(control, ack, local, peer);
                assert_eq!(Syn::parse(Medium::Ip, &other), None, "{control:?} {ack}");
            }
        }
    }

    #[test]
    fn a_syn_behind_hop_by_hop_options_is_told_too() {
        let [_, (local, peer)] = ends();
        let plain = segment(TcpControl::Syn, false, local, peer);
        let expected = Syn::parse(Medium::Ip, &plain);
        assert!(expected.is_some());
        for eights in [1, 2, 200] {
            let mut syn = hop_by_hop(plain.clone(), eights);
            assert_eq!(Syn::parse(Medium::Ip, &syn), expected, "{eights}");
            let found = Segment::find(Medium::Ip, &syn).unwrap();
            assert_eq!(found.at, 40 + 8 * usize::from(eights)..syn.len());
            // Longer than the packet.
            syn[41] = 255;
            assert_eq!(Segment::find(Medium::Ip, &syn), None);
        }
        // Twice, smoltcp refuses them.
        let twice = hop_by_hop(hop_by_hop(plain, 1), 1);
        assert_eq!(Syn::parse(Medium::Ip, &twice), None);
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_it_panic() {
        let plain = ends().map(|(local, peer)| segment(TcpControl::Syn, false, local, peer));
        let behind = hop_by_hop(plain[1].clone(), 1);
        for syn in plain.into_iter().chain([behind]) {
            for len in 0..syn.len() {
                Syn::parse(Medium::Ip, &syn[..len]);
                Syn::parse(Medium::Ethernet, &syn[..len]);
            }
            for at in 0..syn.len() {
                for flip in 1..=255 {
                    let mut broken = syn.clone();
                    broken[at] ^= flip;
                    Syn::parse(Medium::Ip, &broken);
                    Syn::parse(Medium::Ethernet, &broken);
                }
            }
        }
    }
}
