//! The smoltcp frontend on both ends of a simulated wire: real frames, a virtual clock.

use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use anywire_core::conversation::Limits;
use anywire_core::date::Date;
use anywire_core::event::{End, Event};
use anywire_core::service::StreamService;
use anywire_smoltcp::chance::Chance;
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::observer::{Connection, Observer};
use anywire_smoltcp::pool::{self, Pool, Settings, Slot};
use anywire_smoltcp::sim::{self, Client, Link, Net, Node, Packet, Side, Wire};
use anywire_smoltcp::stack::{self, Stack};
use anywire_smoltcp::stream::Stream;
use smoltcp::iface::SocketStorage;

use super::store::{Files, SharedStore};
use super::{Frontend, Peer, Transport, WithService, always, never_missing, with_service};
use crate::network::{Awaited, Handle, Network, Received, Reset, Setup};
use crate::samples;
use anywire_core::store::OpenIn;

pub(super) const TRANSPORT: Transport = Transport {
    name: "sim",
    frontend: Frontend::Smoltcp,
    lossy: false,
    missing: never_missing,
    can: always,
    with: |setup, peer| with(setup, None, peer),
};

/// Both ways, the same wire with jitter, reordering, duplication and corruption, and with so many percent lost besides.
pub(super) const LOSSY: [Transport; 3] = [
    lossy("sim-loss-0", |setup, peer| with(setup, Some(0), peer)),
    lossy("sim-loss-5", |setup, peer| with(setup, Some(5), peer)),
    lossy("sim-loss-20", |setup, peer| with(setup, Some(20), peer)),
];

const fn lossy(name: &'static str, with: fn(Setup, Peer<'_>) -> anyhow::Result<()>) -> Transport {
    Transport {
        name,
        frontend: Frontend::Smoltcp,
        lossy: true,
        missing: never_missing,
        can: always,
        with,
    }
}

fn with(setup: Setup, loss: Option<u8>, peer: Peer<'_>) -> anyhow::Result<()> {
    let mut run = Run { setup, loss, peer, ran: None };
    with_service(setup, &mut run);
    run.ran.unwrap_or_else(|| Err(anyhow::anyhow!("no service {}", setup.service)))
}

/// What a wire does that loses so many percent.
fn link(loss: u8) -> Link {
    let mut link = Link::default();
    link.delay = Duration::from_millis(5);
    link.jitter = Duration::from_millis(3);
    link.loss = Chance::percent(loss);
    link.reorder = Chance::percent(5);
    link.lag = Duration::from_millis(20);
    link.duplicate = Chance::percent(2);
    link.corrupt = Chance::percent(2);
    link
}

/// A segment that gets lost ten times in a row comes after some minutes, and whoever waits for many of those is silent for hours. What
/// the limits do is tried on a clean wire; here whoever is to be in time must be able to.
const LOSSY_LIMIT: Duration = Duration::from_secs(12 * 3600);

fn settings(limits: Limits, lossy: bool) -> Settings {
    if !lossy {
        return Settings { limits, ..Settings::default() };
    }
    let limits = Limits {
        idle: limits.idle.map(|_| LOSSY_LIMIT),
        head: limits.head.map(|_| LOSSY_LIMIT),
        drain: LOSSY_LIMIT,
        ..limits
    };
    Settings { limits, handshake: LOSSY_LIMIT, close: LOSSY_LIMIT, ..Settings::default() }
}

/// Frames that may be on their way in one direction: a window of each connection of many, and many bytes in a frame each.
const PACKETS: usize = 4096;

/// Sockets of the server's pool.
const SOCKETS: usize = 64;

/// Streams that a peer may open.
const STREAMS: usize = 128;

/// A connection is made within this time.
const CONNECTED: Duration = Duration::from_secs(60);

/// Each ring, in bytes.
const RING: usize = 16 << 10;

struct Run<'p> {
    setup: Setup,
    loss: Option<u8>,
    peer: Peer<'p>,
    ran: Option<anyhow::Result<()>>,
}

impl WithService for Run<'_> {
    fn with<S: StreamService + Send + 'static>(&mut self, service: S) {
        // An interface has its reassembly buffers in itself: more than a test's stack holds.
        let thread = std::thread::Builder::new().stack_size(64 << 20);
        let (setup, loss, peer) = (self.setup, self.loss, &mut *self.peer);
        self.ran = Some(std::thread::scope(|scope| {
            let ran = thread.spawn_scoped(scope, move || run(setup, loss, service, peer))?.join();
            ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }));
    }
}

fn run<S: StreamService>(
    setup: Setup,
    loss: Option<u8>,
    service: S,
    peer: Peer<'_>,
) -> anyhow::Result<()> {
    let (mut to_b, mut to_a) = (vec![Packet::EMPTY; PACKETS], vec![Packet::EMPTY; PACKETS]);
    let mut wire = Wire::new(&mut to_b, &mut to_a);
    wire.set_seed(setup.seed);
    wire.set_links(loss.map(link).unwrap_or_default());
    let [mut server, mut client] = [Side::A, Side::B].map(|side| sim::interface(&mut wire, side));

    let mut sockets: Vec<_> = (0..SOCKETS).map(|_| SocketStorage::EMPTY).collect();
    let (mut output, mut hold) = (vec![0; RING], vec![0; RING]);
    let memory = stack::Memory {
        sockets: &mut sockets,
        output: &mut output,
        hold: &mut hold,
        backlog: &mut [],
    };
    let mut server = Stack::new(&mut server, memory);
    let mut slots: Vec<Slot<S::Session, OpenIn<SharedStore>>> = Vec::new();
    slots.resize_with(SOCKETS, || Slot::EMPTY);
    let mut rings = vec![0; SOCKETS * 2 * RING];
    let memory =
        pool::Memory { slots: &mut slots, rings: &mut rings, receive_len: RING, send_len: RING };
    let settings = settings(setup.limits, loss.is_some());
    let mut pool = Pool::new(&mut server, service, S::ABOUT.port, memory, settings)?;
    let mut endpoints = [&mut pool as &mut dyn Endpoint<SharedStore>];
    let server = Node::new(server, &mut endpoints, SharedStore::new(setup.log), Ends::default());

    let mut sockets: Vec<_> = (0..STREAMS).map(|_| SocketStorage::EMPTY).collect();
    let memory =
        stack::Memory { sockets: &mut sockets, output: &mut [], hold: &mut [], backlog: &mut [] };
    let mut client = Stack::new(&mut client, memory);
    let mut rings = vec![0; STREAMS * 2 * RING];
    let mut free = Vec::new();
    for rings in rings.chunks_exact_mut(2 * RING) {
        let (receive, send) = rings.split_at_mut(RING);
        free.extend(Stream::new(&mut client, receive, send));
    }

    let net = Net::new(server, Node::client(client), wire);
    let lossy = loss.is_some();
    peer(&mut Sim { net, lossy, port: S::ABOUT.port, free, streams: Vec::new() });
    Ok(())
}

struct Ends {
    ends: VecDeque<End>,
    random: fastrand::Rng,
}

impl Default for Ends {
    fn default() -> Self {
        Self { ends: VecDeque::new(), random: fastrand::Rng::with_seed(0x5eed) }
    }
}

impl Observer for Ends {
    fn observe(&mut self, _: &Connection, event: Event<'_>) {
        if let Event::Ended { end, .. } = event {
            self.ends.push_back(end);
        }
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        self.random.fill(buf);
        true
    }

    fn date(&mut self) -> Option<Date> {
        Some(samples::DATE)
    }
}

type Server<'n, 'a, 'e> = Node<'n, 'a, SharedStore, Ends, &'n mut (dyn Endpoint<SharedStore> + 'e)>;

struct Sim<'w, 'n, 'a, 'e> {
    net: Net<'w, Server<'n, 'a, 'e>, Client<'a>>,
    lossy: bool,
    port: u16,
    free: Vec<Stream>,
    streams: Vec<Stream>,
}

/// Looks at every stream: of one that nobody looks at for as long as TIME-WAIT, nobody knows how it ended.
fn look(streams: &mut [Stream], stack: &mut Stack<'_>) {
    for stream in streams {
        let _ = stream.readable(stack);
    }
}

impl Network for Sim<'_, '_, '_, '_> {
    fn open(&mut self) -> Handle {
        let mut stream = self.free.pop().expect("a peer opens fewer streams");
        let server = sim::address(Side::A, self.port);
        stream.connect(&mut self.net.b.stack, server, 0).expect("an address to connect to");
        let connected =
            |net: &mut Net<'_, _, Client<'_>>| stream.connected(&mut net.b.stack).is_ready();
        assert!(
            self.net.run_until(if self.lossy { LOSSY_LIMIT } else { CONNECTED }, connected),
            "the server does not answer"
        );
        self.streams.push(stream);
        self.streams.len() - 1
    }

    fn send(&mut self, stream: Handle, bytes: &[u8]) -> Result<usize, Reset> {
        let written = self.streams[stream].write(&mut self.net.b.stack, bytes);
        // Each piece leaves as it was cut.
        self.net.poll();
        match written {
            Poll::Ready(Ok(n)) => Ok(n),
            Poll::Ready(Err(_)) => Err(Reset),
            Poll::Pending => Ok(0),
        }
    }

    fn receive(&mut self, stream: Handle, buf: &mut [u8]) -> Result<Received, Reset> {
        match self.streams[stream].read(&mut self.net.b.stack, buf) {
            Poll::Ready(Ok(0)) => Ok(Received::End),
            Poll::Ready(Ok(n)) => Ok(Received::Bytes(n)),
            Poll::Ready(Err(_)) => Err(Reset),
            Poll::Pending => Ok(Received::Nothing),
        }
    }

    fn shutdown(&mut self, stream: Handle) {
        // Of a connection that was reset there is nothing to shut down.
        let _ = self.streams[stream].shutdown(&mut self.net.b.stack);
        self.net.poll();
    }

    fn abort(&mut self, stream: Handle) {
        self.streams[stream].abort(&mut self.net.b.stack);
        // A reset is sent once. This one arrives: what a server does about a peer that has gone without a word is another scenario's.
        let link = std::mem::take(self.net.wire.link(Side::B));
        self.net.poll();
        *self.net.wire.link(Side::B) = link;
    }

    fn wait(&mut self, stream: Handle, awaited: Awaited, limit: Duration) -> bool {
        let Self { net, streams, .. } = self;
        net.run_until(limit, |net| {
            let stack = &mut net.b.stack;
            look(streams, stack);
            let stream = &mut streams[stream];
            (awaited != Awaited::Write && stream.readable(stack).is_ready())
                || (awaited != Awaited::Read && stream.writable(stack).is_ready())
        })
    }

    fn ended(&mut self, limit: Duration) -> Option<End> {
        let mut end = None;
        let Self { net, streams, .. } = self;
        net.run_until(limit, |net| {
            look(streams, &mut net.b.stack);
            end = net.a.observer.ends.pop_front();
            end.is_some()
        });
        end
    }

    fn stored(&mut self, name: &str) -> Option<Vec<u8>> {
        self.net.a.store.stored(name)
    }

    fn names(&mut self) -> Vec<String> {
        self.net.a.store.names()
    }

    fn unfinished(&mut self) -> usize {
        self.net.a.store.unfinished()
    }

    fn logs(&mut self) -> Vec<String> {
        self.net.a.store.logs()
    }

    fn date(&self) -> Option<Date> {
        Some(samples::DATE)
    }

    fn lossy(&self) -> bool {
        self.lossy
    }

    fn many(&self) -> usize {
        50
    }
}
