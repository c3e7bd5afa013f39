//! The TAP device: our stack on one end, Linux's own TCP on the other, both ways.
//!
//! The test program runs itself inside `cargo xtask tap shell`, so that there may be devices and nothing of this machine is touched. Each
//! trial has one for itself, in a network of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::ensure;
use anywire_core::blocking::{Interest, Wire};
use anywire_core::datagram::{DatagramService, MAX_DATAGRAM};
use anywire_core::event::End;
use anywire_core::service::StreamService;
use anywire_std::clock;
use anywire_std::engine::Engine;
use anywire_tap::client::Client;
use anywire_tap::server::{Options, Server, Stopper};
use anywire_tap::station::Station;
use anywire_tap::wire::TapWire;
use embedded_io::{Read, Write};
use smoltcp::wire::IpCidr;

use super::engines::{Ends, Running};
use super::linux::{self, FromLinux, Server as _};
use super::store::{Files, SharedStore};
use super::{Frontend, Peer, Transport, WithService, with_service};
use crate::network::{Awaited, Handle, Network, Received, Reset, Setup};
use crate::programs::program;
use crate::shell;

/// Our stack serves, Linux connects.
pub(super) const SERVER: Transport =
    on_tap("tap-server", "our stack serves on a TAP device, Linux connects", |setup, peer| {
        serve(setup, false, peer)
    });

/// The same over IPv6.
pub(super) const SERVER_IPV6: Transport =
    on_tap("tap-server IPv6", "the same over IPv6", |setup, peer| serve(setup, true, peer)).ipv6();

/// Linux serves, our stack connects.
pub(super) const CLIENT: Transport =
    on_tap("tap-client", "Linux serves on a TAP device, our stack connects", |setup, peer| {
        connect(setup, false, peer)
    });

/// The same over IPv6.
pub(super) const CLIENT_IPV6: Transport =
    on_tap("tap-client IPv6", "the same over IPv6", |setup, peer| connect(setup, true, peer))
        .ipv6();

const fn on_tap(
    name: &'static str,
    about: &'static str,
    with: fn(Setup, Peer<'_>) -> anyhow::Result<()>,
) -> Transport {
    Transport { missing: shell::problem, ..Transport::new(name, about, Frontend::Smoltcp, with) }
}

fn serve(setup: Setup, ipv6: bool, peer: Peer<'_>) -> anyhow::Result<()> {
    let device = Device::borrow()?;
    let server = StackServer::start(setup, device.station(), device.own(ipv6))?;
    peer(&mut FromLinux::new(server));
    drop(device);
    Ok(())
}

fn connect(setup: Setup, ipv6: bool, peer: Peer<'_>) -> anyhow::Result<()> {
    let device = Device::borrow()?;
    let server = Running::start(Engine::Poll, setup, SocketAddr::new(device.linux(ipv6), 0))?;
    let client = Client::open(device.station())?;
    peer(&mut TapClient { server, client, streams: Vec::new() });
    drop(device);
    Ok(())
}

/// A device, for one trial: the number behind its name.
struct Device(u8);

/// How many devices there are, and which of them nobody uses.
static DEVICES: Mutex<(u8, Vec<u8>)> = Mutex::new((0, Vec::new()));

impl Device {
    /// Any that is free, or a new one.
    fn borrow() -> anyhow::Result<Self> {
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, free) = &mut *devices;
        if let Some(number) = free.pop() {
            return Ok(Self(number));
        }
        let device = Self(*made);
        *made += 1;
        // The shell has made the first.
        if device.0 > 0 {
            let mut up = program("xtask");
            up.args(["tap", "up", "--name", &device.name()]);
            up.args(["--address", &format!("{}/24", device.linux(false))]);
            up.args(["--address", &format!("{}/64", device.linux(true))]);
            let up = up.output()?;
            let problem = String::from_utf8_lossy(&up.stderr);
            ensure!(up.status.success(), "{} cannot be made: {problem}", device.name());
        }
        Ok(device)
    }

    fn name(&self) -> String {
        format!("tap{}", self.0)
    }

    /// The address of Linux's end.
    fn linux(&self, ipv6: bool) -> IpAddr {
        self.address(ipv6, 100, 0x100)
    }

    /// The address of our stack's.
    fn own(&self, ipv6: bool) -> IpAddr {
        self.address(ipv6, 1, 1)
    }

    /// A network for each device: the first is the shell's.
    fn address(&self, ipv6: bool, v4: u8, v6: u16) -> IpAddr {
        match ipv6 {
            true => Ipv6Addr::new(0xfdaa, 0, 0, self.0.into(), 0, 0, 0, v6).into(),
            false => Ipv4Addr::new(192, 168, 69 + self.0, v4).into(),
        }
    }

    /// Our stack on the other.
    fn station(&self) -> Station {
        Station {
            tap: self.name(),
            addresses: vec![
                IpCidr::new(self.own(false).into(), 24),
                IpCidr::new(self.own(true).into(), 64),
            ],
            ..Station::default()
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        DEVICES.lock().unwrap_or_else(PoisonError::into_inner).1.push(self.0);
    }
}

struct StackServer {
    addr: SocketAddr,
    ends: Receiver<End>,
    store: SharedStore,
    stopper: Stopper,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

struct Bind<'a> {
    server: &'a mut Server<SharedStore>,
    addr: SocketAddr,
    bound: Option<std::io::Result<SocketAddr>>,
}

impl WithService for Bind<'_> {
    fn with<S: StreamService + Send + 'static>(&mut self, service: S) {
        self.bound = Some(self.server.bind_stream(service, self.addr));
    }

    fn with_datagrams<D: DatagramService + Send + 'static>(&mut self, service: D) {
        self.bound = Some(self.server.bind_datagram(service, self.addr));
    }
}

impl StackServer {
    fn start(setup: Setup, station: Station, ip: IpAddr) -> anyhow::Result<Self> {
        let options = Options {
            limits: setup.limits,
            grace: Duration::from_millis(100),
            ..Options::default()
        };
        let (sender, ends) = channel();
        let observer = Arc::new(Ends(Mutex::new(sender)));
        let store = SharedStore::new(setup.log);
        let addr = SocketAddr::new(ip, 0);
        let mut server = Server::new(station, options, store.clone(), observer)?;
        let mut bind = Bind { server: &mut server, addr, bound: None };
        with_service(setup, &mut bind);
        let addr = bind.bound.ok_or_else(|| anyhow::anyhow!("no service {}", setup.service))??;
        let stopper = server.stopper();
        let thread = Some(std::thread::spawn(move || server.run()));
        Ok(Self { addr, ends, store, stopper, thread })
    }
}

impl Drop for StackServer {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ran = thread.join();
            if !std::thread::panicking() {
                ran.expect("the server panicked").expect("the server failed");
            }
        }
    }
}

impl linux::Server for StackServer {
    const MSS: usize = 1460;
    // A TAP's queue holds 500 frames, and what is dropped comes again after 200 ms: a silence that ends a name. More would be cut
    // into more frames than that.
    const MANY: usize = 40;

    /// Over IPv6 what fits into one frame: a stack does not fragment there.
    fn longest_datagram(&self) -> usize {
        if self.addr.is_ipv6() { 1452 } else { MAX_DATAGRAM }
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn ended(&mut self, limit: Duration) -> Option<End> {
        self.ends.recv_timeout(limit).ok()
    }

    fn files(&self) -> &dyn Files {
        &self.store
    }
}

struct TapClient {
    server: Running,
    client: Client,
    streams: Vec<TapWire>,
}

impl TapClient {
    /// Whether there is something to read, or room to write, at once.
    fn ready(&mut self, stream: Handle, interest: Interest) -> Result<bool, Reset> {
        let ready = self.streams[stream].wait(interest, Some(clock::now())).map_err(|_| Reset)?;
        Ok(ready.read || ready.write)
    }
}

impl Network for TapClient {
    fn open(&mut self) -> Handle {
        let wire = self.client.connect(self.server.addr(), Duration::from_secs(30));
        self.streams.push(wire.expect("Linux answers"));
        self.streams.len() - 1
    }

    fn send(&mut self, stream: Handle, bytes: &[u8]) -> Result<usize, Reset> {
        if bytes.is_empty() || !self.ready(stream, Interest::Write)? {
            return Ok(0);
        }
        let sent = self.streams[stream].write(bytes).map_err(|_| Reset)?;
        self.streams[stream].flush().map_err(|_| Reset)?;
        Ok(sent)
    }

    fn receive(&mut self, stream: Handle, buf: &mut [u8]) -> Result<Received, Reset> {
        if !self.ready(stream, Interest::Read)? {
            return Ok(Received::Nothing);
        }
        Ok(match self.streams[stream].read(buf).map_err(|_| Reset)? {
            0 => Received::End,
            n => Received::Bytes(n),
        })
    }

    fn shutdown(&mut self, stream: Handle) {
        // Of a connection that was reset there is nothing to shut down.
        let _ = self.streams[stream].shutdown();
    }

    fn abort(&mut self, stream: Handle) {
        self.streams[stream].abort();
    }

    fn wait(&mut self, stream: Handle, awaited: Awaited, limit: Duration) -> bool {
        let interest = match awaited {
            Awaited::Read => Interest::Read,
            Awaited::Write => Interest::Write,
            Awaited::Both => Interest::Both,
        };
        let deadline = clock::now() + limit;
        // A failure is something that happens.
        self.streams[stream]
            .wait(interest, Some(deadline))
            .map_or(true, |ready| ready.read || ready.write)
    }

    fn ended(&mut self, limit: Duration) -> Option<End> {
        // The stack works only while somebody waits for it.
        let deadline = clock::now() + limit;
        loop {
            let end = self.server.ended(Duration::ZERO);
            if end.is_some() || clock::now() >= deadline {
                return end;
            }
            let slice = clock::now() + Duration::from_millis(2);
            if let Some(stream) = self.streams.first_mut() {
                // What comes of it does not matter; it may be readable, or over, all the time.
                let _ = stream.wait(Interest::Read, Some(slice));
            }
            std::thread::yield_now();
        }
    }

    fn stored(&mut self, name: &str) -> Option<Vec<u8>> {
        self.server.files().stored(name)
    }

    fn names(&mut self) -> Vec<String> {
        self.server.files().names()
    }

    fn unfinished(&mut self) -> usize {
        self.server.files().unfinished()
    }

    fn logs(&mut self) -> Vec<String> {
        self.server.files().logs()
    }

    fn mss(&self) -> usize {
        if self.server.addr().is_ipv6() { 1440 } else { 1460 }
    }

    /// One after the other: that is how a client of ours asks.
    fn ask(&mut self, questions: &[&[u8]], limit: Duration) -> Vec<Option<Vec<u8>>> {
        let peer = self.server.addr();
        let ask = |question: &&[u8]| {
            let mut reply = Vec::new();
            self.client.ask(peer, question, &mut reply, limit).ok()?;
            Some(reply)
        };
        questions.iter().map(ask).collect()
    }

    fn longest_datagram(&self) -> usize {
        if self.server.addr().is_ipv6() { 1452 } else { MAX_DATAGRAM }
    }

    fn many(&self) -> usize {
        // As many as the client's stack has sockets, less a few for those that linger.
        50
    }
}
