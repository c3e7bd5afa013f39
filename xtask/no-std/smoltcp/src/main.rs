//! Linked by `cargo xtask no-std`, never run: a program that has the smoltcp frontend, and neither std nor an allocator.
//!
//! It is what a board's program looks like: all memory in statics, and the stack in one too, so that an interrupt can poll it; how much that
//! is is known when it is compiled. An interface on a device of its own, every kind of service, a client of each, a lease, and names.

#![no_std]
#![no_main]

mod device;

use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddr};
use core::panic::PanicInfo;
use core::time::Duration;

use anywire_core::blocking::{Buffers, converse};
use anywire_core::client;
use anywire_core::conversation::Limits;
use anywire_core::instant::Instant;
use anywire_core::name::FileName;
use anywire_core::ram::RamStore;
use anywire_core::service::{echo, file, hello};
use anywire_core::store::OpenIn;
use anywire_smoltcp::backlog::Parked;
use anywire_smoltcp::blocking::{self, Pump};
use anywire_smoltcp::dhcp::Dhcp;
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::names::{self, Resolver};
use anywire_smoltcp::pool::{self, Pool, Settings, Slot};
use anywire_smoltcp::stack::{self, Stack};
use anywire_smoltcp::stream::Stream;
use anywire_smoltcp::udp::{self, Asker, Datagrams};
use smoltcp::iface::{Config, Interface, SocketStorage};
use smoltcp::socket::udp::PacketMetadata;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use device::Frames;

type Files = RamStore<4, 4096>;
type File = OpenIn<Files>;

/// Sockets of each pool.
const POOL: usize = 2;
/// Bytes of each ring.
const RING: usize = 2048;
const RINGS: (usize, usize) = (RING, RING);
/// Those of the pools, and one each for datagrams, for asking, for connecting, for a lease and for names.
const SOCKETS: usize = 3 * POOL + 5;
/// Bytes of scratch.
const HOLD: usize = 1024;
/// SYNs that may wait.
const BACKLOG: usize = 4;
/// Datagrams each way, and their bytes.
const DATAGRAMS: (usize, usize) = (4, 4096);

/// What the stack and its services take.
const STACK_LEN: usize = stack::Memory::size(SOCKETS, RING, HOLD, BACKLOG)
    + pool::Memory::<echo::Session, File>::size(POOL, RINGS)
    + pool::Memory::<hello::Session, File>::size(POOL, RINGS)
    + pool::Memory::<file::Session, File>::size(POOL, RINGS)
    + 2 * udp::Memory::size(DATAGRAMS.0, DATAGRAMS.1)
    + size_of::<names::Memory>();

const _: () = assert!(STACK_LEN <= 320 << 10, "the board has no more");

/// All the memory there is.
struct Memory {
    interface: Option<Interface>,
    sockets: [SocketStorage<'static>; SOCKETS],
    output: [u8; RING],
    hold: [u8; HOLD],
    backlog: [Parked; BACKLOG],
    rings: [[u8; POOL * 2 * RING]; 3],
    echo: [Slot<echo::Session, File>; POOL],
    hello: [Slot<hello::Session, File>; POOL],
    file: [Slot<file::Session, File>; POOL],
    packets: [[PacketMetadata; DATAGRAMS.0]; 4],
    datagrams: [[u8; DATAGRAMS.1]; 4],
    queries: names::Memory,
    stream: [[u8; RING]; 2],
    buffers: [[u8; 8192]; 2],
    files: Files,
}

static mut MEMORY: Memory = Memory {
    interface: None,
    sockets: [const { SocketStorage::EMPTY }; SOCKETS],
    output: [0; RING],
    hold: [0; HOLD],
    backlog: [Parked::EMPTY; BACKLOG],
    rings: [[0; POOL * 2 * RING]; 3],
    echo: [const { Slot::EMPTY }; POOL],
    hello: [const { Slot::EMPTY }; POOL],
    file: [const { Slot::EMPTY }; POOL],
    packets: [[PacketMetadata::EMPTY; DATAGRAMS.0]; 4],
    datagrams: [[0; DATAGRAMS.1]; 4],
    queries: [const { None }; 2],
    stream: [[0; RING]; 2],
    buffers: [[0; 8192]; 2],
    files: Files::new(),
};

/// A stack with all that is served on it, the client's side too: what is polled when there is a frame or a deadline has passed.
struct Board {
    stack: Stack<'static>,
    device: Frames,
    echo: Pool<'static, echo::Echo, File>,
    hello: Pool<'static, hello::Hello, File>,
    file: Pool<'static, file::File, File>,
    datagrams: Datagrams<echo::Echo>,
    dhcp: Dhcp,
    resolver: Resolver,
    files: &'static mut Files,
}

/// Where an interrupt finds it.
static mut BOARD: Option<Board> = None;

/// What is not called by the board is not checked: every kind of service, and of client, belongs there.
struct Clients {
    asker: Asker,
    stream: Stream,
    buffers: &'static mut [[u8; 8192]; 2],
}

impl Board {
    /// Frames of which the compiler knows nothing: it can leave out nothing.
    fn new(memory: &'static mut Memory, frames: &'static [u8]) -> Option<(Self, Clients)> {
        let mut device = Frames::new(frames);
        let address = EthernetAddress(black_box([2, 0, 0, 0, 0, 1]));
        let at = smoltcp::time::Instant::from_micros(0);
        let interface = Interface::new(Config::new(address.into()), &mut device, at);
        let interface = memory.interface.insert(interface);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, 1), 24));
        });

        let Memory { sockets, output, hold, backlog, .. } = memory;
        let mut stack = Stack::new(interface, stack::Memory { sockets, output, hold, backlog });
        let settings = Settings::default();
        let [rings_1, rings_2, rings_3] = &mut memory.rings;
        let slots = pool::Memory::new(&mut memory.echo, rings_1, RINGS);
        let echo = Pool::new(&mut stack, echo::Echo, 9900, slots, settings).ok()?;
        let slots = pool::Memory::new(&mut memory.hello, rings_2, RINGS);
        let hello = Pool::new(&mut stack, hello::Hello, 65432, slots, settings).ok()?;
        let slots = pool::Memory::new(&mut memory.file, rings_3, RINGS);
        let file = Pool::new(&mut stack, file::File, 6565, slots, settings).ok()?;

        let [packets_1, packets_2, packets_3, packets_4] = &mut memory.packets;
        let [receive_1, send_1, receive_2, send_2] = &mut memory.datagrams;
        let sockets = udp::Memory {
            receive_slots: packets_1,
            receive: receive_1,
            send_slots: packets_2,
            send: send_1,
        };
        let datagrams = Datagrams::new(&mut stack, echo::Echo, 9900, sockets).ok()?;
        let sockets = udp::Memory {
            receive_slots: packets_3,
            receive: receive_2,
            send_slots: packets_4,
            send: send_2,
        };
        let asker = Asker::new(&mut stack, sockets)?;
        let [receive, send] = &mut memory.stream;
        let stream = Stream::new(&mut stack, receive, send)?;
        let dhcp = Dhcp::new(&mut stack)?;
        let resolver = Resolver::new(&mut stack, &mut memory.queries)?;
        let files = &mut memory.files;
        let board = Self { stack, device, echo, hello, file, datagrams, dhcp, resolver, files };
        Some((board, Clients { asker, stream, buffers: &mut memory.buffers }))
    }

    /// Does what there is to do, and says when there is more.
    fn poll(&mut self, now: Instant) -> Option<Instant> {
        let Self { echo, hello, file, datagrams, .. } = self;
        let served: &mut [&mut dyn Endpoint<Files>] = &mut [echo, hello, file, datagrams];
        self.stack.poll(|| now, &mut self.device, served, self.files, &mut ());
        black_box(self.dhcp.poll(&mut self.stack));
        self.stack.poll_at(now, served)
    }

    fn retire(&mut self) {
        let Self { echo, hello, file, datagrams, .. } = self;
        let served: [&mut dyn Endpoint<Files>; 4] = [echo, hello, file, datagrams];
        for endpoint in served {
            black_box(endpoint.counts());
            endpoint.retire();
            endpoint.abort();
        }
    }
}

impl Pump<'static> for Board {
    fn now(&mut self) -> Instant {
        black_box(Instant::ZERO)
    }

    fn stack(&mut self) -> &mut Stack<'static> {
        &mut self.stack
    }

    fn pump(&mut self, _: Option<Instant>) {
        let now = self.now();
        black_box(self.poll(now));
    }
}

/// A client of each kind.
fn drive(board: &mut Board, clients: &mut Clients) -> Option<()> {
    board.pump(black_box(None));
    let peer = black_box(SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 6565)));
    let timeout = black_box(Duration::from_secs(5));
    let now = board.now();
    let name = black_box("box.test");
    board.resolver.ask(&mut board.stack, peer.ip(), name, now, timeout).ok()?;
    board.pump(black_box(None));
    black_box(board.resolver.answer(&mut board.stack, now).is_ready());

    let [input, output] = &mut clients.buffers;
    black_box(blocking::ask(board, &mut clients.asker, peer, b"?", timeout, output));
    let mut wire = blocking::connect(board, &mut clients.stream, peer, timeout).ok()?;
    let name = FileName::new(b"photo").ok()?;
    let session = client::file::Session::new(b"photo", name);
    let (mut saved, limits) = (Files::new(), Limits::default());
    let buffers = Buffers { input, output };
    black_box(converse(session, &mut wire, &mut saved, &mut (), buffers, &limits).end);
    black_box(wire.linger(timeout));
    board.retire();
    Some(())
}

/// The program, as far as the linker is concerned.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    static FRAMES: [u8; 4096] = [0; 4096];
    // SAFETY: this is the program's one thread, and it comes here once.
    let (memory, place) = unsafe { (&mut *(&raw mut MEMORY), &mut *(&raw mut BOARD)) };
    if let Some((board, mut clients)) = Board::new(black_box(memory), black_box(&FRAMES[..])) {
        black_box(drive(place.insert(board), &mut clients));
    }
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
