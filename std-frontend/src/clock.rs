//! The clock of this process.

use std::sync::LazyLock;
use std::time::{Duration, Instant as SystemInstant};

use anywire_core::date::Date;
use anywire_core::instant::Instant;

static START: LazyLock<SystemInstant> = LazyLock::new(SystemInstant::now);

/// The time since this process first looked: it never goes back, and starts at 0.
pub fn now() -> Instant {
    Instant::ZERO + START.elapsed()
}

/// How long it is until `deadline`; zero if it has passed.
pub fn until(deadline: Instant) -> Duration {
    deadline.saturating_since(now())
}

/// What the clock on the wall says, and how far the system's time zone is from UTC now.
pub fn date() -> Date {
    let now = jiff::Zoned::now();
    Date { unix: now.timestamp().as_second(), offset: now.offset().seconds() }
}
