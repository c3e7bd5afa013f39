//! What is in front of each frame of a device with offload: `struct virtio_net_hdr` of `<linux/virtio_net.h>`.
//!
//! It tells what the frame's maker has left to others. A checksum: the field has the sum of the pseudo-header, and what it is to cover is told
//! by where that begins. And segmentation: a TCP segment longer than any frame, to be cut into segments of a size before it goes onto a wire, if
//! it ever does.

use anywire_smoltcp::syn::Segment;
use smoltcp::phy::Medium;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, TcpPacket, checksum,
};

/// The length of the header, in bytes.
pub(crate) const LEN: usize = 10;

/// The checksum is not there yet.
const NEEDS_CSUM: u8 = 1;
/// The checksum was looked at, and is right.
const DATA_VALID: u8 = 2;

const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

/// Where in a TCP header the checksum is.
const CHECKSUM_AT: u16 = 16;

/// A checksum that is not there yet: from where in the frame it covers all to the end, and where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partial {
    start: usize,
    at: usize,
}

/// What the maker of a frame knows of its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Nothing,
    Valid,
    Partial(Partial),
}

impl Known {
    /// Reads the header of a received frame.
    pub(crate) fn parse(header: &[u8; LEN]) -> Self {
        let [flags, _, _, _, _, _, start @ .., offset, offset2] = *header;
        if flags & NEEDS_CSUM != 0 {
            let start = usize::from(u16::from_ne_bytes(start));
            let offset = usize::from(u16::from_ne_bytes([offset, offset2]));
            Self::Partial(Partial { start, at: start + offset })
        } else if flags & DATA_VALID != 0 {
            Self::Valid
        } else {
            Self::Nothing
        }
    }

    /// What is missing.
    pub(crate) fn partial(self) -> Option<Partial> {
        match self {
            Self::Partial(partial) => Some(partial),
            Self::Nothing | Self::Valid => None,
        }
    }

    /// Whether the frame may be handed to a stack that does not look at checksums of TCP, and at all others; makes it so if it can. A fragment of
    /// TCP may only if somebody vouches for it: what it is a piece of is not seen here.
    pub(crate) fn admits(self, frame: &mut [u8]) -> bool {
        let segment = Segment::find(Medium::Ethernet, frame);
        match (self, segment) {
            (Self::Nothing | Self::Partial(_), None) if is_tcp_fragment(frame) => return false,
            (Self::Partial(partial), None) => partial.complete(frame),
            (Self::Nothing, Some(Segment { local, peer, at })) => {
                let segment = frame.get(at).map(TcpPacket::new_checked);
                // What is no segment is the stack's to refuse.
                let Some(Ok(segment)) = segment else { return true };
                return segment.verify_checksum(&peer, &local);
            }
            _ => {}
        }
        true
    }
}

/// Over IPv6 the stack takes no fragments.
fn is_tcp_fragment(frame: &[u8]) -> bool {
    let Ok(frame) = EthernetFrame::new_checked(frame) else { return false };
    frame.ethertype() == EthernetProtocol::Ipv4
        && Ipv4Packet::new_checked(frame.payload()).is_ok_and(|packet| {
            let in_fragments = packet.more_frags() || packet.frag_offset() != 0;
            in_fragments && packet.next_header() == IpProtocol::Tcp
        })
}

impl Partial {
    /// Puts the checksum where it belongs.
    pub(crate) fn complete(self, frame: &mut [u8]) {
        let Some(covered) = frame.get(self.start..) else { return };
        // A UDP datagram that has none says 0, and all others may say either.
        let sum = match !checksum::data(covered) {
            0 => 0xffff,
            sum => sum,
        };
        if let Some(field) = frame.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
            *field = sum.to_be_bytes();
        }
    }
}

/// Leaves the checksum of a TCP segment to Linux, and its segmentation if there is a `segment_len`: the header, and what is missing. Other
/// frames are whole.
pub(crate) fn leave(frame: &mut [u8], segment_len: Option<u16>) -> ([u8; LEN], Option<Partial>) {
    let mut header = [0; LEN];
    let Some(Segment { local: to, peer: from, at }) = Segment::find(Medium::Ethernet, frame) else {
        return (header, None);
    };
    let len = at.len();
    let Some(mut segment) = frame.get_mut(at.clone()).map(TcpPacket::new_unchecked) else {
        return (header, None);
    };
    let sum = checksum::pseudo_header(&from, &to, IpProtocol::Tcp, len as u32);
    segment.set_checksum(sum);
    let headers = at.start + usize::from(segment.header_len());
    header[0] = NEEDS_CSUM;
    if let Some(segment_len) = segment_len {
        header[1] = match to {
            IpAddress::Ipv4(_) => GSO_TCPV4,
            IpAddress::Ipv6(_) => GSO_TCPV6,
        };
        header[2..4].copy_from_slice(&(headers as u16).to_ne_bytes());
        header[4..6].copy_from_slice(&segment_len.to_ne_bytes());
    }
    header[6..8].copy_from_slice(&(at.start as u16).to_ne_bytes());
    header[8..10].copy_from_slice(&CHECKSUM_AT.to_ne_bytes());
    (header, Some(Partial { start: at.start, at: at.start + usize::from(CHECKSUM_AT) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Ethernet frame from 10.0.0.2:7 to 10.0.0.1:9, or the same over IPv6, its checksum as it should be.
    fn frame(v6: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut transport = vec![0, 7, 0, 9];
        let at = if protocol == TCP {
            transport.extend([0, 0, 0, 1, 0, 0, 0, 2, 5 << 4, 0x10, 1, 0, 0, 0, 0, 0]);
            16
        } else {
            transport.extend(((8 + payload.len()) as u16).to_be_bytes());
            transport.extend([0, 0]);
            6
        };
        transport.extend(payload);
        let len = transport.len() as u16;
        let [high, low] = len.to_be_bytes();
        let [total, total2] = (20 + len).to_be_bytes();
        let mut frame = [&[2; 12][..], if v6 { &[0x86, 0xdd] } else { &[8, 0] }].concat();
        let mut pseudo = vec![0, protocol, high, low];
        if v6 {
            frame.extend([0x60, 0, 0, 0, high, low, protocol, 64]);
            frame.extend([[0xfd; 16], [0xfc; 16]].concat());
        } else {
            frame.extend([0x45, 0, total, total2, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
            frame.extend([10, 0, 0, 2, 10, 0, 0, 1]);
        }
        pseudo.extend(&frame[frame.len() - if v6 { 32 } else { 8 }..]);
        let sum = !checksum::combine(&[checksum::data(&pseudo), checksum::data(&transport)]);
        transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        frame.extend(transport);
        frame
    }

    const TCP: u8 = 6;
    const UDP: u8 = 17;

    #[test]
    fn what_is_left_to_others_is_what_they_need_to_complete_it() {
        for (v6, start, gso) in [(false, 34, GSO_TCPV4), (true, 54, GSO_TCPV6)] {
            for len in [0, 1, 1460, 60_001] {
                let whole = frame(v6, TCP, &vec![0xa5; len]);
                let mut left = whole.clone();
                left[start + 16..start + 18].fill(0);
                let (header, partial) = leave(&mut left, (len > 1460).then_some(1460));
                let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
                assert_eq!(header[0], NEEDS_CSUM);
                assert_eq!((word(6), word(8)), (start as u16, 16));
                if len > 1460 {
                    assert_eq!((header[1], word(2), word(4)), (gso, start as u16 + 20, 1460));
                } else {
                    assert_eq!((header[1], word(2), word(4)), (0, 0, 0));
                }
                assert_eq!(Known::parse(&header).partial(), partial);
                // The stack would refuse it as it is, and is to be told that it is right.
                assert!(!Known::Nothing.admits(&mut left));
                assert!(Known::parse(&header).admits(&mut left));
                partial.unwrap().complete(&mut left);
                assert!(left == whole, "{v6} {len}");
            }
        }
    }

    #[test]
    fn other_frames_are_sent_as_they_are() {
        let mut arp = vec![0xff; 42];
        arp[12..14].copy_from_slice(&[8, 6]);
        for whole in [frame(false, UDP, b"hey"), frame(true, UDP, b"hey"), arp, Vec::new()] {
            let mut left = whole.clone();
            assert_eq!(leave(&mut left, None), ([0; LEN], None));
            assert_eq!(left, whole);
        }
    }

    /// A stack that does not look at TCP's checksums looks at those of UDP: what is missing there is filled in.
    #[test]
    fn a_checksum_that_nobody_vouches_for_is_looked_at() {
        for v6 in [false, true] {
            let start = if v6 { 54 } else { 34 };
            let mut tcp = frame(v6, TCP, b"hello");
            assert!(Known::Nothing.admits(&mut tcp));
            *tcp.last_mut().unwrap() ^= 1;
            assert!(!Known::Nothing.admits(&mut tcp));
            assert!(Known::Valid.admits(&mut tcp));

            let whole = frame(v6, UDP, b"hello");
            let mut udp = whole.clone();
            let sum = !u16::from_be_bytes([udp[start + 6], udp[start + 7]]);
            let pseudo = checksum::combine(&[sum, !checksum::data(&udp[start..start + 6])]);
            let pseudo = checksum::combine(&[pseudo, !checksum::data(&udp[start + 8..])]);
            udp[start + 6..start + 8].copy_from_slice(&pseudo.to_be_bytes());
            assert_ne!(udp, whole);
            let partial = Partial { start, at: start + 6 };
            assert!(Known::Partial(partial).admits(&mut udp));
            assert_eq!(udp, whole);
        }
    }

    #[test]
    fn a_header_says_what_is_known_and_no_checksum_is_zero() {
        let header = |flags: u8| [flags, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Known::parse(&header(0)), Known::Nothing);
        assert_eq!(Known::parse(&header(DATA_VALID)), Known::Valid);
        let partial = Partial { start: 0, at: 0 };
        assert_eq!(Known::parse(&header(NEEDS_CSUM | DATA_VALID)), Known::Partial(partial));
        // All ones have the sum 0, which in UDP would say that there is none.
        let mut frame = [0xff; 8];
        partial.complete(&mut frame);
        assert_eq!(frame, [0xff; 8]);
    }

    #[test]
    fn behind_hop_by_hop_options_a_checksum_is_looked_at_too() {
        for more in [0, 1, 7, 255] {
            let mut tcp = frame(true, TCP, b"hello");
            let mut options = vec![TCP, more, 1, 4];
            options.resize(8 * (1 + usize::from(more)), 0);
            let len = u16::from_be_bytes([tcp[18], tcp[19]]) + options.len() as u16;
            tcp[18..20].copy_from_slice(&len.to_be_bytes());
            tcp[20] = 0;
            tcp.splice(54..54, options);
            assert!(Known::Nothing.admits(&mut tcp), "{more}");
            *tcp.last_mut().unwrap() ^= 1;
            assert!(!Known::Nothing.admits(&mut tcp), "{more}");
            assert!(Known::Valid.admits(&mut tcp), "{more}");
        }
    }

    #[test]
    fn fragments_of_tcp_are_only_taken_on_somebodys_word() {
        for fragment in [[0x20, 0], [0x20, 1], [0, 1]] {
            for (protocol, taken) in [(TCP, false), (UDP, true)] {
                let mut frame = frame(false, protocol, b"hello");
                frame[20..22].copy_from_slice(&fragment);
                let before = frame.clone();
                assert_eq!(Known::Nothing.admits(&mut frame), taken, "{fragment:?} {protocol}");
                assert!(Known::Valid.admits(&mut frame));
                assert_eq!(frame, before);
                let partial = Partial { start: 34, at: 34 + 6 };
                assert_eq!(Known::Partial(partial).admits(&mut frame), taken);
            }
        }
    }

    /// The kernel makes no such headers; whoever does gets no panic.
    #[test]
    fn no_header_and_no_frame_makes_it_panic() {
        for frame in [frame(false, TCP, b"hey"), frame(true, UDP, b"hey")] {
            for len in 0..=frame.len() {
                for at in [0, 14, 40, 65_535] {
                    let mut cut = frame[..len].to_vec();
                    let partial = Partial { start: at, at: at + 65_535 };
                    Known::Partial(partial).admits(&mut cut);
                    Known::Nothing.admits(&mut cut);
                    leave(&mut cut, Some(1));
                }
            }
        }
    }
}
