//! Keeps smoltcp from taking an end for one that comes too early.
//!
//! smoltcp 0.14 cuts off what goes beyond the window that it has announced, and accepts the FIN behind it all the same: the end of a stream of which the last bytes
//! are missing. It takes a peer that sends more than it may, and smoltcp is one: its fast retransmissions know no window.
//!
//! A FIN by itself is accepted only where the stream has come to. So a segment that has both is taken for two or more.

use smoltcp::phy::Medium;
use smoltcp::wire::{EthernetFrame, IpAddress, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber};

use crate::syn::Segment;

/// Pieces are no longer: so long are frames on Ethernet, with a VLAN's tag.
const LONGEST: usize = 1518;

/// Headers are seldom longer.
const HEADERS: usize = 128;

/// No more pieces of data are made of a segment: enough for 64 KiB behind any headers but absurd ones.
const MOST: usize = 64;

/// A segment with data and a FIN, in pieces: first those with the data, as many as it takes, for a device with segmentation offload hands
/// over long ones; then one with the FIN.
pub(crate) struct Split<'f> {
    medium: Medium,
    /// The headers, and where in them that of TCP is.
    headers: &'f [u8],
    at: usize,
    local: IpAddress,
    peer: IpAddress,
    /// The data that is in no piece yet.
    data: &'f [u8],
    seq: TcpSeqNumber,
    piece: [u8; LONGEST],
}

impl<'f> Split<'f> {
    /// Splits a frame, if it is one with such a segment, whole and unbroken. `verified`: its checksum need not be looked at.
    pub(crate) fn new(medium: Medium, frame: &'f [u8], verified: bool) -> Option<Self> {
        let Segment { local, peer, at } = Segment::find(medium, frame)?;
        let segment = TcpPacket::new_checked(frame.get(at.clone())?).ok()?;
        let len = segment.payload().len();
        let splits = segment.fin() && !segment.syn() && !segment.rst() && len > 0;
        if !splits || !(verified || segment.verify_checksum(&peer, &local)) {
            return None;
        }
        let seq = segment.seq_number();
        let (headers, data) = frame.get(..at.end)?.split_at_checked(at.end - len)?;
        if len > MOST * room(headers) {
            return None;
        }
        Some(Self { medium, headers, at: at.start, local, peer, data, seq, piece: [0; LONGEST] })
    }

    /// The next piece; the last one has the FIN.
    pub(crate) fn next(&mut self) -> Option<Piece<'_>> {
        let Self { medium, headers, local, peer, data, piece, .. } = self;
        let (now, rest) = data.split_at(data.len().min(room(headers)));
        let last = data.is_empty();
        let end = headers.len() + now.len();
        let frame = piece.get_mut(..end)?;
        frame.get_mut(..headers.len())?.copy_from_slice(headers);
        frame.get_mut(headers.len()..)?.copy_from_slice(now);
        set_len(*medium, frame, local)?;
        let mut segment = TcpPacket::new_unchecked(frame.get_mut(self.at..)?);
        segment.set_seq_number(self.seq);
        segment.set_fin(last);
        segment.fill_checksum(peer, local);
        (*data, self.seq) = (rest, self.seq + now.len());
        Some(Piece { frame: piece.get(..end)?, last })
    }
}

/// How much data there is in a piece with these headers.
fn room(headers: &[u8]) -> usize {
    LONGEST.saturating_sub(headers.len().max(HEADERS))
}

/// A piece of a [`Split`].
pub(crate) struct Piece<'p> {
    pub(crate) frame: &'p [u8],
    pub(crate) last: bool,
}

/// Says in the IP header how long the frame is.
fn set_len(medium: Medium, frame: &mut [u8], local: &IpAddress) -> Option<()> {
    let start = match medium {
        Medium::Ethernet => EthernetFrame::<&[u8]>::header_len(),
        #[allow(unreachable_patterns, reason = "smoltcp has more media with more features")]
        _ => 0,
    };
    let packet = frame.get_mut(start..)?;
    let len = packet.len();
    match local {
        IpAddress::Ipv4(_) => {
            let mut packet = Ipv4Packet::new_unchecked(packet);
            packet.verify_checksum().then_some(())?;
            packet.set_total_len(u16::try_from(len).ok()?);
            packet.fill_checksum();
        }
        IpAddress::Ipv6(_) => {
            let mut packet = Ipv6Packet::new_unchecked(packet);
            let len = len.checked_sub(packet.header_len())?;
            packet.set_payload_len(u16::try_from(len).ok()?);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use smoltcp::wire::{TcpControl, TcpRepr};

    use super::*;
    use crate::tests::packets::{self, SEGMENT, ends, hop_by_hop};

    fn segment(control: TcpControl, payload: &[u8], v6: bool) -> Vec<u8> {
        let (local, peer) = ends()[usize::from(v6)];
        // It passes 0 on its way.
        let (seq_number, ack_number) = (TcpSeqNumber(-1000), Some(TcpSeqNumber(9)));
        packets::packet(
            peer,
            local,
            &TcpRepr { control, seq_number, ack_number, payload, ..SEGMENT },
        )
    }

    #[test]
    fn the_pieces_are_whole_segments_and_all_that_there_was() {
        for (v6, eights) in [(false, 0), (true, 0), (true, 1), (true, 40)] {
            for len in [1, 1389, 1390, 1391, 1460, 65_000] {
                let data: Vec<_> = (0..len).map(|n| (n % 251) as u8).collect();
                let mut frame = segment(TcpControl::Fin, &data, v6);
                if eights > 0 {
                    frame = hop_by_hop(frame, eights);
                }
                // What is behind the packet does not count.
                frame.extend([0; 3]);
                let mut split = Split::new(Medium::Ip, &frame, false).unwrap();
                let (mut got, mut end) = (Vec::new(), false);
                while let Some(Piece { frame, last }) = split.next() {
                    assert!(!end, "nothing comes behind the end");
                    let Segment { local, peer, at } = Segment::find(Medium::Ip, frame).unwrap();
                    assert_eq!(at.end, frame.len());
                    let segment = TcpPacket::new_checked(&frame[at]).unwrap();
                    assert!(segment.verify_checksum(&peer, &local));
                    assert_eq!(segment.seq_number(), TcpSeqNumber(-1000) + got.len());
                    assert_eq!((segment.fin(), segment.payload().is_empty()), (last, last));
                    got.extend_from_slice(segment.payload());
                    end = last;
                    if last {
                        break;
                    }
                }
                assert!(end && got == data, "{len}");
            }
        }
    }

    #[test]
    fn what_has_no_data_or_no_fin_or_is_broken_is_left_as_it_is() {
        for (control, payload) in [(TcpControl::Fin, &b""[..]), (TcpControl::Psh, b"data")] {
            assert!(Split::new(Medium::Ip, &segment(control, payload, false), false).is_none());
        }
        let mut broken = segment(TcpControl::Fin, b"data", false);
        *broken.last_mut().unwrap() ^= 1;
        assert!(Split::new(Medium::Ip, &broken, false).is_none());
        // Nor is anything made of what has no room for data behind its headers.
        let absurd = hop_by_hop(segment(TcpControl::Fin, b"data", true), 200);
        assert!(Split::new(Medium::Ip, &absurd, false).is_none());
        // Of a device that vouches for it nothing is asked.
        assert!(Split::new(Medium::Ip, &broken, true).is_some());
    }
}
