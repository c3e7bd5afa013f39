//! The command line, as it is parsed.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anywire_core::schema::Schema;
use anywire_core::service::fixed::Fixed as FixedService;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::cli::endpoint::{self, Endpoint, Host};
use crate::cli::network::Network;
use crate::cli::values;
use crate::console::log::{Format, Level};

#[derive(Parser)]
#[command(
    version,
    after_help = "Without a command, every service is served on its default port.",
    propagate_version = true,
    infer_subcommands = false
)]
pub(super) struct Cli<N: Network> {
    #[command(flatten)]
    pub(super) network: N::Options,
    #[command(flatten)]
    pub(super) logging: Logging,
    #[command(subcommand)]
    pub(super) command: Option<Command<N>>,
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Logging {
    /// Log more: who connects, and each file while it comes; twice, everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true)]
    quiet: bool,
}

impl Logging {
    /// The same as arguments again.
    pub(super) fn arguments(self) -> Vec<OsString> {
        let verbose = (0..self.verbose).map(|_| "-v");
        verbose.chain(self.quiet.then_some("-q")).map(OsString::from).collect()
    }

    /// `usual` unless more or less was asked for.
    pub(super) fn level(self, usual: Level) -> Level {
        match (self.quiet, self.verbose) {
            (true, _) => Level::Quiet,
            (false, 0) => usual,
            (false, 1) => Level::Verbose,
            (false, _) => Level::Everything,
        }
    }
}

#[derive(Subcommand)]
pub(super) enum Command<N: Network> {
    /// Serve services, all of them if none is named
    Serve(Box<Serve<N>>),
    /// Talk to a service as its client
    #[command(subcommand)]
    Client(Client),
    /// Send what is typed, show what comes back, add nothing
    Connect(Connect),
    /// List the services, their ports and options
    List,
    /// Print what a shell needs to complete this program's command lines
    Completions {
        /// Whose: bash, zsh, fish, elvish, powershell
        #[arg(value_name = "SHELL", hide_possible_values = true)]
        shell: Shell,
    },
}

#[derive(Args)]
pub(super) struct Serve<N: Network> {
    /// What to serve, and where; port 0 takes a free one
    #[arg(value_name = "SERVICE[=[ADDR:]PORT]", value_parser = endpoint::parse)]
    pub(super) services: Vec<Endpoint>,
    /// The address to listen on
    #[arg(long, value_name = "ADDR", value_parser = Host::parse)]
    pub(super) bind: Option<Host>,
    /// The port to listen on (with one service)
    #[arg(long, value_name = "PORT")]
    pub(super) port: Option<u16>,
    /// The folder for files; made when needed
    #[arg(long, value_name = "DIR", default_value = "anywire-data", value_hint = ValueHint::DirPath)]
    pub(super) dir: PathBuf,
    /// The folder for logdate's logs; DIR/logs unless said
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) log_dir: Option<PathBuf>,
    /// Serve one conversation, or one datagram, and exit (with one service)
    #[arg(long)]
    pub(super) once: bool,
    /// Print on standard output what the labs' servers print
    #[arg(long)]
    pub(super) transcript: bool,
    /// Stop when Esc is pressed alone in the terminal of standard input
    #[arg(long)]
    pub(super) esc: bool,
    /// What a line of the log, on standard error, is: text, or a JSON object
    #[arg(long, value_enum, value_name = "text|json", default_value_t = Format::Text, hide_possible_values = true)]
    pub(super) log_format: Format,
    /// Serve metrics for Prometheus, over HTTP on the system's own network; ADDR is 127.0.0.1 unless said, and port 0 takes a free one
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = endpoint::place)]
    pub(super) metrics: Option<SocketAddr>,
    /// End a connection that is silent for so long; 0: never
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = values::seconds)]
    pub(super) idle_timeout: Duration,
    /// Abort a connection whose head or name takes so long; 0: never
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = values::seconds)]
    pub(super) head_timeout: Duration,
    /// When told to stop, let busy conversations go on for so long
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = values::seconds)]
    pub(super) grace: Duration,
    /// Accept no more than so many connections at a time
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) max_connections: Option<usize>,
    /// The longest file that is taken, in bytes or with K, M, G
    #[arg(long, value_name = "BYTES", default_value = "4G", value_parser = values::bytes)]
    pub(super) max_file: u64,
    /// Do not wait until a stored file is on the disk
    #[arg(long)]
    pub(super) no_sync: bool,
    #[command(flatten)]
    pub(super) network: N::ServeOptions,
}

#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Send a text and see it come back
    Echo(Echo),
    /// Send a message and see the answer
    Hello(Hello),
    /// Send lines of up to 4096 bytes, and see what comes back for each
    Message(Chat),
    /// Send messages of one length, and check that they come back as they were
    Fixed(Fixed),
    /// Connect, and see the server end
    Knock(Knock),
    /// Send one message with its type: a text, random bytes, or a file
    Typed(Typed),
    /// Store files on the server
    Upload(Upload),
    /// Fetch a file
    File(File),
    /// Ask for the date and the time
    Date(Target),
    /// Ask for the date and the time; the server keeps a log of it
    #[command(name = "logdate")]
    LogDate(Target),
    /// Find the server's number from 1 to 99, over UDP
    Guess(Guess),
    /// Send lines of up to 1023 bytes, and be greeted for each
    Greet(Chat),
    /// Find out how long a file is, and say so to hello
    ReportSize(ReportSize),
}

/// Whom a client talks to.
#[derive(Clone, Debug, Args)]
pub(super) struct Target {
    /// The server's name or address
    #[arg(long, value_name = "HOST", value_parser = values::host_option)]
    pub(super) host: Option<String>,
    /// The server's port, if it is not the service's default
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,
    /// How long to wait for the connection, and for each answer or step of progress
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = values::some_seconds)]
    pub(super) timeout: Duration,
}

#[derive(Debug, Args)]
pub(super) struct Echo {
    #[command(flatten)]
    pub(super) target: Target,
    /// Over UDP
    #[arg(long)]
    pub(super) udp: bool,
    /// What to send
    #[arg(value_name = "TEXT", default_value = "Test message. This will be echoed")]
    pub(super) text: OsString,
}

#[derive(Debug, Args)]
pub(super) struct Hello {
    #[command(flatten)]
    pub(super) target: Target,
    /// What to send; asked for if it is missing
    #[arg(value_name = "TEXT")]
    pub(super) text: Option<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct File {
    #[command(flatten)]
    pub(super) target: Target,
    /// Which file; asked for if it is missing
    #[arg(value_name = "NAME")]
    pub(super) name: Option<OsString>,
    /// Where to put it: NAME if it is not said, - for standard output
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Typed {
    #[command(flatten)]
    pub(super) target: Target,
    /// Send TEXT, as a STRING
    #[arg(long, value_name = "TEXT", group = "what", allow_hyphen_values = true)]
    pub(super) string: Option<OsString>,
    /// Send N random bytes, as DATA; N may have K, M, G behind it
    #[arg(long, value_name = "N", group = "what", value_parser = values::bytes)]
    pub(super) random: Option<u64>,
    /// Send a file, as DATA
    #[arg(long, value_name = "FILE", group = "what")]
    pub(super) file: Option<PathBuf>,
    /// What the server's tags mean: whether data has its length before it, or ends with the stream
    #[arg(long, value_name = "SCHEMA", default_value = "sized", value_parser = schema())]
    pub(super) schema: Schema,
}

#[derive(Debug, Args)]
pub(super) struct Upload {
    #[command(flatten)]
    pub(super) target: Target,
    /// Which files; asked for if there are none
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Chat {
    #[command(flatten)]
    pub(super) target: Target,
    /// What to send; lines of standard input if it is missing
    #[arg(value_name = "TEXT")]
    pub(super) text: Option<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct Fixed {
    #[command(flatten)]
    pub(super) target: Target,
    /// The length of a message, in bytes, from 1 to 65536: the server's
    #[arg(long, value_name = "N", default_value_t = FixedService::LEN as u32,
        value_parser = clap::value_parser!(u32).range(1..=FixedService::LEN_MAX as i64))]
    pub(super) length: u32,
    /// What to send, the last message padded with zeros; - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Knock {
    #[command(flatten)]
    pub(super) target: Target,
    /// Knock N times at most; if standard input is no terminal, N times without reading it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Guess {
    #[command(flatten)]
    pub(super) target: Target,
    /// Find the number without asking anybody else
    #[arg(long)]
    pub(super) auto: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReportSize {
    /// The servers' name or address
    #[arg(long, value_name = "HOST", value_parser = values::host_option)]
    pub(super) host: Option<String>,
    /// hello's port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) hello_port: Option<u16>,
    /// file's port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) file_port: Option<u16>,
    /// How long to wait for a connection, and for each answer or step of progress
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = values::some_seconds)]
    pub(super) timeout: Duration,
    /// Which file; asked for if it is missing
    #[arg(value_name = "NAME")]
    pub(super) name: Option<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct Connect {
    /// The server's name or address
    #[arg(value_name = "HOST", value_parser = values::host)]
    pub(super) host: String,
    /// The server's port
    #[arg(value_name = "PORT", value_parser = values::port)]
    pub(super) port: u16,
    /// Send TEXT instead of standard input; \r \n \t \xNN stand for bytes
    #[arg(long, value_name = "TEXT", value_parser = values::unescape, allow_hyphen_values = true)]
    pub(super) send: Option<std::vec::Vec<u8>>,
    /// How long to wait for the connection
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = values::some_seconds)]
    pub(super) timeout: Duration,
}

fn schema() -> impl TypedValueParser<Value = Schema> {
    PossibleValuesParser::new(["sized", "close"])
        .try_map(|name| Schema::named(&name).ok_or("no such schema"))
}

fn at_least_one(text: &str) -> anyhow::Result<usize> {
    match text.parse()? {
        0 => anyhow::bail!("at least 1 is needed"),
        n => Ok(n),
    }
}
