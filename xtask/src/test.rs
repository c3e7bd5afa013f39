//! `cargo xtask test`: builds the programs, then runs the tests, of everything or of one frontend.
//!
//! The scenarios of package `anywire-tests` run over every transport. The variable `ANYWIRE_FRONTEND` tells its harness
//! to leave out the transports of the other frontend. Arguments behind `--` go to the test binaries, so that
//! `cargo xtask test -- tap-server::echo` runs a part of the matrix.

use anyhow::{Context as _, Result};
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
            Self::Smoltcp => &[
                "-p=anywire-core",
                "-p=anywire-smoltcp",
                "-p=anywire-tap",
                "-p=anywire-tests",
                "-p=anywire-fuzz-targets",
            ],
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
    cmd!(sh, "cargo test --no-fail-fast {packages...} -- {args...}").run().context("tests failed")
}
