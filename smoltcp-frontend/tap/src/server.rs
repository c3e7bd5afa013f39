//! A server on a stack of its own.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use anywire_core::conversation::Limits;
use anywire_core::datagram::{DatagramService, MAX_DATAGRAM};
use anywire_core::instant::{Instant, earliest};
use anywire_core::service::StreamService;
use anywire_core::store::Store;
use anywire_smoltcp::backlog::Parked;
use anywire_smoltcp::dhcp::{Detached, Dhcp};
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::pool::Settings;
use anywire_smoltcp::stack::{self, Stack};
use anywire_std::clock;
use anywire_std::engine::{Observer, Protocol};
use smoltcp::iface::SocketStorage;
use smoltcp::wire::IpListenEndpoint;

use crate::bound::{Bound, Common, DatagramsAt, Streams};
use crate::lease;
use crate::link::Link;
use crate::station::Station;
use crate::told::Told;
use crate::wait::{Bell, wait};

/// How a server serves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What is put up with from a connection.
    pub limits: Limits,
    /// Sockets for each stream service: as many connections may be open or closing. Each takes up to 512 KiB, as much of it as was ever full.
    pub sockets: usize,
    /// Sockets for all stream services together, if there are to be fewer; but one for each.
    pub max_connections: Option<usize>,
    /// How many connections wait for a socket. Beyond that their peers must ask again.
    pub backlog: usize,
    /// How long conversations may go on after the server was told to stop.
    pub grace: Duration,
    /// Serve one conversation, or one datagram, and stop.
    pub once: bool,
    /// Never sleep: what comes is seen at once, for a whole processor.
    pub busy_poll: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            sockets: 128,
            max_connections: None,
            backlog: 1024,
            grace: Duration::from_secs(5),
            once: false,
            busy_poll: false,
        }
    }
}

/// A peer that has been silent so long is asked whether it is still there, a client's too, and is given up when it has been silent four times
/// as long.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Room for the longest datagram, and for a long segment.
const OUTPUT_LEN: usize = MAX_DATAGRAM + 1;

/// After the grace is over: so long resets may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// Services on ports of a stack, ready to run.
///
/// ```no_run
/// use std::sync::Arc;
/// use anywire_core::service::echo::Echo;
/// use anywire_core::store::NoStore;
/// use anywire_tap::server::{Options, Server};
/// use anywire_tap::station::Station;
///
/// let mut server = Server::new(Station::default(), Options::default(), NoStore, Arc::new(()))?;
/// let addr = server.bind_stream(Echo, "192.168.69.1:0".parse()?)?;
/// let stopper = server.stopper();
/// let running = std::thread::spawn(move || server.run());
/// // Linux's own TCP can connect to `addr` now.
/// stopper.stop();
/// running.join().unwrap()?;
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Server<T: Store> {
    station: Station,
    device: Link,
    dhcp: Option<Detached>,
    options: Options,
    store: T,
    observer: Arc<dyn Observer>,
    bound: Vec<Box<dyn Bound<T>>>,
    bell: Arc<Bell>,
}

/// Stops a [`Server`], from any thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Bell>);

impl Stopper {
    /// Take no more connections, end what is idle, let the rest finish within the grace.
    pub fn stop(&self) {
        self.0.ring();
    }
}

impl<T: Store<Reader: Send + 'static, Writer: Send + 'static>> Server<T> {
    /// Opens the device, in the network namespace of this thread, and waits for a DHCP lease if the station is to have one. The server
    /// listens nowhere yet.
    pub fn new(
        mut station: Station,
        options: Options,
        store: T,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let mut device = station.open()?;
        // Whatever is wrong with the addresses is told now.
        station.interface(&mut device)?;
        let mut dhcp = None;
        if let Some(limit) = station.dhcp {
            let (client, lease) = lease::obtain(&station, &mut device, limit)?;
            (dhcp, station.lease) = (Some(client), Some(lease));
        }
        let bell = Arc::new(Bell::new()?);
        Ok(Self { station, device, dhcp, options, store, observer, bound: Vec::new(), bell })
    }

    /// Serves `service` on `addr`, and says where that is: port 0 takes a free one. `0.0.0.0` and `::` are both all addresses of the
    /// stack.
    pub fn bind_stream<S>(&mut self, service: S, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        S: StreamService + Send + 'static,
    {
        let (addr, listen) = self.place(Protocol::Tcp, addr)?;
        self.bound.push(Box::new(Streams::new(service, listen)));
        Ok(addr)
    }

    /// The same for datagrams.
    pub fn bind_datagram<D>(&mut self, service: D, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        D: DatagramService + Send + 'static,
    {
        let (addr, listen) = self.place(Protocol::Udp, addr)?;
        self.bound.push(Box::new(DatagramsAt::new(service, listen)));
        Ok(addr)
    }

    /// A port of `ip` that is free for streams and for datagrams, any of the ephemeral ones.
    pub fn free_port(&self, ip: IpAddr) -> io::Result<u16> {
        const TRIES: usize = 1000;
        for _ in 0..TRIES {
            let mut random = [0; 2];
            getrandom::fill(&mut random)?;
            let port = 0xc000 | u16::from_ne_bytes(random);
            let listen = listen(SocketAddr::new(ip, port));
            let used =
                [Protocol::Tcp, Protocol::Udp].map(|protocol| self.is_used(protocol, listen));
            if used == [false; 2] {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// What stops this server.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.bell))
    }

    /// Where `addr` is, if it can be had.
    fn place(
        &self,
        protocol: Protocol,
        mut addr: SocketAddr,
    ) -> io::Result<(SocketAddr, IpListenEndpoint)> {
        check_address(&self.station, addr.ip())?;
        if addr.port() == 0 {
            addr.set_port(self.free_port(addr.ip())?);
        }
        let listen = listen(addr);
        if self.is_used(protocol, listen) {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another of these services has that port",
            ));
        }
        addr.set_ip(self.station.shown(addr.ip()));
        Ok((addr, listen))
    }

    fn is_used(&self, protocol: Protocol, listen: IpListenEndpoint) -> bool {
        self.bound.iter().any(|bound| {
            let (other, at) = bound.place();
            let same_addr = at.addr.is_none() || listen.addr.is_none() || at.addr == listen.addr;
            protocol == other && at.port == listen.port && same_addr
        })
    }

    /// Serves until it is stopped, and everything has ended.
    pub fn run(mut self) -> Result<()> {
        let common = Common {
            settings: Settings {
                limits: self.options.limits,
                keep_alive: Some(KEEP_ALIVE),
                ..Settings::default()
            },
            sockets: self.sockets_each(),
            once: self.options.once,
            datagrams: Rc::new(Cell::new(0)),
        };
        // What is lent is declared before what it is lent to.
        let mut interface = self.station.interface(&mut self.device)?;
        let mut memory: Vec<_> = self.bound.iter().map(|bound| bound.memory(&common)).collect();
        let sockets: usize = self.bound.iter().map(|bound| bound.sockets(&common)).sum();
        let hold = self.bound.iter().map(|bound| bound.hold()).max().unwrap_or(0);
        let sockets = sockets + usize::from(self.dhcp.is_some());
        let stack = stack::Memory::size(sockets, OUTPUT_LEN, hold, self.options.backlog);
        let size = stack + self.bound.iter().map(|bound| bound.size(&common)).sum::<usize>();
        tracing::debug!(
            "all the memory the stack will ever use is {} KiB, for {} connections of each of {} services",
            size.div_ceil(1024),
            common.sockets,
            self.bound.iter().filter(|bound| bound.place().0 == Protocol::Tcp).count()
        );
        let mut sockets: Vec<_> = (0..sockets).map(|_| SocketStorage::EMPTY).collect();
        let mut output = vec![0; OUTPUT_LEN];
        let mut hold = vec![0; hold];
        let mut backlog = vec![Parked::EMPTY; self.options.backlog];
        let stack_memory = stack::Memory {
            sockets: &mut sockets,
            output: &mut output,
            hold: &mut hold,
            backlog: &mut backlog,
        };
        let mut stack = Stack::new(&mut interface, stack_memory);
        let mut dhcp = None;
        if let Some(client) = self.dhcp {
            dhcp = Some(Dhcp::attach(&mut stack, client).context("there is no room for a socket")?);
        }
        let mut endpoints = Vec::new();
        for (bound, memory) in self.bound.iter_mut().zip(&mut memory) {
            endpoints.push(bound.endpoint(&mut stack, memory, &common)?);
        }
        Running {
            stack,
            endpoints,
            device: self.device,
            dhcp,
            store: self.store,
            told: Told { observer: self.observer, ended: 0 },
            once: self.options.once.then_some(common.datagrams),
            bell: self.bell,
            grace: self.options.grace,
            busy: self.options.busy_poll,
        }
        .run()
    }

    /// How many sockets each stream service gets.
    fn sockets_each(&self) -> usize {
        if self.options.once {
            // The next conversation waits outside.
            return 1;
        }
        let streams = self.bound.iter().filter(|bound| bound.place().0 == Protocol::Tcp).count();
        let most = self.options.max_connections.map_or(usize::MAX, |most| most / streams.max(1));
        self.options.sockets.min(most).max(1)
    }
}

/// Whether `ip` can be bound on a station.
pub(crate) fn check_address(station: &Station, ip: IpAddr) -> io::Result<()> {
    if ip.is_unspecified() || station.owns(ip) {
        return Ok(());
    }
    let names = station.names();
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, format!("this stack's address is {names}")))
}

fn listen(addr: SocketAddr) -> IpListenEndpoint {
    match addr.ip() {
        ip if ip.is_unspecified() => addr.port().into(),
        ip => (ip, addr.port()).into(),
    }
}

/// A server that runs.
struct Running<'r, T: Store> {
    stack: Stack<'r>,
    endpoints: Vec<Box<dyn Endpoint<T> + 'r>>,
    device: Link,
    dhcp: Option<Dhcp>,
    store: T,
    told: Told,
    /// How many datagrams were dealt with, if one is enough.
    once: Option<Rc<Cell<u64>>>,
    bell: Arc<Bell>,
    grace: Duration,
    /// It never sleeps.
    busy: bool,
}

impl<'r, T: Store + 'r> Running<'r, T> {
    fn run(mut self) -> Result<()> {
        let bell = Arc::clone(&self.bell);
        loop {
            let rung = self.sleep(Some(&bell), None)?;
            self.poll()?;
            let done = self
                .once
                .as_ref()
                .is_some_and(|datagrams| self.told.ended > 0 || datagrams.get() > 0);
            if rung || done {
                break;
            }
        }
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.retire());
        if !self.finish(self.grace)? {
            self.endpoints.iter_mut().for_each(|endpoint| endpoint.abort());
            self.finish(FAREWELL)?;
        }
        let [received, sent] = self.device.hits();
        tracing::debug!("{:?}, {} frames lost", self.stack.traffic(), self.device.lost());
        tracing::debug!("the wire hit of those received {received:?}, of those sent {sent:?}");
        Ok(())
    }

    /// Goes on until nothing is owed to anybody, but no longer than `limit`; says whether that was enough.
    fn finish(&mut self, limit: Duration) -> Result<bool> {
        let deadline = clock::now() + limit;
        loop {
            self.poll()?;
            let busy = self.endpoints.iter().any(|endpoint| {
                let counts = endpoint.counts();
                counts.opening + counts.open + counts.closing > 0
            });
            if !busy {
                return Ok(true);
            }
            if clock::now() >= deadline {
                return Ok(false);
            }
            self.sleep(None, Some(deadline))?;
        }
    }

    /// Sleeps until there is something to do, if at all; says whether the bell has rung.
    fn sleep(&mut self, bell: Option<&Bell>, until: Option<Instant>) -> Result<bool> {
        let due = if self.busy {
            Some(Instant::ZERO)
        } else {
            earliest(until, self.stack.poll_at(clock::now(), &self.endpoints))
        };
        wait(self.device.as_fd(), bell.map(AsFd::as_fd), due).context("cannot wait")
    }

    fn poll(&mut self) -> Result<()> {
        let Self { stack, endpoints, device, dhcp, store, told, .. } = self;
        stack.poll(clock::now, device, endpoints, store, told);
        lease::look(dhcp, stack);
        Ok(self.device.check()?)
    }
}
