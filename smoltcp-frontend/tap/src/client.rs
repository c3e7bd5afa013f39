//! A client on a stack of its own.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use anywire_core::datagram::{MAX_DATAGRAM, Question, Turn};
use anywire_core::instant::{Instant, earliest};
use anywire_core::store::NoStore;
use anywire_smoltcp::dhcp::Dhcp;
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::names::{Addresses, NameError, Resolver};
use anywire_smoltcp::stack::{self, Stack};
use anywire_smoltcp::stream::Stream;
use anywire_smoltcp::udp::{self, Asker};
use anywire_std::clock;
use smoltcp::iface::SocketStorage;
use smoltcp::socket::udp::PacketMetadata;

use crate::lease;
use crate::link::Link;
use crate::ports::Ports;
use crate::server::KEEP_ALIVE;
use crate::station::Station;
use crate::wait::wait;
use crate::wire::TapWire;

/// A stack that connects and asks.
///
/// Its memory is never given back: a program is a client once. What streams need is used again.
pub struct Client {
    station: Station,
    stack: Rc<RefCell<ClientStack>>,
}

/// Connections at a time, those that linger too.
const STREAMS: usize = 64;

/// Sockets besides: for datagrams, for names, for a lease.
const OTHERS: usize = 3;

/// The length of every ring. A client has few connections, and is to be fast on each.
const RING_LEN: usize = 256 << 10;

/// So many of the longest datagrams may wait in each direction.
const DATAGRAMS: usize = 4;

impl Client {
    /// Opens the device of `station`, in the network namespace of this thread, and waits for a DHCP lease if the station is to have one.
    pub fn open(mut station: Station) -> Result<Self> {
        let device = station.open()?;
        let stack = ClientStack::new(&mut station, device)?;
        Ok(Self { station, stack: Rc::new(RefCell::new(stack)) })
    }

    /// The addresses of `name`, from the DNS servers: each is given its share of `timeout`, and the first that knows any is believed.
    pub fn resolve(&mut self, name: &str, timeout: Duration) -> Result<Vec<IpAddr>> {
        self.look_at_lease();
        let servers = self.station.dns_servers();
        ensure!(!servers.is_empty(), "{name:?} is no address, and finding names needs --dns");
        let share = timeout / u32::try_from(servers.len()).unwrap_or(u32::MAX);
        let mut failures = Vec::new();
        for server in servers {
            let asked = match self.station.reaches(server) {
                Ok(()) => self.stack.borrow_mut().resolve(server, name, share)?,
                Err(error) => {
                    failures.push(format!("{error}"));
                    continue;
                }
            };
            match asked {
                Ok(addresses) => return Ok(addresses.iter().collect()),
                Err(NameError::NotAName) => bail!("{name:?} is neither an address nor a name"),
                Err(error) => failures.push(format!("the DNS server {server}: {error}")),
            }
        }
        bail!("cannot find the host {name}: {}", failures.join("; "))
    }

    /// The device's name.
    pub(crate) fn device(&self) -> &str {
        &self.station.tap
    }

    /// The routers.
    pub(crate) fn routers(&mut self) -> Vec<IpAddr> {
        self.look_at_lease();
        self.station.routers()
    }

    /// What the station has may be another than at first.
    fn look_at_lease(&mut self) {
        let stack = self.stack.borrow();
        self.station.lease = stack.dhcp.as_ref().and_then(Dhcp::lease).copied();
    }

    /// Connects to `peer` within `timeout`, in which the peer's Ethernet address must be found too.
    pub fn connect(&mut self, peer: SocketAddr, timeout: Duration) -> Result<TapWire> {
        self.look_at_lease();
        self.station.reaches(peer.ip())?;
        let deadline = clock::now() + timeout;
        let mut wire = TapWire::connect(Rc::clone(&self.stack), peer)?;
        ensure!(wire.await_connection(deadline)?, no_answer(timeout));
        Ok(wire)
    }

    /// Asks `peer`, again and again within `timeout`, from a port of its own for each question, and puts the answer into `reply`.
    pub fn ask(
        &mut self,
        peer: SocketAddr,
        question: &[u8],
        reply: &mut Vec<u8>,
        timeout: Duration,
    ) -> Result<()> {
        self.look_at_lease();
        self.station.reaches(peer.ip())?;
        let len = question.len();
        ensure!(
            len <= MAX_DATAGRAM,
            "{len} bytes do not fit in a datagram, which takes {MAX_DATAGRAM}"
        );
        let inner = &mut *self.stack.borrow_mut();
        inner.stack.set_next_port(inner.ports.next());
        inner.asker.bind(&mut inner.stack, 0).map_err(|_| anyhow!("no port is free"))?;
        reply.resize(MAX_DATAGRAM, 0);
        let mut turns = Question::new(clock::now(), timeout);
        loop {
            if let Poll::Ready(len) = inner.asker.receive(&mut inner.stack, peer, reply) {
                reply.truncate(len);
                return Ok(());
            }
            match turns.turn(clock::now()) {
                // One that the stack has no room for is lost like any other.
                Turn::Send => drop(inner.asker.send(&mut inner.stack, peer, question)),
                Turn::WaitUntil(at) => drop(inner.turn(None, Some(at))?),
                Turn::GiveUp => bail!(no_answer(timeout)),
            }
        }
    }

    /// Works for the open connections until `input` can be read, or has ended. If the device is gone it comes back at once: whoever uses a
    /// connection next hears of it.
    pub(crate) fn work_until(&mut self, input: BorrowedFd<'_>) {
        let mut stack = self.stack.borrow_mut();
        while let Ok(false) = stack.turn(Some(input), None) {}
    }
}

fn no_answer(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs_f64())
}

/// A stack and all that drives it.
pub(crate) struct ClientStack {
    stack: Stack<'static>,
    device: Link,
    asker: Asker,
    resolver: Resolver,
    dhcp: Option<Dhcp>,
    ports: Ports,
    streams: Vec<Stream>,
    /// Those of `streams` whose connection is over, or was never made, the first to be so first.
    free: Vec<usize>,
}

impl ClientStack {
    fn new(station: &mut Station, mut device: Link) -> Result<Self> {
        let leased = match station.dhcp {
            Some(limit) => Some(lease::obtain(station, &mut device, limit)?),
            None => None,
        };
        let interface = Box::leak(Box::new(station.interface(&mut device)?));
        let sockets: Vec<_> = (0..STREAMS + OTHERS).map(|_| SocketStorage::EMPTY).collect();
        let memory = stack::Memory {
            sockets: sockets.leak(),
            output: &mut [],
            hold: &mut [],
            backlog: &mut [],
        };
        let mut stack = Stack::new(interface, memory);
        let mut dhcp = None;
        if let Some((client, lease)) = leased {
            station.lease = Some(lease);
            dhcp = Some(Dhcp::attach(&mut stack, client).context("there is no room for a socket")?);
        }
        let queries = Box::leak(Box::default());
        let resolver =
            Resolver::new(&mut stack, queries).context("there is no room for a socket")?;
        let memory = udp::Memory {
            receive_slots: leak(DATAGRAMS, PacketMetadata::EMPTY),
            receive: leak(DATAGRAMS * MAX_DATAGRAM, 0),
            send_slots: leak(DATAGRAMS, PacketMetadata::EMPTY),
            send: leak(DATAGRAMS * MAX_DATAGRAM, 0),
        };
        let asker = Asker::new(&mut stack, memory).context("there is no room for a socket")?;
        let (ports, streams, free) = (Ports::new()?, Vec::new(), Vec::new());
        Ok(Self { stack, device, asker, resolver, dhcp, ports, streams, free })
    }

    /// Asks `server` for the addresses of `name`.
    fn resolve(
        &mut self,
        server: IpAddr,
        name: &str,
        timeout: Duration,
    ) -> std::io::Result<Result<Addresses, NameError>> {
        if let Err(error) = self.resolver.ask(&mut self.stack, server, name, clock::now(), timeout)
        {
            return Ok(Err(error));
        }
        loop {
            if let Poll::Ready(answer) = self.resolver.answer(&mut self.stack, clock::now()) {
                return Ok(answer);
            }
            self.turn(None, self.resolver.deadline())?;
        }
    }

    /// Begins to connect, and says on which stream.
    pub(crate) fn connect(&mut self, peer: SocketAddr) -> Result<usize> {
        let at = self.free_stream().context("too many connections at a time")?;
        let Some(stream) = self.streams.get_mut(at) else { bail!("too many connections") };
        self.stack.set_next_port(self.ports.next());
        let connecting = stream.connect(&mut self.stack, peer, 0);
        connecting.map_err(|error| anyhow!("there is no way to {}: {error}", peer.ip()))?;
        stream.set_keep_alive(&mut self.stack, Some(KEEP_ALIVE));
        Ok(at)
    }

    /// A stream to connect: one that owes nothing to anybody, a new one, or the one that lingers longest.
    fn free_stream(&mut self) -> Option<usize> {
        let (streams, stack) = (&mut self.streams, &mut self.stack);
        let mut done = |&at: &usize| !streams.get_mut(at).is_some_and(|s| s.lingers(stack));
        if let Some(which) = self.free.iter().position(&mut done) {
            return Some(self.free.remove(which));
        }
        if let Some(stream) = self.new_stream() {
            self.streams.push(stream);
            return Some(self.streams.len() - 1);
        }
        (!self.free.is_empty()).then(|| self.free.remove(0))
    }

    fn new_stream(&mut self) -> Option<Stream> {
        (self.streams.len() < STREAMS).then_some(())?;
        Stream::new(&mut self.stack, leak(RING_LEN, 0), leak(RING_LEN, 0))
    }

    /// The stream's owner is gone.
    pub(crate) fn release(&mut self, at: usize) {
        self.free.push(at);
    }

    /// Sleeps until there is something to do, until `also` can be read or has ended, or until `until`, and does it; says whether
    /// it was `also`. With `until` not later than now it does not sleep.
    pub(crate) fn turn(
        &mut self,
        also: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
    ) -> std::io::Result<bool> {
        const NOTHING: &[&mut dyn Endpoint<NoStore>] = &[];
        let now = clock::now();
        let due = earliest(until, self.stack.poll_at(now, NOTHING));
        let sleeps = also.is_some() || due.is_none_or(|due| due > now);
        let ready = sleeps && wait(self.device.as_fd(), also, due)?;
        let nothing: &mut [&mut dyn Endpoint<NoStore>] = &mut [];
        self.stack.poll(clock::now, &mut self.device, nothing, &mut NoStore, &mut ());
        lease::look(&mut self.dhcp, &mut self.stack);
        self.device.check()?;
        Ok(ready)
    }

    /// Looks at a stream.
    pub(crate) fn look<R>(
        &mut self,
        at: usize,
        look: impl FnOnce(&mut Stream, &mut Stack<'static>) -> R,
    ) -> Option<R> {
        Some(look(self.streams.get_mut(at)?, &mut self.stack))
    }
}

/// Memory that is never given back.
fn leak<T: Clone>(len: usize, value: T) -> &'static mut [T] {
    vec![value; len].leak()
}
