//! Tests that cannot run everywhere.

/// Whether `ANYWIRE_REQUIRE`, names with commas between, has `what`: then it is a failure that it is missing.
pub fn required(what: &str) -> bool {
    std::env::var("ANYWIRE_REQUIRE").is_ok_and(|all| all.split(',').any(|name| name == what))
}

/// Says that something is skipped, and why; where `ANYWIRE_REQUIRE` names what is missing that is a failure.
pub fn skip(why: &str, missing: &str) {
    assert!(!required(missing), "{why}");
    eprintln!("SKIPPED: {why}");
}
