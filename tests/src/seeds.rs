//! Which seeds a lossy wire is tried with.

use std::ops::Range;

/// So many unless the variable says otherwise: each way to cut has one.
const FEW: Range<u64> = 0..3;

/// The variable that says which: how many, or `FROM..TO`.
pub const VARIABLE: &str = "ANYWIRE_SEEDS";

/// The seeds to try.
pub fn chosen() -> Range<u64> {
    match std::env::var(VARIABLE) {
        Ok(text) => parse(&text).unwrap_or_else(|| {
            panic!("{VARIABLE} is a number, or a range such as 17..18, not {text}")
        }),
        Err(_) => FEW,
    }
}

fn parse(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..").unwrap_or(("0", text));
    Some(from.parse().ok()?..to.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_range() {
        assert_eq!(parse("200"), Some(0..200));
        assert_eq!(parse("17..18"), Some(17..18));
        for wrong in ["", "many", "..", "1..", "-1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
