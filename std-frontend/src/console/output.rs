//! Standard output: escaped where a person looks, raw where a program reads, and never a panic when nobody does.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::console::escape::{Lines, Shown};

/// Standard output. Its first failure is kept, and nothing is written after it: whoever writes need not look each time.
#[derive(Debug)]
pub struct Output {
    /// Somebody looks at it, so what comes from the network is escaped.
    terminal: bool,
    failed: Option<io::Error>,
    lines: Lines,
    /// The last line has not ended.
    within_line: bool,
}

impl Output {
    /// This process's.
    pub fn stdout() -> Self {
        Self::new(io::stdout().is_terminal())
    }

    /// Standard output, escaped or raw.
    pub fn new(terminal: bool) -> Self {
        Self { terminal, failed: None, lines: Lines::default(), within_line: false }
    }

    /// Writes one line of our own words.
    pub fn line(&mut self, line: impl Display) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Writes a line of our own words and then `text`, which is not: on a terminal it is escaped, elsewhere it stays as it is.
    pub fn line_with(&mut self, words: impl Display, text: &[u8]) {
        let mut line = words.to_string().into_bytes();
        line.extend_from_slice(&self.fit(text));
        line.push(b'\n');
        self.write(&line);
    }

    /// `text` as it is to be written: escaped on a terminal.
    pub fn fit(&self, text: &[u8]) -> Vec<u8> {
        if self.terminal { Shown(text).to_string().into_bytes() } else { text.to_vec() }
    }

    /// Writes the next piece of a stream; on a terminal it is escaped, save for its newlines.
    pub fn stream(&mut self, piece: &[u8]) {
        if self.terminal {
            let shown = self.lines.push(piece);
            self.write(shown.as_bytes());
        } else {
            self.write(piece);
        }
    }

    /// The stream has ended.
    pub fn end_stream(&mut self) {
        let shown = self.lines.finish();
        self.write(shown.as_bytes());
    }

    /// On a terminal, ends the line that was begun, so that whatever comes next begins one.
    pub fn end_line(&mut self) {
        if self.terminal && self.within_line {
            self.write(b"\n");
        }
    }

    /// Writes `bytes` as they are, and flushes.
    pub fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.within_line = *last != b'\n';
        }
        if self.failed.is_none() && !bytes.is_empty() {
            let mut stdout = io::stdout().lock();
            self.failed = stdout.write_all(bytes).and_then(|()| stdout.flush()).err();
        }
    }

    /// Whether something could not be written.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// The first failure, once.
    pub fn check(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}
