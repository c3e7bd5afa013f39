//! Every target on stable: over the inputs that the fuzzer has kept, and over random ones.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anywire_fuzz_targets::{TARGETS, Target};
use libtest_mimic::{Arguments, Failed, Trial};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn main() {
    let tests = TARGETS.iter().flat_map(|target| {
        let corpus = Trial::test(format!("{}::corpus", target.name), || corpus(target));
        let random = Trial::test(format!("{}::random", target.name), || random(target));
        [corpus, random]
    });
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit();
}

fn corpus(target: &Target) -> Result<(), Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name);
    let mut paths = fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.sort();
    if paths.is_empty() {
        return Err(format!("there is nothing in {}", folder.display()).into());
    }
    for path in paths {
        let input = fs::read(&path)?;
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            return Err(format!("{} breaks the invariant", path.display()).into());
        }
    }
    Ok(())
}

/// Bytes in which small numbers, and zeros, are not rare.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![2 => any::<u8>(), 1 => 0..8_u8, 1 => Just(0)];
    prop_oneof![vec(any::<u8>(), 0..800), vec(byte, 0..400)]
}

fn random(target: &Target) -> Result<(), Failed> {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) };
    let ran = TestRunner::new(config).run(&input(), |input| {
        (target.run)(&input);
        Ok(())
    });
    Ok(ran?)
}
