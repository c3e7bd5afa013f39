//! The wire: frames on their way, each with the time when it is due.

use anywire_core::instant::{Instant, earliest};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};

use super::link::Link;
use crate::chance::Random;
use crate::faults::flip_bit;
use crate::time::from_smoltcp;

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

/// Is shown every frame when it is sent: when, by which end, and its bytes.
pub type Tap<'w> = &'w mut dyn FnMut(Instant, Side, &[u8]);

/// What has become of the frames of one direction, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Sent, whatever came of them.
    pub sent: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost because the memory lent to the wire was full.
    pub full: u64,
    /// Lost because they were longer than the link's MTU.
    pub too_long: u64,
    /// Arrived, or will, with a bit that is wrong.
    pub corrupted: u64,
    /// Held up, so that others may overtake them.
    pub reordered: u64,
    /// Came twice.
    pub duplicated: u64,
}

/// A wire with two ends. Unless a [`Link`] says otherwise it is lossless, and as long as the memory lent for frames on their way: a
/// stack that finds it full waits, and what it must answer at once is lost.
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
    random: Random,
    counters: Counters,
    /// Until then an earlier frame is being sent.
    busy: Instant,
    /// When the last of those that overtake nobody arrives.
    last: Instant,
}

struct Trace<'w> {
    hash: u64,
    frames: u64,
    tap: Option<Tap<'w>>,
}

impl<'w> Wire<'w> {
    /// A wire with room for so many frames on their way from A to B, and from B to A. What an earlier wire left in there is gone.
    pub fn new(to_b: &'w mut [Packet], to_a: &'w mut [Packet]) -> Self {
        let direction = |packets: &'w mut [Packet]| {
            packets.iter_mut().for_each(|packet| packet.due = None);
            Direction {
                packets,
                on_the_way: 0,
                high: 0,
                link: Link::default(),
                random: Random::new(0),
                counters: Counters::default(),
                busy: Instant::ZERO,
                last: Instant::ZERO,
            }
        };
        let trace = Trace { hash: 0xcbf2_9ce4_8422_2325, frames: 0, tap: None };
        let mut wire = Self { to_b: direction(to_b), to_a: direction(to_a), trace };
        wire.set_seed(0);
        wire
    }

    /// Which frames are hit by what the links leave to chance, from now on. Without it, the seed is 0.
    pub fn set_seed(&mut self, seed: u64) {
        let mut random = Random::new(seed);
        // What one direction carries does not change the other's luck.
        self.to_b.random = Random::new(random.next_u64());
        self.to_a.random = Random::new(random.next_u64());
    }

    /// What happens to the frames that this end sends.
    pub fn link(&mut self, from: Side) -> &mut Link {
        &mut self.direction(from).link
    }

    /// What happens to all frames, whichever way they go.
    pub fn set_links(&mut self, link: Link) {
        (self.to_b.link, self.to_a.link) = (link, link);
    }

    /// What has become of the frames that this end has sent.
    pub fn counters(&self, from: Side) -> Counters {
        match from {
            Side::A => self.to_b.counters,
            Side::B => self.to_a.counters,
        }
    }

    /// Shows every frame that is sent from now on, as it is sent.
    pub fn watch(&mut self, tap: Tap<'w>) {
        self.trace.tap = Some(tap);
    }

    /// A hash of every frame so far, with its time, its sender and what became of it: equal hashes, equal runs.
    pub fn trace(&self) -> u64 {
        self.trace.hash
    }

    /// How many frames were sent so far.
    pub fn frames(&self) -> u64 {
        self.trace.frames
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

    fn direction(&mut self, from: Side) -> &mut Direction<'w> {
        match from {
            Side::A => &mut self.to_b,
            Side::B => &mut self.to_a,
        }
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

    /// Lets a frame, the `number`th of the wire, meet its fate. Says when it will arrive, for the trace; and when its copy.
    fn carry(&mut self, now: Instant, number: u64, frame: &mut [u8]) -> [Option<Instant>; 2] {
        self.counters.sent += 1;
        let fate = self.link.draw(&mut self.random);
        if frame.len() > self.link.mtu.min(Packet::LEN) {
            self.counters.too_long += 1;
            return [None, None];
        }
        if self.free() == 0 {
            self.counters.full += 1;
            return [None, None];
        }
        self.busy = self.link.sent_at(self.busy.max(now), frame.len());
        let corrupted = fate.corrupt.map(|bit| flip_bit(Medium::Ethernet, frame, bit));
        if fate.lost || corrupted == Some(false) {
            self.counters.lost += 1;
            return [None, None];
        }
        self.counters.corrupted += u64::from(corrupted == Some(true));
        let regular = self.last.max(self.busy + self.link.delay + fate.jitter);
        let due = match fate.held {
            Some(lag) => {
                self.counters.reordered += 1;
                regular + lag
            }
            None => {
                self.last = regular;
                regular
            }
        };
        self.push((due, number), frame);
        let copy = fate.copy.map(|lag| due + lag).filter(|_| self.free() > 0);
        if let Some(due) = copy {
            self.counters.duplicated += 1;
            self.push((due, number), frame);
        }
        [Some(due), copy]
    }

    /// Puts a frame on the wire, if there is room.
    fn push(&mut self, due: (Instant, u64), frame: &[u8]) {
        let Some(at) = self.packets.iter().position(|packet| packet.due.is_none()) else { return };
        let Some(packet) = self.packets.get_mut(at) else { return };
        let Some(bytes) = packet.bytes.get_mut(..frame.len()) else { return };
        bytes.copy_from_slice(frame);
        (packet.len, packet.due) = (frame.len(), Some(due));
        self.on_the_way += 1;
        self.high = self.high.max(at + 1);
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
        let mut bytes = [0; Packet::LEN];
        // A stack keeps to the MTU of `capabilities`.
        let frame = bytes.get_mut(..len).unwrap_or_default();
        let result = f(frame);
        if let Some(tap) = &mut trace.tap {
            tap(now, side, frame);
        }
        trace.record(now, side, frame);
        for arrival in direction.carry(now, trace.frames, frame) {
            trace.note(&arrival.map_or(u64::MAX, Instant::as_micros).to_le_bytes());
        }
        trace.note(&direction.counters.corrupted.to_le_bytes());
        trace.frames += 1;
        result
    }
}

impl Trace<'_> {
    fn record(&mut self, now: Instant, side: Side, frame: &[u8]) {
        self.note(&now.as_micros().to_le_bytes());
        self.note(&[side.number()]);
        self.note(frame);
    }

    /// FNV-1a, 64 bits.
    fn note(&mut self, bytes: &[u8]) {
        self.hash = bytes.iter().fold(self.hash, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    }
}
