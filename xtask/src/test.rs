//! `cargo xtask test`: builds the programs, then runs the tests, of everything or of one frontend.
//!
//! The scenarios of package `anywire-tests` run over every transport. The variable `ANYWIRE_FRONTEND` tells its harness
//! to leave out the transports of the other frontend. Arguments behind `--` go to the test binaries, so that
//! `cargo xtask test -- tap-server::echo` runs a part of the matrix.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _, stdout};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use xshell::cmd;

use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Whose tests to run
    #[arg(long, value_enum, default_value_t = Frontend::All)]
    frontend: Frontend,
    /// Arguments for the test binaries: a filter, `--list`, `--nocapture`, …
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Frontend {
    /// The core, and the std sockets
    Std,
    /// The core, and the smoltcp stack, simulated and on a TAP device
    Smoltcp,
    /// Every test of the workspace
    All,
}

impl Frontend {
    /// The packages whose tests run, as cargo's arguments.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Std => &["-p=anywire-core", "-p=anywire-std", "-p=anywire-tests"],
            Self::Smoltcp => {
                &["-p=anywire-core", "-p=anywire-smoltcp", "-p=anywire-tap", "-p=anywire-tests"]
            }
            Self::All => &["--workspace"],
        }
    }

    /// What the scenarios' harness is told.
    fn variable(self) -> Option<&'static str> {
        match self {
            Self::Std => Some("std"),
            Self::Smoltcp => Some("smoltcp"),
            Self::All => None,
        }
    }
}

pub(crate) fn run(Args { frontend, args }: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    // Tests start the programs of other packages, which `cargo test` alone would not build. With `--all-targets`, features
    // are unified as the tests will have them, or much would be compiled twice. Not this program, which is running:
    // Windows would not let it be replaced.
    cmd!(sh, "cargo build --workspace --exclude xtask --all-targets").run()?;

    let _frontend = frontend.variable().map(|name| sh.push_env("ANYWIRE_FRONTEND", name));
    let packages = frontend.packages();
    let test = cmd!(sh, "cargo test --no-fail-fast {packages...} -- {args...}");
    match stdout().is_terminal() {
        true => test.run().context("tests failed"),
        false => run_and_repeat_failures(test.into()),
    }
}

/// Says at the end of a long log once more what has failed, in the words of the test programs.
fn run_and_repeat_failures(mut test: Command) -> Result<()> {
    let mut child = test.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut failures = Failures::default();
    for line in BufReader::new(child.stdout.take().context("it was piped")?).split(b'\n') {
        let line = line?;
        let mut out = stdout().lock();
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        failures.see(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let failed = failures.lines.join("\n");
    bail!("tests failed ({status})\n{failed}")
}

/// What test programs print between a line `failures:` and their result: first why, then which.
#[derive(Default)]
struct Failures {
    /// How many lines more there is room for.
    room: usize,
    lines: Vec<String>,
}

impl Failures {
    /// More is left to the log itself: backtraces, for one.
    const MOST: usize = 150;

    fn see(&mut self, line: &str) {
        if line == "failures:" {
            self.room = Self::MOST;
        }
        if self.room > 0 {
            self.lines.push(line.to_owned());
            self.room -= 1;
        }
        if line.starts_with("test result: ") {
            self.room = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_found_among_other_lines() {
        let log = "running 2 tests\ntest a ... FAILED\n\nfailures:\n\n---- a ----\nwhy\n\n\nfailures:\n    a\n\n\
                   test result: FAILED. 1 passed; 1 failed\n\nrunning 1 test\ntest b ... ok\n\ntest result: ok.";
        let mut failures = Failures::default();
        log.split('\n').for_each(|line| failures.see(line));
        let seen = failures.lines.join("\n");
        assert!(seen.starts_with("failures:\n\n---- a ----\nwhy\n") && seen.ends_with("1 failed"));
        let mut failures = Failures::default();
        let why = ["failures:"].into_iter().chain(["x"; 1000]);
        why.chain(["failures:", "    a"]).for_each(|line| failures.see(line));
        assert_eq!(failures.lines.len(), Failures::MOST + 2);
    }
}
