//! Invariant: whatever frames reach a smoltcp server, it and its sessions keep the contract, what it sends is well formed, every
//! connection is told once and ends once, and when all is silent every socket listens again and no file is open.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anywire_core::checked::Checked;
use anywire_core::event::{End, Event};
use anywire_core::instant::Instant;
use anywire_core::name::FileName;
use anywire_core::ram::RamStore;
use anywire_core::service::guess::Guess;
use anywire_core::service::{
    About, StreamService, echo, file, greet, hello, message, typed, upload,
};
use anywire_core::session::Reason;
use anywire_core::store::OpenIn;
use anywire_smoltcp::backlog::Parked;
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::observer::{Connection, Observer};
use anywire_smoltcp::pool::{self, Pool, Settings, Slot};
use anywire_smoltcp::stack::{self, Stack};
use anywire_smoltcp::udp::{self, Datagrams};
use smoltcp::iface::{Config, Interface, SocketStorage};
use smoltcp::socket::udp::PacketMetadata;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address, Ipv6Address};

use crate::choices::Choices;
use crate::packets::{self, Nic, SERVER};

/// Where files are kept.
pub type Files = RamStore<4, 2048>;

/// A service whose sessions are watched.
#[derive(Clone, Copy, Debug)]
pub struct Watched<V>(pub V);

impl<V: StreamService> StreamService for Watched<V> {
    type Session = Checked<V::Session>;
    const ABOUT: About = V::ABOUT;

    fn open(&self) -> Self::Session {
        Checked::new(self.0.open())
    }
}

/// The memory of one pool.
pub struct Room<V: StreamService> {
    slots: Vec<Slot<Checked<V::Session>, OpenIn<Files>>>,
    rings: Vec<u8>,
}

/// A receive ring and a send ring: at least the largest `HOLD` and the largest `ROOM`.
const RING: usize = 5000;

/// Sockets of each pool.
pub const SOCKETS: usize = 2;

impl<V: StreamService> Room<V> {
    /// Room for so many sockets.
    pub fn new(sockets: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(sockets, || Slot::EMPTY);
        Self { slots, rings: vec![0; sockets * 2 * RING] }
    }

    /// The pool in it.
    pub fn pool<'m>(
        &'m mut self,
        stack: &mut Stack<'m>,
        service: V,
        settings: Settings,
    ) -> Pool<'m, Watched<V>, OpenIn<Files>> {
        let memory = pool::Memory::new(&mut self.slots, &mut self.rings, (RING, RING));
        Pool::new(stack, Watched(service), V::ABOUT.port, memory, settings)
            .expect("the memory is large enough")
    }
}

/// Knows which connections are open.
#[derive(Debug, Default)]
pub struct Watch {
    open: HashMap<(SocketAddr, SocketAddr), u64>,
    random: u8,
}

impl Watch {
    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

impl Observer for Watch {
    fn observe(&mut self, connection: &Connection, event: Event<'_>) {
        let key = (connection.local, connection.peer);
        match event {
            Event::Connected => {
                let before = self.open.insert(key, connection.since.as_micros());
                assert_eq!(before, None, "{connection:?} is there twice");
            }
            Event::Ended { end, .. } => {
                assert!(!matches!(end, End::Aborted(Reason::Broken(_))), "{end:?}");
                let since = self.open.remove(&key);
                assert_eq!(since, Some(connection.since.as_micros()), "it was not there");
            }
            Event::Answered { .. } => {}
            _ if connection.kind == anywire_smoltcp::observer::Kind::Datagram => {}
            _ => assert!(self.open.contains_key(&key), "{event:?} of nobody"),
        }
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        self.random = self.random.wrapping_add(1);
        buf.fill(self.random);
        true
    }
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));

/// Where peers are: two neighbours, one behind a router that is there and one behind one that is not, and one that cannot be.
const PEERS: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)),
    V4,
];

/// The ports that are served, and one that is not.
const PORTS: [u16; 9] = [9900, 65432, 9001, 9003, 9002, 6565, 8888, 9905, 7];

/// See the [module](self).
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut nic = Nic::default();
    let mut config = Config::new(EthernetAddress(SERVER).into());
    config.random_seed = 7;
    let mut interface = Box::new(Interface::new(config, &mut nic, smoltcp::time::Instant::ZERO));
    interface.update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(Ipv4Address::new(10, 0, 0, 1).into(), 24)).expect("room");
        let v6 = Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
        addresses.push(IpCidr::new(v6.into(), 64)).expect("room");
    });
    let router = Ipv4Address::new(10, 0, 0, 3);
    interface.routes_mut().add_default_ipv4_route(router).expect("room");

    let mut sockets: Vec<_> = (0..7 * SOCKETS + 2).map(|_| SocketStorage::EMPTY).collect();
    let (mut output, mut hold) = (vec![0; 8192], vec![0; 5000]);
    let mut backlog = [const { Parked::EMPTY }; 2];
    let (mut udp_slots, mut udp_bytes) = (vec![PacketMetadata::EMPTY; 16], vec![0; 4 * 4096]);
    let mut store = Box::new(Files::new());
    store.put(FileName::new(b"f").expect("a name"), &[7; 1999]).expect("room");
    let (mut a, mut b, mut c, mut d, mut e, mut f, mut g) = (
        Room::new(SOCKETS),
        Room::new(SOCKETS),
        Room::new(SOCKETS),
        Room::new(SOCKETS),
        Room::new(SOCKETS),
        Room::new(SOCKETS),
        Room::new(SOCKETS),
    );
    let memory = stack::Memory {
        sockets: &mut sockets,
        output: &mut output,
        hold: &mut hold,
        backlog: &mut backlog,
    };
    let mut stack = Stack::new(&mut interface, memory);
    let (stack_, settings) = (&mut stack, Settings::default());
    let mut pools = (
        a.pool(stack_, echo::Echo, settings),
        b.pool(stack_, hello::Hello, settings),
        c.pool(stack_, message::Message::default(), settings),
        d.pool(stack_, upload::Upload, settings),
        e.pool(stack_, typed::Typed::default(), settings),
        f.pool(stack_, file::File, settings),
        g.pool(stack_, greet::Greet::default(), settings),
    );
    let mut datagrams = udp_memory(&mut udp_slots, &mut udp_bytes);
    let mut memory = || datagrams.pop().expect("there are two");
    let mut udp_echo = Datagrams::new(stack_, echo::Echo, 9900, memory()).expect("room");
    let mut guess = Datagrams::new(stack_, Guess::default(), 9905, memory()).expect("room");
    let endpoints: &mut [&mut dyn Endpoint<Files>] = &mut [
        &mut pools.0,
        &mut pools.1,
        &mut pools.2,
        &mut pools.3,
        &mut pools.4,
        &mut pools.5,
        &mut pools.6,
        &mut udp_echo,
        &mut guess,
    ];

    let mut server = Server {
        stack,
        endpoints,
        store: &mut store,
        watch: Watch::default(),
        nic,
        now: Instant::ZERO,
        flows: HashMap::new(),
        answers: choices.byte() % 4 != 3,
        last: Vec::new(),
        retired: false,
    };
    server.settle();
    while !choices.over() {
        server.happen(&mut choices);
        server.settle();
    }
    server.rest();
}

fn udp_memory<'m>(slots: &'m mut [PacketMetadata], bytes: &'m mut [u8]) -> Vec<udp::Memory<'m>> {
    let (slots, bytes) = (slots.chunks_exact_mut(4), bytes.chunks_exact_mut(4096));
    let mut rooms: Vec<_> = slots.zip(bytes).collect();
    let mut memory = || {
        let (receive_slots, receive) = rooms.pop().expect("there are four");
        let (send_slots, send) = rooms.pop().expect("there are four");
        udp::Memory { receive_slots, receive, send_slots, send }
    };
    vec![memory(), memory()]
}

struct Server<'s, 'm> {
    stack: Stack<'m>,
    endpoints: &'s mut [&'s mut (dyn Endpoint<Files> + 's)],
    store: &'s mut Files,
    watch: Watch,
    nic: Nic,
    now: Instant,
    /// What the server said last, to whom: the sequence number that comes next, and what it acknowledged.
    flows: HashMap<(IpAddr, u16, u16), (u32, u32)>,
    /// Whether the neighbours answer when they are asked where they are.
    answers: bool,
    last: Vec<u8>,
    retired: bool,
}

impl Server<'_, '_> {
    fn poll(&mut self) {
        let now = self.now;
        self.stack.poll(|| now, &mut self.nic, self.endpoints, self.store, &mut self.watch);
        for frame in std::mem::take(&mut self.nic.sent) {
            if let Some(segment) = packets::check(&frame) {
                let (local, remote) = segment.ports;
                self.flows.insert((segment.peer, remote, local), (segment.next, segment.ack));
            }
            if self.answers {
                self.nic.received.extend(answer(&frame));
            }
        }
    }

    /// Polls until nothing is due any more at this moment: it must not need many polls.
    fn settle(&mut self) {
        for _ in 0..500 {
            self.poll();
            let due = self.stack.poll_at(self.now, self.endpoints);
            let busy = due.is_some_and(|due| due <= self.now) && !self.nic.full;
            if !busy && self.nic.received.is_empty() {
                return self.count();
            }
        }
        panic!("it is never satisfied");
    }

    /// Every socket is somewhere, and every connection is told of.
    fn count(&self) {
        let mut open = 0;
        for endpoint in self.endpoints.iter().take(7) {
            let counts = endpoint.counts();
            let all = counts.listening + counts.opening + counts.open + counts.closing;
            assert_eq!(all + counts.time_wait + counts.retired, SOCKETS, "{counts:?}");
            open += counts.open;
        }
        assert!(self.watch.open() <= 7 * SOCKETS && open <= 7 * SOCKETS);
    }

    /// Nothing comes any more.
    fn rest(&mut self) {
        self.nic.full = false;
        for _ in 0..5000 {
            self.settle();
            match self.stack.poll_at(self.now, self.endpoints) {
                Some(due) => self.now = due,
                None => break,
            }
            if self.now.as_micros() > 4 * 3600 * 1_000_000 {
                break;
            }
        }
        for endpoint in self.endpoints.iter().take(7) {
            let counts = endpoint.counts();
            let done = if self.retired { counts.retired } else { counts.listening };
            assert_eq!(done, SOCKETS, "{}: {counts:?} at {:?}", endpoint.service(), self.now);
        }
        assert_eq!(self.watch.open(), 0, "some connections have not ended");
        assert_eq!(self.store.in_use(), self.store.len(), "a file is open");
    }

    fn happen(&mut self, choices: &mut Choices<'_>) {
        let (from, peer) = match choices.below(8) {
            at @ 0..6 => (2 + (at / 2) as u8, PEERS[at]),
            _ => (2, PEERS[0]),
        };
        let here = if peer.is_ipv4() { V4 } else { V6 };
        let frame = match choices.byte() % 16 {
            0 => choices.bytes(200).to_vec(),
            1 => {
                let protocol = choices.one_of(&[6, 17, 1, 58, 0, 2, 43, 44, 60]);
                packets::ip(from, peer, here, protocol, choices.bytes(200))
            }
            2 => {
                let udp = udp(choices);
                packets::ip(from, peer, here, 17, &udp)
            }
            3 => {
                // Echo requests, or whatever else ICMP has.
                let (protocol, echo) = if peer.is_ipv4() { (1, 8) } else { (58, 128) };
                let kind = if choices.flag() { choices.byte() } else { echo };
                let message = [&[kind, choices.byte(), 0, 0], choices.bytes(80)].concat();
                packets::ip(from, peer, here, protocol, &message)
            }
            4 => {
                let (protocol, payload) = match choices.flag() {
                    true => (6, tcp(choices, &self.flows, peer)),
                    false => (17, udp(choices)),
                };
                let (at, len) = (choices.below(4000), choices.below(1480));
                packets::fragment(from, (PEERS[0], V4), protocol, &payload, at, len)
            }
            5 => {
                let operation = choices.one_of(&[1_u16, 2]);
                arp(from, peer, operation)
            }
            6 => {
                let mut frame = self.last.clone();
                for _ in 0..choices.below(4) {
                    let at = choices.below(frame.len());
                    let bit = 1 << (choices.byte() % 8);
                    frame.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
                }
                frame
            }
            7 => {
                self.now = self.now + Duration::from_millis(choices.word().into());
                return;
            }
            8 => match choices.byte() {
                255 => {
                    self.endpoints.iter_mut().for_each(|endpoint| endpoint.retire());
                    return self.retired = true;
                }
                254 => {
                    self.endpoints.iter_mut().for_each(|endpoint| endpoint.abort());
                    return self.retired = true;
                }
                byte => return self.nic.full = byte % 8 == 7,
            },
            9 => {
                // As far as is needed, and no further.
                if let Some(due) = self.stack.poll_at(self.now, self.endpoints) {
                    self.now = due;
                }
                return;
            }
            _ => packets::ip(from, peer, here, 6, &tcp(choices, &self.flows, peer)),
        };
        self.last.clone_from(&frame);
        self.nic.received.push_back(frame);
    }
}

/// A TCP segment: mostly one that fits what the server said last.
fn tcp(
    choices: &mut Choices<'_>,
    flows: &HashMap<(IpAddr, u16, u16), (u32, u32)>,
    peer: IpAddr,
) -> Vec<u8> {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const PSH: u8 = 8;
    const ACK: u8 = 16;
    let port = choices.one_of(&PORTS);
    let from = 1000 + u16::from(choices.byte() % 4);
    let (ack, seq) = flows.get(&(peer, from, port)).copied().unwrap_or((0, 1));
    let kinds = [PSH | ACK, SYN, ACK, FIN | ACK, RST, RST | ACK, SYN | ACK, FIN | PSH | ACK];
    let kind = choices.byte();
    let flags = if kind < 128 { kinds[usize::from(kind % 8)] } else { kind & 63 };
    let mut near = |number: u32| match choices.byte() {
        0..=200 => number,
        byte @ 201..=228 => number.wrapping_add(byte.into()).wrapping_sub(215),
        229..=240 => number.wrapping_add(choices.word().into()),
        _ => choices.long(),
    };
    let (seq, ack) = (near(seq), near(ack));
    let window = if choices.byte() % 8 == 7 { choices.word() } else { 8000 };
    let mut options = match choices.byte() % 8 {
        7 => choices.bytes(40).to_vec(),
        6 => vec![2, 4, 5, 180, 3, 3, choices.byte(), 4, 2],
        _ => Vec::new(),
    };
    options.resize(options.len().next_multiple_of(4), 0);
    let payload = match choices.byte() % 8 {
        0 => Vec::new(),
        1 => b"f\n".to_vec(),
        2 => choices.stream(1400),
        3 => [&[1, 2, 0][..], b"up", &[2, 3], b"abc"].concat(),
        4 => [&[1, 2, 0][..], b"up"].concat(),
        _ => choices.bytes(60).to_vec(),
    };
    let mut segment = [from.to_be_bytes(), port.to_be_bytes()].concat();
    segment.extend([seq.to_be_bytes(), ack.to_be_bytes()].concat());
    segment.extend([((20 + options.len()) as u8 / 4) << 4, flags]);
    segment.extend(window.to_be_bytes());
    segment.extend([0, 0, 0, 0]);
    [segment, options, payload].concat()
}

fn udp(choices: &mut Choices<'_>) -> Vec<u8> {
    let port = choices.one_of(&[9900_u16, 9905, 7]);
    let payload = choices.stream(3000);
    let len = (8 + payload.len()) as u16;
    [&1000_u16.to_be_bytes()[..], &port.to_be_bytes(), &len.to_be_bytes(), &[0, 0], &payload]
        .concat()
}

/// ARP's packet: who has whose address, or it is ours.
fn arp(from: u8, sender: IpAddr, operation: u16) -> Vec<u8> {
    let IpAddr::V4(sender) = sender else { return Vec::new() };
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend(packets::station(from));
    packet.extend(sender.octets());
    packet.extend([0; 6]);
    packet.extend([10, 0, 0, 1]);
    packets::ethernet(from, 0x0806, &packet)
}

/// What a neighbour answers who is asked where it is.
fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    match frame.get(12..14)? {
        [0x08, 0x06] if frame.get(21) == Some(&1) => {
            let target: [u8; 4] = frame.get(38..42)?.try_into().ok()?;
            (target[..3] == [10, 0, 0]).then(|| arp(target[3], target.into(), 2))
        }
        [0x86, 0xdd] if frame.get(54) == Some(&135) => {
            let target: [u8; 16] = frame.get(62..78)?.try_into().ok()?;
            if target[0] != 0xfd {
                return None;
            }
            let number = target[15];
            let advert = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &target, &[2, 1]].concat();
            let advert = [&advert[..], &packets::station(number)].concat();
            let mut frame = packets::ip(number, IpAddr::from(target), V6, 58, &advert);
            // Only a neighbour's word counts: the hop limit has not been touched.
            frame[21] = 255;
            Some(frame)
        }
        _ => None,
    }
}
