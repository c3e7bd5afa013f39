//! Invariant: on a wire that does its worst, what a client of the simulated pair reads is the true beginning of what it is owed, an
//! orderly end behind it means that it is whole, what is stored is whole, everything ends, and the same input is the same run to the byte.

use std::num::NonZeroU64;
use std::task::Poll;
use std::time::Duration;

use anywire_core::conversation::Limits;
use anywire_core::name::FileName;
use anywire_core::service::{StreamService, echo, file, upload};
use anywire_smoltcp::chance::Chance;
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::pool::Settings;
use anywire_smoltcp::sim::{self, Link, Net, Node, Packet, Side, Wire};
use anywire_smoltcp::stack::{self, Stack};
use anywire_smoltcp::stream::Stream;
use smoltcp::iface::SocketStorage;

use crate::choices::Choices;
use crate::frames::{Files, Room, SOCKETS, Watch};

/// Streams of the client's.
const STREAMS: usize = 4;

/// Each of their rings.
const RING: usize = 4096;

/// See the [module](self).
pub fn run(data: &[u8]) {
    let trace = once(data);
    // Not always: it takes as long again.
    if data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) % 16 == 0 {
        assert_eq!(once(data), trace);
    }
}

/// What one stream is for, and what it has seen.
struct Talk {
    stream: Stream,
    port: u16,
    /// How much of what it has to say was taken.
    sent: usize,
    read: Vec<u8>,
    shut: bool,
    /// How it ended: whether in good order.
    over: Option<bool>,
}

const ECHO: u16 = <echo::Echo as StreamService>::ABOUT.port;
const UPLOAD: u16 = <upload::Upload as StreamService>::ABOUT.port;
const FILE: u16 = <file::File as StreamService>::ABOUT.port;

/// A silent server is asked after so long whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long a server is patient: longer than any wire is bad, or an idle connection's end would be one of a stream that is not whole.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// How often something happens at most: so the wire is mended before that.
const EVENTS: usize = 60;

impl Talk {
    /// All that is to be said to this port; of echo, as much as anybody will.
    fn script(&self) -> Vec<u8> {
        match self.port {
            ECHO => (0..20_000_usize).map(|at| (at ^ (at >> 7)) as u8).collect(),
            UPLOAD => {
                let len = (UPLOAD_BODY.len() as u16).to_le_bytes();
                [&[1, 2, 0][..], b"up", &[3], &len, UPLOAD_BODY].concat()
            }
            _ => b"f\n".to_vec(),
        }
    }

    /// Connects, or says more.
    fn go_on(&mut self, stack: &mut Stack<'_>, choices: &mut Choices<'_>) {
        if self.over.is_some() {
            self.check();
            self.port = choices.one_of(&[ECHO, UPLOAD, FILE]);
            let server = sim::address(Side::A, self.port);
            let dialled = self.stream.connect(stack, server, 0);
            dialled.expect("there is a port, and an address");
            self.stream.set_keep_alive(stack, Some(KEEP_ALIVE));
            (self.sent, self.shut, self.over) = (0, false, None);
            self.read.clear();
            return;
        }
        let script = self.script();
        let rest = script.get(self.sent..).unwrap_or_default();
        let some = &rest[..choices.below(3000).min(rest.len())];
        if let Poll::Ready(Ok(len)) = self.stream.write(stack, some) {
            self.sent += len;
        }
    }

    /// Reads all that there is; says whether it is over.
    fn read(&mut self, stack: &mut Stack<'_>) -> bool {
        let mut buf = [0; 1024];
        while self.over.is_none() {
            match self.stream.read(stack, &mut buf) {
                Poll::Ready(Ok(0)) => self.over = Some(true),
                Poll::Ready(Ok(len)) => self.read.extend(&buf[..len]),
                Poll::Ready(Err(_)) => self.over = Some(false),
                Poll::Pending => break,
            }
        }
        self.over.is_some()
    }

    /// Whether what was read is what is owed.
    fn check(&self) {
        let script = self.script();
        let owed = match self.port {
            ECHO => script[..self.sent].to_vec(),
            UPLOAD => b"OK".to_vec(),
            FILE => served(),
            _ => Vec::new(),
        };
        assert!(owed.starts_with(&self.read), "{} says something else", self.port);
        if self.over == Some(true) {
            // An upload of nothing is whole, too.
            let nothing = self.port == UPLOAD && self.sent == 0;
            assert!(nothing || owed == self.read, "{} ends too early", self.port);
            assert!(self.port != ECHO || self.shut);
        }
    }

    /// Whether its file is proven to be stored.
    fn proves(&self) -> bool {
        let all = self.sent == self.script().len();
        self.port == UPLOAD && self.over == Some(true) && self.shut && all
    }
}

/// The file that is served.
fn served() -> Vec<u8> {
    (0..1999_u16).map(|at| (at ^ (at >> 5)) as u8).collect()
}

/// One run: the hash of its trace.
fn once(data: &[u8]) -> u64 {
    let mut choices = Choices::new(data);
    let (mut to_b, mut to_a) = (vec![Packet::EMPTY; 128], vec![Packet::EMPTY; 128]);
    let mut wire = Wire::new(&mut to_b, &mut to_a);
    wire.set_seed(choices.word().into());
    let mut interfaces = [Side::A, Side::B].map(|side| Box::new(sim::interface(&mut wire, side)));
    let [server, client] = &mut interfaces;

    let mut sockets: Vec<_> = (0..3 * SOCKETS).map(|_| SocketStorage::EMPTY).collect();
    let (mut output, mut hold) = (vec![0; 8192], vec![0; 5000]);
    let memory = stack::Memory {
        sockets: &mut sockets,
        output: &mut output,
        hold: &mut hold,
        backlog: &mut [],
    };
    let mut server = Stack::new(server, memory);
    let (mut a, mut b, mut c) = (Room::new(SOCKETS), Room::new(SOCKETS), Room::new(SOCKETS));
    let idle = Some(PATIENCE);
    let limits = Limits { idle, head: idle, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let mut echoes = a.pool(&mut server, echo::Echo, settings);
    let mut uploads = b.pool(&mut server, upload::Upload, settings);
    let mut files = c.pool(&mut server, file::File, settings);
    let mut endpoints: [&mut dyn Endpoint<Files>; 3] = [&mut echoes, &mut uploads, &mut files];
    let mut store = Files::new();
    store.put(FileName::new(b"f").expect("a name"), &served()).expect("room");
    let server = Node::new(server, &mut endpoints, store, Watch::default());

    let mut sockets: Vec<_> = (0..STREAMS).map(|_| SocketStorage::EMPTY).collect();
    let memory =
        stack::Memory { sockets: &mut sockets, output: &mut [], hold: &mut [], backlog: &mut [] };
    let mut client = Stack::new(client, memory);
    let mut rings = vec![0; STREAMS * 2 * RING];
    let mut talks: Vec<_> = rings
        .chunks_exact_mut(2 * RING)
        .map(|rings| {
            let (receive, send) = rings.split_at_mut(RING);
            let stream = Stream::new(&mut client, receive, send).expect("room");
            Talk { stream, port: 0, sent: 0, read: Vec::new(), shut: false, over: Some(false) }
        })
        .collect();
    let mut net = Net::new(server, Node::client(client), wire);

    link(&mut net.wire, &mut choices);
    for _ in 0..EVENTS {
        if choices.over() {
            break;
        }
        let talk = &mut talks[choices.below(STREAMS)];
        match choices.byte() % 8 {
            0 => link(&mut net.wire, &mut choices),
            1 => net.run(Duration::from_millis(choices.word().into())),
            2 => talk.shut |= talk.stream.shutdown(&mut net.b.stack).is_ok(),
            3 if choices.byte() % 4 == 3 => talk.stream.abort(&mut net.b.stack),
            _ => talk.go_on(&mut net.b.stack, &mut choices),
        }
        net.poll();
        for talk in &mut talks {
            talk.read(&mut net.b.stack);
        }
    }

    // The wire is mended, everybody has said all: now it must come to an end by itself.
    net.wire.set_links(Link::default());
    for talk in &mut talks {
        talk.shut |= talk.stream.shutdown(&mut net.b.stack).is_ok();
    }
    net.run_until(2 * PATIENCE, |net| {
        let reads = talks.iter_mut().map(|talk| talk.read(&mut net.b.stack));
        reads.fold(true, |over, talk| over & talk)
    });
    // The last of it: TIME-WAIT, and the server's own patience with who has gone.
    net.run(2 * PATIENCE);
    for talk in &mut talks {
        assert!(talk.read(&mut net.b.stack), "a stream to {} does not end", talk.port);
        talk.check();
    }
    for endpoint in &*net.a.endpoints {
        let counts = endpoint.counts();
        assert_eq!(counts.listening, SOCKETS, "{}: {counts:?}", endpoint.service());
    }
    assert_eq!(net.a.observer.open(), 0, "some connections have not ended");
    let store = &net.a.store;
    assert_eq!(store.in_use(), store.len(), "a file is open");
    let stored = FileName::new(b"up").ok().and_then(|name| store.get(name));
    assert!(stored.is_none_or(|stored| stored == UPLOAD_BODY), "half a file is stored");
    assert!(stored.is_some() || !talks.iter().any(Talk::proves), "a file is lost");
    net.wire.trace()
}

const UPLOAD_BODY: &[u8] = &[b'u'; 700];

/// Another wire than it was.
fn link(wire: &mut Wire<'_>, choices: &mut Choices<'_>) {
    for side in [Side::A, Side::B] {
        let mut link = Link::default();
        let mut chance = || Chance::percent(choices.byte() % 64 * u8::from(choices.flag()));
        link.loss = chance();
        link.reorder = chance();
        link.duplicate = chance();
        link.corrupt = chance();
        let mut millis = |most| Duration::from_millis(choices.below(most) as u64);
        link.delay = millis(2000);
        link.jitter = millis(500);
        link.lag = millis(1000);
        link.rate = match choices.byte() % 4 {
            3 => NonZeroU64::new(8 * (2000 + u64::from(choices.word()))),
            _ => None,
        };
        // What is longer is lost: a path that has become narrower, and nobody says so.
        link.mtu = if choices.byte() % 8 == 7 { 60 + choices.below(1400) } else { Packet::LEN };
        *wire.link(side) = link;
    }
}
