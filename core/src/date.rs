//! A moment on the calendar, and how it is written.

/// A moment, and how far the local time is from UTC there and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Date {
    /// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
    pub unix: i64,
    /// Seconds that the local time is ahead of UTC. RFC 3339 has whole minutes: what is left over is dropped.
    pub offset: i32,
}

/// A date as RFC 3339 writes it, with seconds: `2026-11-21T09:30:00+01:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3339 {
    bytes: [u8; Rfc3339::LEN],
    /// Invariant: at most `LEN`.
    len: usize,
}

/// Which offset is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Zone {
    /// The local one: `+01:00`.
    #[default]
    Local,
    /// UTC: `Z`.
    Utc,
}

impl Date {
    /// The date as RFC 3339 (section 5.6) writes it. That has years from 0 to 9999: what lies beyond is written as the first or the last
    /// second there is.
    ///
    /// ```
    /// use anywire_core::date::{Date, Zone};
    ///
    /// let date = Date { unix: 1_795_249_800, offset: 3600 };
    /// assert_eq!(date.rfc3339(Zone::Local).as_bytes(), b"2026-11-21T09:30:00+01:00");
    /// assert_eq!(date.rfc3339(Zone::Utc).as_bytes(), b"2026-11-21T08:30:00Z");
    /// ```
    pub fn rfc3339(self, zone: Zone) -> Rfc3339 {
        /// 0000-01-01T00:00:00 and 9999-12-31T23:59:59.
        const FIRST: i64 = -62_167_219_200;
        const LAST: i64 = 253_402_300_799;

        // A day has fewer minutes than an offset may have: what RFC 3339 cannot write is no offset.
        let minutes = match zone {
            Zone::Local if self.offset.unsigned_abs() < 86_400 => self.offset / 60,
            _ => 0,
        };
        let local = self.unix.saturating_add(i64::from(minutes) * 60).clamp(FIRST, LAST);
        let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(days);

        let mut text = Rfc3339 { bytes: [0; Rfc3339::LEN], len: 0 };
        text.number(year, 4, b"-");
        text.number(month, 2, b"-");
        text.number(day, 2, b"T");
        text.number(second / 3600, 2, b":");
        text.number(second / 60 % 60, 2, b":");
        text.number(second % 60, 2, b"");
        match zone {
            Zone::Utc => text.push(b"Z"),
            Zone::Local => {
                text.push(if minutes < 0 { b"-" } else { b"+" });
                let minutes = i64::from(minutes.unsigned_abs());
                text.number(minutes / 60, 2, b":");
                text.number(minutes % 60, 2, b"");
            }
        }
        text
    }
}

/// The year, month and day of the Gregorian calendar so many days after 1970-01-01, for years from 0 to 9999.
///
/// Years are counted from March, so that a leap day is the last of its year: then the days before a month follow a straight
/// line, and 400 years have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let january = month >= 10;
    let month = if january { month - 9 } else { month + 3 };
    (era * 400 + year + i64::from(january), month, day - first + 1)
}

impl Rfc3339 {
    /// `9999-12-31T23:59:59+23:59`.
    pub const LEN: usize = 25;

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, text: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        room.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        self.len = (self.len + text.len()).min(Self::LEN);
    }

    /// Appends a number of so many digits, and what stands behind it.
    fn number(&mut self, number: i64, digits: u32, behind: &[u8]) {
        for place in (0..digits).rev() {
            let digit = number / 10_i64.saturating_pow(place) % 10;
            self.push(&[b'0' + digit.unsigned_abs() as u8]);
        }
        self.push(behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(unix: i64) -> Rfc3339 {
        Date { unix, offset: 0 }.rfc3339(Zone::Utc)
    }

    #[test]
    fn days_that_are_easily_missed() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-62_167_219_200, "0000-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
            (i64::MIN, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc(unix).as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = civil(-719_528);
        assert_eq!(last, (0, 1, 1));
        for days in -719_527..2_932_897 {
            let (year, month, day) = civil(days);
            let (y, m, d) = last;
            let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            let length = match m {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let next = match (m, d) {
                (12, 31) => (y + 1, 1, 1),
                (_, d) if d == length => (y, m + 1, 1),
                _ => (y, m, d + 1),
            };
            assert_eq!((year, month, day), next);
            last = next;
        }
        assert_eq!(last, (9999, 12, 31));
    }

    #[test]
    fn offsets_on_both_sides() {
        let at = |offset| Date { unix: 0, offset }.rfc3339(Zone::Local);
        for (offset, text) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (20_700, "1970-01-01T05:45:00+05:45"),
            (-12_600, "1969-12-31T20:30:00-03:30"),
            (1172, "1970-01-01T00:19:00+00:19"),
            (86_399, "1970-01-01T23:59:00+23:59"),
            (86_400, "1970-01-01T00:00:00+00:00"),
            (90_000, "1970-01-01T00:00:00+00:00"),
            (i32::MIN, "1970-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(at(offset).as_bytes(), text.as_bytes());
        }
    }
}
