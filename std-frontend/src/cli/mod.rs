//! The command line: one piece of code for every [`Network`] it runs on.
//!
//! `anywire` is `main::<System>()`; a program on another network is `main` with its own type.

mod arguments;
mod catalog;
mod client;
mod completions;
mod conflicts;
mod connect;
mod endpoint;
mod failure;
mod list;
pub mod network;
mod one_file;
mod options;
mod serve;
mod settings;
mod signals;
mod stdio;
pub mod system;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use settings::Settings;

use crate::console::log::{self, Format, Level};
use crate::os;
use conflicts::Given;
use failure::Failure;
use network::{Meeting, Network};
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
    let Parsed { cli: Cli { network, logging, command }, settings, given } = parse::<N>(args)?;
    os::signals::survive_file_limit().map_err(anyhow::Error::from)?;
    match command {
        Some(Command::Serve(serve)) => {
            let (level, format) = (logging.level(Level::Normal), serve.log_format);
            let log = match N::meeting(&serve.network) {
                Meeting::Child => {
                    log::start_as_child(level);
                    None
                }
                Meeting::Stdio | Meeting::Listening => Some(log::start(level, format)),
            };
            let served = serve::run::<N>(network, *serve, &settings, &given, logging, log.as_ref());
            match format {
                Format::Text => served,
                Format::Json => served.map_err(Failure::logged),
            }
        }
        Some(Command::Client(client)) => {
            let _log = log::start(logging.level(Level::Warnings), Format::Text);
            client::run::<N>(network, client)
        }
        Some(Command::Connect(connect)) => {
            let _log = log::start(logging.level(Level::Warnings), Format::Text);
            connect::run::<N>(network, connect)
        }
        Some(Command::Completions { shell }) => {
            completions::run(self::command::<N>(&catalog::services()), shell)
        }
        Some(Command::List) | None => list::run(),
    }
}

/// A command line, understood.
struct Parsed<N: Network> {
    cli: Cli<N>,
    /// What was given to `serve`: of the services' settings, and in all.
    settings: Settings,
    given: Given,
}

/// Without a command it is `serve`, with whatever else was said.
fn parse<N: Network>(mut args: Vec<OsString>) -> Result<Parsed<N>, clap::Error> {
    let parsed = parse_exactly::<N>(&args)?;
    if parsed.cli.command.is_some() {
        return Ok(parsed);
    }
    args.push(SERVE.into());
    parse_exactly::<N>(&args)
}

fn parse_exactly<N: Network>(args: &[OsString]) -> Result<Parsed<N>, clap::Error> {
    let services = catalog::services();
    let mut command = command::<N>(&services);
    let matches = command.try_get_matches_from_mut(args)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let (mut settings, mut given) = Default::default();
    if let (Some(matches), Some(serve)) =
        (matches.subcommand_matches(SERVE), command.find_subcommand(SERVE))
    {
        settings = Settings::given(matches, &services);
        given =
            Given::new(args.first().map_or(N::PROGRAM.as_ref(), |program| program), serve, matches);
    }
    Ok(Parsed { cli, settings, given })
}

const SERVE: &str = "serve";

/// The whole definition: what is written in [`options`], and what the services add.
fn command<N: Network>(services: &[catalog::Listed]) -> clap::Command {
    let command = Cli::<N>::command().name(N::PROGRAM).bin_name(N::PROGRAM).about(N::ABOUT);
    command.mut_subcommand(SERVE, |serve| settings::add_to(serve, services))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use super::*;
    use crate::cli::system::System;

    /// A network with an option of its own; nothing can be done on it.
    struct Other;

    #[derive(Clone, clap::Args)]
    struct OtherOptions {
        #[arg(long, global = true, default_value = "tap0")]
        tap: String,
    }

    #[derive(clap::Args)]
    struct NoOptions {}

    impl Network for Other {
        const PROGRAM: &'static str = "other";
        const ABOUT: &'static str = "Another network";
        type Options = OtherOptions;
        type ServeOptions = NoOptions;
        type Wire = <System as Network>::Wire;
        type Server = <System as Network>::Server;

        fn default_bind(_: &OtherOptions) -> IpAddr {
            Ipv4Addr::LOCALHOST.into()
        }

        fn default_host(_: &OtherOptions) -> String {
            unreachable!()
        }

        fn open(_: OtherOptions) -> anyhow::Result<Self> {
            anyhow::bail!("not there")
        }

        fn connect(
            &mut self,
            _: &str,
            _: u16,
            _: Duration,
        ) -> anyhow::Result<(Self::Wire, SocketAddr)> {
            unreachable!()
        }

        fn ask(
            &mut self,
            _: &str,
            _: u16,
            _: &[u8],
            _: &mut Vec<u8>,
            _: Duration,
        ) -> anyhow::Result<()> {
            unreachable!()
        }

        fn server(_: OtherOptions, _: NoOptions, _: network::Plan) -> anyhow::Result<Self::Server> {
            unreachable!()
        }
    }

    fn parsed(args: &[&str]) -> Cli<Other> {
        let args = std::iter::once(&"other").chain(args).map(OsString::from).collect();
        parse(args).unwrap_or_else(|error| panic!("{error}")).cli
    }

    #[test]
    fn the_networks_options_stand_before_a_command_or_after_it() {
        assert_eq!(parsed(&["list"]).network.tap, "tap0");
        assert_eq!(parsed(&["--tap", "tap1", "serve", "echo"]).network.tap, "tap1");
        assert_eq!(parsed(&["serve", "echo", "--tap", "tap1"]).network.tap, "tap1");
        assert_eq!(parsed(&["client", "hello", "--tap", "tap1", "x"]).network.tap, "tap1");
    }

    #[test]
    fn no_command_is_serve() {
        for args in [&[][..], &["--tap", "tap1"], &["-v"]] {
            let Some(Command::Serve(serve)) = parsed(args).command else { panic!("{args:?}") };
            assert!(serve.services.is_empty());
        }
    }

    #[test]
    fn the_definition_is_sound() {
        let services = catalog::services();
        command::<Other>(&services).debug_assert();
        command::<System>(&services).debug_assert();
    }
}
