//! A bad wire in front of any device: frames that get lost, are broken, are too long or too many, both ways.
//!
//! smoltcp has a `FaultInjector`, which breaks only what is received, and cuts every device down to frames of 1536 bytes. This one has
//! its options, and neither limit. It goes on top of a `PcapWriter`, which then shows what is on the wire, and not what
//! the stack believes.
//!
//! ```
//! use anywire_smoltcp::chance::Chance;
//! use anywire_smoltcp::faults::{Faults, Settings};
//! use smoltcp::phy::Device;
//!
//! fn behind_a_bad_wire(device: impl Device, seed: u64) -> impl Device {
//!     let settings = Settings { drop: Chance::percent(15), ..Settings::default() };
//!     let longest = device.capabilities().max_transmission_unit;
//!     Faults::new(device, settings, seed, vec![0; 2 * longest])
//! }
//! ```

use core::num::NonZeroU32;
use core::time::Duration;

use anywire_core::instant::Instant;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::wire::{EthernetFrame, EthernetProtocol};

use crate::chance::{Chance, Random};
use crate::time::from_smoltcp;

/// What is wrong with the wire: nothing at all, unless something is set. Each direction has its own luck, and its own rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A frame gets lost.
    pub drop: Chance,
    /// One bit of a frame's IP packet is not what it was, as on a [`Link`](crate::sim::Link::corrupt) of the simulated wire.
    pub corrupt: Chance,
    /// Longer frames get lost; in bytes, with their Ethernet header.
    pub max_len: Option<usize>,
    /// How many frames are sent in an interval; those beyond get lost.
    pub max_sent: Option<NonZeroU32>,
    /// How many are received in an interval.
    pub max_received: Option<NonZeroU32>,
    /// The interval of these two.
    pub interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            drop: Chance::NEVER,
            corrupt: Chance::NEVER,
            max_len: None,
            max_sent: None,
            max_received: None,
            interval: Duration::from_secs(1),
        }
    }
}

/// How many frames of one direction were hit so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Lost.
    pub dropped: u64,
    /// Broken.
    pub corrupted: u64,
}

/// A device behind a bad wire.
#[derive(Debug)]
pub struct Faults<D, M> {
    device: D,
    settings: Settings,
    received: Lane,
    sent: Lane,
    memory: M,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    random: Random,
    hits: Hits,
    /// When the interval began, and how many frames it has seen.
    interval: Option<(Instant, u32)>,
}

impl<D, M: AsMut<[u8]>> Faults<D, M> {
    /// Puts a bad wire before `device`. `memory` is for the frames that are hit, half of it for each direction: one that is longer is not
    /// broken, and is sent as it is.
    pub fn new(device: D, settings: Settings, seed: u64, memory: M) -> Self {
        let mut random = Random::new(seed);
        let mut lane = || Lane {
            random: Random::new(random.next_u64()),
            hits: Hits::default(),
            interval: None,
        };
        Self { device, settings, received: lane(), sent: lane(), memory }
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// How many of the frames received, and of those sent, were hit so far.
    pub fn hits(&self) -> [Hits; 2] {
        [self.received.hits, self.sent.hits]
    }
}

impl Lane {
    /// What happens to the next frame, of any length.
    fn draw(&mut self, settings: &Settings, most: Option<NonZeroU32>, now: Instant) -> Fate {
        let lost = settings.drop.happens(&mut self.random);
        let corrupt = settings.corrupt.happens(&mut self.random);
        let bit = self.random.next_u64();
        if lost || most.is_some_and(|most| !self.admit(settings.interval, most, now)) {
            Fate::Lost
        } else if corrupt {
            Fate::Corrupt { bit }
        } else {
            Fate::Whole
        }
    }

    /// Whether there is room for another frame in this interval.
    fn admit(&mut self, interval: Duration, most: NonZeroU32, now: Instant) -> bool {
        let (since, count) = match self.interval {
            Some((since, count)) if since + interval > now => (since, count),
            _ => (now, 0),
        };
        let admitted = count < most.get();
        self.interval = Some((since, count + u32::from(admitted)));
        admitted
    }
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Whole,
    Lost,
    Corrupt { bit: u64 },
}

impl<D: Device, M: AsMut<[u8]>> Device for Faults<D, M> {
    type RxToken<'t>
        = Received<'t, D::RxToken<'t>>
    where
        Self: 't;
    type TxToken<'t>
        = Sent<'t, D::TxToken<'t>>
    where
        Self: 't;

    fn receive(
        &mut self,
        at: smoltcp::time::Instant,
    ) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let medium = self.device.capabilities().medium;
        let memory = self.memory.as_mut();
        let (for_received, for_sent) = memory.split_at_mut(memory.len() / 2);
        let (received, sent) = self.device.receive(at)?;
        let (settings, now) = (&self.settings, from_smoltcp(at));
        let fate = self.received.draw(settings, settings.max_received, now);
        let hits = &mut self.received.hits;
        let received =
            Received { token: received, fate, medium, settings, hits, memory: for_received };
        let lane = &mut self.sent;
        Some((received, Sent { token: sent, medium, settings, lane, now, memory: for_sent }))
    }

    fn transmit(&mut self, at: smoltcp::time::Instant) -> Option<Self::TxToken<'_>> {
        let medium = self.device.capabilities().medium;
        let memory = self.memory.as_mut();
        let (_, memory) = memory.split_at_mut(memory.len() / 2);
        let token = self.device.transmit(at)?;
        let (settings, lane) = (&self.settings, &mut self.sent);
        Some(Sent { token, medium, settings, lane, now: from_smoltcp(at), memory })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A frame that has come, or has not.
#[derive(Debug)]
pub struct Received<'t, R> {
    token: R,
    fate: Fate,
    medium: Medium,
    settings: &'t Settings,
    hits: &'t mut Hits,
    memory: &'t mut [u8],
}

impl<T: RxToken> RxToken for Received<'_, T> {
    /// A lost frame is an empty one: a stack passes that over.
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let Self { token, fate, medium, settings, hits, memory } = self;
        token.consume(|frame| {
            let too_long = settings.max_len.is_some_and(|max| frame.len() > max);
            let fate = if too_long { Fate::Lost } else { fate };
            match (fate, memory.get_mut(..frame.len())) {
                (Fate::Corrupt { bit }, Some(copy)) => {
                    copy.copy_from_slice(frame);
                    if flip_bit(medium, copy, bit) {
                        hits.corrupted += 1;
                        return f(copy);
                    }
                    hits.dropped += 1;
                    f(&[])
                }
                (Fate::Lost, _) => {
                    hits.dropped += 1;
                    f(&[])
                }
                _ => f(frame),
            }
        })
    }

    fn meta(&self) -> PacketMeta {
        self.token.meta()
    }
}

/// Room for a frame that is to be sent, or not.
#[derive(Debug)]
pub struct Sent<'t, T> {
    token: T,
    medium: Medium,
    settings: &'t Settings,
    lane: &'t mut Lane,
    now: Instant,
    memory: &'t mut [u8],
}

impl<T: TxToken> TxToken for Sent<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { token, medium, settings, lane, now, memory } = self;
        let Some(frame) = memory.get_mut(..len) else { return token.consume(len, f) };
        let too_long = settings.max_len.is_some_and(|max| len > max);
        let fate = lane.draw(settings, settings.max_sent, now);
        match if too_long { Fate::Lost } else { fate } {
            Fate::Whole => token.consume(len, f),
            Fate::Lost => {
                lane.hits.dropped += 1;
                f(frame)
            }
            Fate::Corrupt { bit } => {
                // Only when it has been written can it be broken.
                let result = f(frame);
                if flip_bit(medium, frame, bit) {
                    lane.hits.corrupted += 1;
                    token.consume(len, |room| room.copy_from_slice(frame));
                } else {
                    lane.hits.dropped += 1;
                }
                result
            }
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

/// Flips one bit of a frame's IP packet, and says whether there is one.
pub(crate) fn flip_bit(medium: Medium, frame: &mut [u8], bit: u64) -> bool {
    let packet = match medium {
        Medium::Ethernet => {
            let has_ip = EthernetFrame::new_checked(&*frame).is_ok_and(|frame| {
                matches!(frame.ethertype(), EthernetProtocol::Ipv4 | EthernetProtocol::Ipv6)
            });
            frame.get_mut(EthernetFrame::<&[u8]>::header_len()..).filter(|_| has_ip)
        }
        #[allow(unreachable_patterns, reason = "smoltcp has more media with more features")]
        _ => Some(frame),
    };
    let bits = packet.as_ref().map_or(0, |packet| packet.len() as u64 * 8);
    let Some(at) = bit.checked_rem(bits) else { return false };
    if let Some(byte) = packet.and_then(|packet| packet.get_mut((at / 8) as usize)) {
        *byte ^= 1 << (at % 8);
    }
    true
}
