//! A service whose steps are counted.

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use anywire_core::datagram::DatagramService;
use anywire_core::event::Host;
use anywire_core::exchange::Exchange;
use anywire_core::request::Request;
use anywire_core::service::{About, Setting, SettingError, StreamService};
use anywire_core::session::{Next, Session};

use serde::{Deserialize, Serialize};

use super::Count;

/// What the steps of one service have done.
#[derive(Debug, Default)]
pub struct Steps {
    received: Count,
    sent: Count,
    /// How long they took in all.
    nanos: Count,
    /// How many took no longer than each of [`BOUNDS`], and longer than the one before; behind them those that took longer than all.
    took: [Count; BOUNDS.len() + 1],
    /// Something was counted since the [teller](Steps::each_time) last looked.
    fresh: AtomicBool,
    teller: OnceLock<Thread>,
}

/// What a process's steps have done since the last time, for its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCounts {
    received: u64,
    sent: u64,
    nanos: u64,
    took: [u64; BOUNDS.len() + 1],
}

/// In nanoseconds. A step does no I/O: it takes less than a microsecond, unless the machine had other things to do.
const BOUNDS: [u64; 12] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// The times of steps, as they stood at one moment.
pub(super) struct Times {
    pub(super) seconds: f64,
    pub(super) count: u64,
    /// Upper bounds in seconds, and how many lie between each and the one before.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Steps {
    /// Bytes went in or out.
    pub(crate) fn moved(&self, received: u64, sent: u64) {
        for (count, n) in [(&self.received, received), (&self.sent, sent)] {
            if n > 0 {
                count.add(n);
            }
        }
        self.news();
    }

    fn news(&self) {
        if let Some(teller) = self.teller.get()
            && !self.fresh.swap(true, Ordering::Release)
        {
            teller.unpark();
        }
    }

    /// Calls `tell` in a thread of its own when something was counted, and not again before `pause` has passed.
    pub(crate) fn each_time(
        &'static self,
        pause: Duration,
        tell: impl Fn(&Self) + Send + 'static,
    ) -> io::Result<()> {
        let telling = move || loop {
            while !self.fresh.swap(false, Ordering::Acquire) {
                std::thread::park();
            }
            tell(self);
            std::thread::sleep(pause);
        };
        let thread = std::thread::Builder::new().name("metrics".into()).stack_size(64 << 10);
        let thread = thread.spawn(telling)?;
        let _ = self.teller.set(thread.thread().clone());
        Ok(())
    }

    /// What was counted since the last time; `None`: nothing.
    pub(crate) fn take(&self) -> Option<StepCounts> {
        let counts = StepCounts {
            received: self.received.take(),
            sent: self.sent.take(),
            nanos: self.nanos.take(),
            took: self.took.each_ref().map(Count::take),
        };
        (counts != StepCounts::default()).then_some(counts)
    }

    /// Counts what was counted elsewhere.
    pub(super) fn add(&self, counts: &StepCounts) {
        self.moved(counts.received, counts.sent);
        self.nanos.add(counts.nanos);
        self.took.iter().zip(counts.took).for_each(|(count, n)| count.add(n));
    }

    fn took(&self, time: Duration) {
        let nanos = time.as_nanos() as u64;
        self.nanos.add(nanos);
        let bucket = BOUNDS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.took.get(bucket) {
            count.add(1);
        }
    }

    /// Bytes in and out.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.received.get(), self.sent.get())
    }

    pub(super) fn times(&self) -> Times {
        let bounds = BOUNDS.map(|bound| bound as f64 / 1e9);
        let bounds = bounds.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.took.iter().map(Count::get)).collect();
        // What is in no bucket yet is not counted either.
        let count = buckets.iter().map(|(_, count)| count).sum();
        Times { seconds: self.nanos.get() as f64 / 1e9, count, buckets }
    }
}

/// Wraps a service, or a session of it, and counts what its steps do, if that is wanted. It is one itself, so it works under every engine.
///
/// ```
/// use anywire_core::service::echo::Echo;
/// use anywire_std::metrics::{Kind, Metered, Metrics};
///
/// // It is there as long as the process.
/// let kind = Kind { streams: true, ..Kind::default() };
/// let metrics: &Metrics = Box::leak(Box::new(Metrics::new([("echo", kind)], || 0)));
/// // To be bound instead of Echo; the metrics are the server's observer, too.
/// let echo = Metered::new(Echo, metrics.steps("echo"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Metered<T> {
    inner: T,
    steps: Option<&'static Steps>,
}

impl<T> Metered<T> {
    /// Counts what `inner` does in `steps`, or nothing.
    pub fn new(inner: T, steps: Option<&'static Steps>) -> Self {
        Self { inner, steps }
    }
}

impl<S: StreamService> StreamService for Metered<S> {
    type Session = Metered<S::Session>;

    const ABOUT: About = S::ABOUT;
    const FILES: bool = S::FILES;
    const LOG: bool = S::LOG;
    const SETTINGS: &'static [Setting] = S::SETTINGS;

    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        self.inner.set(name, value)
    }

    fn open(&self) -> Self::Session {
        Metered { inner: self.inner.open(), steps: self.steps }
    }
}

impl<S: Session> Session for Metered<S> {
    const HOLD: usize = S::HOLD;
    const ROOM: usize = S::ROOM;
    const END_PROVES: bool = S::END_PROVES;
    const END_ANSWERS: bool = S::END_ANSWERS;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        let Some(steps) = self.steps else { return self.inner.step(io) };
        let (taken, put) = (io.taken(), io.put_len());
        let begun = Instant::now();
        let next = self.inner.step(io);
        steps.took(begun.elapsed());
        // Behind the time: it tells that there is news.
        steps.moved((io.taken() - taken) as u64, (io.put_len() - put) as u64);
        next
    }

    fn request<'a>(&'a self, held: &'a [u8]) -> Option<Request<'a>> {
        self.inner.request(held)
    }
}

impl<D: DatagramService> DatagramService for Metered<D> {
    const ABOUT: About = D::ABOUT;
    const SCRATCH: usize = D::SCRATCH;
    const SETTINGS: &'static [Setting] = D::SETTINGS;

    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        self.inner.set(name, value)
    }

    fn answer<'a>(
        &mut self,
        datagram: &'a [u8],
        scratch: &'a mut [u8],
        peer: SocketAddr,
        host: &mut dyn Host,
    ) -> Option<&'a [u8]> {
        let Some(steps) = self.steps else {
            return self.inner.answer(datagram, scratch, peer, host);
        };
        let begun = Instant::now();
        let answer = self.inner.answer(datagram, scratch, peer, host);
        steps.took(begun.elapsed());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_in_one_bucket() {
        let steps = Steps::default();
        for nanos in [0, 100, 101, 1_000, 100_000_000, 100_000_001, u64::MAX >> 8] {
            steps.took(Duration::from_nanos(nanos));
        }
        let times = steps.times();
        let counts: Vec<_> = times.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(times.count, 7);
        let bounds: Vec<_> = times.buckets.iter().map(|(bound, _)| *bound).collect();
        assert_eq!((bounds[0], bounds[11], bounds[12]), (1e-7, 0.1, f64::INFINITY));
        assert!(bounds.is_sorted());
    }
}
