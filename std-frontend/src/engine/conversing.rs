//! One conversation of a server's on the core's blocking driver: in a thread, or in a process, of its own.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anywire_core::blocking::{Buffers, Interest, Ready, Told, Wire, converse};
use anywire_core::conversation::Limits;
use anywire_core::event::{End, Event, Host};
use anywire_core::instant::Instant;
use anywire_core::session::{Reason, Session};
use anywire_core::store::Store;
use embedded_io::{ErrorType, Read, Write};
use rustix::event::{PollFd, PollFlags};

use super::orders::Orders;
use crate::clock;
use crate::shim::{self, Stream};

/// The buffers of a conversation, for input and for output, unless its session needs larger ones. Only what is used of them takes up
/// memory.
pub(super) const BUFFER: usize = 64 << 10;

/// Holds a conversation to its end, and says how it ended. Closing the connection is the caller's: should `wire` be dropped then, whatever
/// is to be a reset becomes one.
pub(crate) fn hold<S: Session, W: Wire<Error = io::Error>>(
    session: S,
    wire: &mut W,
    store: &mut impl Store,
    host: &mut dyn Host,
    limits: &Limits,
) -> End {
    let mut input = vec![0; S::HOLD.max(BUFFER)];
    let mut output = vec![0; S::ROOM.max(BUFFER)];
    let buffers = Buffers { input: &mut input, output: &mut output };
    let held = catch_unwind(AssertUnwindSafe(|| {
        converse(session, wire, store, &mut *host, buffers, limits).end
    }));
    held.unwrap_or_else(|_| {
        // A bug, which must not look like an end.
        wire.abort();
        let end = End::Aborted(Reason::Failed);
        host.observe(Event::Ended { end, received: 0, sent: 0 });
        end
    })
}

/// A connection that was accepted, and what its conversation is told from outside.
#[derive(Debug)]
pub(crate) struct Accepted<'o> {
    stream: Stream,
    orders: &'o Orders,
    told: Told,
}

impl<'o> Accepted<'o> {
    pub(crate) fn new(stream: Stream, orders: &'o Orders) -> Self {
        Self { stream, orders, told: Told::GoOn }
    }
}

impl ErrorType for Accepted<'_> {
    type Error = io::Error;
}

impl Read for Accepted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf).map_err(vanished)
    }
}

impl Write for Accepted<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf).map_err(vanished)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Wire for Accepted<'_> {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        clock::now()
    }

    fn peer(&self) -> Option<SocketAddr> {
        Some(self.stream.peer())
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> io::Result<Ready> {
        Ok(self.stream.wait_also(interest, self.orders.more_than(self.told), deadline)?.0)
    }

    fn sleep(&mut self, until: Instant) -> bool {
        sleep(self.orders, self.told, until)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown()
    }

    /// The connection is reset when it is closed: by then the file is given back, too.
    fn abort(&mut self) {
        self.stream.arm(true);
    }

    fn arm(&mut self, armed: bool) {
        self.stream.arm(armed);
    }

    fn owes(&mut self) -> bool {
        self.stream.owes()
    }

    fn took(&mut self) -> bool {
        self.stream.took()
    }

    fn told(&mut self) -> Told {
        self.told = self.orders.behind(self.told);
        self.told
    }
}

/// To the driver there is one error for it.
fn vanished(error: io::Error) -> io::Error {
    if shim::has_vanished(&error) { io::ErrorKind::TimedOut.into() } else { error }
}

/// Sleeps until `until`, or until more is ordered than `told`.
pub(crate) fn sleep(orders: &Orders, told: Told, until: Instant) -> bool {
    match orders.more_than(told) {
        Some(order) => {
            let mut order = [PollFd::from_borrowed_fd(order, PollFlags::IN)];
            shim::poll(&mut order, Some(until)).is_ok()
        }
        None => true,
    }
}
