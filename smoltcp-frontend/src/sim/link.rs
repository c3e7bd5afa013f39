//! What one direction of the wire does to frames.

use core::num::NonZeroU64;
use core::time::Duration;

use anywire_core::instant::Instant;

use super::wire::Packet;
use crate::chance::{Chance, Random};

/// What one direction of the wire does to frames: nothing at all, unless something is set.
///
/// ```
/// use anywire_smoltcp::chance::Chance;
/// use anywire_smoltcp::sim::Link;
/// use core::num::NonZeroU64;
/// use core::time::Duration;
///
/// let mut link = Link::default();
/// link.delay = Duration::from_millis(20);
/// link.jitter = Duration::from_millis(5);
/// link.loss = Chance::percent(5);
/// link.rate = NonZeroU64::new(1_000_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// How long a frame is on its way, behind the time that it takes to be sent at [`rate`](Self::rate).
    pub delay: Duration,
    /// Up to so much longer, each frame. It overtakes nobody: those behind one that is late are late too.
    pub jitter: Duration,
    /// A frame gets lost.
    pub loss: Chance,
    /// A frame is held up, for up to [`lag`](Self::lag), and those behind overtake it.
    pub reorder: Chance,
    /// How long one that is held up is at most.
    pub lag: Duration,
    /// A frame comes twice; the second one is held up, for up to [`lag`](Self::lag).
    pub duplicate: Chance,
    /// One bit of a frame's IP packet is not what it was.
    ///
    /// The Ethernet header is left alone, and a frame without an IP packet (ARP) is lost instead: on a real wire the frame's own check
    /// sequence sees to these, and what gets past it was broken in a router or a host, which have IP packets.
    /// IP's, TCP's, UDP's and ICMP's checksums see every single bit that is wrong, so a stack drops the packet, with these exceptions:
    /// of an IPv6 header the traffic class, flow label and hop limit, which change no byte of a stream; a length field of an IPv6 packet, which is
    /// then cut and passes once in 65,536 times; and over IPv4 the one bit of a UDP checksum that has just one, as
    /// 0 means that there is none. On a wire that breaks more bits at once, one packet in 65,536 of those passes.
    pub corrupt: Chance,
    /// How many bits are sent in a second. Frames wait for each other, in the memory lent to the wire. `None`: all at once.
    pub rate: Option<NonZeroU64>,
    /// The longest frame, with its Ethernet header: at most [`Packet::LEN`]. Stacks look at it when their interface is made; later it is a
    /// path that has become narrower: a longer frame is lost.
    pub mtu: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Chance::NEVER,
            reorder: Chance::NEVER,
            lag: Duration::from_millis(10),
            duplicate: Chance::NEVER,
            corrupt: Chance::NEVER,
            rate: None,
            mtu: Packet::LEN,
        }
    }
}

/// What is to happen to a frame and to its copy.
pub(super) struct Fate {
    pub(super) lost: bool,
    /// Where its bits are counted from, for the one that is flipped.
    pub(super) corrupt: Option<u64>,
    pub(super) jitter: Duration,
    pub(super) held: Option<Duration>,
    /// The copy, held up for so long.
    pub(super) copy: Option<Duration>,
}

impl Link {
    /// Draws as often for every frame, so that one chance that is changed does not change all that comes after.
    pub(super) fn draw(&self, random: &mut Random) -> Fate {
        let lost = self.loss.happens(random);
        let corrupt = self.corrupt.happens(random);
        let bit = random.next_u64();
        let jitter = up_to(self.jitter, random);
        let held = self.reorder.happens(random);
        let lag = up_to(self.lag, random);
        let copied = self.duplicate.happens(random);
        let copy_lag = up_to(self.lag, random);
        Fate {
            lost,
            corrupt: corrupt.then_some(bit),
            jitter,
            held: held.then_some(lag),
            copy: copied.then_some(copy_lag),
        }
    }

    /// When a frame of `len` bytes has been sent that is begun at `start`.
    pub(super) fn sent_at(&self, start: Instant, len: usize) -> Instant {
        let Some(rate) = self.rate else { return start };
        let micros = (len as u64).saturating_mul(8_000_000).div_ceil(rate.get());
        start + Duration::from_micros(micros)
    }
}

/// A time of up to so long, to the microsecond.
fn up_to(most: Duration, random: &mut Random) -> Duration {
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random.below(micros.saturating_add(1)))
}
