//! Memory that a caller lends: how much is needed, what is said when there is less, and where it may be.

use anywire_core::exchange::Exchange;
use anywire_core::service::echo::Echo;
use anywire_core::session::{Next, Session};

use super::*;
use crate::pool::PoolError;

/// Holds so many bytes of input at most.
#[derive(Clone, Copy)]
struct Holds<const N: usize>;

impl<const N: usize> StreamService for Holds<N> {
    type Session = Self;
    const ABOUT: About = About { name: "holds", port: 7, summary: "" };
    fn open(&self) -> Self {
        Self
    }
}

impl<const N: usize> Session for Holds<N> {
    const HOLD: usize = N;
    const ROOM: usize = 1100;
    fn step(&mut self, _: &mut Exchange<'_>) -> Next {
        Next::Finish
    }
}

#[test]
fn memory_that_is_too_small_is_told_and_nothing_panics() {
    fn make<const HOLD: usize>(
        (receive_len, send_len): (usize, usize),
        slots: usize,
        rings: usize,
        port: u16,
    ) -> Result<(), PoolError> {
        let mut result = None;
        Sim::new(|stack| {
            let memory = pool::Memory {
                slots: leak((0..slots).map(|_| Slot::<_, File>::EMPTY).collect()),
                rings: leak(vec![0; rings]),
                receive_len,
                send_len,
            };
            let pool = Pool::new(stack, Holds::<HOLD>, port, memory, Settings::default());
            result = Some(pool.map(|_| ()));
            vec![]
        });
        result.unwrap()
    }
    let lens = (1024, 1100);
    assert_eq!(make::<1024>(lens, 2, 2 * 2124, 7), Ok(()));
    assert_eq!(make::<1024>(lens, 64, 64 * 2124, 7), Ok(()));
    assert_eq!(make::<8192>((8192, 1100), 1, 10_000, 7), Ok(()));

    let empty = Err(PoolError::Empty);
    assert_eq!(make::<1024>(lens, 0, 0, 7), empty);
    assert_eq!(make::<1024>(lens, 1, 4096, 0), empty);
    let receive = |len| Err(PoolError::ReceiveRing { len, needed: 1024 });
    assert_eq!(make::<1024>((1023, 1100), 1, 4096, 7), receive(1023));
    let most = 1 << 30;
    assert_eq!(make::<1024>((most + 1, 1100), 1, 4096, 7), receive(most + 1));
    let rings = |len, needed| Err(PoolError::Rings { len, needed });
    assert_eq!(make::<1024>((most, 1100), 1, 4096, 7), rings(4096, most + 1100));
    assert_eq!(make::<1024>(lens, 2, 4247, 7), rings(4247, 4248));
    let send = Err(PoolError::SendRing { len: 1099, needed: 1100 });
    assert_eq!(make::<1024>((1024, 1099), 1, 4096, 7), send);
    let hold = Err(PoolError::Hold { len: 8192, needed: 8193 });
    assert_eq!(make::<8193>((8193, 1100), 1, 10_000, 7), hold);
    let sockets = Err(PoolError::Sockets { free: 64, needed: 65 });
    assert_eq!(make::<1024>(lens, 65, 65 * 2124, 7), sockets);

    for (error, said) in [
        (empty, "a pool needs a port other than 0, and at least one slot"),
        (receive(1), "a receive ring of 1 bytes; the session needs 1024, and TCP allows 2^30"),
        (send, "a send ring or output scratch of 1099 bytes; the session needs 1100"),
        (hold, "a hold scratch of 8192 bytes; the session needs 8193"),
        (rings(1, 2), "1 bytes for rings; so many sockets need 2"),
        (sockets, "the stack has room for 64 more sockets; the pool needs 65"),
    ] {
        assert_eq!(format!("{}", error.unwrap_err()), said);
    }
}

#[test]
fn memory_is_as_large_as_was_computed() {
    type Echoes<'p, 'a> = pool::Memory<'p, 'a, <Echo as StreamService>::Session, File>;
    const SLOTS: usize = 3;
    const RINGS: (usize, usize) = (512, 256);
    /// It is known when the program is compiled.
    const POOL: usize = Echoes::size(SLOTS, RINGS);
    const STACK: usize = stack::Memory::size(SLOTS + 1, 100, 10, 2);
    const DATAGRAMS: usize = crate::udp::Memory::size(2, 1000);

    let slots = [const { Slot::<<Echo as StreamService>::Session, File>::EMPTY }; SLOTS];
    assert_eq!(POOL, size_of_val(&slots) + SLOTS * (512 + 256));
    let sockets = [const { SocketStorage::EMPTY }; SLOTS + 1];
    let own = size_of::<smoltcp::iface::Interface>() + size_of::<Stack<'_>>();
    assert_eq!(STACK, own + size_of_val(&sockets) + 110 + size_of_val(&[Parked::EMPTY; 2]));
    let places = [smoltcp::socket::udp::PacketMetadata::EMPTY; 2];
    assert_eq!(DATAGRAMS, 2 * (size_of_val(&places) + 1000));
}

/// Where interrupts or threads take turns with it.
#[test]
fn a_stack_can_live_in_a_static() {
    static STACK: std::sync::Mutex<Option<Stack<'static>>> = std::sync::Mutex::new(None);

    let packets = || Vec::leak(vec![Packet::EMPTY; 4]);
    let mut wire = Wire::new(packets(), packets());
    *STACK.lock().unwrap() = Some(super::stack(&mut wire, Side::A, 1, 0));
    let mut stack = STACK.lock().unwrap();
    let stack = stack.as_mut().unwrap();
    let now = anywire_core::instant::Instant::ZERO;
    let nothing: &mut [&mut dyn Endpoint<Files>] = &mut [];
    stack.poll(|| now, &mut wire.end(Side::A), nothing, &mut Files::new(), &mut ());
    assert_eq!(stack.free_sockets(), 1);
}
