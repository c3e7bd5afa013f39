//! Tells smoltcp of a hole in what a peer has received as soon as the peer does.
//!
//! smoltcp 0.14 retransmits fast at the third duplicate ACK, and takes none for a duplicate that changes the window. But a receiver that has lost
//! a segment because it had no room (Linux drops what comes into its last few bytes of window) opens its window with the very ACKs that
//! tell of the hole. Then nothing but the timer, a second later, fills it. SACK blocks (RFC 2018) tell of a hole whatever the window: when
//! more than two segments are known to be behind it (RFC 6675), smoltcp is given the ACK three times more.

use smoltcp::phy::Medium;
use smoltcp::wire::{IpAddress, TcpPacket, TcpSeqNumber};

use crate::syn::Segment;

/// The hole that was told of last.
#[derive(Debug)]
pub(crate) struct Holes(Option<Hole>);

/// A connection, and where it lacks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    peer: (IpAddress, u16),
    local: (IpAddress, u16),
    at: TcpSeqNumber,
}

/// So many duplicates are no accident.
const ENOUGH: u32 = 3;

/// An ACK with three SACK blocks over IPv6 and Ethernet has 102 bytes, and one with one over bare IPv4 has 52.
const LENGTHS: core::ops::RangeInclusive<usize> = 52..=102;

impl Holes {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// How many duplicates of this frame smoltcp must see to fill a hole. `mss`: at least the length of a segment.
    pub(crate) fn duplicates(&mut self, medium: Medium, frame: &[u8], mss: usize) -> u32 {
        match Hole::parse(medium, frame) {
            Some((hole, behind)) if behind > 2 * mss && self.0 != Some(hole) => {
                self.0 = Some(hole);
                ENOUGH
            }
            _ => 0,
        }
    }
}

impl Hole {
    /// Reads an ACK: the hole that it tells of, and how much the peer has behind it.
    fn parse(medium: Medium, frame: &[u8]) -> Option<(Self, usize)> {
        if !LENGTHS.contains(&frame.len()) {
            return None;
        }
        let Segment { local, peer, at } = Segment::find(medium, frame)?;
        let segment = TcpPacket::new_checked(frame.get(at)?).ok()?;
        let plain = segment.ack() && !segment.syn() && !segment.rst() && !segment.fin();
        if !plain || !segment.payload().is_empty() || segment.window_len() == 0 {
            return None;
        }
        let at = segment.ack_number();
        let blocks = segment.selective_ack_ranges().ok()?.into_iter().flatten();
        // What lies before tells of a segment that came twice (RFC 2883).
        let behind = blocks
            .filter(|&(left, _)| TcpSeqNumber(left as i32) > at)
            .map(|(left, right)| right.wrapping_sub(left) as usize)
            .fold(0, usize::saturating_add);
        let peer = (peer, segment.src_port());
        let local = (local, segment.dst_port());
        Some((Self { peer, local, at }, behind))
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::{TcpControl, TcpRepr};

    use super::*;
    use crate::tests::packets::{SEGMENT, ends, packet};

    const MSS: usize = 1460;

    /// An ACK of 1000, with a block of so many bytes behind a hole.
    fn ack(behind: usize) -> TcpRepr<'static> {
        TcpRepr {
            ack_number: Some(TcpSeqNumber(1000)),
            sack_ranges: [Some((2000, 2000 + behind as u32)), None, None],
            ..SEGMENT
        }
    }

    /// What one must see of each of these, the same memory for all.
    fn duplicates<const N: usize>(segments: [TcpRepr<'_>; N]) -> [u32; N] {
        let mut holes = Holes::none();
        let (local, peer) = ends()[0];
        segments.map(|tcp| holes.duplicates(Medium::Ip, &packet(peer, local, &tcp), MSS))
    }

    #[test]
    fn a_hole_is_told_of_once_and_only_when_enough_lies_behind_it() {
        let enough = 2 * MSS + 1;
        assert_eq!(duplicates([ack(enough - 1), ack(enough), ack(enough)]), [0, ENOUGH, 0]);
        let next = TcpRepr { ack_number: Some(TcpSeqNumber(1500)), ..ack(enough) };
        assert_eq!(duplicates([ack(enough), next, ack(enough)]), [ENOUGH; 3]);
        let two = [Some((2000, 2000 + MSS as u32)), Some((5000, 5001 + MSS as u32)), None];
        assert_eq!(duplicates([TcpRepr { sack_ranges: two, ..ack(0) }]), [ENOUGH]);
    }

    #[test]
    fn what_lies_at_or_before_the_ack_came_twice() {
        let from = |left: u32| TcpRepr {
            sack_ranges: [Some((left, left + 3 * MSS as u32)), None, None],
            ..ack(0)
        };
        assert_eq!(duplicates([from(999), from(1000), from(1001)]), [0, 0, ENOUGH]);
    }

    #[test]
    fn only_a_plain_ack_tells_of_a_hole() {
        let ack = ack(3 * MSS);
        let of = |control| TcpRepr { control, ..ack };
        let none = [
            of(TcpControl::Syn),
            of(TcpControl::Fin),
            of(TcpControl::Rst),
            TcpRepr { ack_number: None, ..ack },
            TcpRepr { payload: b"x", ..ack },
            TcpRepr { window_len: 0, ..ack },
        ];
        assert_eq!(duplicates(none), [0; 6]);
    }
}
