//! Tests that cannot run everywhere.

/// Says that something is skipped, and why; where `ANYWIRE_REQUIRE` names what is missing that is a failure.
pub fn skip(why: &str, missing: &str) {
    let must = std::env::var("ANYWIRE_REQUIRE").is_ok_and(|what| what.contains(missing));
    assert!(!must, "{why}");
    eprintln!("SKIPPED: {why}");
}
