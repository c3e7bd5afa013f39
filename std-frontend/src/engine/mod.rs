//! Serving: listeners, connections, and the ways to drive many of them at once.
//!
//! A worker is a loop that accepts, and that answers datagrams. Its connections are driven in one of these ways, each with the
//! sessions and the rules of the core:
//!
//! - `poll`: in the worker's own loop. They share the worker's buffers; one that waits owns none.
//! - `threads`: by the blocking driver, a thread and its buffers for each;
//! - `processes`: by the same driver, in a child process for each, which has the socket as its standard input and output.

mod connections;
mod context;
pub(crate) mod conversing;
mod datagrams;
mod jobs;
pub(crate) mod listener;
mod orders;
mod poll;
mod processes;
pub mod report;
mod threads;
mod timers;
mod transfer;
mod worker;

/// One conversation on standard input and output: from inetd, in an ssh session, between two pipes, or as a child of a server.
pub mod stdio {
    pub use crate::os::stdio::{converse, errors_go_to_the_peer, silence_errors};
}

use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anywire_core::conversation::Limits;
use anywire_core::datagram::DatagramService;
use anywire_core::date::Date;
use anywire_core::event::{Event, Host};
use anywire_core::instant::Instant;
use anywire_core::service::StreamService;
use anywire_core::session::Session;
use anywire_core::store::Store;

use crate::clock;
use crate::metrics::StepCounts;
use crate::os;
use connections::Connections;
use datagrams::Datagrams;
use jobs::{Jobs, Pool};
use poll::Table;
use processes::{ChildCommand, Processes};
use threads::Threads;
use worker::Worker;

pub use orders::Orders;
pub use transfer::{Halt, HostReader, HostStore, HostWriter, Received, Sent};

/// A way to serve many clients at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// All in the worker's event loop.
    #[default]
    Poll,
    /// A thread for each, which waits in the kernel for its own connection.
    Threads,
    /// A process for each: the [children](Server::children) of this one.
    Processes,
}

/// How a server serves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How connections are driven.
    pub engine: Engine,
    /// What is put up with from a connection.
    pub limits: Limits,
    /// Open connections, over all workers. At the limit no more are accepted until there is room.
    pub max_connections: usize,
    /// How many connections may wait in the kernel until they are accepted.
    pub backlog: i32,
    /// Loops that accept, a thread each; the kernel spreads the connections among them. With [`Engine::Poll`] each drives its own.
    pub workers: usize,
    /// With [`Engine::Poll`], threads that work on files for all workers. Mostly they wait for a disk: that has many files sync at once in little more time than
    /// one takes.
    pub file_threads: usize,
    /// With [`Engine::Poll`], workers never sleep: whatever comes is seen at once, and each worker takes a whole processor for that, with
    /// connections or without.
    pub busy_poll: bool,
    /// How long conversations may go on after the server was told to stop.
    pub grace: Duration,
    /// Serve one conversation, or one datagram, and stop.
    pub once: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            limits: Limits::default(),
            max_connections: 10_000,
            backlog: 1024,
            workers: 1,
            file_threads: 32,
            busy_poll: false,
            grace: Duration::from_secs(5),
            once: false,
        }
    }
}

/// What a connection runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// As it stands in a `listening` line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Which connection an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The service's name.
    pub service: &'static str,
    /// What it runs on.
    pub protocol: Protocol,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
    /// When it began, by the [`clock`].
    pub since: Instant,
}

/// Is told what happens on every connection, by whichever thread it happens on. It must not block for long.
pub trait Observer: Send + Sync {
    /// `event` happened on `link`.
    fn observe(&self, link: &Link, event: Event<'_>);

    /// In a process of its own the session on `link` did so much, besides what was told before. Nothing by default.
    fn stepped(&self, link: &Link, counts: &StepCounts) {
        let _ = (link, counts);
    }

    /// A connection could not be accepted, because the system has run out of something. Told each time that is tried. Nothing by default.
    fn not_accepted(&self, error: &io::Error) {
        let _ = error;
    }
}

/// An observer that looks away.
impl Observer for () {
    fn observe(&self, _: &Link, _: Event<'_>) {}
}

/// The host of the sessions on one link.
pub(crate) struct LinkHost<'a> {
    pub(crate) link: &'a Link,
    pub(crate) observer: &'a dyn Observer,
}

impl Host for LinkHost<'_> {
    fn observe(&mut self, event: Event<'_>) {
        self.observer.observe(self.link, event);
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        getrandom::fill(buf).is_ok()
    }

    fn date(&mut self) -> Option<Date> {
        Some(clock::date())
    }
}

/// Services bound to addresses, ready to run.
///
/// ```no_run
/// use std::sync::Arc;
/// use anywire_core::service::echo::Echo;
/// use anywire_std::engine::{Options, Server};
/// use anywire_core::store::NoStore;
///
/// // With files it would be a `FolderStore`.
/// let mut server = Server::new(Options::default(), NoStore, Arc::new(()))?;
/// let addr = server.bind_stream(Echo, "127.0.0.1:0".parse().unwrap())?;
/// println!("echo listens on {addr}");
/// server.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Server<St: Store> {
    options: Options,
    observer: Arc<dyn Observer>,
    workers: Vec<Worker<St>>,
    /// For conversations in threads of their own.
    orders: Arc<Orders>,
    /// For those in processes of their own.
    child: Option<ChildCommand>,
    stopper: Stopper,
}

/// Stops a [`Server`], from any thread.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
}

/// Without a shortage for so long, the next one is told again.
const CALM: Duration = Duration::from_secs(60);

/// What the workers share.
pub(crate) struct Shared {
    /// Open connections, over all workers.
    open: AtomicUsize,
    /// 0 while the server runs.
    stopping: AtomicUsize,
    /// A shortage is not told again until then, for as long as it goes on.
    quiet_until: Mutex<Option<Instant>>,
    /// Processes that did not end by themselves.
    killed: AtomicUsize,
    wakers: Vec<Arc<mio::Waker>>,
    /// Is told what is of no connection.
    observer: Arc<dyn Observer>,
}

impl Stopper {
    /// Accept no more, end what is idle, let the rest finish within the grace.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

impl Shared {
    pub(crate) fn stop(&self) {
        self.stopping.store(1, Ordering::Release);
        for waker in &self.wakers {
            // It fails only if the worker is gone.
            let _ = waker.wake();
        }
    }

    /// Whether a shortage is to be told of, or goes on as it was told already, by whichever worker.
    fn is_news(&self, now: Instant) -> bool {
        let mut quiet_until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        quiet_until.replace(now + CALM).is_none_or(|until| until <= now)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire) != 0
    }
}

impl<St: HostStore> Server<St> {
    /// A server that listens nowhere yet.
    pub fn new(options: Options, store: St, observer: Arc<dyn Observer>) -> io::Result<Self> {
        if options.engine == Engine::Processes {
            os::can_start_children()?;
        }
        // One conversation needs one loop; several would serve one each.
        let workers = if options.once { 1 } else { options.workers.max(1) };
        let polls = (0..workers)
            .map(|_| {
                let poll = mio::Poll::new()?;
                let waker = Arc::new(mio::Waker::new(poll.registry(), worker::WAKER)?);
                Ok((poll, waker))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let shared = Arc::new(Shared {
            open: AtomicUsize::new(0),
            stopping: AtomicUsize::new(0),
            quiet_until: Mutex::default(),
            killed: AtomicUsize::new(0),
            wakers: polls.iter().map(|(_, waker)| Arc::clone(waker)).collect(),
            observer: Arc::clone(&observer),
        });
        let pool = match options.engine {
            Engine::Poll => Some(Arc::new(Pool::new(options.file_threads)?)),
            Engine::Threads | Engine::Processes => None,
        };
        let workers = polls
            .into_iter()
            .map(|(poll, waker)| {
                let jobs = Jobs::new(pool.clone(), waker);
                Worker::new(poll, options, store.clone(), jobs, Arc::clone(&shared))
            })
            .collect();
        let orders = Arc::new(Orders::new()?);
        Ok(Self { options, observer, workers, orders, child: None, stopper: Stopper { shared } })
    }

    /// Says what the children of [`Engine::Processes`] are: `command` holds one conversation of the service with that name on its standard
    /// input and output, a socket, by [`stdio::converse`], tells of it by [`report::Reporter`], and does what
    /// [`report::obey`] is told. To be said before anything is bound.
    pub fn children(
        self,
        command: impl Fn(&'static str) -> Command + Send + Sync + 'static,
    ) -> Self {
        Self { child: Some(Arc::new(command)), ..self }
    }

    /// Listens on `addr` for `service`, and says where that is: port 0 takes a free one.
    pub fn bind_stream<S>(&mut self, service: S, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        S: StreamService + Send + 'static,
    {
        let count = self.workers.len();
        let armed = S::Session::END_PROVES;
        let mut listeners = listener::streams(addr, self.options.backlog, count, armed)?;
        let addr = listeners.first_mut().map_or(Ok(addr), |listener| listener.local_addr())?;
        for (worker, listener) in self.workers.iter_mut().zip(listeners) {
            let observer = Arc::clone(&self.observer);
            let table: Box<dyn Connections<St>> = match self.options.engine {
                Engine::Poll => Box::new(Table::<S, St>::new(service, observer)),
                Engine::Threads => {
                    let (orders, ended) = (Arc::clone(&self.orders), worker.ended());
                    Box::new(Threads::new(service, observer, orders, ended))
                }
                Engine::Processes => {
                    let child = self.child.clone().ok_or(io::ErrorKind::InvalidInput)?;
                    Box::new(Processes::new(S::ABOUT.name, child, observer))
                }
            };
            worker.add_stream(listener, addr, table)?;
        }
        Ok(addr)
    }

    /// Receives datagrams at `addr` for `service`, and says where that is. One loop serves all of them.
    pub fn bind_datagram<D>(&mut self, service: D, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        D: DatagramService + Send + 'static,
    {
        let socket = listener::datagrams(addr)?;
        let addr = socket.local_addr()?;
        if let Some(worker) = self.workers.first_mut() {
            let served = Datagrams::new(service, socket, addr, Arc::clone(&self.observer));
            worker.add_datagram(Box::new(served))?;
        }
        Ok(addr)
    }

    /// What stops this server.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves until it is stopped, and everything has ended.
    pub fn run(self) -> io::Result<()> {
        let mut workers = self.workers.into_iter();
        let Some(mut first) = workers.next() else { return Ok(()) };
        let done = std::thread::scope(|scope| {
            let others: Vec<_> = workers
                .map(|mut worker| {
                    std::thread::Builder::new()
                        .name("worker".into())
                        .spawn_scoped(scope, move || worker.run())
                })
                .collect::<io::Result<_>>()?;
            let mut done = first.run();
            for other in others {
                let other = other.join().unwrap_or_else(|_| {
                    Err(io::Error::other("a worker has panicked: a bug, please report it"))
                });
                done = done.and(other);
            }
            done
        });
        let killed = self.stopper.shared.killed.load(Ordering::Relaxed);
        if killed > 0 {
            tracing::warn!(
                "processes that did not react when the server stopped, and were killed: {killed}"
            );
        }
        done
    }
}
