//! Serving: listeners, connections, and the ways to drive many of them at once.
//!
//! `poll` is one event loop per worker. All its connections share the worker's buffers; one that waits owns none.

mod connections;
mod context;
mod datagrams;
mod jobs;
mod listener;
mod poll;
mod timers;
mod transfer;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anywire_core::conversation::Limits;
use anywire_core::datagram::DatagramService;
use anywire_core::date::Date;
use anywire_core::event::{Event, Host};
use anywire_core::service::StreamService;
use anywire_core::session::Session;
use anywire_core::store::Store;

use crate::clock;
use datagrams::Datagrams;
use jobs::Jobs;
use poll::Table;
use worker::Worker;

pub use transfer::{Halt, HostReader, HostStore, HostWriter, Received, Sent};

/// How a server serves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What is put up with from a connection.
    pub limits: Limits,
    /// Open connections, over all workers. At the limit no more are accepted until there is room.
    pub max_connections: usize,
    /// How many connections may wait in the kernel until they are accepted.
    pub backlog: i32,
    /// Event loops, a thread each.
    pub workers: usize,
    /// Threads that work on files for all workers. Mostly they wait for a disk: that has many files sync at once in little more time than
    /// one takes.
    pub file_threads: usize,
    /// How long conversations may go on after the server was told to stop.
    pub grace: Duration,
    /// Serve one conversation, or one datagram, and stop.
    pub once: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_connections: 10_000,
            backlog: 1024,
            workers: 1,
            file_threads: 32,
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
}

/// Is told what happens on every connection, by whichever thread it happens on. It must not block for long.
pub trait Observer: Send + Sync {
    /// `event` happened on `link`.
    fn observe(&self, link: &Link, event: Event<'_>);
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
    stopper: Stopper,
}

/// Stops a [`Server`], from any thread.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
}

/// What the workers share.
pub(crate) struct Shared {
    /// Open connections, over all workers.
    open: AtomicUsize,
    /// 0 while the server runs.
    stopping: AtomicUsize,
    wakers: Vec<Arc<mio::Waker>>,
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

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire) != 0
    }
}

impl<St: HostStore> Server<St> {
    /// A server that listens nowhere yet.
    pub fn new(options: Options, store: St, observer: Arc<dyn Observer>) -> io::Result<Self> {
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
            wakers: polls.iter().map(|(_, waker)| Arc::clone(waker)).collect(),
        });
        let pool = jobs::pool(options.file_threads)?;
        let workers = polls
            .into_iter()
            .map(|(poll, waker)| {
                let jobs = Jobs::new(Arc::clone(&pool), waker);
                Worker::new(poll, options, store.clone(), jobs, Arc::clone(&shared))
            })
            .collect();
        Ok(Self { options, observer, workers, stopper: Stopper { shared } })
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
            let table = Table::<S, St>::new(service, Arc::clone(&self.observer));
            worker.add_stream(listener, addr, Box::new(table))?;
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
        std::thread::scope(|scope| {
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
        })
    }
}
