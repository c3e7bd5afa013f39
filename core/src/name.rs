//! The names of files: the one place where they are checked.

use core::fmt;

/// A name that a peer may give a file: it means one file of one folder, on every system.
///
/// 1 to 255 bytes of UTF-8, no `/`, `\`, NUL or other control character, no `.` in front, and
/// nothing that Windows reserves. Whoever holds a `FileName` need not look again, save for what only the
/// folder knows: whether the name is a symbolic link, a folder or a device there.
///
/// ```
/// use anywire_core::name::{FileName, NameError};
///
/// assert_eq!(FileName::new(b"photo.jpg").unwrap().as_str(), "photo.jpg");
/// assert_eq!(FileName::new(b"../passwd"), Err(NameError::Separator));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FileName<'a>(&'a str);

/// Which rule a name broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum NameError {
    /// There is no name.
    Empty,
    /// `len` bytes; [`FileName::MAX`] are allowed.
    TooLong {
        /// How many bytes the name has.
        len: usize,
    },
    /// The bytes from `at` on are not UTF-8.
    NotUtf8 {
        /// The offset of the first byte that is wrong.
        at: usize,
    },
    /// `/` or `\`.
    Separator,
    /// NUL, a newline, or another character of Unicode's category Cc.
    Control,
    /// A `.` in front: `.`, `..`, and hidden files.
    LeadingDot,
    /// One of `: * ? " < > |`, which Windows does not allow.
    Forbidden(char),
    /// A dot or a space at the end, which Windows drops.
    TrailingDotOrSpace,
    /// The name of a device on Windows, with or without an extension: `CON`, `nul.txt`, `COM1`.
    Device,
}

/// What Windows keeps for devices, besides `COM` and `LPT` with a digit.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

impl<'a> FileName<'a> {
    /// The longest name, in bytes: what the common file systems allow.
    pub const MAX: usize = 255;

    /// Checks `bytes` against every rule and says which one is broken first.
    pub fn new(bytes: &'a [u8]) -> Result<Self, NameError> {
        if bytes.is_empty() {
            return Err(NameError::Empty);
        }
        if bytes.len() > Self::MAX {
            return Err(NameError::TooLong { len: bytes.len() });
        }
        let name = core::str::from_utf8(bytes)
            .map_err(|error| NameError::NotUtf8 { at: error.valid_up_to() })?;
        for c in name.chars() {
            match c {
                '/' | '\\' => return Err(NameError::Separator),
                c if c.is_control() => return Err(NameError::Control),
                ':' | '*' | '?' | '"' | '<' | '>' | '|' => return Err(NameError::Forbidden(c)),
                _ => {}
            }
        }
        if name.starts_with('.') {
            return Err(NameError::LeadingDot);
        }
        if name.ends_with(['.', ' ']) {
            return Err(NameError::TrailingDotOrSpace);
        }
        if is_device(name) {
            return Err(NameError::Device);
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The name's bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }
}

/// Windows looks at what stands before the first dot, without spaces at its end, in any case.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    let numbered = |prefix: &str| {
        let digit = stem.get(prefix.len()..).unwrap_or_default();
        stem.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix))
            && matches!(
                digit,
                "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
            )
    };
    DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device))
        || numbered("COM")
        || numbered("LPT")
}

impl fmt::Display for FileName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl NameError {
    /// Which rule it was, without the particulars.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "a name is needed",
            Self::TooLong { .. } => "a name has at most 255 bytes",
            Self::NotUtf8 { .. } => "a name is UTF-8",
            Self::Separator => "a name has no / or \\ in it",
            Self::Control => "a name has no control characters in it",
            Self::LeadingDot => "a name does not start with a dot",
            Self::Forbidden(_) => "a name has none of : * ? \" < > | in it",
            Self::TrailingDotOrSpace => "a name does not end with a dot or a space",
            Self::Device => "the name is a device's on Windows",
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong { len } => {
                write!(f, "the name has {len} bytes, {} are allowed", FileName::MAX)
            }
            Self::NotUtf8 { at } => write!(f, "the name is not UTF-8 from byte {at} on"),
            Self::Forbidden(c) => write!(f, "a name has no {c} in it"),
            other => f.write_str(other.as_str()),
        }
    }
}

impl core::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in
            ["a", "photo.jpg", "Übung 1.txt", "a..b", "COM", "COM10", "console", "x.con", "-rf"]
        {
            assert_eq!(FileName::new(name.as_bytes()).unwrap().as_str(), name);
        }
        assert!(FileName::new(&[b'x'; 255]).is_ok());
    }

    #[test]
    fn each_rule_is_named() {
        let cases: [(&[u8], NameError); 20] = [
            (b"", NameError::Empty),
            (&[b'x'; 256], NameError::TooLong { len: 256 }),
            (b"ab\xff", NameError::NotUtf8 { at: 2 }),
            (b"/etc/passwd", NameError::Separator),
            (b"..\\x", NameError::Separator),
            (b"a\0b", NameError::Control),
            (b"a\nb", NameError::Control),
            ("a\u{85}b".as_bytes(), NameError::Control),
            (b".", NameError::LeadingDot),
            (b"..", NameError::LeadingDot),
            (b".hidden", NameError::LeadingDot),
            (b"a:b", NameError::Forbidden(':')),
            (b"a|b", NameError::Forbidden('|')),
            (b"a.", NameError::TrailingDotOrSpace),
            (b"a ", NameError::TrailingDotOrSpace),
            (b"CON", NameError::Device),
            (b"con.txt", NameError::Device),
            (b"nul .tar.gz", NameError::Device),
            (b"lpt9", NameError::Device),
            ("COM².log".as_bytes(), NameError::Device),
        ];
        for (name, error) in cases {
            assert_eq!(FileName::new(name), Err(error), "{name:?}");
        }
    }
}
