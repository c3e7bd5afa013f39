//! What came from elsewhere, made fit for a person's terminal or log: the one place where that is done.
//!
//! Valid UTF-8 is shown as it is, and everything else as `\n`, `\r`, `\t` or `\xNN`: bytes that are not UTF-8, and characters that
//! would do something rather than show something: control characters (C0, DEL, C1), the line and paragraph separators, and what changes the
//! direction of writing. Those of several bytes are shown byte by byte.
//!
//! It is for reading, not for reading back: a backslash and a quote are valid UTF-8 and stay as they are, so `\n` may be a newline or two
//! characters. Joiners and variation selectors stay too: scripts and emoji need them.

use std::fmt::{self, Write};

/// `bytes`, escaped, to be displayed.
///
/// ```
/// use anywire_std::console::escape::Shown;
///
/// assert_eq!(Shown(b"na\xc3\xafve\x1b[31m\xff\r\n").to_string(), r"naïve\x1b[31m\xff\r\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            text(chunk.valid(), f, false)?;
            bytes(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

/// Escapes a stream that comes in pieces: a character may be cut anywhere. Newlines stay.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a character whose end has not come yet.
    held: Vec<u8>,
}

impl Lines {
    /// The next piece, as far as it can be told.
    pub fn push(&mut self, piece: &[u8]) -> String {
        self.held.extend_from_slice(piece);
        let all = std::mem::take(&mut self.held);
        let mut shown = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            // Writing into a String cannot fail.
            let _ = text(chunk.valid(), &mut shown, true);
            if chunks.peek().is_none() && may_go_on(chunk.invalid()) {
                self.held = chunk.invalid().to_vec();
            } else {
                let _ = bytes(chunk.invalid(), &mut shown);
            }
        }
        shown
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self) -> String {
        Shown(&std::mem::take(&mut self.held)).to_string()
    }
}

/// Whether `invalid`, at the end of what has come, is the beginning of a valid character.
fn may_go_on(invalid: &[u8]) -> bool {
    !invalid.is_empty()
        && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none())
}

fn text(text: &str, f: &mut impl Write, newlines: bool) -> fmt::Result {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if !acts(c) || (newlines && c == '\n') {
            continue;
        }
        let end = at + c.len_utf8();
        f.write_str(text.get(plain..at).unwrap_or_default())?;
        bytes(text.get(at..end).unwrap_or_default().as_bytes(), f)?;
        plain = end;
    }
    f.write_str(text.get(plain..).unwrap_or_default())
}

/// Whether `c` does something to a terminal, or to the text around it.
fn acts(c: char) -> bool {
    match c {
        ' '..='~' => false,
        '\u{2028}' | '\u{2029}' => true,
        // Directions: marks, embeddings, overrides, isolates, and what was before them.
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        '\u{2066}'..='\u{206f}' => true,
        c => c.is_control(),
    }
}

fn bytes(bytes: &[u8], f: &mut impl Write) -> fmt::Result {
    for byte in bytes {
        match byte {
            b'\n' => f.write_str(r"\n")?,
            b'\r' => f.write_str(r"\r")?,
            b'\t' => f.write_str(r"\t")?,
            byte => {
                // Many times faster than formatting, which shows where much is escaped.
                let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('?');
                f.write_str(r"\x")?;
                f.write_char(digit(byte >> 4))?;
                f.write_char(digit(byte & 15))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_printed_stays() {
        for text in ["", "plain", r#"a "quote" and a \n backslash"#, "Grüße, 世界 👩‍💻", "سلام"]
        {
            assert_eq!(Shown(text.as_bytes()).to_string(), text);
        }
    }

    #[test]
    fn what_acts_is_escaped() {
        let cases: [(&[u8], &str); 9] = [
            (b"a\r\n\tb", r"a\r\n\tb"),
            (b"\0\x07\x1b]0;x\x07", r"\x00\x07\x1b]0;x\x07"),
            (b"\x7f", r"\x7f"),
            ("\u{9b}31m".as_bytes(), r"\xc2\x9b31m"),
            ("\u{2028}".as_bytes(), r"\xe2\x80\xa8"),
            ("a\u{202e}b".as_bytes(), r"a\xe2\x80\xaeb"),
            ("\u{2067}".as_bytes(), r"\xe2\x81\xa7"),
            (b"\xff\xc3", r"\xff\xc3"),
            // An overlong slash and a surrogate are not UTF-8.
            (b"\xc0\xaf\xed\xa0\x80", r"\xc0\xaf\xed\xa0\x80"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(Shown(bytes).to_string(), shown);
        }
    }

    #[test]
    fn a_stream_is_shown_the_same_wherever_it_is_cut() {
        let all = "é👍\n\u{9b}x\u{202e}".bytes().chain(*b"\xff\xe2\x82").collect::<Vec<u8>>();
        let whole = "é👍\n\\xc2\\x9bx\\xe2\\x80\\xae\\xff\\xe2\\x82";
        for cut in 0..=all.len() {
            let mut lines = Lines::default();
            let (a, b) = all.split_at(cut);
            let shown = lines.push(a) + &lines.push(b) + &lines.finish();
            assert_eq!(shown, whole, "cut at {cut}");
        }
        let mut lines = Lines::default();
        let mut shown: String = all.iter().map(|byte| lines.push(&[*byte])).collect();
        shown += &lines.finish();
        assert_eq!(shown, whole);
    }
}
