//! The ports of connections that we make: none comes again soon, not after a restart either.
//!
//! A peer remembers a connection for a minute after its end (TIME-WAIT), and takes a new one from the same port for the old one. So ports
//! follow the clock, which goes on while the program does not run: one every millisecond, and after 64 s all over again. Where they are at a
//! moment depends on a secret that is the same until the machine is started anew, so that nobody far away can tell (RFC 6056).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// Gives out ports, each once, however many there are of these.
#[derive(Debug)]
pub(crate) struct Ports {
    secret: u64,
}

/// For which millisecond the last one was.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Known to whoever is on this machine, and to nobody else.
const SECRET: &str = "/proc/sys/kernel/random/boot_id";

/// Those from 1024 up (RFC 6056, 3.2).
const PORTS: u64 = 64_512;

impl Ports {
    pub(crate) fn new() -> Result<Self> {
        let secret = match std::fs::read(SECRET) {
            Ok(id) => {
                let mut hasher = DefaultHasher::new();
                id.hash(&mut hasher);
                hasher.finish()
            }
            Err(_) => getrandom::u64()?,
        };
        Ok(Self { secret })
    }

    pub(crate) fn next(&self) -> u16 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(since.as_millis(), &LAST)
    }

    fn at(&self, unix_ms: u128, last: &AtomicU64) -> u16 {
        let now = u64::try_from(unix_ms).unwrap_or(0);
        // Whoever takes them faster is ahead of the clock.
        let after = |last: u64| now.max(last.saturating_add(1));
        let last = last.fetch_update(Relaxed, Relaxed, |last| Some(after(last)));
        let millisecond = last.map_or(now, after);
        let port = (self.secret % PORTS + millisecond % PORTS) % PORTS;
        // There are fewer than 2^16 of them, with those below.
        (port + 1024) as u16
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn no_port_comes_again_within_a_minute_whatever_is_restarted() {
        let mut used = HashMap::new();
        let mut now: u128 = 1_795_000_000_000;
        for run in 0..30_000 {
            let (ports, last) = (Ports { secret: 0x1234_5678_9abc }, AtomicU64::new(0));
            // Up to eight connections at once, the time they take, and a pause until the next run.
            for _ in 0..=run % 8 {
                let before = used.insert(ports.at(now, &last), now);
                assert!(before.is_none_or(|before| now - before > 60_000), "run {run}");
            }
            now += 8 + run % 5;
        }
        assert!(used.len() > 50_000);
    }

    #[test]
    fn a_secret_and_the_clock_say_where_they_are() {
        let (one, other) = (Ports::new().unwrap(), Ports::new().unwrap());
        assert_eq!(one.secret, other.secret);
        let at = |ports: &Ports, ms| ports.at(ms, &AtomicU64::new(0));
        assert_eq!(at(&one, 5000), at(&other, 5000));
        assert_ne!(at(&one, 5000), at(&other, 5002));
        assert!(at(&one, 5000) >= 1024);
        // In one program they never give out the same.
        assert_ne!(one.next(), other.next());
    }
}
