//! SYNs that no socket was free for, kept until one is.
//!
//! A peer whose SYN is dropped sends it again after 1 s, then 3 s: this is what a listen backlog saves. A SYN that is kept too long
//! does no harm: its peer answers with a reset, and the socket listens again.
//!
//! Who has asked again goes before those who have asked once: he is there, and in a flood of SYNs from nowhere nobody else does. So what there
//! is no room for is not quite forgotten, and one of those comes in, in the place of one who has asked once, when it comes again.

use core::time::Duration;

use anywire_core::instant::Instant;
use smoltcp::wire::IpAddress;

use crate::syn::Syn;

/// The memory of one SYN that waits.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    frame: [u8; Self::LEN],
    len: usize,
    waits: Option<(Syn, Instant)>,
    again: bool,
    /// Some of those that there was no room for: not of this one's, it is just where there is memory.
    missed: [u32; MISSED],
}

/// With 1024 places, 3000 SYNs a second are remembered for longer than it takes until a peer asks again.
const MISSED: usize = 8;

impl Parked {
    /// The longest frame that can wait: Ethernet, IPv6 and TCP, with all the options there can be, are 114 bytes.
    pub const LEN: usize = 128;

    /// Memory for a SYN.
    pub const EMPTY: Self =
        Self { frame: [0; Self::LEN], len: 0, waits: None, again: false, missed: [0; MISSED] };
}

/// A SYN waits no longer: by then its peer has sent it again, or has given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The SYNs that wait: first those that came again, and of each kind the first to come first.
#[derive(Debug)]
pub(crate) struct Backlog<'a> {
    /// Invariant: the first `len` wait.
    parked: &'a mut [Parked],
    len: usize,
    /// Where the next one that is missed is noted.
    next_missed: usize,
}

impl<'a> Backlog<'a> {
    pub(crate) fn new(parked: &'a mut [Parked]) -> Self {
        Self { parked, len: 0, next_missed: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Keeps a frame, in place of an earlier one that asked the same, and then before those that came once; says `false` if there is no room.
    pub(crate) fn park(&mut self, frame: &[u8], syn: Syn, now: Instant) -> bool {
        if frame.len() > Parked::LEN {
            return false;
        }
        let same = |parked: &Parked| parked.waits.is_some_and(|(other, _)| other == syn);
        let known = self.waiting().iter().position(same);
        let full = self.len == self.parked.len();
        let at = known.unwrap_or_else(|| self.len.saturating_sub(usize::from(full)));
        if known.is_none() && full && !self.makes_way(at, &syn) {
            return false;
        }
        let Some(parked) = self.parked.get_mut(at) else { return false };
        if let Some(to) = parked.frame.get_mut(..frame.len()) {
            to.copy_from_slice(frame);
        }
        let again = at < self.len;
        let before = parked.again;
        (parked.len, parked.waits, parked.again) = (frame.len(), Some((syn, now)), again);
        self.len = self.len.max(at + 1);
        if again && !before {
            let to = self.waiting().iter().take(at).take_while(|parked| parked.again).count();
            if let Some(passed) = self.parked.get_mut(to..=at) {
                passed.rotate_right(1);
            }
        }
        true
    }

    /// Whether the one at that place goes, for a peer that was missed before; notes one that was not.
    fn makes_way(&mut self, at: usize, syn: &Syn) -> bool {
        let print = fingerprint(syn);
        if self.parked.iter().any(|parked| parked.missed.contains(&print)) {
            return self.parked.get(at).is_some_and(|parked| !parked.again);
        }
        let places = (self.parked.len() * MISSED).max(1);
        let next = self.next_missed % places;
        let missed = self.parked.get_mut(next / MISSED).map(|parked| &mut parked.missed);
        if let Some(place) = missed.and_then(|missed| missed.get_mut(next % MISSED)) {
            *place = print;
        }
        self.next_missed = next + 1;
        false
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
        let late = |parked: &Parked| parked.waits.is_none_or(|(_, since)| since + PATIENCE <= now);
        while let Some(at) = self.waiting().iter().position(late) {
            self.remove(at);
        }
    }

    fn waiting(&self) -> &[Parked] {
        self.parked.get(..self.len).unwrap_or_default()
    }
}

/// What tells a SYN from nearly all others; never 0.
fn fingerprint(Syn { local, peer }: &Syn) -> u32 {
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let address = |hash, addr: &IpAddress| match addr {
        IpAddress::Ipv4(addr) => addr.octets().iter().fold(hash, mix),
        IpAddress::Ipv6(addr) => addr.octets().iter().fold(hash, mix),
    };
    // FNV-1a.
    let hash = address(address(0x811c_9dc5, &local.addr), &peer.addr);
    let ports = [local.port.to_be_bytes(), peer.port.to_be_bytes()];
    ports.as_flattened().iter().fold(hash, mix).max(1)
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::IpEndpoint;

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
        // There is nobody behind the last.
        backlog.remove(2);
        assert_eq!(backlog.len(), 2);
    }

    #[test]
    fn who_asks_again_goes_before_those_who_asked_once() {
        let mut memory = [Parked::EMPTY; 4];
        let mut backlog = Backlog::new(&mut memory);
        let later = Instant::ZERO + PATIENCE / 2;
        for port in [1, 2, 3, 4, 3, 4, 3] {
            assert!(backlog.park(b"", syn(port), if port < 3 { Instant::ZERO } else { later }));
        }
        assert_eq!([0, 1, 2, 3].map(|at| backlog.get(at).unwrap().0.peer.port), [3, 4, 1, 2]);
        // Those behind them have waited longer.
        backlog.expire(Instant::ZERO + PATIENCE);
        assert_eq!(backlog.len(), 2);
        // A place that is free again remembers nothing.
        assert!(backlog.park(b"", syn(5), later) && backlog.park(b"", syn(6), later));
        backlog.park(b"", syn(6), later);
        assert_eq!([0, 1, 2, 3].map(|at| backlog.get(at).unwrap().0.peer.port), [3, 4, 6, 5]);
    }

    #[test]
    fn who_was_missed_comes_in_when_he_asks_again() {
        let mut memory = [Parked::EMPTY; 3];
        let mut backlog = Backlog::new(&mut memory);
        let mut park = |port| {
            let kept = backlog.park(b"", syn(port), Instant::ZERO);
            (kept, [0, 1, 2].map(|at| backlog.get(at).map_or(0, |(syn, _)| syn.peer.port)))
        };
        for port in 1..=3 {
            park(port);
        }
        // So many can be remembered, and no more.
        for port in 4..4 + 3 * MISSED as u16 {
            assert_eq!(park(port), (false, [1, 2, 3]));
        }
        assert_eq!(park(4), (true, [4, 1, 2]));
        assert_eq!(park(1000), (false, [4, 1, 2]));
        assert_eq!(park(5), (true, [4, 5, 1]));
        assert_eq!(park(6), (true, [4, 5, 6]));
        // Those who are there all asked again.
        assert_eq!(park(7), (false, [4, 5, 6]));
    }

    #[test]
    fn what_waits_too_long_or_is_no_syn_at_all_is_not_kept() {
        let mut memory = [Parked::EMPTY; 2];
        let mut backlog = Backlog::new(&mut memory);
        assert!(!backlog.park(&[0; Parked::LEN + 1], syn(1), Instant::ZERO));
        assert!(backlog.park(&[0; Parked::LEN], syn(1), Instant::ZERO));
        let later = Instant::ZERO + PATIENCE / 2;
        backlog.park(b"one", syn(1), Instant::ZERO);
        backlog.park(b"two", syn(2), later);
        backlog.expire(later);
        assert_eq!(backlog.len(), 2);
        backlog.expire(Instant::ZERO + PATIENCE);
        assert_eq!(backlog.get(0), Some((syn(2), &b"two"[..])));
    }
}
