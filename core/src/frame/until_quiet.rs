//! Bytes up to a newline, to the end of the stream, to a silence, or to a limit.

use core::time::Duration;

use crate::instant::Instant;

/// Where a message ends when the lab says "what was received": at a newline, at the end of the stream, after a
/// silence, or at a limit, whichever comes first.
///
/// A CR just before the newline is no part of the message. An empty line is an empty message; silence alone, or the
/// end of the stream alone, makes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UntilQuiet {
    /// The longest message, in bytes, at least 1; also the most that is ever held.
    pub max: usize,
    /// The silence that ends a message. Zero: whatever is there is one. `None`: only lines.
    pub quiet: Option<Duration>,
    /// Whether a newline (LF, or CR LF) ends a message.
    pub newline: bool,
    /// What becomes of the bytes after the first `max`.
    pub overflow: Overflow,
}

/// What becomes of the bytes of a message after the first `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The next message begins there.
    Split,
    /// They are dropped, up to the next end.
    Drop,
}

/// What was found at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A message. When it has been dealt with, take [`Message::len`] bytes and call [`Watch::next`].
    Message(Message<'a>),
    /// Bytes that belong to no message: take so many, and look again.
    Skip(usize),
    /// Nothing yet. At `quiet_at` silence will have made a message of what is there.
    More {
        /// When to look again though nothing has come.
        quiet_at: Option<Instant>,
    },
    /// The stream has ended, and there is no message left.
    End,
}

/// A whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its bytes, without what ended it.
    pub text: &'a [u8],
    /// How many bytes of input it took, with what ended it.
    pub len: usize,
    then: Then,
}

/// What the end of a message means for what follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Then {
    #[default]
    Nothing,
    /// Silence ended it after a CR: a newline that comes now belongs to that.
    IgnoreNewline,
    /// It was too long: drop the rest.
    Drop,
}

/// The memory of an [`UntilQuiet`] between two looks: no bytes, only what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// How much of the input has been searched for a newline.
    seen: usize,
    quiet_at: Option<Instant>,
    then: Then,
}

impl UntilQuiet {
    /// Looks for a message at the front of `input`, which is the last if `ended`.
    pub fn find<'a>(
        &self,
        watch: &mut Watch,
        input: &'a [u8],
        ended: bool,
        now: Instant,
    ) -> Found<'a> {
        match (watch.then, input.first()) {
            (Then::IgnoreNewline, Some(&first)) => {
                watch.then = Then::Nothing;
                if first == b'\n' {
                    return Found::Skip(1);
                }
            }
            (Then::Drop, _) => return self.drop(watch, input, ended, now),
            _ => {}
        }
        // A message of `max` bytes is cut before its newline is looked at, whether that has come or not.
        let window = input.get(..self.max).unwrap_or(input);
        let fresh = window.get(watch.seen..).unwrap_or_default();
        if self.newline
            && let Some(at) = fresh.iter().position(|&byte| byte == b'\n')
        {
            let len = watch.seen + at + 1;
            let line = window.get(..len - 1).unwrap_or_default();
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            return Found::Message(Message { text, len, then: Then::Nothing });
        }
        let message = |then| Found::Message(Message { text: window, len: window.len(), then });
        if window.is_empty() {
            return if ended { Found::End } else { Found::More { quiet_at: None } };
        }
        if window.len() == self.max {
            return message(match self.overflow {
                Overflow::Split => Then::Nothing,
                Overflow::Drop => Then::Drop,
            });
        }
        if ended {
            return message(Then::Nothing);
        }
        let by_silence = || {
            let cr = self.newline && window.ends_with(b"\r");
            message(if cr { Then::IgnoreNewline } else { Then::Nothing })
        };
        match self.quiet {
            None => watch.seen = window.len(),
            Some(Duration::ZERO) => return by_silence(),
            Some(quiet) => {
                if window.len() > watch.seen {
                    watch.seen = window.len();
                    watch.quiet_at = Some(now + quiet);
                }
                if watch.quiet_at.is_some_and(|at| at <= now) {
                    return by_silence();
                }
            }
        }
        Found::More { quiet_at: watch.quiet_at }
    }

    /// Something came `now` that is no part of any message: a silence that was being measured begins anew.
    pub fn heard(&self, watch: &mut Watch, now: Instant) {
        if watch.quiet_at.is_some() {
            watch.quiet_at = self.quiet.map(|quiet| now + quiet);
        }
    }

    /// Drops the rest of a message that was too long.
    fn drop<'a>(&self, watch: &mut Watch, input: &[u8], ended: bool, now: Instant) -> Found<'a> {
        if self.newline
            && let Some(at) = input.iter().position(|&byte| byte == b'\n')
        {
            *watch = Watch::default();
            return Found::Skip(at + 1);
        }
        if !input.is_empty() {
            match self.quiet {
                Some(Duration::ZERO) => *watch = Watch::default(),
                quiet => watch.quiet_at = quiet.map(|quiet| now + quiet),
            }
            return Found::Skip(input.len());
        }
        if ended {
            return Found::End;
        }
        // The silence counts from the cut, if nothing has come since.
        let quiet_at = watch.quiet_at.or(self.quiet.map(|quiet| now + quiet));
        if quiet_at.is_some_and(|at| at <= now) {
            *watch = Watch::default();
        } else {
            watch.quiet_at = quiet_at;
        }
        Found::More { quiet_at: watch.quiet_at }
    }
}

impl Watch {
    /// The message has been dealt with, and its bytes taken.
    pub fn next(&mut self, message: &Message<'_>) {
        *self = Self { then: message.then, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const LINES: UntilQuiet =
        UntilQuiet { max: 8, quiet: None, newline: true, overflow: Overflow::Split };
    const MESSAGE: UntilQuiet = UntilQuiet {
        max: 8,
        quiet: Some(Duration::from_millis(50)),
        newline: true,
        overflow: Overflow::Drop,
    };

    /// Feeds pieces at their times (in ms) as a driver would, acting on every deadline between, and collects the messages.
    fn run(framing: UntilQuiet, pieces: &[(u64, &[u8])], ended: bool) -> Vec<Vec<u8>> {
        let (mut watch, mut held, mut found) = (Watch::default(), Vec::new(), Vec::new());
        let mut quiet_at = None;
        let last = pieces.last().map_or(0, |piece| piece.0);
        let arrivals = pieces.iter().map(|&(at, piece)| (at, piece, false));
        for (at, piece, last) in arrivals.chain([(last + 1000, &b""[..], ended)]) {
            let at = Instant::from_micros(at * 1000);
            while let Some(silence) = quiet_at.filter(|&silence| silence < at) {
                quiet_at = look(framing, &mut watch, &mut held, false, silence, &mut found);
            }
            held.extend_from_slice(piece);
            quiet_at = look(framing, &mut watch, &mut held, last, at, &mut found);
        }
        found
    }

    fn look(
        framing: UntilQuiet,
        watch: &mut Watch,
        held: &mut Vec<u8>,
        ended: bool,
        now: Instant,
        found: &mut Vec<Vec<u8>>,
    ) -> Option<Instant> {
        loop {
            match framing.find(watch, held, ended, now) {
                Found::Message(message) => {
                    assert!(message.len <= held.len() && message.text.len() <= framing.max);
                    found.push(message.text.to_vec());
                    let len = message.len;
                    watch.next(&message);
                    held.drain(..len);
                }
                Found::Skip(n) => drop(held.drain(..n)),
                Found::More { quiet_at } => {
                    assert!(quiet_at.is_none_or(|at| at > now), "a deadline lies ahead");
                    assert!(held.len() < framing.max, "what is held is bounded");
                    return quiet_at;
                }
                Found::End => return None,
            }
        }
    }

    /// Whole, byte by byte, and cut in two at every place: always the same.
    fn any_cut(framing: UntilQuiet, stream: &[u8], messages: &[&[u8]]) {
        assert_eq!(run(framing, &[(0, stream)], true), messages, "whole");
        let bytes: Vec<_> = stream.chunks(1).map(|byte| (0, byte)).collect();
        assert_eq!(run(framing, &bytes, true), messages, "byte by byte");
        for at in 0..=stream.len() {
            let (front, back) = stream.split_at(at);
            assert_eq!(run(framing, &[(0, front), (0, back)], true), messages, "cut at {at}");
        }
    }

    #[test]
    fn lines_end_at_lf_and_cr_lf_and_the_end() {
        any_cut(LINES, b"one\ntwo\r\n\nthree", &[b"one", b"two", b"", b"three"]);
        any_cut(LINES, b"a\rb\r\r\n", &[b"a\rb\r"]);
        any_cut(LINES, b"one\n", &[b"one"]);
        any_cut(LINES, b"", &[]);
        any_cut(LINES, b"\n", &[b""]);
    }

    #[test]
    fn a_long_line_is_split_and_a_newline_behind_the_cut_is_an_empty_message() {
        any_cut(LINES, b"123456789abcdefghi", &[b"12345678", b"9abcdefg", b"hi"]);
        any_cut(LINES, b"12345678\nx\n", &[b"12345678", b"", b"x"]);
        any_cut(LINES, b"1234567\r\nx", &[b"1234567\r", b"", b"x"]);
    }

    #[test]
    fn a_long_message_is_dropped_up_to_the_next_end() {
        any_cut(MESSAGE, b"123456789abcdefghi\nnext\n", &[b"12345678", b"next"]);
        any_cut(MESSAGE, b"12345678\nnext", &[b"12345678", b"next"]);
        any_cut(MESSAGE, b"123456789", &[b"12345678"]);
    }

    #[test]
    fn silence_ends_a_message_and_makes_none() {
        let pieces: [(u64, &[u8]); 4] = [(0, b"a"), (40, b"b"), (100, b"c"), (1000, b"d\n")];
        assert_eq!(run(MESSAGE, &pieces, true), [&b"ab"[..], b"c", b"d"]);
        assert_eq!(run(MESSAGE, &[(0, b"tail")], false), [b"tail"]);
    }

    #[test]
    fn silence_ends_the_dropping_too() {
        assert_eq!(
            run(MESSAGE, &[(0, b"123456789"), (100, b"new")], true),
            [&b"12345678"[..], b"new"]
        );
        assert_eq!(
            run(MESSAGE, &[(0, b"12345678"), (100, b"new")], true),
            [&b"12345678"[..], b"new"]
        );
        assert_eq!(
            run(MESSAGE, &[(0, b"12345678"), (20, b"x\nnew")], true),
            [&b"12345678"[..], b"new"]
        );
    }

    #[test]
    fn a_newline_after_a_silence_after_its_cr_is_ignored() {
        assert_eq!(run(MESSAGE, &[(0, b"ab\r"), (100, b"\ncd\n")], true), [&b"ab\r"[..], b"cd"]);
        assert_eq!(
            run(MESSAGE, &[(0, b"ab\r"), (100, b"cd\n\n")], true),
            [&b"ab\r"[..], b"cd", b""]
        );
        // Without a CR it is an empty line.
        assert_eq!(run(MESSAGE, &[(0, b"ab"), (100, b"\ncd\n")], true), [&b"ab"[..], b"", b"cd"]);
        // Where newlines are bytes like others it is one.
        let bytes = UntilQuiet { newline: false, ..MESSAGE };
        assert_eq!(run(bytes, &[(0, b"ab\r"), (100, b"\ncd")], true), [&b"ab\r"[..], b"\ncd"]);
        // One newline, and no more.
        assert_eq!(run(MESSAGE, &[(0, b"ab\r"), (100, b"\n\n")], true), [&b"ab\r"[..], b""]);
    }

    #[test]
    fn with_quiet_zero_what_is_there_is_a_message() {
        let once = UntilQuiet {
            max: 4,
            quiet: Some(Duration::ZERO),
            newline: false,
            overflow: Overflow::Split,
        };
        assert_eq!(
            run(once, &[(0, b"ab\n"), (0, b"cdefgh")], true),
            [&b"ab\n"[..], b"cdef", b"gh"]
        );
        let dropping = UntilQuiet { overflow: Overflow::Drop, ..once };
        assert_eq!(run(dropping, &[(0, b"abcdefgh"), (1, b"x")], true), [&b"abcd"[..], b"x"]);
    }
}
