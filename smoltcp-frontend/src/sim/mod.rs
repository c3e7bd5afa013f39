//! A simulated wire: two stacks in one process, real frames between them, and a clock that jumps to the next deadline.
//!
//! Nothing here sleeps, and nothing is left to chance: the same run is the same to the byte, and a
//! [hash of the trace](Wire::trace) shows it.
//!
//! ```
//! use anywire_core::service::{StreamService, echo::Echo};
//! use anywire_core::store::NoStore;
//! use anywire_smoltcp::endpoint::Endpoint;
//! use anywire_smoltcp::pool::{self, Pool, Settings, Slot};
//! use anywire_smoltcp::sim::{self, Net, Node, Packet, Side, Wire};
//! use anywire_smoltcp::stack::{self, Stack};
//! use anywire_smoltcp::stream::Stream;
//! use core::task::Poll;
//! use core::time::Duration;
//! use smoltcp::iface::SocketStorage;
//!
//! let (mut to_b, mut to_a) = (vec![Packet::EMPTY; 64], vec![Packet::EMPTY; 64]);
//! let mut wire = Wire::new(&mut to_b, &mut to_a);
//! let mut interfaces = [Side::A, Side::B].map(|side| sim::interface(&mut wire, side));
//! let [server, client] = &mut interfaces;
//!
//! // The server: two sockets for echo.
//! let mut sockets = [const { SocketStorage::EMPTY }; 2];
//! let (mut rings, mut output) = ([0; 2 * 4096], [0; 2048]);
//! let mut slots = [const { Slot::EMPTY }; 2];
//! let memory = stack::Memory {
//!     sockets: &mut sockets, output: &mut output, hold: &mut [], backlog: &mut [],
//! };
//! let mut server = Stack::new(server, memory);
//! let memory = pool::Memory {
//!     slots: &mut slots, rings: &mut rings, receive_len: 2048, send_len: 2048,
//! };
//! let port = <Echo as StreamService>::ABOUT.port;
//! let mut echo = Pool::new(&mut server, Echo, port, memory, Settings::default())?;
//! let mut served = [&mut echo as &mut dyn Endpoint<NoStore>];
//! let server = Node::new(server, &mut served, NoStore, ());
//!
//! // The client: one connection.
//! let mut sockets = [SocketStorage::EMPTY];
//! let (mut receive, mut send) = ([0; 2048], [0; 2048]);
//! let memory = stack::Memory {
//!     sockets: &mut sockets, output: &mut [], hold: &mut [], backlog: &mut [],
//! };
//! let mut client = Stack::new(client, memory);
//! let mut stream = Stream::new(&mut client, &mut receive, &mut send).unwrap();
//! stream.connect(&mut client, sim::address(Side::A, port), 0)?;
//!
//! let mut net = Net::new(server, Node::client(client), wire);
//! let limit = Duration::from_secs(1);
//! net.run_until(limit, |net| stream.write(&mut net.b.stack, b"hello").is_ready());
//! let mut buf = [0; 16];
//! let mut got = Poll::Pending;
//! assert!(net.run_until(limit, |net| {
//!     got = stream.read(&mut net.b.stack, &mut buf);
//!     got.is_ready()
//! }));
//! assert_eq!((got, &buf[..5]), (Poll::Ready(Ok(5)), &b"hello"[..]));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Finding a bug
//!
//! A protocol that works on a desk may fail on a wire that loses, delays and reorders. A [`Link`] does all of that, both ways or each way
//! in another manner, and a seed says which frames it hits: whoever has the seed has the bug again, frame by frame.
//!
//! Here is a service of somebody else's. A client sends how many bytes there are, and the bytes; the server answers with their
//! sum. It was tried on a clean wire with messages of one byte and of many, and passed. [`Checked`](anywire_core::checked::Checked) around the
//! session would catch those bugs that break the contract; this one keeps it.
//!
//! ```
//! use anywire_core::exchange::Exchange;
//! use anywire_core::service::{About, StreamService};
//! use anywire_core::session::{Next, Phase, Session};
//! # use anywire_core::store::NoStore;
//! use anywire_smoltcp::chance::Chance;
//! # use anywire_smoltcp::endpoint::Endpoint;
//! # use anywire_smoltcp::pool::{self, Pool, Settings, Slot};
//! use anywire_smoltcp::sim::{self, Link, Net, Node, Packet, Side, Wire};
//! # use anywire_smoltcp::stack::{self, Stack};
//! # use anywire_smoltcp::stream::Stream;
//! # use core::task::Poll;
//! use core::time::Duration;
//! # use smoltcp::iface::SocketStorage;
//!
//! #[derive(Clone, Copy)]
//! struct Sum;
//!
//! impl StreamService for Sum {
//!     type Session = Sum;
//!     const ABOUT: About = About { name: "sum", port: 7777, summary: "adds bytes up" };
//!
//!     fn open(&self) -> Sum {
//!         Sum
//!     }
//! }
//!
//! impl Session for Sum {
//!     const HOLD: usize = 4096;
//!     const ROOM: usize = 4;
//!
//!     fn step(&mut self, io: &mut Exchange<'_>) -> Next {
//!         if io.ended() && io.input().is_empty() {
//!             return Next::Finish;
//!         }
//!         let [_, _, bytes @ ..] = io.input() else { return Next::Wait(Phase::Between, None) };
//!         // Is this all of them?
//!         let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
//!         if !io.put_all(&[&sum.to_be_bytes()]) {
//!             return Next::Wait(Phase::Inside, None);
//!         }
//!         io.take(2 + bytes.len());
//!         Next::Progress
//!     }
//! }
//!
//! /// The answer to `message`, on a wire like this.
//! fn ask(message: &[u8], link: Link, seed: u64) -> u32 {
//!     let (mut to_b, mut to_a) = (vec![Packet::EMPTY; 64], vec![Packet::EMPTY; 64]);
//!     let mut wire = Wire::new(&mut to_b, &mut to_a);
//!     wire.set_links(link);
//!     wire.set_seed(seed);
//!     // As above: a server with one socket for Sum, and a client with one stream.
//! #     let mut interfaces = [Side::A, Side::B].map(|side| sim::interface(&mut wire, side));
//! #     let [server, client] = &mut interfaces;
//! #     let mut sockets = [SocketStorage::EMPTY];
//! #     let (mut rings, mut output, mut hold) = ([0; 8192], [0; 64], [0; 4096]);
//! #     let mut slots = [Slot::EMPTY];
//! #     let memory = stack::Memory {
//! #         sockets: &mut sockets, output: &mut output, hold: &mut hold, backlog: &mut [],
//! #     };
//! #     let mut server = Stack::new(server, memory);
//! #     let memory = pool::Memory::new(&mut slots, &mut rings, (4096, 4096));
//! #     let mut pool = Pool::new(&mut server, Sum, 7777, memory, Settings::default()).unwrap();
//! #     let mut served = [&mut pool as &mut dyn Endpoint<NoStore>];
//! #     let server = Node::new(server, &mut served, NoStore, ());
//! #     let mut sockets = [SocketStorage::EMPTY];
//! #     let (mut receive, mut send) = ([0; 4096], [0; 4096]);
//! #     let memory = stack::Memory {
//! #         sockets: &mut sockets, output: &mut [], hold: &mut [], backlog: &mut [],
//! #     };
//! #     let mut client = Stack::new(client, memory);
//! #     let mut stream = Stream::new(&mut client, &mut receive, &mut send).unwrap();
//! #     stream.connect(&mut client, sim::address(Side::A, 7777), 0).unwrap();
//!     let mut net = Net::new(server, Node::client(client), wire);
//!     let limit = Duration::from_secs(600);
//!     net.run_until(limit, |net| stream.write(&mut net.b.stack, message).is_ready());
//!     let mut answer = [0; 4];
//!     net.run_until(limit, |net| {
//!         stream.read(&mut net.b.stack, &mut answer) == Poll::Ready(Ok(4))
//!     });
//!     u32::from_be_bytes(answer)
//! }
//!
//! let message = [&3000_u16.to_be_bytes()[..], &[1; 3000]].concat();
//! assert_eq!(ask(&message, Link::default(), 0), 3000);
//!
//! let mut lossy = Link::default();
//! lossy.delay = Duration::from_millis(5);
//! lossy.loss = Chance::percent(5);
//! let seed = (0..1000).find(|&seed| ask(&message, lossy, seed) != 3000);
//! let seed = seed.expect("there is a bug to find");
//! println!("seed {seed} shows it: {} instead of 3000", ask(&message, lossy, seed));
//! # let again = ask(&message, lossy, seed);
//! # assert!(again != 3000 && again > 0 && again == ask(&message, lossy, seed));
//! ```
//!
//! The segments behind one that got lost came later, and the session did not wait for them: it never looks at the count. To see the frames of
//! such a run, [`watch`](Wire::watch) the wire, or write what it shows into a file for Wireshark with smoltcp's `PcapSink`.

mod link;
mod net;
mod wire;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use anywire_core::instant::Instant;
use smoltcp::iface::{Config, Interface};
use smoltcp::wire::{EthernetAddress, IpCidr};

pub use link::Link;
pub use net::{Client, Net, Node, Station};
pub use wire::{Counters, End, Packet, Side, Tap, Wire};

use crate::time::to_smoltcp;

/// An interface on one end of the wire, with the address 10.0.0.1/24 and fd00::1/64 on end A, 10.0.0.2/24 and fd00::2/64 on
/// end B. Its sequence numbers are the same in every run.
pub fn interface(wire: &mut Wire<'_>, side: Side) -> Interface {
    let last = side.number();
    let mut config = Config::new(EthernetAddress([2, 0, 0, 0, 0, last]).into());
    config.random_seed = 0x5eed_0000 + u64::from(last);
    let mut interface = Interface::new(config, &mut wire.end(side), to_smoltcp(Instant::ZERO));
    interface.update_ip_addrs(|addresses| {
        // There is room for four.
        let _ = addresses.push(IpCidr::new(ip(side).into(), 24));
        let v6 = smoltcp::wire::Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last));
        let _ = addresses.push(IpCidr::new(v6.into(), 64));
    });
    interface
}

/// The IPv4 address of one end, with a port.
pub fn address(side: Side, port: u16) -> SocketAddr {
    SocketAddr::new(ip(side), port)
}

fn ip(side: Side) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, side.number()))
}
