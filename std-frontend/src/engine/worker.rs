//! One event loop: its listeners, its connections, its datagrams, its timers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anywire_core::instant::{Instant, earliest};
use anywire_core::store::{OpenIn, Store};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use super::connections::{Connections, Readiness, Unserved};
use super::context::Context;
use super::datagrams::Served;
use super::jobs::Jobs;
use super::threads::Ended;
use super::transfer::HostStore;
use super::{Engine, Link, Options, Protocol, Shared};
use crate::clock;
use crate::os;
use crate::shim::reset_on_close;

/// So many connections are accepted before others have their turn.
const BATCH: usize = 64;

/// So many where each takes the start of a process: all others of the worker's wait for that, children that have ended too.
const BATCH_OF_PROCESSES: usize = 1;

/// After the system ran out of something, accepting rests so long.
const REST: Duration = Duration::from_millis(100);

/// So long after the grace what was aborted has ended, unless it does not react at all.
const LATE: Duration = Duration::from_secs(2);

/// Which connection: the number of its table, and its slot there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u32);

/// Tables, and what is not in a table, have the highest 8 bits of a token.
const SLOT_BITS: u32 = 24;
const LISTENERS: u8 = 253;
const DATAGRAMS: u8 = 254;
/// The token of a worker's waker.
pub(super) const WAKER: Token = Token(255 << SLOT_BITS);

impl Key {
    /// `slot` is less than 2^24: more connections than a process can have open.
    pub(super) fn new(table: u8, slot: usize) -> Self {
        debug_assert!(slot < 1 << SLOT_BITS, "a slot has {SLOT_BITS} bits");
        Self(u32::from(table) << SLOT_BITS | slot as u32)
    }

    pub(super) fn table(self) -> u8 {
        (self.0 >> SLOT_BITS) as u8
    }

    pub(super) fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }

    pub(super) fn token(self) -> Token {
        Token(self.0 as usize)
    }
}

/// A connection that was accepted, and waits until it can be served.
struct Accepted {
    stream: TcpStream,
    table: u8,
    local: SocketAddr,
    peer: SocketAddr,
}

/// How far a worker is with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// What is idle was ended, and the rest was told.
    Retired {
        abort: Instant,
    },
    /// The grace is over, and what was left was aborted.
    Aborted {
        kill: Instant,
    },
    /// What did not react was killed: there is only its end, and jobs, to wait for.
    Killed,
}

impl Stopping {
    /// When to go further, once it has begun.
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::No | Self::Killed => None,
            Self::Retired { abort: deadline } | Self::Aborted { kill: deadline } => Some(deadline),
        }
    }
}

struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    table: u8,
    /// There may be connections to accept.
    ready: bool,
}

pub(super) struct Worker<St: Store> {
    poll: Poll,
    options: Options,
    /// It never sleeps.
    busy: bool,
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    /// When accepting goes on, after it had to rest.
    rest: Option<Instant>,
    /// It rests because this one could not be served, which then comes first. It has its place among those that are open.
    unserved: Option<Accepted>,
    /// It rests because there are as many connections as allowed: until one ends.
    full: bool,
    tables: Vec<Box<dyn Connections<St>>>,
    datagrams: Vec<(Box<dyn Served>, bool)>,
    /// Connections of this worker.
    open: usize,
    /// Those of them that have ended in threads of their own.
    ended: Arc<Ended>,
    /// Conversations, and datagrams, that `once` still allows.
    allowed: usize,
    stopping: Stopping,
    cx: Context<St>,
}

impl<St: HostStore> Worker<St> {
    pub(super) fn new(
        poll: Poll,
        options: Options,
        store: St,
        jobs: Jobs<OpenIn<St>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            poll,
            options,
            busy: options.busy_poll && options.engine == Engine::Poll,
            shared,
            listeners: Vec::new(),
            rest: None,
            unserved: None,
            full: false,
            tables: Vec::new(),
            datagrams: Vec::new(),
            open: 0,
            ended: Arc::new(Ended::new(jobs.waker())),
            allowed: if options.once { 1 } else { usize::MAX },
            stopping: Stopping::No,
            cx: Context::new(store, options.limits, jobs),
        }
    }

    /// Where connections that end in threads of their own say so.
    pub(super) fn ended(&self) -> Arc<Ended> {
        Arc::clone(&self.ended)
    }

    pub(super) fn add_stream(
        &mut self,
        mut socket: TcpListener,
        local: SocketAddr,
        connections: Box<dyn Connections<St>>,
    ) -> io::Result<()> {
        let table = self.tables.len();
        if table >= usize::from(LISTENERS) {
            return Err(io::Error::other(format!("at most {LISTENERS} stream services fit")));
        }
        let token = Key::new(LISTENERS, self.listeners.len()).token();
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        self.tables.push(connections);
        self.listeners.push(Listener { socket, local, table: table as u8, ready: false });
        Ok(())
    }

    pub(super) fn add_datagram(&mut self, mut served: Box<dyn Served>) -> io::Result<()> {
        let token = Key::new(DATAGRAMS, self.datagrams.len()).token();
        self.poll.registry().register(served.socket(), token, Interest::READABLE)?;
        self.datagrams.push((served, false));
        Ok(())
    }

    /// Runs until the server is stopped, this worker's connections have ended, and nothing is done for them any more: what they began
    /// and nobody wants has been removed by then.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while self.stopping == Stopping::No || self.open > 0 || self.cx.jobs.are_out() {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            if self.busy && events.is_empty() && self.cx.jobs.are_out() {
                // Their threads may have no other processor than this one.
                std::thread::yield_now();
            }
            self.cx.now = clock::now();
            for event in &events {
                self.event(event);
            }
            let ended = self.ended.take();
            self.closed(ended);
            for done in self.cx.jobs.collect() {
                let table = done.asker.key.table();
                self.table(table, |table, cx| table.done(done, cx));
            }
            for _ in 0..self.cx.again.len() {
                if let Some(key) = self.cx.again.pop_front() {
                    self.table(key.table(), |table, cx| table.again(key, cx));
                }
            }
            self.cx.now = clock::now();
            while let Some(key) = self.cx.timers.due(self.cx.now) {
                self.table(key.table(), |table, cx| table.timed_out(key, cx));
            }
            self.accept();
            self.receive();
            self.stop_when_told();
        }
        Ok(())
    }

    /// How long the loop may sleep.
    fn timeout(&self) -> Option<Duration> {
        let datagrams = self.datagrams.iter().any(|(_, ready)| *ready);
        let accepting = self.rest.is_none() && self.listeners.iter().any(|listener| listener.ready);
        if self.busy || !self.cx.again.is_empty() || datagrams || accepting {
            return Some(Duration::ZERO);
        }
        let next = earliest(self.cx.timers.next(), earliest(self.rest, self.stopping.deadline()));
        next.map(clock::until)
    }

    fn event(&mut self, event: &Event) {
        let key = Key(event.token().0 as u32);
        match key.table() {
            LISTENERS => {
                if let Some(listener) = self.listeners.get_mut(key.slot()) {
                    listener.ready = true;
                }
            }
            DATAGRAMS => {
                if let Some((_, ready)) = self.datagrams.get_mut(key.slot()) {
                    *ready = true;
                }
            }
            table => {
                let ready = Readiness {
                    read: event.is_readable(),
                    write: event.is_writable(),
                    read_closed: event.is_read_closed(),
                    error: event.is_error(),
                    urgent: event.is_priority(),
                };
                self.table(table, |table, cx| table.event(key, ready, cx));
            }
        }
    }

    /// Lets a table do something, and counts the connections that ended by it. The waker has none.
    fn table(
        &mut self,
        table: u8,
        act: impl FnOnce(&mut dyn Connections<St>, &mut Context<St>) -> usize,
    ) {
        if let Some(table) = self.tables.get_mut(usize::from(table)) {
            let ended = act(&mut **table, &mut self.cx);
            self.closed(ended);
            if let Some(error) = self.cx.shortage.take() {
                self.not_accepted(&error);
            }
        }
    }

    fn closed(&mut self, ended: usize) {
        self.open -= ended;
        self.shared.open.fetch_sub(ended, Ordering::Relaxed);
        if ended > 0 && self.full {
            (self.full, self.rest) = (false, None);
        }
        if ended > 0 && self.options.once && self.allowed == 0 {
            self.shared.stop();
        }
    }

    /// Accepts what waits, as far as there is room.
    fn accept(&mut self) {
        if self.rest.is_some_and(|rest| rest > self.cx.now) {
            return;
        }
        (self.full, self.rest) = (false, None);
        if let Some(unserved) = self.unserved.take() {
            self.add(unserved);
            if self.rest.is_some() {
                return;
            }
        }
        let batch = match self.options.engine {
            Engine::Poll | Engine::Threads => BATCH,
            Engine::Processes => BATCH_OF_PROCESSES,
        };
        for at in 0..self.listeners.len() {
            for _ in 0..batch {
                let Some(listener) = self.listeners.get_mut(at).filter(|listener| listener.ready)
                else {
                    break;
                };
                if self.allowed == 0 {
                    return self.listeners.clear();
                }
                // The place is taken before the connection is, so that all workers together keep the limit.
                if self.shared.open.fetch_add(1, Ordering::Relaxed) >= self.options.max_connections
                {
                    self.shared.open.fetch_sub(1, Ordering::Relaxed);
                    // Another worker's connection may end, of which nobody tells.
                    (self.full, self.rest) = (true, Some(self.cx.now + REST));
                    return;
                }
                let (table, local) = (listener.table, listener.local);
                match listener.socket.accept() {
                    Ok((stream, peer)) => {
                        self.allowed -= 1;
                        self.open += 1;
                        // One write per reply, and each goes out at once.
                        if !os::INHERITS_OPTIONS {
                            let _ = stream.set_nodelay(true);
                        }
                        let local = match local.ip().is_unspecified() {
                            true => stream.local_addr().unwrap_or(local),
                            false => local,
                        };
                        self.add(Accepted { stream, table, local, peer });
                    }
                    Err(error) => {
                        listener.ready = !matches!(error.kind(), io::ErrorKind::WouldBlock);
                        self.shared.open.fetch_sub(1, Ordering::Relaxed);
                        self.not_accepted(&error);
                    }
                }
                if self.rest.is_some() {
                    return;
                }
            }
        }
    }

    /// Serves a connection, or keeps it for later.
    fn add(&mut self, accepted: Accepted) {
        let Accepted { stream, table, local, peer } = accepted;
        let Some(connections) = self.tables.get_mut(usize::from(table)) else { return };
        let (service, since) = (connections.name(), self.cx.now);
        let link = Link { service, protocol: Protocol::Tcp, local, peer, since };
        match connections.accept(stream, link, table, self.poll.registry(), &mut self.cx) {
            Ok(ended) => self.closed(ended),
            Err(Unserved { stream, error }) => {
                self.unserved = Some(Accepted { stream, table, local, peer });
                self.not_accepted(&error);
            }
        }
    }

    /// A connection that was gone before it was accepted is nothing. Anything else is a shortage: it does not pass at once.
    fn not_accepted(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
        if matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted | ConnectionReset) {
            return;
        }
        self.rest = Some(self.cx.now + REST);
        self.shared.observer.not_accepted(error);
        // Under load single connections pass in between.
        if self.shared.is_news(self.cx.now) {
            tracing::warn!(%error, "connections cannot be accepted; trying again until they can");
        }
    }

    /// Answers the datagrams that wait.
    fn receive(&mut self) {
        for (at, (served, ready)) in self.datagrams.iter_mut().enumerate() {
            if *ready {
                let was_blocked = served.is_blocked();
                let (answered, more) = served.serve(&mut self.cx.input, self.allowed);
                if was_blocked != served.is_blocked() {
                    // Only then: that there is room the system tells whenever a datagram of ours has been read somewhere.
                    let interest = match served.is_blocked() {
                        true => Interest::READABLE | Interest::WRITABLE,
                        false => Interest::READABLE,
                    };
                    let (token, registry) = (Key::new(DATAGRAMS, at).token(), self.poll.registry());
                    if let Err(error) = registry.reregister(served.socket(), token, interest) {
                        tracing::error!(%error, "a socket for datagrams cannot be registered");
                    }
                }
                *ready = more && self.allowed > answered;
                if self.options.once {
                    self.allowed -= answered;
                    if self.allowed == 0 && self.open == 0 {
                        self.shared.stop();
                    }
                }
            }
        }
    }

    /// Once the server stops: accepts no more, ends what is idle; after the grace aborts the rest, and kills what does not do even that.
    fn stop_when_told(&mut self) {
        if !self.shared.is_stopping() {
            return;
        }
        if self.stopping.deadline().is_some_and(|deadline| deadline > self.cx.now) {
            return;
        }
        let tables = 0..self.tables.len() as u8;
        self.stopping = match self.stopping {
            // Without a grace, too, what is idle ends in good order.
            Stopping::No => {
                for table in tables {
                    self.table(table, |connections, cx| connections.retire(table, cx));
                }
                self.listeners.clear();
                self.datagrams.clear();
                // What waits in the kernel is reset, too.
                if let Some(Accepted { stream, .. }) = self.unserved.take() {
                    reset_on_close(SockRef::from(&stream), true);
                    self.closed(1);
                }
                Stopping::Retired { abort: self.cx.now + self.options.grace }
            }
            Stopping::Retired { abort } => {
                for table in tables {
                    self.table(table, |connections, cx| connections.abort(table, cx));
                }
                Stopping::Aborted { kill: abort + LATE }
            }
            Stopping::Aborted { .. } => {
                let killed = self.tables.iter_mut().map(|connections| connections.kill()).sum();
                self.shared.killed.fetch_add(killed, Ordering::Relaxed);
                Stopping::Killed
            }
            Stopping::Killed => Stopping::Killed,
        };
    }
}
