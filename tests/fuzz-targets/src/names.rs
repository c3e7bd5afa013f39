//! Invariant: a name that `FileName` takes is one component of a path that every system takes as it is, and of one that it refuses the
//! rule that is named is broken.

use std::path::{Component, Path};

use anywire_core::name::{FileName, NameError};

const FORBIDDEN: &[char] = &[':', '*', '?', '"', '<', '>', '|'];

/// See the [module](self).
pub fn run(data: &[u8]) {
    match FileName::new(data) {
        Ok(name) => {
            assert_eq!(name.as_bytes(), data);
            let text = name.as_str();
            assert!((1..=255).contains(&data.len()));
            let components: Vec<_> = Path::new(text).components().collect();
            assert_eq!(components, [Component::Normal(text.as_ref())]);
            assert!(!text.starts_with('.') && !text.ends_with(['.', ' ']));
            assert!(!text.contains(['/', '\\']) && !text.contains(FORBIDDEN));
            assert!(!text.chars().any(char::is_control));
            assert!(!is_device(text), "{text}");
        }
        Err(error) => {
            let text = std::str::from_utf8(data);
            let broken = match error {
                NameError::Empty => data.is_empty(),
                NameError::TooLong { len } => len == data.len() && len > FileName::MAX,
                NameError::NotUtf8 { at } => text.is_err_and(|error| error.valid_up_to() == at),
                error => {
                    let text = text.expect("it is UTF-8");
                    match error {
                        NameError::Separator => text.contains(['/', '\\']),
                        NameError::Control => text.contains(char::is_control),
                        NameError::LeadingDot => text.starts_with('.'),
                        NameError::Forbidden(c) => FORBIDDEN.contains(&c) && text.contains(c),
                        NameError::TrailingDotOrSpace => text.ends_with(['.', ' ']),
                        NameError::Device => is_device(text),
                        other => panic!("{other:?} is new here"),
                    }
                }
            };
            assert!(broken, "{error:?} of {}", data.escape_ascii());
            assert!(error.as_str().len() <= 80 && !error.to_string().contains(char::is_control));
        }
    }
}

/// Windows' rule, in other words: the part before the first dot, in capitals and without spaces behind it.
fn is_device(name: &str) -> bool {
    let stem: String = name.chars().take_while(|&c| c != '.').collect();
    let stem = stem.trim_end_matches(' ').to_ascii_uppercase();
    let digits = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"];
    let numbered = |prefix: &str| digits.iter().any(|digit| stem == format!("{prefix}{digit}"));
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str())
        || numbered("COM")
        || numbered("LPT")
}
