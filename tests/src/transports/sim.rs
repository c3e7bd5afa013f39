//! The smoltcp frontend on both ends of a simulated wire: real frames, a virtual clock.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use anywire_core::conversation::Limits;
use anywire_core::datagram::{DatagramService, MAX_DATAGRAM};
use anywire_core::date::Date;
use anywire_core::event::{End, Event};
use anywire_core::instant::Instant;
use anywire_core::service::StreamService;
use anywire_smoltcp::chance::Chance;
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::observer::{Connection, Observer};
use anywire_smoltcp::pool::{self, Pool, Settings, Slot};
use anywire_smoltcp::sim::{self, Client, Link, Net, Node, Packet, Side, Wire};
use anywire_smoltcp::stack::{self, Stack};
use anywire_smoltcp::stream::Stream;
use anywire_smoltcp::udp::{self, Asker, Datagrams};
use smoltcp::iface::SocketStorage;
use smoltcp::phy::{PcapLinkType, PcapSink};
use smoltcp::socket::udp::PacketMetadata;

use super::store::{Files, SharedStore};
use super::{Frontend, Peer, Transport, WithService, with_service};
use crate::network::{Awaited, Handle, Network, Received, Reset, Setup};
use crate::samples;
use anywire_core::store::OpenIn;

pub(super) const TRANSPORT: Transport = Transport::new(
    "sim",
    "two smoltcp stacks and a simulated wire, on a virtual clock",
    Frontend::Smoltcp,
    |setup, peer| with(setup, Way { ipv6: false, loss: None }, peer),
);

/// The same over IPv6.
pub(super) const IPV6: Transport =
    Transport::new("sim IPv6", "the same over IPv6", Frontend::Smoltcp, |setup, peer| {
        with(setup, Way { ipv6: true, loss: None }, peer)
    })
    .ipv6();

/// Both ways, the same wire with jitter, reordering, duplication and corruption, and with so many percent lost besides.
pub(super) const LOSSY: [Transport; 3] = [
    lossy(
        "sim-loss-0",
        "the same wire with jitter, frames that overtake each other, come twice and have a bit flipped, both ways",
        |setup, peer| with(setup, Way { ipv6: false, loss: Some(0) }, peer),
    ),
    lossy("sim-loss-5", "the same, and 5 % of all frames get lost", |setup, peer| {
        with(setup, Way { ipv6: false, loss: Some(5) }, peer)
    }),
    lossy("sim-loss-20", "the same, and 20 % get lost", |setup, peer| {
        with(setup, Way { ipv6: false, loss: Some(20) }, peer)
    }),
];

const fn lossy(
    name: &'static str,
    about: &'static str,
    with: fn(Setup, Peer<'_>) -> anyhow::Result<()>,
) -> Transport {
    Transport { lossy: true, ..Transport::new(name, about, Frontend::Smoltcp, with) }
}

/// Which wire.
#[derive(Clone, Copy)]
struct Way {
    ipv6: bool,
    loss: Option<u8>,
}

impl Way {
    /// The server's address.
    fn server(self, port: u16) -> SocketAddr {
        match self.ipv6 {
            true => (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), port).into(),
            false => sim::address(Side::A, port),
        }
    }
}

fn with(setup: Setup, way: Way, peer: Peer<'_>) -> anyhow::Result<()> {
    let mut run = Run { setup, way, peer, frames: &mut |_, _| {}, ran: None };
    with_service(setup, &mut run);
    run.ran.unwrap_or_else(|| Err(anyhow::anyhow!("no service {}", setup.service)))
}

/// The same on a clean wire, as a file that Wireshark and tshark open.
pub(super) fn captured(setup: Setup, ipv6: bool, peer: Peer<'_>) -> anyhow::Result<Vec<u8>> {
    let mut file = Capture(Vec::new());
    file.global_header(PcapLinkType::Ethernet);
    let frames = &mut |now: Instant, frame: &[u8]| {
        let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        file.packet(smoltcp::time::Instant::from_micros(micros), frame);
    };
    let mut run = Run { setup, way: Way { ipv6, loss: None }, peer, frames, ran: None };
    with_service(setup, &mut run);
    run.ran.unwrap_or_else(|| Err(anyhow::anyhow!("no service {}", setup.service)))?;
    Ok(file.0)
}

struct Capture(Vec<u8>);

impl PcapSink for Capture {
    fn write(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
    }
}

/// Is shown every frame.
type Frames<'f> = &'f mut (dyn FnMut(Instant, &[u8]) + Send);

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

/// Memory for them, both ways, that a trial is done with: to make it anew would take longer than most trials.
static FREE: Mutex<Vec<[Vec<Packet>; 2]>> = Mutex::new(Vec::new());

fn free() -> MutexGuard<'static, Vec<[Vec<Packet>; 2]>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sockets of the server's pool.
const SOCKETS: usize = 64;

/// Streams that a peer may open.
const STREAMS: usize = 128;

/// A connection is made within this time.
const CONNECTED: Duration = Duration::from_secs(60);

/// Each ring, in bytes.
const RING: usize = 16 << 10;

/// Sockets that ask over datagrams.
const ASKERS: usize = 50;

/// Datagrams that wait in each direction of a socket.
const DATAGRAMS: usize = 64;

struct Run<'p> {
    setup: Setup,
    way: Way,
    peer: Peer<'p>,
    frames: Frames<'p>,
    ran: Option<anyhow::Result<()>>,
}

impl Run<'_> {
    fn serve(&mut self, served: impl Served + Send) {
        // An interface has its reassembly buffers in itself: more than a test's stack holds.
        let thread = std::thread::Builder::new().stack_size(64 << 20);
        let (setup, way) = (self.setup, self.way);
        let (frames, peer) = (&mut *self.frames, &mut *self.peer);
        self.ran = Some(std::thread::scope(|scope| {
            let ran =
                thread.spawn_scoped(scope, move || run(setup, way, served, frames, peer))?.join();
            ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }));
    }
}

impl WithService for Run<'_> {
    fn with<S: StreamService + Send + 'static>(&mut self, service: S) {
        self.serve(OverStreams(service));
    }

    fn with_datagrams<D: DatagramService + Send + 'static>(&mut self, service: D) {
        self.serve(OverDatagrams(service));
    }
}

/// A service, and what the stack needs for it.
trait Served {
    const PORT: u16;
    type Slots;

    fn slots() -> Self::Slots;

    fn endpoint<'a>(
        self,
        stack: &mut Stack<'a>,
        slots: &'a mut Self::Slots,
        memory: &'a mut Memory,
        settings: Settings,
    ) -> anyhow::Result<Box<dyn Endpoint<SharedStore> + 'a>>;
}

/// Bytes for sockets.
#[derive(Default)]
struct Memory {
    rings: Vec<u8>,
    places: [Vec<PacketMetadata>; 2],
    datagrams: [Vec<u8>; 2],
}

impl Memory {
    /// Of a socket for datagrams.
    fn datagrams() -> Self {
        let places = [(); 2].map(|()| vec![PacketMetadata::EMPTY; DATAGRAMS]);
        let datagrams = [(); 2].map(|()| vec![0; 2 * MAX_DATAGRAM]);
        Self { rings: Vec::new(), places, datagrams }
    }

    fn lend(&mut self) -> udp::Memory<'_> {
        let Self { places: [receive_slots, send_slots], datagrams: [receive, send], .. } = self;
        udp::Memory { receive_slots, receive, send_slots, send }
    }
}

struct OverStreams<S>(S);

impl<S: StreamService + 'static> Served for OverStreams<S> {
    const PORT: u16 = S::ABOUT.port;
    type Slots = Vec<Slot<S::Session, OpenIn<SharedStore>>>;

    fn slots() -> Self::Slots {
        let mut slots = Vec::new();
        slots.resize_with(SOCKETS, || Slot::EMPTY);
        slots
    }

    fn endpoint<'a>(
        self,
        stack: &mut Stack<'a>,
        slots: &'a mut Self::Slots,
        memory: &'a mut Memory,
        settings: Settings,
    ) -> anyhow::Result<Box<dyn Endpoint<SharedStore> + 'a>> {
        memory.rings = vec![0; SOCKETS * 2 * RING];
        let memory = pool::Memory::new(slots, &mut memory.rings, (RING, RING));
        Ok(Box::new(Pool::new(stack, self.0, Self::PORT, memory, settings)?))
    }
}

struct OverDatagrams<D>(D);

impl<D: DatagramService + 'static> Served for OverDatagrams<D> {
    const PORT: u16 = D::ABOUT.port;
    type Slots = ();

    fn slots() {}

    fn endpoint<'a>(
        self,
        stack: &mut Stack<'a>,
        (): &'a mut (),
        memory: &'a mut Memory,
        _: Settings,
    ) -> anyhow::Result<Box<dyn Endpoint<SharedStore> + 'a>> {
        *memory = Memory::datagrams();
        Ok(Box::new(Datagrams::new(stack, self.0, Self::PORT, memory.lend())?))
    }
}

fn run<S: Served>(
    setup: Setup,
    way: Way,
    served: S,
    frames: Frames<'_>,
    peer: Peer<'_>,
) -> anyhow::Result<()> {
    let used = free().pop();
    let mut packets = used.unwrap_or_else(|| [(); 2].map(|()| vec![Packet::EMPTY; PACKETS]));
    let [to_b, to_a] = &mut packets;
    let mut watch = |now, _, frame: &[u8]| frames(now, frame);
    let mut wire = Wire::new(to_b, to_a);
    wire.watch(&mut watch);
    wire.set_seed(setup.seed);
    wire.set_links(way.loss.map(link).unwrap_or_default());
    let [mut server, mut client] = [Side::A, Side::B].map(|side| sim::interface(&mut wire, side));

    let mut rings = vec![0; if setup.datagrams { 0 } else { STREAMS * 2 * RING }];
    let mut memories = Vec::new();
    memories.resize_with(if setup.datagrams { ASKERS } else { 0 }, Memory::datagrams);
    let mut sockets: Vec<_> = (0..STREAMS).map(|_| SocketStorage::EMPTY).collect();
    let lent =
        stack::Memory { sockets: &mut sockets, output: &mut [], hold: &mut [], backlog: &mut [] };
    let mut client = Stack::new(&mut client, lent);
    let mut streams = Vec::new();
    for rings in rings.chunks_exact_mut(2 * RING) {
        let (receive, send) = rings.split_at_mut(RING);
        streams.extend(Stream::new(&mut client, receive, send));
    }
    let mut askers = Vec::new();
    for memory in &mut memories {
        askers.extend(Asker::new(&mut client, memory.lend()));
    }

    let (mut slots, mut memory) = (S::slots(), Memory::default());
    let mut sockets: Vec<_> = (0..SOCKETS).map(|_| SocketStorage::EMPTY).collect();
    // Room for the longest datagram.
    let (mut output, mut hold) = (vec![0; RING.max(MAX_DATAGRAM)], vec![0; RING]);
    let lent = stack::Memory {
        sockets: &mut sockets,
        output: &mut output,
        hold: &mut hold,
        backlog: &mut [],
    };
    let mut server = Stack::new(&mut server, lent);
    let settings = settings(setup.limits, way.loss.is_some());
    let mut endpoint = served.endpoint(&mut server, &mut slots, &mut memory, settings)?;
    let mut endpoints = [&mut *endpoint];
    let server = Node::new(server, &mut endpoints, SharedStore::new(setup.log), Ends::default());

    let net = Net::new(server, Node::client(client), wire);
    let server = way.server(S::PORT);
    peer(&mut Sim { net, way, server, free: streams, streams: Vec::new(), askers });
    free().push(packets);
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
    way: Way,
    server: SocketAddr,
    free: Vec<Stream>,
    streams: Vec<Stream>,
    askers: Vec<Asker>,
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
        stream.connect(&mut self.net.b.stack, self.server, 0).expect("an address to connect to");
        let connected =
            |net: &mut Net<'_, _, Client<'_>>| stream.connected(&mut net.b.stack).is_ready();
        assert!(
            self.net.run_until(if self.lossy() { LOSSY_LIMIT } else { CONNECTED }, connected),
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
        self.way.loss.is_some()
    }

    fn mss(&self) -> usize {
        if self.way.ipv6 { 1440 } else { 1460 }
    }

    fn ask(&mut self, questions: &[&[u8]], limit: Duration) -> Vec<Option<Vec<u8>>> {
        assert!(questions.len() <= self.askers.len(), "a peer asks less at once");
        let Self { net, server, askers, .. } = self;
        for (asker, question) in askers.iter_mut().zip(questions) {
            asker.bind(&mut net.b.stack, 0).expect("a port is free");
            asker.send(&mut net.b.stack, *server, question).expect("there is room for a question");
        }
        let mut answers = vec![None; questions.len()];
        let mut buf = vec![0; MAX_DATAGRAM];
        net.run_until(limit, |net| {
            for (asker, answer) in askers.iter_mut().zip(&mut answers) {
                if let Poll::Ready(len) = asker.receive(&mut net.b.stack, *server, &mut buf) {
                    *answer = Some(buf[..len].to_vec());
                }
            }
            answers.iter().all(Option::is_some)
        });
        answers
    }

    /// Over IPv6 what fits into one frame: a stack does not fragment there.
    fn longest_datagram(&self) -> usize {
        if self.way.ipv6 { 1452 } else { udp::MAX_ANSWER }
    }

    fn many(&self) -> usize {
        50
    }
}
