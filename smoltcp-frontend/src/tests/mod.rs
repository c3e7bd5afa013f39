//! Real frames between two stacks, on a clock that jumps: a server with whatever the test serves, and a client's bare streams.

extern crate std;

mod backpressure;
mod bare;
mod conversations;
mod datagrams;
mod day;
mod devices;
#[cfg(feature = "dhcp")]
mod dhcp;
mod duplicate_acks;
mod faults;
mod floods;
mod ghosts;
mod lossy;
mod memory;
#[cfg(feature = "dns")]
mod names;
mod neighbours;
mod net;
pub(crate) mod packets;
mod pools;
mod resets;
mod silences;
mod streams;
mod traffic;
mod waiting;
mod wire;

use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;
use std::boxed::Box;
use std::cell::RefCell;
use std::format;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;

use anywire_core::checked::Checked;
use anywire_core::event::{End, Event};
use anywire_core::name::FileName;
use anywire_core::ram::{RamReader, RamStore, RamWriter};
use anywire_core::request::Refusal;
use anywire_core::service::{About, StreamService};
use anywire_core::store::{OpenIn, Store};
use smoltcp::iface::SocketStorage;

use crate::backlog::Parked;
use crate::endpoint::{Counts, Endpoint};
use crate::observer::{Connection, Observer};
use crate::pool::{self, Pool, Settings, Slot};
use crate::sim::{self, Client, Net, Node, Packet, Side, Wire};
use crate::stack::{self, Stack};
use crate::stream::{Stream, StreamError};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// A store too large for a test's stack, which moves a little at a time.
pub(crate) struct Files(Box<RamStore<4, 60_000>>);
pub(crate) type File = OpenIn<Files>;

/// Less than any ring.
const LITTLE: usize = 300;

impl Files {
    pub(crate) fn new() -> Self {
        Self(Box::new(RamStore::new()))
    }
}

impl core::ops::Deref for Files {
    type Target = RamStore<4, 60_000>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Store for Files {
    type Reader = RamReader;
    type Writer = RamWriter;
    fn open(&mut self, name: FileName<'_>) -> Result<(RamReader, u64), Refusal> {
        self.0.open(name)
    }
    fn read(&mut self, file: &mut RamReader, buf: &mut [u8]) -> Result<usize, Refusal> {
        let some = buf.len().min(LITTLE);
        self.0.read(file, &mut buf[..some])
    }
    fn close(&mut self, file: RamReader) {
        self.0.close(file);
    }
    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<RamWriter, Refusal> {
        self.0.create(name, replace)
    }
    fn expect(&mut self, file: &mut RamWriter, len: u64) -> Result<(), Refusal> {
        self.0.expect(file, len)
    }
    fn write(&mut self, file: &mut RamWriter, bytes: &[u8]) -> Result<usize, Refusal> {
        self.0.write(file, &bytes[..bytes.len().min(LITTLE)])
    }
    fn commit(&mut self, file: RamWriter) -> Result<(), Refusal> {
        self.0.commit(file)
    }
    fn abandon(&mut self, file: RamWriter) {
        self.0.abandon(file);
    }
}

pub(crate) type Served = Box<dyn Endpoint<Files>>;

/// Any service, with its sessions watched: what the stack does wrong is an abort, and the test that meets it fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched<V>(pub(crate) V);

impl<V: StreamService> StreamService for Watched<V> {
    type Session = Checked<V::Session>;
    const ABOUT: About = V::ABOUT;

    fn open(&self) -> Self::Session {
        Checked::new(self.0.open())
    }
}

/// What the observer was told, less the bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Connected,
    Ended(End, u64, u64),
    Other(String),
}

#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<(Connection, Told)>>>);

impl Log {
    /// What was told of the connection from this client port.
    pub(crate) fn of(&self, peer: SocketAddr) -> Vec<Told> {
        let all = self.0.borrow();
        all.iter().filter(|(at, _)| at.peer == peer).map(|(_, told)| told.clone()).collect()
    }

    pub(crate) fn ends(&self) -> Vec<End> {
        let all = self.0.borrow();
        let end = |told: &Told| if let Told::Ended(end, ..) = told { Some(*end) } else { None };
        all.iter().filter_map(|(_, told)| end(told)).collect()
    }
}

impl Observer for Log {
    fn observe(&mut self, connection: &Connection, event: Event<'_>) {
        let told = match event {
            Event::Connected => Told::Connected,
            Event::Ended { end, received, sent } => Told::Ended(end, received, sent),
            Event::Data { .. } | Event::Moving { .. } => return,
            other => Told::Other(format!("{other:?}")),
        };
        self.0.borrow_mut().push((*connection, told));
    }
}

type Server = Node<'static, 'static, Files, Log, Served>;

pub(crate) struct Sim {
    pub(crate) net: Net<'static, Server, Client<'static>>,
    pub(crate) log: Log,
    pub(crate) streams: Vec<Stream>,
}

fn leak<T>(items: Vec<T>) -> &'static mut [T] {
    Vec::leak(items)
}

fn stack(wire: &mut Wire<'_>, side: Side, sockets: usize, backlog: usize) -> Stack<'static> {
    let interface = Box::new(sim::interface(wire, side));
    Stack::new(
        Box::leak(interface),
        stack::Memory {
            sockets: leak((0..sockets).map(|_| SocketStorage::EMPTY).collect()),
            output: leak(vec![0; 65_536]),
            hold: leak(vec![0; 8192]),
            backlog: leak(vec![Parked::EMPTY; backlog]),
        },
    )
}

/// A pool whose memory is never given back: tests are short.
pub(crate) fn pool<V: StreamService + 'static>(
    stack: &mut Stack<'static>,
    service: V,
    sockets: usize,
    rings: (usize, usize),
    settings: Settings,
) -> Served {
    pool_on(V::ABOUT.port, stack, service, sockets, rings, settings)
}

/// The same, on another port than usual.
pub(crate) fn pool_on<V: StreamService + 'static>(
    port: u16,
    stack: &mut Stack<'static>,
    service: V,
    sockets: usize,
    (receive_len, send_len): (usize, usize),
    settings: Settings,
) -> Served {
    let memory = pool::Memory {
        slots: leak((0..sockets).map(|_| Slot::<V::Session, File>::EMPTY).collect()),
        rings: leak(vec![0; sockets * (receive_len + send_len)]),
        receive_len,
        send_len,
    };
    Box::new(Pool::new(stack, service, port, memory, settings).unwrap())
}

impl Sim {
    pub(crate) fn new(serve: impl FnOnce(&mut Stack<'static>) -> Vec<Served>) -> Self {
        Self::with_backlog(0, serve)
    }

    pub(crate) fn with_backlog(
        backlog: usize,
        serve: impl FnOnce(&mut Stack<'static>) -> Vec<Served>,
    ) -> Self {
        Self::on(backlog, |_| {}, serve)
    }

    /// On a wire that `prepare` has done something to.
    pub(crate) fn on(
        backlog: usize,
        prepare: impl FnOnce(&mut Wire<'_>),
        serve: impl FnOnce(&mut Stack<'static>) -> Vec<Served>,
    ) -> Self {
        let packets = || leak(vec![Packet::EMPTY; 1024]);
        let mut wire = Wire::new(packets(), packets());
        prepare(&mut wire);
        let mut server = stack(&mut wire, Side::A, 64, backlog);
        let endpoints = leak(serve(&mut server));
        let log = Log::default();
        let server = Node::new(server, endpoints, Files::new(), log.clone());
        let client = Node::client(stack(&mut wire, Side::B, 512, 0));
        let mut net = Net::new(server, client, wire);
        net.run(MS);
        let mut sim = Self { net, log, streams: Vec::new() };
        // Each knows the other's address before anything is measured.
        let nobody = sim.stream(64, 64);
        sim.dial(nobody, 1);
        assert_eq!(sim.connected(nobody), Err(StreamError::Refused));
        sim.streams.clear();
        sim
    }

    pub(crate) fn file(&mut self, name: &str, bytes: &[u8]) {
        self.net.a.store.0.put(FileName::new(name.as_bytes()).unwrap(), bytes).unwrap();
    }

    pub(crate) fn counts(&self) -> Counts {
        self.net.a.endpoints[0].counts()
    }

    /// A new client stream, not connected.
    pub(crate) fn stream(&mut self, receive: usize, send: usize) -> usize {
        let stack = &mut self.net.b.stack;
        let (receive, send) = (leak(vec![0; receive]), leak(vec![0; send]));
        self.streams.push(Stream::new(stack, receive, send).unwrap());
        self.streams.len() - 1
    }

    /// Begins to connect.
    pub(crate) fn dial(&mut self, at: usize, port: u16) {
        let peer = sim::address(Side::A, port);
        self.streams[at].connect(&mut self.net.b.stack, peer, 0).unwrap();
    }

    /// A new client stream, connected.
    pub(crate) fn connect(&mut self, port: u16) -> usize {
        let at = self.stream(65_535, 65_535);
        self.dial(at, port);
        self.connected(at).unwrap();
        at
    }

    /// Waits for the handshake.
    pub(crate) fn connected(&mut self, at: usize) -> Result<(), StreamError> {
        self.wait(at, |stream, stack| stream.connected(stack))
    }

    fn wait<R>(
        &mut self,
        at: usize,
        mut look: impl FnMut(&mut Stream, &mut Stack<'static>) -> Poll<R>,
    ) -> R {
        let mut found = Poll::Pending;
        let stream = &mut self.streams[at];
        self.net.run_until(SECOND * 60, |net| {
            found = look(stream, &mut net.b.stack);
            found.is_ready()
        });
        match found {
            Poll::Ready(found) => found,
            Poll::Pending => panic!("nothing within 60 s of virtual time"),
        }
    }

    /// Where the server sees this stream come from.
    pub(crate) fn peer(&self, at: usize) -> SocketAddr {
        self.streams[at].endpoints(&self.net.b.stack).unwrap().0
    }

    pub(crate) fn send(&mut self, at: usize, bytes: &[u8]) {
        let mut sent = 0;
        while sent < bytes.len() {
            sent += self.wait(at, |stream, stack| stream.write(stack, &bytes[sent..])).unwrap();
        }
    }

    pub(crate) fn shutdown(&mut self, at: usize) {
        self.streams[at].shutdown(&mut self.net.b.stack).unwrap();
    }

    pub(crate) fn abort(&mut self, at: usize) {
        self.streams[at].abort(&mut self.net.b.stack);
    }

    /// What one read returns.
    pub(crate) fn read(&mut self, at: usize) -> Result<Vec<u8>, StreamError> {
        let mut buf = vec![0; 65_536];
        let len = self.wait(at, |stream, stack| stream.read(stack, &mut buf))?;
        buf.truncate(len);
        Ok(buf)
    }

    /// Reads `len` bytes.
    pub(crate) fn read_exact(&mut self, at: usize, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            let some = self.read(at).unwrap();
            assert!(!some.is_empty(), "the end after {} of {len} bytes", all.len());
            all.extend(some);
        }
        assert_eq!(all.len(), len);
        all
    }

    /// Reads to the end, or to the reset.
    pub(crate) fn read_all(&mut self, at: usize) -> Result<Vec<u8>, StreamError> {
        let mut all = Vec::new();
        loop {
            match self.read(at)? {
                some if some.is_empty() => return Ok(all),
                some => all.extend(some),
            }
        }
    }
}

/// Bytes in which every place can be told from its neighbours.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}
