//! Silences on a clock that goes on while the stack is polled, as every real one does.

use std::cell::Cell;

use anywire_core::instant::Instant;
use anywire_core::service::message::Message;
use smoltcp::phy::{Device, DeviceCapabilities};

use super::*;
use crate::sim::Station;

/// An end of the wire, and a clock that has gone on by `span` whenever a frame was taken, or when there was none.
struct Slow<'c, D> {
    end: D,
    clock: &'c Cell<Instant>,
    span: Duration,
    with_a_frame: bool,
}

impl<D: Device> Device for Slow<'_, D> {
    type RxToken<'t>
        = D::RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = D::TxToken<'t>
    where
        Self: 't;

    fn receive(
        &mut self,
        now: smoltcp::time::Instant,
    ) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let received = self.end.receive(now);
        if received.is_some() == self.with_a_frame {
            self.clock.set(self.clock.get() + self.span);
        }
        received
    }

    fn transmit(&mut self, now: smoltcp::time::Instant) -> Option<Self::TxToken<'_>> {
        self.end.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.end.capabilities()
    }
}

/// A stack that serves `message`, to which the first byte of one is on its way, and the client's stream.
fn on_its_way() -> (Sim, usize) {
    let service = Watched(Message::default());
    let mut sim =
        Sim::new(|stack| vec![pool(stack, service, 1, (8192, 8192), Settings::default())]);
    let at = sim.connect(9001);
    sim.net.run(SECOND);
    let Net { b, wire, .. } = &mut sim.net;
    assert!(sim.streams[at].write(&mut b.stack, b"x").is_ready());
    b.poll(Instant::ZERO + SECOND * 2, &mut wire.end(Side::B));
    (sim, at)
}

impl Sim {
    /// Polls the server with such a clock, and says when it has something to do.
    fn poll_slowly(
        &mut self,
        clock: &Cell<Instant>,
        span: Duration,
        with_a_frame: bool,
    ) -> Option<Instant> {
        let Net { a, wire, .. } = &mut self.net;
        let end = wire.end(Side::A);
        let mut device = Slow { end, clock, span, with_a_frame };
        a.stack.poll(|| clock.get(), &mut device, a.endpoints, &mut a.store, &mut a.observer);
        a.endpoints[0].deadline()
    }
}

#[test]
fn a_silence_begins_when_its_last_byte_is_here() {
    let (mut sim, _) = on_its_way();
    let clock = Cell::new(Instant::ZERO + SECOND * 2);
    let due = sim.poll_slowly(&clock, MS * 10, true);
    assert_eq!(clock.get(), Instant::ZERO + SECOND * 2 + MS * 10);
    assert_eq!(due, Some(clock.get() + MS * 50));
}

#[test]
fn a_silence_is_over_only_if_nothing_had_come_by_its_end() {
    let (mut sim, at) = on_its_way();
    let clock = Cell::new(Instant::ZERO + SECOND * 2);
    let due = sim.poll_slowly(&clock, Duration::ZERO, true);
    assert_eq!(due, Some(clock.get() + MS * 50));
    // There is nothing 45 ms later. What comes in the next 10 ms nobody has looked for.
    clock.set(clock.get() + MS * 45);
    assert_eq!(sim.poll_slowly(&clock, MS * 10, false), due);
    assert!(Some(clock.get()) > due);
    sim.poll_slowly(&clock, Duration::ZERO, false);
    let now = clock.get();
    sim.net.b.poll(now, &mut sim.net.wire.end(Side::B));
    let mut answer = [0; 64];
    let read = sim.streams[at].read(&mut sim.net.b.stack, &mut answer);
    assert_eq!(read, Poll::Ready(Ok("Message: x".len())));
}
