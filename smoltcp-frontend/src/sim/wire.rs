//! The wire: frames on their way, each with the time when it is due.

use core::time::Duration;

use anywire_core::instant::{Instant, earliest};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};

use crate::time::{from_smoltcp, to_smoltcp};

/// One end of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// One.
    A,
    /// The other.
    B,
}

impl Side {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }
}

/// The memory of one frame on its way.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    bytes: [u8; Self::LEN],
    len: usize,
    /// When it arrives, and how many were sent before it.
    due: Option<(Instant, u64)>,
}

impl Packet {
    /// The longest frame: an IP MTU of 1500 and the Ethernet header.
    pub const LEN: usize = 1514;

    /// Memory for a frame.
    pub const EMPTY: Self = Self { bytes: [0; Self::LEN], len: 0, due: None };
}

/// What one direction of the wire does to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// How long a frame is on its way.
    pub delay: Duration,
    /// The longest frame, with its Ethernet header: at most [`Packet::LEN`]. To be set before the interfaces are made.
    pub mtu: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self { delay: Duration::ZERO, mtu: Packet::LEN }
    }
}

/// Is shown every frame when it is sent: when, by which end, and its bytes.
pub type Tap<'w> = &'w mut dyn FnMut(Instant, Side, &[u8]);

/// A wire with two ends: lossless, and as long as the memory lent for frames on their way. A stack that finds it full
/// waits, and what it must answer at once is lost.
pub struct Wire<'w> {
    to_b: Direction<'w>,
    to_a: Direction<'w>,
    trace: Trace<'w>,
}

struct Direction<'w> {
    packets: &'w mut [Packet],
    /// How many are on their way; all in the first `high` places.
    on_the_way: usize,
    high: usize,
    link: Link,
}

struct Trace<'w> {
    hash: u64,
    frames: u64,
    lost: u64,
    tap: Option<Tap<'w>>,
}

impl<'w> Wire<'w> {
    /// A wire with room for so many frames on their way from A to B, and from B to A.
    pub fn new(to_b: &'w mut [Packet], to_a: &'w mut [Packet]) -> Self {
        let direction =
            |packets| Direction { packets, on_the_way: 0, high: 0, link: Link::default() };
        let trace = Trace { hash: 0xcbf2_9ce4_8422_2325, frames: 0, lost: 0, tap: None };
        Self { to_b: direction(to_b), to_a: direction(to_a), trace }
    }

    /// What happens to the frames that this end sends.
    pub fn link(&mut self, from: Side) -> &mut Link {
        match from {
            Side::A => &mut self.to_b.link,
            Side::B => &mut self.to_a.link,
        }
    }

    /// Shows every frame that is sent from now on.
    pub fn watch(&mut self, tap: Tap<'w>) {
        self.trace.tap = Some(tap);
    }

    /// A hash of every frame so far, with its time and its sender: equal hashes, equal runs.
    pub fn trace(&self) -> u64 {
        self.trace.hash
    }

    /// How many frames were sent so far.
    pub fn frames(&self) -> u64 {
        self.trace.frames
    }

    /// How many were lost so far because the wire was full.
    pub fn lost(&self) -> u64 {
        self.trace.lost
    }

    /// When the next frame arrives.
    pub fn due(&self) -> Option<Instant> {
        earliest(self.to_a.due(), self.to_b.due())
    }

    /// One end, as a device for a stack.
    pub fn end(&mut self, side: Side) -> End<'_, 'w> {
        let (send, receive) = match side {
            Side::A => (&mut self.to_b, &mut self.to_a),
            Side::B => (&mut self.to_a, &mut self.to_b),
        };
        End { side, send, receive, trace: &mut self.trace }
    }
}

impl Direction<'_> {
    fn due(&self) -> Option<Instant> {
        self.first().and_then(|at| Some(self.packets.get(at)?.due?.0))
    }

    /// The place of the frame that arrives first.
    fn first(&self) -> Option<usize> {
        if self.on_the_way == 0 {
            return None;
        }
        let packets = self.packets.get(..self.high)?.iter().enumerate();
        packets.filter_map(|(at, packet)| Some((packet.due?, at))).min().map(|(_, at)| at)
    }

    fn free(&self) -> usize {
        self.packets.len() - self.on_the_way
    }

    /// Puts a frame of `len` bytes on the wire, filled by `fill`.
    fn push<R>(
        &mut self,
        due: (Instant, u64),
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> (R, Option<&[u8]>) {
        let at = self.packets.iter().position(|packet| packet.due.is_none());
        let room = at
            .and_then(|at| Some((at, self.packets.get_mut(at)?)))
            .filter(|(_, packet)| len <= packet.bytes.len());
        let Some((at, packet)) = room else {
            // Nobody receives it, but whoever sends must have somewhere to write.
            let mut nowhere = [0; Packet::LEN];
            return (fill(nowhere.get_mut(..len).unwrap_or_default()), None);
        };
        (packet.len, packet.due) = (len, Some(due));
        self.on_the_way += 1;
        self.high = self.high.max(at + 1);
        let result = fill(packet.bytes.get_mut(..len).unwrap_or_default());
        (result, packet.bytes.get(..len))
    }
}

/// One end of a [`Wire`]: a device.
pub struct End<'e, 'w> {
    side: Side,
    send: &'e mut Direction<'w>,
    receive: &'e mut Direction<'w>,
    trace: &'e mut Trace<'w>,
}

/// A frame that has arrived.
pub struct Arrived<'t, 'w> {
    direction: &'t mut Direction<'w>,
    at: usize,
}

/// Room for a frame to send.
pub struct Room<'t, 'w> {
    side: Side,
    direction: &'t mut Direction<'w>,
    trace: &'t mut Trace<'w>,
    now: Instant,
}

impl<'w> Device for End<'_, 'w> {
    type RxToken<'t>
        = Arrived<'t, 'w>
    where
        Self: 't;
    type TxToken<'t>
        = Room<'t, 'w>
    where
        Self: 't;

    fn receive(
        &mut self,
        now: smoltcp::time::Instant,
    ) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let at = self.receive.first()?;
        let (due, _) = self.receive.packets.get(at)?.due?;
        let now = from_smoltcp(now);
        (due <= now).then_some((
            Arrived { direction: self.receive, at },
            Room { side: self.side, direction: self.send, trace: self.trace, now },
        ))
    }

    fn transmit(&mut self, now: smoltcp::time::Instant) -> Option<Self::TxToken<'_>> {
        // A quarter is kept for answers, which cannot wait.
        let now = from_smoltcp(now);
        (self.send.free() > self.send.packets.len() / 4).then_some(Room {
            side: self.side,
            direction: self.send,
            trace: self.trace,
            now,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.send.link.mtu.min(Packet::LEN);
        capabilities
    }
}

impl RxToken for Arrived<'_, '_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let Some(packet) = self.direction.packets.get_mut(self.at) else { return f(&[]) };
        packet.due = None;
        self.direction.on_the_way -= 1;
        if self.direction.on_the_way == 0 {
            self.direction.high = 0;
        }
        f(packet.bytes.get(..packet.len).unwrap_or_default())
    }
}

impl TxToken for Room<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { side, direction, trace, now } = self;
        let due = (now + direction.link.delay, trace.frames);
        let (result, frame) = direction.push(due, len, f);
        trace.frames += 1;
        match frame {
            Some(frame) => trace.record(now, side, frame),
            None => trace.lost += 1,
        }
        result
    }
}

impl Trace<'_> {
    /// FNV-1a, 64 bits.
    fn record(&mut self, now: Instant, side: Side, frame: &[u8]) {
        let time = to_smoltcp(now).total_micros().to_le_bytes();
        self.hash = time
            .iter()
            .chain(core::iter::once(&side.number()))
            .chain(frame)
            .fold(self.hash, |hash, &byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        if let Some(tap) = &mut self.tap {
            tap(now, side, frame);
        }
    }
}
