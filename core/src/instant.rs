//! A point in time, as the driver's clock tells it.

use core::num::NonZeroU64;
use core::ops::Add;
use core::time::Duration;

/// Microseconds since some moment that the driver chose: its start, a board's power-on, or the
/// beginning of a simulation. Only differences mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant {
    /// And one more, so that a deadline that may be never is no larger than one that is.
    micros: NonZeroU64,
}

impl Instant {
    /// The moment the clock counts from.
    pub const ZERO: Self = Self::from_micros(0);

    /// The instant `micros` microseconds after [`ZERO`](Self::ZERO).
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros: NonZeroU64::MIN.saturating_add(micros) }
    }

    /// Microseconds since [`ZERO`](Self::ZERO).
    pub const fn as_micros(self) -> u64 {
        self.micros.get() - 1
    }

    /// How long ago `earlier` was, or nothing if it is yet to come.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.as_micros().saturating_sub(earlier.as_micros()))
    }
}

/// Saturates at the end of time, 584,542 years away.
impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, after: Duration) -> Self {
        let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        Self { micros: self.micros.saturating_add(after) }
    }
}

/// The earlier of two deadlines, where `None` is never.
#[inline]
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates_and_differences_never_underflow() {
        let late = Instant::from_micros(u64::MAX - 1);
        assert_eq!(late + Duration::MAX, Instant::from_micros(u64::MAX));
        assert_eq!(Instant::ZERO.saturating_since(late), Duration::ZERO);
        assert_eq!((Instant::ZERO + Duration::from_millis(3)).as_micros(), 3000);
    }

    #[test]
    fn a_deadline_takes_no_room_for_never() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<Instant>());
        assert_eq!((Instant::ZERO.as_micros(), Instant::from_micros(7).as_micros()), (0, 7));
    }

    #[test]
    fn never_is_later_than_any_deadline() {
        let soon = Some(Instant::from_micros(1));
        assert_eq!(earliest(soon, None), soon);
        assert_eq!(earliest(None, soon), soon);
        assert_eq!(earliest(soon, Some(Instant::ZERO)), Some(Instant::ZERO));
    }
}
