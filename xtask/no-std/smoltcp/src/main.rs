//! Linked by `cargo xtask no-std`, never run: a program that has the smoltcp frontend, and neither std nor an allocator.
//!
//! It is what a board's program looks like: all memory in statics, an interface on a device of its own, every kind of
//! service, and a client of each.

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
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::pool::{self, Pool, Settings, Slot};
use anywire_smoltcp::stack::{self, Stack};
use anywire_smoltcp::stream::Stream;
use anywire_smoltcp::udp::{self, Asker, Datagrams};
use smoltcp::iface::{Config, Interface, SocketStorage};
use smoltcp::socket::udp::PacketMetadata;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use device::Frames;

type Files = RamStore<4, 4096>;

/// Sockets of each pool.
const POOL: usize = 2;
/// Bytes of each ring.
const RING: usize = 2048;

/// All the memory there is.
struct Memory {
    interface: Option<Interface>,
    sockets: [SocketStorage<'static>; 3 * POOL + 3],
    output: [u8; RING],
    hold: [u8; 1024],
    backlog: [Parked; 4],
    rings: [[u8; POOL * 2 * RING]; 3],
    echo: [Slot<echo::Session, OpenIn<Files>>; POOL],
    hello: [Slot<hello::Session, OpenIn<Files>>; POOL],
    file: [Slot<file::Session, OpenIn<Files>>; POOL],
    packets: [[PacketMetadata; 4]; 4],
    datagrams: [[u8; 4096]; 4],
    stream: [[u8; RING]; 2],
    buffers: [[u8; 8192]; 2],
    files: Files,
}

static mut MEMORY: Memory = Memory {
    interface: None,
    sockets: [const { SocketStorage::EMPTY }; 3 * POOL + 3],
    output: [0; RING],
    hold: [0; 1024],
    backlog: [Parked::EMPTY; 4],
    rings: [[0; POOL * 2 * RING]; 3],
    echo: [const { Slot::EMPTY }; POOL],
    hello: [const { Slot::EMPTY }; POOL],
    file: [const { Slot::EMPTY }; POOL],
    packets: [[PacketMetadata::EMPTY; 4]; 4],
    datagrams: [[0; 4096]; 4],
    stream: [[0; RING]; 2],
    buffers: [[0; 8192]; 2],
    files: Files::new(),
};

/// Drives the stack with frames of which the compiler knows nothing, so that it can leave out nothing.
///
/// What is not called here is not checked: a stack with every kind of service belongs here.
fn drive(memory: &'static mut Memory, frames: &'static [u8]) -> Option<()> {
    let device = &mut Frames::new(frames);
    let address = EthernetAddress(black_box([2, 0, 0, 0, 0, 1]));
    let at = smoltcp::time::Instant::from_micros(0);
    let interface = Interface::new(Config::new(address.into()), device, at);
    let interface = memory.interface.insert(interface);
    interface.update_ip_addrs(|addresses| {
        let _ = addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, 1), 24));
    });

    let Memory { sockets, output, hold, backlog, .. } = memory;
    let mut stack = Stack::new(interface, stack::Memory { sockets, output, hold, backlog });
    let (lens, settings) = ((RING, RING), Settings::default());
    let [rings_1, rings_2, rings_3] = &mut memory.rings;
    let slots = pool::Memory::new(&mut memory.echo, rings_1, lens);
    let mut echo = Pool::new(&mut stack, echo::Echo, 9900, slots, settings).ok()?;
    let slots = pool::Memory::new(&mut memory.hello, rings_2, lens);
    let mut hello = Pool::new(&mut stack, hello::Hello, 65432, slots, settings).ok()?;
    let slots = pool::Memory::new(&mut memory.file, rings_3, lens);
    let mut file = Pool::new(&mut stack, file::File, 6565, slots, settings).ok()?;

    let [packets_1, packets_2, packets_3, packets_4] = &mut memory.packets;
    let [receive_1, send_1, receive_2, send_2] = &mut memory.datagrams;
    let sockets = udp::Memory {
        receive_slots: packets_1,
        receive: receive_1,
        send_slots: packets_2,
        send: send_1,
    };
    let mut datagrams = Datagrams::new(&mut stack, echo::Echo, 9900, sockets).ok()?;
    let sockets = udp::Memory {
        receive_slots: packets_3,
        receive: receive_2,
        send_slots: packets_4,
        send: send_2,
    };
    let mut asker = Asker::new(&mut stack, sockets)?;
    let [receive, send] = &mut memory.stream;
    let mut stream = Stream::new(&mut stack, receive, send)?;

    let served: [&mut dyn Endpoint<Files>; 4] = [&mut echo, &mut hello, &mut file, &mut datagrams];
    let files = &mut memory.files;
    let mut board = Board { stack, device, served, files };
    board.pump(black_box(None));

    let peer = black_box(SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 6565)));
    let timeout = black_box(Duration::from_secs(5));
    let [input, output] = &mut memory.buffers;
    black_box(blocking::ask(&mut board, &mut asker, peer, b"?", timeout, output));
    let mut wire = blocking::connect(&mut board, &mut stream, peer, timeout).ok()?;
    let name = FileName::new(b"photo").ok()?;
    let session = client::file::Session::new(b"photo", name);
    let (mut saved, limits) = (Files::new(), Limits::default());
    let buffers = Buffers { input, output };
    black_box(converse(session, &mut wire, &mut saved, &mut (), buffers, &limits).end);
    black_box(wire.linger(timeout));

    for endpoint in &mut board.served {
        black_box(endpoint.counts());
        endpoint.retire();
        endpoint.abort();
    }
    Some(())
}

/// A stack, its device, and a clock that stands still.
struct Board<'b> {
    stack: Stack<'static>,
    device: &'b mut Frames,
    served: [&'b mut dyn Endpoint<Files>; 4],
    files: &'b mut Files,
}

impl Pump<'static> for Board<'_> {
    fn now(&mut self) -> Instant {
        black_box(Instant::ZERO)
    }

    fn stack(&mut self) -> &mut Stack<'static> {
        &mut self.stack
    }

    fn pump(&mut self, _: Option<Instant>) {
        let now = self.now();
        self.stack.poll(|| now, self.device, &mut self.served, self.files, &mut ());
        black_box(self.stack.poll_at(now, &self.served));
    }
}

/// The program, as far as the linker is concerned.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    static FRAMES: [u8; 4096] = [0; 4096];
    // SAFETY: this is the program's one thread, and it comes here once.
    let memory = unsafe { &mut *(&raw mut MEMORY) };
    black_box(drive(black_box(memory), black_box(&FRAMES[..])));
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
