//! What a client is to say, line by line: from its command line, or typed.

use std::ffi::OsString;
use std::io;

use crate::console::input;
use crate::os::BorrowedFd;

/// Lines, until there are no more.
#[derive(Debug)]
pub(super) enum Lines {
    /// Those of a text.
    Given(std::vec::IntoIter<Vec<u8>>),
    /// The user is asked, until standard input has ended.
    Asked { ended: bool },
}

impl Lines {
    /// The lines of `text`, of which an empty one has one; without it the user's.
    pub(super) fn of(text: Option<OsString>) -> Self {
        let Some(text) = text else { return Self::Asked { ended: false } };
        let text = text.into_encoded_bytes();
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        let lines: Vec<_> = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
        Self::Given(lines.into_iter())
    }

    /// The next one, cut at `max` bytes. `prompt` and `wait` are those of [`input::ask_while`].
    pub(super) fn next(
        &mut self,
        max: usize,
        prompt: impl FnOnce(),
        wait: impl FnMut(BorrowedFd<'_>),
    ) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Given(lines) => Ok(lines.next().map(|mut line| {
                line.truncate(max);
                line
            })),
            // A terminal can be read on behind its end.
            Self::Asked { ended: true } => Ok(None),
            Self::Asked { ended } => {
                let line = input::ask_while(prompt, max, wait);
                *ended = !matches!(line, Ok(Some(_)));
                line
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_lines() {
        let cases: [(&str, &[&str]); 5] = [
            ("", &[""]),
            ("one", &["one"]),
            ("one\n", &["one"]),
            ("one\n\n", &["one", ""]),
            ("a line\nb", &["a l", "b"]),
        ];
        for (text, expected) in cases {
            let mut lines = Lines::of(Some(text.into()));
            let next = || lines.next(3, || panic!("a prompt"), |_| panic!("a wait")).unwrap();
            assert_eq!(std::iter::from_fn(next).collect::<Vec<_>>(), expected_bytes(expected));
        }
    }

    fn expected_bytes(lines: &[&str]) -> Vec<Vec<u8>> {
        lines.iter().map(|line| line.as_bytes().to_vec()).collect()
    }
}
