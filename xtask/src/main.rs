//! `cargo xtask`: builds, tests and checks Anywire.
//!
//! A module per command; `cargo xtask help` lists them. What CI runs (`.ci/run`) is `cargo xtask test` and
//! `cargo xtask lint`, so nothing happens there that cannot be had here.

mod bench;
mod demo;
mod fuzz;
mod lint;
mod no_std;
mod samples;
mod steps;
mod systems;
mod tap;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests and checks Anywire.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure Anywire and what one would pick instead side by side, and print what ours is to theirs
    Bench(bench::Args),
    /// Let Linux's own programs talk to every service of our stack and ours to Linux's, and say what worked; changes nothing
    Demo(demo::Args),
    /// Build the programs, then run the tests
    Test(test::Args),
    /// Feed the fuzz targets with what libFuzzer makes up, and say what broke
    Fuzz(fuzz::Args),
    /// Check formatting, clippy, the documentation and the no_std packages, and report all that is wrong at the end
    Lint,
    /// Check that the no_std packages need no operating system and no allocator, and that the core cannot panic
    NoStd,
    /// Make the labs' sample files of 55,696 and 583,163 bytes, for the servers to serve
    Samples(samples::Args),
    /// Make a TAP device for the smoltcp stack: for one shell only, or until it is taken down
    #[command(subcommand)]
    Tap(tap::Command),
}

fn main() -> ExitCode {
    // Without the backtrace that anyhow would add where RUST_BACKTRACE is set: what failed is a command, not this program.
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Bench(args) => bench::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Test(args) => test::run(args),
        Command::Fuzz(args) => fuzz::run(args),
        Command::Lint => lint::run(),
        Command::NoStd => no_std::run(),
        Command::Samples(args) => samples::run(args),
        Command::Tap(command) => tap::run(command),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        <super::Cli as clap::CommandFactory>::command().debug_assert();
    }
}
