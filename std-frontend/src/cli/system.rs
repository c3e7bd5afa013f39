//! The system's own network: what `anywire` runs on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use anywire_core::blocking::{Interest, Ready};
use anywire_core::datagram::{DatagramService, MAX_DATAGRAM, Question, Turn};
use anywire_core::instant::Instant;
use anywire_core::service::StreamService;
use socket2::{Domain, Socket, Type};

use crate::cli::network::{self, HostWire, Meeting, Network, Plan, each_address};
use crate::cli::stdio::Stdio;
use crate::clock;
use crate::engine::{self, Options, Protocol, Server};
use crate::folder::FolderStore;
use crate::open_files;
use crate::os::{self, BorrowedFd};
use crate::shim::Stream;

/// The system's sockets.
#[derive(Debug)]
pub struct System;

/// How the std frontend serves.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ServeOptions {
    /// How many clients are served at once
    #[arg(long, value_enum, default_value_t = Engine::Poll)]
    engine: Engine,
    /// Hold one conversation on standard input and output (with one service): for inetd, ssh, a pipe
    #[arg(long)]
    stdio: bool,
    /// As a child of a server, which is told what happens on standard error
    #[arg(long, hide = true, requires = "stdio")]
    child: bool,
    /// How many connections may wait in the kernel until they are accepted
    #[arg(long, value_name = "N", default_value_t = Options::default().backlog, value_parser = clap::value_parser!(i32).range(1..))]
    backlog: i32,
    /// Loops that accept, a thread each; with poll, each drives what it has accepted
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// With poll, threads that work on files; most of the time they wait for a disk
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    file_threads: u16,
    /// With poll, never sleep: answers come sooner, mostly where there are few connections, and each worker takes a whole processor,
    /// even while nothing happens
    #[arg(long)]
    busy_poll: bool,
}

/// The ways to serve many clients at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    /// All in one event loop, or one for each worker
    Poll,
    /// A thread for each
    Threads,
    /// A child process for each
    Processes,
}

/// Needs no options.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct NoOptions {}

impl Network for System {
    const PROGRAM: &'static str = "anywire";
    const ABOUT: &'static str = "The socket labs' services and clients, over the system's sockets";
    type Options = NoOptions;
    type ServeOptions = ServeOptions;
    type Wire = Stream;
    type Server = SystemServer;

    fn default_bind(_: &NoOptions) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn default_host(_: &NoOptions) -> String {
        Ipv4Addr::LOCALHOST.to_string()
    }

    fn open(_: NoOptions) -> Result<Self> {
        Ok(Self)
    }

    fn connect(
        &mut self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<(Stream, SocketAddr)> {
        each_address(addresses(host, port)?, host, port, "connect to", |addr| {
            let stream = Stream::connect(addr, timeout).map_err(|error| in_time(error, timeout))?;
            io::Result::Ok((stream, addr))
        })
    }

    fn ask(
        &mut self,
        host: &str,
        port: u16,
        question: &[u8],
        reply: &mut Vec<u8>,
        timeout: Duration,
    ) -> Result<()> {
        let len = question.len();
        ensure!(
            len <= MAX_DATAGRAM,
            "{len} bytes do not fit in a datagram, which takes {MAX_DATAGRAM}"
        );
        each_address(addresses(host, port)?, host, port, "ask", |addr| {
            ask(addr, question, reply, timeout).map_err(|error| in_time(error, timeout))
        })
    }

    fn beside<R: Send>(&mut self, work: impl FnOnce(&mut Self) -> R + Send) -> io::Result<R> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, || work(self))?;
            Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    fn meeting(serve: &ServeOptions) -> Meeting {
        match (serve.stdio, serve.child) {
            (false, _) => Meeting::Listening,
            (true, false) => Meeting::Stdio,
            (true, true) => Meeting::Child,
        }
    }

    fn server(_: NoOptions, serve: ServeOptions, plan: Plan) -> Result<SystemServer> {
        let meeting = Self::meeting(&serve);
        if meeting != Meeting::Listening {
            return Ok(SystemServer::Stdio(Stdio::new(plan, meeting)?));
        }
        ensure!(
            !serve.busy_poll || serve.engine == Engine::Poll,
            "--busy-poll needs --engine poll: the others wait in the kernel"
        );
        let (engine, most) = match serve.engine {
            Engine::Poll => (engine::Engine::Poll, Options::default().max_connections),
            Engine::Threads => (engine::Engine::Threads, Options::default().max_connections),
            Engine::Processes => (engine::Engine::Processes, CHILDREN),
        };
        let options = Options {
            engine,
            limits: plan.limits,
            max_connections: connections(plan.max_connections, most),
            backlog: serve.backlog,
            workers: serve.workers.into(),
            file_threads: serve.file_threads.into(),
            busy_poll: serve.busy_poll,
            grace: plan.grace,
            once: plan.once,
        };
        let store = plan.store.clone();
        if engine == engine::Engine::Processes {
            store.start_in().transpose()?;
        }
        let server = Server::new(options, plan.store, plan.observer);
        let server = server.context("cannot begin to serve")?.children(move |service| {
            let mut child = os::program(Self::PROGRAM);
            child.args((plan.arguments)(service)).args(["--stdio", "--child"]);
            // The folder as it was opened, not what has its name by now.
            if let Some(folder) = store.start_in() {
                // Where that cannot be had there is no child: it must not serve another one.
                child.current_dir(folder.unwrap_or_default()).args(["--dir", "."]);
            }
            child
        });
        Ok(SystemServer::Listening(server))
    }

    fn check_address(_: &NoOptions, addr: SocketAddr, protocol: Protocol) -> io::Result<()> {
        hold(addr, protocol).map(drop)
    }
}

/// With a process for each, so many connections there may be unless it is said.
const CHILDREN: usize = 200;

/// How many connections there may be: each may need a file besides its socket, and what is accepted must be served.
fn connections(asked: Option<usize>, default: usize) -> usize {
    /// For listeners, the folder, standard streams, event loops.
    const OTHERS: usize = 64;
    /// A server that is to have fewer should know.
    const WORTH_TELLING: usize = 1000;

    let limit = open_files::raise_limit();
    let most = (limit.saturating_sub(OTHERS) / 2).max(1);
    let wanted = asked.unwrap_or(default);
    // Where nobody has asked, a little less than the default is nothing to speak of.
    if asked.unwrap_or(default.min(WORTH_TELLING)) > most {
        tracing::warn!(
            "{limit} open files are allowed: enough for {most} connections, not for {wanted}"
        );
    }
    wanted.min(most)
}

/// Binds `addr` as a server would, to see whether it can be had.
fn hold(addr: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(addr), kind, None)?;
    if protocol == Protocol::Tcp {
        os::reuse_address(&socket)?;
    }
    socket.bind(&addr.into())?;
    if protocol == Protocol::Tcp {
        // With the address reused only this sees another listener.
        socket.listen(1)?;
    }
    Ok(socket)
}

/// What `serve` runs.
pub enum SystemServer {
    /// A server that listens.
    Listening(Server<FolderStore>),
    /// One conversation.
    Stdio(Stdio),
}

impl network::Server for SystemServer {
    fn bind_stream<S>(&mut self, service: S, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        S: StreamService + Send + 'static,
    {
        match self {
            Self::Listening(server) => server.bind_stream(service, addr),
            Self::Stdio(stdio) => Ok(stdio.bind_stream(service, addr)),
        }
    }

    fn bind_datagram<D>(&mut self, service: D, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        D: DatagramService + Send + 'static,
    {
        match self {
            Self::Listening(server) => server.bind_datagram(service, addr),
            Self::Stdio(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Another process may take the port before we do: then binding says so.
    fn free_port(&mut self, mut addr: SocketAddr) -> io::Result<u16> {
        /// A port that is free for streams is nearly always free for datagrams.
        const TRIES: usize = 64;
        let mut last = None;
        for _ in 0..TRIES {
            addr.set_port(0);
            let stream = hold(addr, Protocol::Tcp)?;
            addr = stream.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
            match hold(addr, Protocol::Udp) {
                Ok(_) => return Ok(addr.port()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }

    fn stopper(&self) -> Box<dyn Fn() + Send> {
        match self {
            Self::Listening(server) => {
                let stopper = server.stopper();
                Box::new(move || stopper.stop())
            }
            Self::Stdio(stdio) => stdio.stopper(),
        }
    }

    fn run(self) -> Result<()> {
        match self {
            Self::Listening(server) => server.run().context("the server failed"),
            Self::Stdio(stdio) => stdio.run(),
        }
    }
}

impl HostWire for Stream {
    fn wait_also(
        &mut self,
        interest: Option<Interest>,
        also: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> io::Result<(Ready, bool)> {
        match (interest, also) {
            (Some(interest), also) => self.wait_also(interest, also, deadline),
            // The system works on behind our back: a read may as well wait by itself.
            (None, also) => Ok((Ready::default(), also.is_some())),
        }
    }
}

/// The addresses of a host.
fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let addrs = (bare, port).to_socket_addrs();
    Ok(addrs.map_err(|error| anyhow!("cannot find the host {host}: {error}"))?.collect())
}

/// A time limit that has passed, in words.
fn in_time(error: io::Error, timeout: Duration) -> io::Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", timeout.as_secs_f64()),
        ),
        _ => error,
    }
}

/// Asks one address.
fn ask(
    addr: SocketAddr,
    question: &[u8],
    reply: &mut Vec<u8>,
    timeout: Duration,
) -> io::Result<()> {
    let any: SocketAddr = match addr {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    // From then on the kernel drops what strangers send, and tells us if nobody listens there.
    socket.connect(addr)?;
    let mut turns = Question::new(clock::now(), timeout);
    reply.resize(1 << 16, 0);
    loop {
        match turns.turn(clock::now()) {
            Turn::Send => {
                socket.send(question)?;
            }
            Turn::WaitUntil(deadline) => {
                let wait = clock::until(deadline).max(Duration::from_millis(1));
                socket.set_read_timeout(Some(wait))?;
                match socket.recv(reply) {
                    Ok(len) => {
                        reply.truncate(len);
                        return Ok(());
                    }
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::WouldBlock
                                | io::ErrorKind::TimedOut
                                | io::ErrorKind::Interrupted
                        ) => {}
                    Err(error) => return Err(error),
                }
            }
            Turn::GiveUp => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn every_address_has_its_turn_and_its_error() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let connect = |addrs: &[SocketAddr]| {
            let attempt = |addr| Stream::connect(addr, Duration::from_secs(5));
            each_address(addrs.iter().copied(), "name", 1, "connect to", attempt)
        };
        assert_eq!(connect(&[nobody, there]).unwrap().peer(), there);
        let only = connect(&[nobody]).unwrap_err().to_string();
        let why = only.strip_prefix("cannot connect to name port 1: ").unwrap();
        assert!(why.contains("refused"), "{why}");
        let both = connect(&[nobody, nobody]).unwrap_err().to_string();
        let each = format!("{nobody}: {why}");
        assert_eq!(both, format!("cannot connect to name port 1: {each}; {each}"));
        assert!(connect(&[]).unwrap_err().to_string().contains("no address"));
    }
}
