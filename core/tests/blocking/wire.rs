//! A wire in memory, with a clock of its own: what comes when, how much a write takes, and which call fails.

use std::collections::VecDeque;

use anywire_core::blocking::{Interest, Ready, Told, Wire};
use anywire_core::instant::Instant;
use embedded_io::{ErrorKind, ErrorType, Read, Write};

/// The peer's side is a script; ours is written down.
#[derive(Default)]
pub(crate) struct Scripted {
    /// What comes, and when, in milliseconds; `None` is the end of the stream.
    arrivals: VecDeque<(u64, Option<Vec<u8>>)>,
    /// What has come and not been read.
    pub(crate) unread: VecDeque<u8>,
    peer_ended: bool,
    /// In milliseconds.
    now: u64,
    /// All that was written.
    pub(crate) written: Vec<u8>,
    /// A write takes at most so many bytes.
    write_max: Option<usize>,
    /// After a write none is possible for so many milliseconds.
    pause: u64,
    /// Nor before then.
    writable_at: u64,
    /// No write is possible after so many bytes.
    full_at: Option<usize>,
    calls: usize,
    fail_at: Option<usize>,
    failure: Broken,
    /// What fails is on our side.
    ours: bool,
    pub(crate) shut: bool,
    pub(crate) aborted: bool,
    pub(crate) armed: Vec<bool>,
    /// Written and not flushed.
    unflushed: bool,
    /// What is told from outside, and from when on, in milliseconds.
    orders: Vec<(u64, Told)>,
    told: Told,
    /// The peer acknowledges nothing.
    owes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) ErrorKind);

impl Default for Broken {
    fn default() -> Self {
        Self(ErrorKind::ConnectionReset)
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

impl embedded_io::Error for Broken {
    fn kind(&self) -> ErrorKind {
        self.0
    }
}

impl Scripted {
    /// A peer that is silent for ever.
    pub(crate) fn silent() -> Self {
        Self::default()
    }

    /// A peer that sends `pieces`, one after the other, and ends.
    pub(crate) fn sends(pieces: &[&[u8]]) -> Self {
        let pieces = pieces.iter().fold(Self::silent(), |wire, piece| wire.then(0, piece));
        pieces.then_ends(0)
    }

    /// And `bytes`, at that time in milliseconds.
    pub(crate) fn then(mut self, at: u64, bytes: &[u8]) -> Self {
        self.arrivals.push_back((at, Some(bytes.to_vec())));
        self
    }

    /// And the end of the stream.
    pub(crate) fn then_ends(mut self, at: u64) -> Self {
        self.arrivals.push_back((at, None));
        self
    }

    pub(crate) fn writes_at_most(mut self, len: usize) -> Self {
        self.write_max = Some(len);
        self
    }

    /// A peer that reads slowly: after each write it is busy for so many milliseconds.
    pub(crate) fn pauses(mut self, millis: u64) -> Self {
        self.pause = millis;
        self
    }

    /// A peer that reads no more than that.
    pub(crate) fn full_at(mut self, len: usize) -> Self {
        self.full_at = Some(len);
        self
    }

    /// The call of that number fails, and all after it.
    pub(crate) fn fails_at(mut self, call: usize) -> Self {
        self.fail_at = Some(call);
        self
    }

    /// And in this way, on our side or not.
    pub(crate) fn fails_with(mut self, kind: ErrorKind, ours: bool) -> Self {
        (self.failure, self.ours) = (Broken(kind), ours);
        self
    }

    /// And somebody tells it what is to become of it.
    pub(crate) fn then_told(mut self, at: u64, told: Told) -> Self {
        self.orders.push((at, told));
        self
    }

    /// A peer that acknowledges nothing of what is written.
    pub(crate) fn owes(mut self) -> Self {
        self.owes = true;
        self
    }

    /// When something else will be told than was.
    fn next_order(&self) -> Option<u64> {
        self.orders.iter().find(|&&(_, told)| told > self.told).map(|&(at, _)| at)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    pub(crate) fn millis(&self) -> u64 {
        self.now
    }

    fn call(&mut self) -> Result<(), Broken> {
        let call = self.calls;
        self.calls += 1;
        if self.fail_at.is_some_and(|at| at <= call) { Err(self.failure) } else { Ok(()) }
    }

    fn readable(&self) -> bool {
        !self.unread.is_empty() || self.peer_ended
    }

    fn room(&self) -> usize {
        if self.now < self.writable_at {
            return 0;
        }
        let room = self.full_at.map_or(usize::MAX, |full| full - self.written.len());
        room.min(self.write_max.unwrap_or(usize::MAX))
    }

    /// The next piece, if it has come by then: one piece is one receive.
    fn arrive(&mut self) {
        if self.readable() || self.arrivals.front().is_none_or(|next| next.0 > self.now) {
            return;
        }
        match self.arrivals.pop_front().unwrap().1 {
            Some(bytes) => self.unread.extend(bytes),
            None => self.peer_ended = true,
        }
    }
}

impl ErrorType for Scripted {
    type Error = Broken;
}

impl Read for Scripted {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Broken> {
        self.call()?;
        assert!(!buf.is_empty(), "reads nothing");
        assert!(self.readable(), "a read that would block");
        let len = self.unread.len().min(buf.len());
        buf.iter_mut().zip(self.unread.drain(..len)).for_each(|(to, from)| *to = from);
        Ok(len)
    }
}

impl Write for Scripted {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Broken> {
        self.call()?;
        assert!(!buf.is_empty() && !self.shut, "writes nothing, or after the end");
        let len = self.room().min(buf.len());
        assert!(len > 0, "a write that would block");
        self.written.extend_from_slice(&buf[..len]);
        self.unflushed = true;
        self.writable_at = self.now + self.pause;
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), Broken> {
        self.unflushed = false;
        self.call()
    }
}

impl Wire for Scripted {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        Instant::from_micros(self.now * 1000)
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> Result<Ready, Broken> {
        self.call()?;
        assert!(!self.aborted);
        assert!(interest != Interest::Read || !self.unflushed, "reads before its output is out");
        loop {
            self.arrive();
            let (read, write) = (self.readable(), self.room() > 0);
            let ready = match interest {
                Interest::Read => Ready { read, write: false },
                Interest::Write => Ready { read: false, write },
                Interest::Both => Ready { read, write },
            };
            let order = self.next_order();
            if ready != Ready::default() || order.is_some_and(|at| at <= self.now) {
                return Ok(ready);
            }
            let arrival = self.arrivals.front().map(|next| next.0);
            let arrival = arrival.filter(|_| interest != Interest::Write);
            let writable = (self.writable_at > self.now && interest != Interest::Read)
                .then_some(self.writable_at);
            let next = [arrival, writable, order].into_iter().flatten().min();
            let deadline = deadline.map(|deadline| deadline.as_micros().div_ceil(1000));
            match (next, deadline) {
                (Some(next), deadline) if deadline.is_none_or(|deadline| next <= deadline) => {
                    self.now = next;
                }
                (_, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    return Ok(Ready::default());
                }
                (_, None) => panic!("waits for ever"),
            }
        }
    }

    fn sleep(&mut self, until: Instant) -> bool {
        let until = until.as_micros().div_ceil(1000);
        self.now = self.now.max(self.next_order().map_or(until, |order| order.min(until)));
        true
    }

    fn shutdown(&mut self) -> Result<(), Broken> {
        self.call()?;
        assert!(!self.shut && !self.unflushed);
        self.shut = true;
        Ok(())
    }

    fn abort(&mut self) {
        assert!(!self.aborted);
        self.aborted = true;
    }

    fn is_ours(&self, error: &Broken) -> bool {
        assert_eq!(*error, self.failure);
        self.ours
    }

    fn arm(&mut self, armed: bool) {
        self.armed.push(armed);
    }

    fn owes(&mut self) -> bool {
        self.owes
    }

    fn told(&mut self) -> Told {
        let now = self.now;
        let told = self.orders.iter().filter(|&&(at, _)| at <= now).map(|&(_, told)| told);
        self.told = told.max().unwrap_or_default();
        self.told
    }
}
