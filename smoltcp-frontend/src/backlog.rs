//! SYNs that no socket was free for, kept until one is.
//!
//! A peer whose SYN is dropped sends it again after 1 s, then 3 s: this is what a listen backlog saves. A SYN that is kept too long
//! does no harm: its peer answers with a reset, and the socket listens again.

use core::time::Duration;

use anywire_core::instant::Instant;

use crate::syn::Syn;

/// The memory of one SYN that waits.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    frame: [u8; Self::LEN],
    len: usize,
    waits: Option<(Syn, Instant)>,
}

impl Parked {
    /// The longest frame that can wait: Ethernet, IPv6 and TCP, with all the options there can be, are 114 bytes.
    pub const LEN: usize = 128;

    /// Memory for a SYN.
    pub const EMPTY: Self = Self { frame: [0; Self::LEN], len: 0, waits: None };
}

/// A SYN waits no longer: by then its peer has sent it again, or has given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The SYNs that wait, the first to come first.
#[derive(Debug)]
pub(crate) struct Backlog<'a> {
    /// Invariant: the first `len` wait.
    parked: &'a mut [Parked],
    len: usize,
}

impl<'a> Backlog<'a> {
    pub(crate) fn new(parked: &'a mut [Parked]) -> Self {
        Self { parked, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.parked.len()
    }

    /// Keeps a frame, in place of an earlier one that asked the same; says `false` if there is no room.
    pub(crate) fn park(&mut self, frame: &[u8], syn: Syn, now: Instant) -> bool {
        let same = |parked: &Parked| parked.waits.is_some_and(|(other, _)| other == syn);
        let at = self.waiting().iter().position(same).unwrap_or(self.len);
        let (Some(parked), true) = (self.parked.get_mut(at), frame.len() <= Parked::LEN) else {
            return false;
        };
        if let Some(to) = parked.frame.get_mut(..frame.len()) {
            to.copy_from_slice(frame);
        }
        (parked.len, parked.waits) = (frame.len(), Some((syn, now)));
        self.len = self.len.max(at + 1);
        true
    }

    /// The SYN at a place in the queue.
    pub(crate) fn get(&self, at: usize) -> Option<(Syn, &[u8])> {
        let parked = self.waiting().get(at)?;
        Some((parked.waits?.0, parked.frame.get(..parked.len)?))
    }

    /// Forgets the one at that place; those behind move up.
    pub(crate) fn remove(&mut self, at: usize) {
        if at < self.len
            && let Some(behind) = self.parked.get_mut(at..self.len)
        {
            behind.rotate_left(1);
            self.len -= 1;
        }
    }

    /// Forgets those that have waited too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(Some((_, since))) = self.waiting().first().map(|parked| parked.waits) {
            if since + PATIENCE > now {
                return;
            }
            self.remove(0);
        }
    }

    fn waiting(&self) -> &[Parked] {
        self.parked.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::{IpAddress, IpEndpoint};

    use super::*;

    fn syn(port: u16) -> Syn {
        let local = IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), 9900);
        Syn { local, peer: IpEndpoint::new(IpAddress::v4(10, 0, 0, 2), port) }
    }

    #[test]
    fn the_first_to_come_is_the_first_to_go_and_a_repetition_takes_no_more_room() {
        let mut memory = [Parked::EMPTY; 2];
        let mut backlog = Backlog::new(&mut memory);
        assert!(backlog.park(b"one", syn(1), Instant::ZERO));
        assert!(backlog.park(b"two", syn(2), Instant::ZERO));
        assert!(!backlog.park(b"three", syn(3), Instant::ZERO));
        assert!(backlog.park(b"one again", syn(1), Instant::ZERO));
        assert_eq!(backlog.get(0), Some((syn(1), &b"one again"[..])));
        backlog.remove(0);
        assert_eq!(backlog.get(0), Some((syn(2), &b"two"[..])));
        assert!(backlog.park(b"three", syn(3), Instant::ZERO));
        assert_eq!((backlog.len(), backlog.get(2)), (2, None));
    }

    #[test]
    fn what_waits_too_long_or_is_no_syn_at_all_is_not_kept() {
        let mut memory = [Parked::EMPTY; 2];
        let mut backlog = Backlog::new(&mut memory);
        assert!(!backlog.park(&[0; Parked::LEN + 1], syn(1), Instant::ZERO));
        let later = Instant::ZERO + PATIENCE / 2;
        backlog.park(b"one", syn(1), Instant::ZERO);
        backlog.park(b"two", syn(2), later);
        backlog.expire(later);
        assert_eq!(backlog.len(), 2);
        backlog.expire(Instant::ZERO + PATIENCE);
        assert_eq!(backlog.get(0), Some((syn(2), &b"two"[..])));
    }
}
