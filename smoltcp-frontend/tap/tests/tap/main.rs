//! The program on a TAP device, with Linux's own TCP/IP at the other end.
//!
//! The tests run one after the other, each with `tap0` to itself, in a network namespace of this program's own. Where there can be none
//! they are skipped, and say so; with `ANYWIRE_REQUIRE=tap` that is a failure.

mod client;
mod dhcp;
mod edges;
mod ending;
mod harness;
mod ipv6;
mod names;
mod namespace;
mod problems;
mod serve;
mod wire;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial, run};

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // They share a device.
    args.test_threads = Some(1);
    let mut trials: Vec<_> = [
        serve::TESTS,
        ending::TESTS,
        client::TESTS,
        problems::TESTS,
        dhcp::TESTS,
        edges::TESTS,
        ipv6::TESTS,
        names::TESTS,
        wire::TESTS,
    ]
    .concat();
    if args.list {
        return run(&args, trials.drain(..).map(trial).collect()).exit_code();
    }
    if let Err(reason) = namespace::enter() {
        let required =
            std::env::var("ANYWIRE_REQUIRE").is_ok_and(|required| required.contains("tap"));
        let outcome = if required { "FAILED" } else { "SKIPPED" };
        eprintln!("\n*** TAP TESTS {outcome}: {reason:#} ***\n");
        if required {
            return ExitCode::FAILURE;
        }
        let skipped = trials.drain(..).map(|test| trial(test).with_ignored_flag(true));
        return run(&args, skipped.collect()).exit_code();
    }
    run(&args, trials.drain(..).map(trial).collect()).exit_code()
}

/// A test and its name.
type Test = (&'static str, fn());

fn trial((name, test): Test) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// The tests of a module, by the names of their functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::Test] = &[$((stringify!($name), $name)),*];
    };
}
use tests;
