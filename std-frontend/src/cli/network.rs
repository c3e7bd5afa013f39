//! What the command line needs of the network it runs on: the system's sockets, or a stack of our own.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use anywire_core::blocking::{Interest, Ready, Wire};
use anywire_core::conversation::Limits;
use anywire_core::datagram::DatagramService;
use anywire_core::instant::Instant;
use anywire_core::service::StreamService;

use crate::engine::{Observer, Protocol};
use crate::folder::FolderStore;
use crate::os::BorrowedFd;

/// A network, and the program that runs on it.
///
/// `main::<N>()` is the whole program: see [`crate::cli::main`].
pub trait Network: Sized {
    /// The program's name.
    const PROGRAM: &'static str;

    /// What the program is, in one line.
    const ABOUT: &'static str;

    /// Options of the network itself. Each must be `global = true`, so that it can stand before a command and after it; there
    /// is none of them in the names of [`crate::cli`]'s own.
    type Options: clap::Args + Clone;

    /// Options that only `serve` takes: how it serves.
    type ServeOptions: clap::Args;

    /// A connected stream.
    type Wire: HostWire;

    /// Services bound to addresses, ready to run.
    type Server: Server;

    /// The address that servers listen on unless told otherwise. It is not warned about.
    fn default_bind(options: &Self::Options) -> IpAddr;

    /// The host that clients connect to unless told otherwise.
    fn default_host(options: &Self::Options) -> String;

    /// Opens the network, to be a client on it.
    fn open(options: Self::Options) -> anyhow::Result<Self>;

    /// Connects to `port` of `host`, a name or an address; IPv6 may stand in brackets. Every address of a name is tried in turn, each for
    /// `timeout`. Returns the peer's address too. The error says what was tried, and why it failed.
    fn connect(
        &mut self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> anyhow::Result<(Self::Wire, SocketAddr)>;

    /// Sends a datagram and waits for the answer, which replaces what is in `reply`.
    ///
    /// The question goes out from a fresh local port, again and again as
    /// [`Question`](anywire_core::datagram::Question) says; answers of strangers are ignored.
    fn ask(
        &mut self,
        host: &str,
        port: u16,
        question: &[u8],
        reply: &mut Vec<u8>,
        timeout: Duration,
    ) -> anyhow::Result<()>;

    /// Waits until `input` can be read, or has ended: a user may take long, and connections are open meanwhile. A stack of our own goes on
    /// working; where the system does that for us there is nothing to do.
    fn await_input(&mut self, input: BorrowedFd<'_>) {
        let _ = input;
    }

    /// Does `work` on this network, beside the connections that are open: in a thread of its own, where a network can be used from several.
    /// By default in this one. Fails if there can be no thread.
    fn beside<R: Send>(&mut self, work: impl FnOnce(&mut Self) -> R + Send) -> io::Result<R> {
        Ok(work(self))
    }

    /// How a server meets its peers.
    fn meeting(serve_options: &Self::ServeOptions) -> Meeting {
        let _ = serve_options;
        Meeting::Listening
    }

    /// A server that listens nowhere yet. The error says what to do about it.
    fn server(
        options: Self::Options,
        serve_options: Self::ServeOptions,
        plan: Plan,
    ) -> anyhow::Result<Self::Server>;

    /// Whether `addr` can be bound now. Asked only to find a port to propose.
    fn check_address(
        options: &Self::Options,
        addr: SocketAddr,
        protocol: Protocol,
    ) -> io::Result<()> {
        let _ = (options, addr, protocol);
        Ok(())
    }
}

/// How a server meets its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// It listens.
    Listening,
    /// There is one peer, on standard input and output.
    Stdio,
    /// The same, as a child of a server that has accepted it.
    Child,
}

/// What a server is made of on every network.
pub struct Plan {
    /// What is put up with from a connection.
    pub limits: Limits,
    /// Open connections; `None`: the network's default.
    pub max_connections: Option<usize>,
    /// How long conversations may go on after the server was told to stop.
    pub grace: Duration,
    /// Serve one conversation, or one datagram, and stop.
    pub once: bool,
    /// Where files are.
    pub store: FolderStore,
    /// Is told what happens.
    pub observer: Arc<dyn Observer>,
    /// Arguments with which this program serves the service of that name in the same way, but for the folder, and the options of the network.
    pub arguments: Arguments,
}

/// Makes the arguments of a child that serves the service of that name.
pub type Arguments = Box<dyn Fn(&str) -> Vec<OsString> + Send + Sync>;

/// A server being put together, and then run.
pub trait Server {
    /// Listens on `addr` for `service`, and says where that is: port 0 takes a free one. The kind of the error decides what is advised:
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`.
    fn bind_stream<S>(&mut self, service: S, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        S: StreamService + Send + 'static;

    /// The same for datagrams.
    fn bind_datagram<D>(&mut self, service: D, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        D: DatagramService + Send + 'static;

    /// A port of `addr` that is free for streams and for datagrams.
    fn free_port(&mut self, addr: SocketAddr) -> io::Result<u16>;

    /// What makes [`run`](Self::run) stop in good order, from any thread.
    fn stopper(&self) -> Box<dyn Fn() + Send>;

    /// Serves until it is stopped, and everything has ended.
    fn run(self) -> anyhow::Result<()>;
}

/// What a client's stream must offer besides [`Wire`].
pub trait HostWire: Wire {
    /// [`Wire::wait`], but also until `also` can be read, or has ended. Says whether it has. Without an interest it waits for `also`
    /// alone; a stack of our own goes on working meanwhile.
    fn wait_also(
        &mut self,
        interest: Option<Interest>,
        also: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> Result<(Ready, bool), Self::Error>;

    /// Closes the connection in good order: what was written, and our end, still reach the peer if `within` is enough. Where the system
    /// sees to that there is nothing to do.
    fn close(self, within: Duration)
    where
        Self: Sized,
    {
        let _ = within;
    }
}

/// Tries every address of a host in turn. The error names each and what was wrong with it.
pub fn each_address<T, E: fmt::Display>(
    addrs: impl IntoIterator<Item = SocketAddr>,
    host: &str,
    port: u16,
    what: &str,
    mut attempt: impl FnMut(SocketAddr) -> Result<T, E>,
) -> anyhow::Result<T> {
    let mut failures = Vec::new();
    for addr in addrs {
        match attempt(addr) {
            Ok(done) => return Ok(done),
            Err(error) => failures.push((addr, error)),
        }
    }
    match failures.as_slice() {
        [] => bail!("the host {host} has no address"),
        [(_, error)] => bail!("cannot {what} {host} port {port}: {error}"),
        several => {
            let each: Vec<_> =
                several.iter().map(|(addr, error)| format!("{addr}: {error}")).collect();
            bail!("cannot {what} {host} port {port}: {}", each.join("; "))
        }
    }
}

/// What a wire's error means for a person.
pub(super) fn in_words(error: &impl embedded_io::Error) -> String {
    if is_reset(error) { "reset by the peer".to_owned() } else { error.to_string() }
}

/// Whether the peer reset the connection. A write or a shutdown after that fails in other words.
pub(super) fn is_reset(error: &impl embedded_io::Error) -> bool {
    use embedded_io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};

    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}
