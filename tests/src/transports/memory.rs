//! The core's blocking driver, over pipes in memory: a thread for each connection, a clock of our own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anywire_core::blocking::{Buffers, Interest, Ready, Wire, converse};
use anywire_core::conversation::Limits;
use anywire_core::datagram::{DatagramService, MAX_DATAGRAM};
use anywire_core::date::Date;
use anywire_core::event::{End, Event, Host};
use anywire_core::instant::{Instant, earliest};
use anywire_core::service::StreamService;
use embedded_io::ErrorKind;

use super::store::{Files, SharedStore};
use super::{Frontend, Transport, WithService, with_service};
use crate::network::{Awaited, Handle, Network, Received, Reset, Setup};
use crate::samples;

pub(super) const TRANSPORT: Transport = Transport::new(
    "memory",
    "the core's blocking driver over pipes, on a virtual clock; datagrams are handed over",
    Frontend::Core,
    |setup, peer| {
        peer(&mut Memory::new(setup));
        Ok(())
    },
);

/// So many bytes fit into one direction of a pipe.
const PIPE: usize = 16 << 10;

struct Memory {
    setup: Setup,
    shared: Arc<Shared>,
    store: SharedStore,
    threads: Vec<JoinHandle<()>>,
    /// The service, if it is one of datagrams.
    answers: Option<Answers>,
}

/// What a datagram is answered with.
type Answers = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send>;

/// All pipes, and the clock.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// What the servers draw from.
    random: Mutex<fastrand::Rng>,
}

#[derive(Default)]
struct State {
    now: Instant64,
    pipes: Vec<Pipe>,
    ends: VecDeque<End>,
}

/// The clock, in microseconds.
type Instant64 = u64;

#[derive(Default)]
struct Pipe {
    to_server: VecDeque<u8>,
    to_peer: VecDeque<u8>,
    peer_ended: bool,
    server_ended: bool,
    reset: bool,
    /// What the server waits for: nothing, while it works.
    server_waits: Option<(Option<Interest>, Option<Instant>)>,
    server_gone: bool,
}

impl Pipe {
    fn server_ready(&self) -> Ready {
        Ready {
            read: self.reset || self.peer_ended || !self.to_server.is_empty(),
            write: self.reset || self.to_peer.len() < PIPE,
        }
    }

    fn peer_ready(&self, awaited: Awaited) -> bool {
        let read = self.reset || self.server_ended || !self.to_peer.is_empty();
        let write = self.reset || self.to_server.len() < PIPE;
        (read && awaited != Awaited::Write) || (write && awaited != Awaited::Read)
    }

    /// Whether the server can go no further by itself.
    fn server_rests(&self, now: Instant) -> bool {
        let Some((interest, deadline)) = self.server_waits else { return self.server_gone };
        let ready = self.server_ready();
        let wakes = match interest {
            Some(Interest::Read) => ready.read,
            Some(Interest::Write) => ready.write,
            Some(Interest::Both) => ready.read || ready.write,
            None => false,
        };
        !wakes && deadline.is_none_or(|deadline| deadline > now)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the servers work until `done`, or `limit` has passed on our clock. The clock moves only when nobody has anything
    /// to do, and then to the next deadline.
    fn run_until(&self, limit: Duration, mut done: impl FnMut(&mut State) -> bool) -> bool {
        let mut state = self.lock();
        let end = Instant::from_micros(state.now) + limit;
        loop {
            if done(&mut state) {
                return true;
            }
            let now = Instant::from_micros(state.now);
            if state.pipes.iter().all(|pipe| pipe.server_rests(now)) {
                if now >= end {
                    return false;
                }
                let deadlines = state.pipes.iter().filter_map(|pipe| pipe.server_waits?.1);
                let next = deadlines.fold(None, |next, deadline| earliest(next, Some(deadline)));
                state.now = next.map_or(end, |next| next.min(end)).as_micros();
                self.changed.notify_all();
            } else {
                // A server that works will say when it rests.
                let waited = self.changed.wait_timeout(state, Duration::from_secs(30));
                let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                assert!(!timeout.timed_out(), "a server works for ever");
                state = guard;
            }
        }
    }
}

impl Memory {
    fn new(setup: Setup) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            random: Mutex::new(fastrand::Rng::with_seed(0x5eed)),
        });
        let mut memory = Self {
            setup,
            shared: Arc::clone(&shared),
            store: SharedStore::new(setup.log),
            threads: Vec::new(),
            answers: None,
        };
        if setup.datagrams {
            let mut serve = memory.serve(0, shared);
            with_service(setup, &mut serve);
            memory.answers = serve.answers;
        }
        memory
    }

    fn serve(&self, stream: Handle, shared: Arc<Shared>) -> Serve {
        let (store, limits) = (self.store.clone(), self.setup.limits);
        Serve { shared, stream, store, limits, thread: None, answers: None }
    }

    fn with<R>(&self, stream: Handle, act: impl FnOnce(&mut Pipe) -> R) -> R {
        let mut state = self.shared.lock();
        let result = act(&mut state.pipes[stream]);
        self.shared.changed.notify_all();
        result
    }
}

impl Network for Memory {
    fn open(&mut self) -> Handle {
        let stream = {
            let mut state = self.shared.lock();
            state.pipes.push(Pipe::default());
            state.pipes.len() - 1
        };
        let mut serve = self.serve(stream, Arc::clone(&self.shared));
        with_service(self.setup, &mut serve);
        self.threads.push(serve.thread.expect("the catalog has the service"));
        stream
    }

    fn send(&mut self, stream: Handle, bytes: &[u8]) -> Result<usize, Reset> {
        self.with(stream, |pipe| {
            if pipe.reset {
                return Err(Reset);
            }
            let n = bytes.len().min(PIPE - pipe.to_server.len());
            pipe.to_server.extend(&bytes[..n]);
            Ok(n)
        })
    }

    fn receive(&mut self, stream: Handle, buf: &mut [u8]) -> Result<Received, Reset> {
        self.with(stream, |pipe| {
            let n = buf.len().min(pipe.to_peer.len());
            for (to, from) in buf.iter_mut().zip(pipe.to_peer.drain(..n)) {
                *to = from;
            }
            match n {
                0 if pipe.reset => Err(Reset),
                0 if pipe.server_ended => Ok(Received::End),
                0 => Ok(Received::Nothing),
                n => Ok(Received::Bytes(n)),
            }
        })
    }

    fn shutdown(&mut self, stream: Handle) {
        self.with(stream, |pipe| pipe.peer_ended = true);
    }

    fn abort(&mut self, stream: Handle) {
        self.with(stream, |pipe| {
            pipe.reset = true;
            pipe.to_server.clear();
            pipe.to_peer.clear();
        });
    }

    fn wait(&mut self, stream: Handle, awaited: Awaited, limit: Duration) -> bool {
        self.shared.run_until(limit, |state| state.pipes[stream].peer_ready(awaited))
    }

    fn ended(&mut self, limit: Duration) -> Option<End> {
        let mut end = None;
        self.shared.run_until(limit, |state| {
            end = state.ends.pop_front();
            end.is_some()
        });
        end
    }

    fn stored(&mut self, name: &str) -> Option<Vec<u8>> {
        self.store.stored(name)
    }

    fn names(&mut self) -> Vec<String> {
        self.store.names()
    }

    fn unfinished(&mut self) -> usize {
        self.store.unfinished()
    }

    fn logs(&mut self) -> Vec<String> {
        self.store.logs()
    }

    fn date(&self) -> Option<Date> {
        Some(samples::DATE)
    }

    fn ask(&mut self, questions: &[&[u8]], _: Duration) -> Vec<Option<Vec<u8>>> {
        let answers = self.answers.as_mut().expect("the service is one of datagrams");
        questions.iter().map(|question| answers(question)).collect()
    }

    fn longest_datagram(&self) -> usize {
        MAX_DATAGRAM
    }

    fn many(&self) -> usize {
        50
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for pipe in &mut self.shared.lock().pipes {
            pipe.reset = true;
        }
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let served = thread.join();
            assert!(served.is_ok() || std::thread::panicking(), "a server panicked");
        }
        self.store.assert_all_given_back();
    }
}

/// Serves one connection.
struct Serve {
    shared: Arc<Shared>,
    stream: Handle,
    store: SharedStore,
    limits: Limits,
    thread: Option<JoinHandle<()>>,
    answers: Option<Answers>,
}

impl WithService for Serve {
    fn with<S: StreamService + Send + 'static>(&mut self, service: S) {
        let mut wire = ServerEnd { shared: Arc::clone(&self.shared), stream: self.stream };
        let (mut store, limits) = (self.store.clone(), self.limits);
        self.thread = Some(std::thread::spawn(move || {
            let mut host = Ends(Arc::clone(&wire.shared));
            let (mut input, mut output) = (vec![0; 8192], vec![0; 8192]);
            let buffers = Buffers { input: &mut input, output: &mut output };
            converse(service.open(), &mut wire, &mut store, &mut host, buffers, &limits);
        }));
    }

    fn with_datagrams<D: DatagramService + Send + 'static>(&mut self, mut service: D) {
        let mut host = Ends(Arc::clone(&self.shared));
        let peer = SocketAddr::from(([127, 0, 0, 1], 65_535));
        self.answers = Some(Box::new(move |question| {
            let mut scratch = vec![0; D::SCRATCH];
            service.answer(question, &mut scratch, peer, &mut host).map(<[u8]>::to_vec)
        }));
    }
}

struct Ends(Arc<Shared>);

impl Host for Ends {
    fn observe(&mut self, event: Event<'_>) {
        if let Event::Ended { end, .. } = event {
            self.0.lock().ends.push_back(end);
            self.0.changed.notify_all();
        }
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        self.0.random.lock().unwrap_or_else(PoisonError::into_inner).fill(buf);
        true
    }

    fn date(&mut self) -> Option<Date> {
        Some(samples::DATE)
    }
}

/// The server's end of a pipe. Dropping it is closing it.
struct ServerEnd {
    shared: Arc<Shared>,
    stream: Handle,
}

impl ServerEnd {
    fn with<R>(&self, act: impl FnOnce(&mut Pipe) -> R) -> R {
        let mut state = self.shared.lock();
        let result = act(&mut state.pipes[self.stream]);
        self.shared.changed.notify_all();
        result
    }
}

impl ServerEnd {
    /// Rests until something of interest is ready, or the clock has come to the deadline.
    fn rest(&self, interest: Option<Interest>, deadline: Option<Instant>) -> Ready {
        let mut state = self.shared.lock();
        state.pipes[self.stream].server_waits = Some((interest, deadline));
        self.shared.changed.notify_all();
        loop {
            let now = Instant::from_micros(state.now);
            let pipe = &mut state.pipes[self.stream];
            if !pipe.server_rests(now) {
                pipe.server_waits = None;
                return pipe.server_ready();
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.with(|pipe| (pipe.server_gone, pipe.server_ended) = (true, true));
    }
}

impl embedded_io::ErrorType for ServerEnd {
    type Error = ErrorKind;
}

impl embedded_io::Read for ServerEnd {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.with(|pipe| {
            if pipe.reset {
                return Err(ErrorKind::ConnectionReset);
            }
            let n = buf.len().min(pipe.to_server.len());
            for (to, from) in buf.iter_mut().zip(pipe.to_server.drain(..n)) {
                *to = from;
            }
            assert!(
                n > 0 || pipe.peer_ended || buf.is_empty(),
                "the driver reads what is not there"
            );
            Ok(n)
        })
    }
}

impl embedded_io::Write for ServerEnd {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.with(|pipe| {
            if pipe.reset {
                return Err(ErrorKind::ConnectionReset);
            }
            let n = buf.len().min(PIPE - pipe.to_peer.len());
            pipe.to_peer.extend(&buf[..n]);
            assert!(n > 0, "the driver writes where there is no room");
            Ok(n)
        })
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Wire for ServerEnd {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        Instant::from_micros(self.shared.lock().now)
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> Result<Ready, ErrorKind> {
        let ready = self.rest(Some(interest), deadline);
        Ok(Ready {
            read: ready.read && interest != Interest::Write,
            write: ready.write && interest != Interest::Read,
        })
    }

    fn sleep(&mut self, until: Instant) -> bool {
        self.rest(None, Some(until));
        true
    }

    fn shutdown(&mut self) -> Result<(), ErrorKind> {
        self.with(|pipe| pipe.server_ended = true);
        Ok(())
    }

    fn abort(&mut self) {
        self.with(|pipe| {
            pipe.reset = true;
            pipe.to_peer.clear();
        });
    }
}
