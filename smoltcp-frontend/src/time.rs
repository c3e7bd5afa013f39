//! The core's clock and smoltcp's: both count microseconds.

use anywire_core::instant::Instant;

/// What smoltcp calls `now`. It has a sign; times beyond its 292,271 years are its last moment.
pub(crate) fn to_smoltcp(at: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros_const(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
}

/// When smoltcp wants to be polled. What it says for "at once" is the beginning of time.
pub(crate) fn from_smoltcp(at: smoltcp::time::Instant) -> Instant {
    Instant::from_micros(u64::try_from(at.total_micros()).unwrap_or(0))
}

/// A span as smoltcp counts it.
pub(crate) fn span(span: core::time::Duration) -> smoltcp::time::Duration {
    smoltcp::time::Duration::from_micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}
