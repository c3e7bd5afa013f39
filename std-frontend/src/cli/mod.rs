//! The command line: one piece of code for every [`Network`] it runs on.
//!
//! `anywire` is `main::<System>()`; a program on another network is `main` with its own type.

mod catalog;
mod client;
mod connect;
mod endpoint;
mod failure;
mod list;
pub mod network;
mod one_file;
mod options;
mod serve;
mod signals;
pub mod system;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::console::log::{self, Level};
use failure::Failure;
use network::Network;
use options::{Cli, Command};

/// The program: parses the command line of this process, does what it says, and returns the exit status: 0, 1 if it failed, 2 if it was
/// used wrong.
///
/// ```no_run
/// use anywire_std::cli::{main, system::System};
///
/// main::<System>();
/// ```
pub fn main<N: Network>() -> ExitCode {
    match run::<N>(std::env::args_os().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(N::PROGRAM),
    }
}

fn run<N: Network>(args: Vec<OsString>) -> Result<(), Failure> {
    let Cli { network, logging, command } = parse::<N>(args)?;
    match command {
        Some(Command::Serve(serve)) => {
            log::start(logging.level(Level::Normal));
            serve::run::<N>(network, *serve)
        }
        Some(Command::Client(client)) => {
            log::start(logging.level(Level::Warnings));
            client::run::<N>(network, client)
        }
        Some(Command::Connect(connect)) => {
            log::start(logging.level(Level::Warnings));
            connect::run::<N>(network, connect)
        }
        Some(Command::List) | None => list::run(),
    }
}

/// Without a command it is `serve`, with whatever else was said.
fn parse<N: Network>(mut args: Vec<OsString>) -> Result<Cli<N>, clap::Error> {
    let cli = parse_exactly::<N>(&args)?;
    if cli.command.is_some() {
        return Ok(cli);
    }
    args.push("serve".into());
    parse_exactly::<N>(&args)
}

fn parse_exactly<N: Network>(args: &[OsString]) -> Result<Cli<N>, clap::Error> {
    let mut command = Cli::<N>::command().name(N::PROGRAM).bin_name(N::PROGRAM).about(N::ABOUT);
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}
