//! Numbers and durations, and a peer's words, as a person reads them.

use std::fmt::{self, Display};
use std::time::Duration;

use anywire_core::event::End;

use crate::console::escape::Shown;

/// `1 file`, `2 files`.
pub(super) fn counted(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// A duration, to about three digits.
pub(super) struct Lasting(pub(super) Duration);

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(time) = *self;
        let (seconds, micros) = (time.as_secs(), time.as_micros());
        match seconds {
            0 if micros < 10_000 => write!(f, "{}.{} ms", micros / 1000, micros / 100 % 10),
            0 => write!(f, "{} ms", micros / 1000),
            1..60 => write!(f, "{seconds}.{} s", time.subsec_millis() / 100),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

/// What a conversation was about, part by part: its beginning, if it goes on for long.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Invariant: one part, or more within `KEPT`, and what shows that there was more.
    text: String,
    full: bool,
}

/// So much of what a conversation was about is kept until it is over,
pub(super) const KEPT: usize = 256;

/// and so much of one message.
pub(super) const QUOTED: usize = 64;

impl Words {
    /// Adds a part, if there is room, and says whether there was: the first one always has, and none is cut, so that no quote stays
    /// open.
    pub(super) fn push(&mut self, part: impl Display) -> bool {
        if self.full {
            return false;
        }
        let part = part.to_string();
        if self.text.is_empty() {
            self.text = part;
        } else if self.text.len() + part.len() <= KEPT {
            self.text.extend([", ", &part]);
        } else {
            self.text.push_str(", ...");
            self.text.shrink_to_fit();
            self.full = true;
        }
        !self.full
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// The first `max` bytes of what a peer said, quoted, so that they do not run on into our words.
pub(super) struct Quoted<'a>(pub(super) &'a [u8], pub(super) usize);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(said, max) = *self;
        if said.len() <= max {
            return write!(f, "\"{}\"", Shown(said));
        }
        /// Whether a character goes on here.
        fn goes_on(byte: Option<&u8>) -> bool {
            byte.is_some_and(|byte| byte & 0xc0 == 0x80)
        }
        let cut = (max.saturating_sub(3)..=max).rev().find(|&at| !goes_on(said.get(at)));
        write!(f, "\"{}...\"", Shown(said.get(..cut.unwrap_or(max)).unwrap_or_default()))
    }
}

/// How a conversation ended, in words.
pub(crate) fn how(end: End) -> String {
    match end {
        End::Finished => "finished".into(),
        End::Idle => "ended: idle for too long".into(),
        End::Stopped => "ended: the server stops".into(),
        End::Reset => "reset by the peer".into(),
        End::Vanished => "ended: the peer has vanished".into(),
        End::Aborted(reason) => format!("aborted: {reason}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_suits_them() {
        let shown = |micros| Lasting(Duration::from_micros(micros)).to_string();
        assert_eq!(shown(0), "0.0 ms");
        assert_eq!(shown(9_999), "9.9 ms");
        assert_eq!(shown(10_000), "10 ms");
        assert_eq!(shown(999_999), "999 ms");
        assert_eq!(shown(1_000_000), "1.0 s");
        assert_eq!(shown(59_999_999), "59.9 s");
        assert_eq!(shown(60_000_000), "1 min 0 s");
        assert_eq!(shown(3_599_999_999), "59 min 59 s");
        assert_eq!(shown(90_000_000_000), "25 h 0 min");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        let shown = |text: &str| Quoted(text.as_bytes(), 4).to_string();
        assert_eq!(shown("abcd"), "\"abcd\"");
        assert_eq!(shown("abcde"), "\"abcd...\"");
        assert_eq!(shown("abcé"), "\"abc...\"");
        assert_eq!(shown("a世界"), "\"a世...\"");
        assert_eq!(shown("a世\n"), "\"a世...\"");
        // Bytes that are no characters are cut anywhere.
        assert_eq!(Quoted(&[0x80; 5], 4).to_string(), r#""\x80\x80\x80\x80...""#);
    }
}
