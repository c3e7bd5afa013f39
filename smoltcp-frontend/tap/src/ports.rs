//! The ports of connections that we make: none comes again soon, not after a restart either.
//!
//! A peer remembers a connection for a minute after its end (TIME-WAIT), and takes a new one from the same port for the old one. So ports
//! follow the clock, which goes on while the program does not run: one every 4 ms, and after 65 s all over again. Where they are at a moment
//! depends on a secret that is the same until the machine is started anew, so that nobody far away can tell (RFC 6056).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// Gives out ports.
#[derive(Debug)]
pub(crate) struct Ports {
    secret: u64,
    last: u64,
}

/// Known to whoever is on this machine, and to nobody else.
const SECRET: &str = "/proc/sys/kernel/random/boot_id";

/// What the clock gives a port for, in ms: 16,384 of them are a little more than Linux's TIME-WAIT.
const TICK: u128 = 4;

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
        Ok(Self { secret, last: 0 })
    }

    /// The next one; of its bits the stack uses the lower 14.
    pub(crate) fn next(&mut self) -> u16 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(since.as_millis())
    }

    fn at(&mut self, unix_ms: u128) -> u16 {
        let tick = u64::try_from(unix_ms / TICK).unwrap_or(0);
        // Whoever takes them faster is ahead of the clock.
        self.last = tick.max(self.last + 1);
        self.secret.wrapping_add(self.last) as u16
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn no_port_comes_again_within_a_minute_whatever_is_restarted() {
        let mut used = HashMap::new();
        let mut now = 1_795_000_000_000;
        for run in 0..3000 {
            let mut ports = Ports { secret: 0x1234_5678_9abc, last: 0 };
            // Up to eight connections, one every millisecond, and a pause until the next run.
            let connections = 1 + run % 8;
            for _ in 0..connections {
                let before = used.insert(ports.at(now) % 16_384, now);
                assert!(before.is_none_or(|before| now - before > 60_000), "run {run}");
                now += 1;
            }
            now += 4 * connections + run % 50;
        }
        assert!(used.len() > 10_000);
    }

    #[test]
    fn a_secret_and_the_clock_say_where_they_are() {
        let (mut one, mut other) = (Ports::new().unwrap(), Ports::new().unwrap());
        assert_eq!(one.secret, other.secret);
        assert_eq!(one.at(5000), other.at(5000));
        assert_eq!(one.at(5000), other.at(5004));
    }
}
