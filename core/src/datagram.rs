//! Services over datagrams, and asking one: no streams, so no sessions.

use core::net::SocketAddr;
use core::time::Duration;

use crate::event::Host;
use crate::instant::Instant;
use crate::service::{About, Setting, SettingError};

/// The largest payload of a UDP datagram over IPv4, in bytes: 65,535 less the headers of IP and UDP.
pub const MAX_DATAGRAM: usize = 65_507;

/// One datagram in, at most one out.
pub trait DatagramService {
    /// Name, port, summary.
    const ABOUT: About;

    /// The largest reply, in bytes, that is not the datagram itself: so much scratch is lent.
    const SCRATCH: usize;

    /// What can be set, by name: for command lines. A program of your own sets the service's fields.
    const SETTINGS: &'static [Setting] = &[];

    /// Sets one of [`SETTINGS`](Self::SETTINGS) to a value that somebody has written.
    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        let _ = (name, value);
        Err(SettingError::Unknown)
    }

    /// Answers `datagram` with a part of itself, or with what is built in `scratch`, or not at all.
    fn answer<'a>(
        &mut self,
        datagram: &'a [u8],
        scratch: &'a mut [u8],
        peer: SocketAddr,
        host: &mut dyn Host,
    ) -> Option<&'a [u8]>;
}

/// When to send a question, and when to give up: a lost datagram is sent again, evenly spread over the timeout.
///
/// ```
/// use core::time::Duration;
/// use anywire_core::datagram::{Question, Turn};
/// use anywire_core::instant::Instant;
///
/// let mut question = Question::new(Instant::ZERO, Duration::from_secs(4));
/// assert_eq!(question.turn(Instant::ZERO), Turn::Send);
/// let again = Instant::from_micros(1_000_000);
/// assert_eq!(question.turn(Instant::ZERO), Turn::WaitUntil(again));
/// assert_eq!(question.turn(again), Turn::Send);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Question {
    due: Instant,
    interval: Duration,
    sends_left: u32,
}

/// What to do now for a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send it, then look again.
    Send,
    /// Wait for an answer until then.
    WaitUntil(Instant),
    /// No answer came within the timeout.
    GiveUp,
}

impl Question {
    /// How often a question is sent again.
    pub const RETRIES: u32 = 3;

    /// A question that begins `now` and has been answered, or not, after `timeout`.
    pub fn new(now: Instant, timeout: Duration) -> Self {
        Self { due: now, interval: timeout / (Self::RETRIES + 1), sends_left: Self::RETRIES + 1 }
    }

    /// What to do now.
    pub fn turn(&mut self, now: Instant) -> Turn {
        if now < self.due {
            return Turn::WaitUntil(self.due);
        }
        if self.sends_left == 0 {
            return Turn::GiveUp;
        }
        self.sends_left -= 1;
        self.due = now + self.interval;
        Turn::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_sends_evenly_spread_then_it_gives_up() {
        let mut question = Question::new(Instant::ZERO, Duration::from_secs(4));
        let mut now = Instant::ZERO;
        let mut sends = 0;
        loop {
            match question.turn(now) {
                Turn::Send => sends += 1,
                Turn::WaitUntil(at) => now = at,
                Turn::GiveUp => break,
            }
        }
        assert_eq!((sends, now.as_micros()), (4, 4_000_000));
    }
}
