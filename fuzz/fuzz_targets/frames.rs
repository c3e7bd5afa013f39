#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anywire_fuzz_targets::frames::run(data));
