//! Waiting for a stack: what the core's blocking driver needs, over any device and any clock.
//!
//! Whoever has a device supplies a [`Pump`]; with that, [`connect`] makes a [`Wire`] for
//! [`converse`](anywire_core::blocking::converse), and [`ask`] asks a datagram service.

use core::marker::PhantomData;
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;

use anywire_core::blocking::{Interest, Ready, Wire};
use anywire_core::datagram::{Question, Turn};
use anywire_core::instant::Instant;
use embedded_io::{ErrorType, Read, Write};

use crate::stack::Stack;
use crate::stream::{Stream, StreamError};
use crate::udp::Asker;

/// A stack together with its device and a clock.
pub trait Pump<'a> {
    /// The time.
    fn now(&mut self) -> Instant;

    /// The stack.
    fn stack(&mut self) -> &mut Stack<'a>;

    /// Sleeps until the device has a frame, until the stack's [`poll_at`](Stack::poll_at), or until `until`, whichever comes
    /// first, and then polls the stack. With `until` not later than now it does not sleep.
    fn pump(&mut self, until: Option<Instant>);
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no way to that address: none of ours is of its kind.
    Unaddressable,
    /// The peer refused.
    Refused,
    /// No answer came in time.
    TimedOut,
}

impl core::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unaddressable => "no route to that address",
            Self::Refused => "connection refused",
            Self::TimedOut => "no answer in time",
        })
    }
}

impl core::error::Error for ConnectError {}

/// Connects `stream` to `peer`, and waits for the handshake no longer than `timeout`.
pub fn connect<'p, 'a, P: Pump<'a>>(
    pump: &'p mut P,
    stream: &'p mut Stream,
    peer: SocketAddr,
    timeout: Duration,
) -> Result<Connected<'p, 'a, P>, ConnectError> {
    let deadline = pump.now() + timeout;
    stream.connect(pump.stack(), peer, 0).map_err(|_| ConnectError::Unaddressable)?;
    let mut connected = Connected { pump, stream, stack: PhantomData };
    let ready = connected.until(Some(deadline), |stream, stack| {
        stream.connected(stack).map(|result| result.map(|()| Ready::default()))
    });
    match ready {
        Ok(Some(_)) => Ok(connected),
        Ok(None) => {
            connected.abort();
            Err(ConnectError::TimedOut)
        }
        Err(_) => Err(ConnectError::Refused),
    }
}

/// A connection that waits: a [`Wire`].
#[derive(Debug)]
pub struct Connected<'p, 'a, P> {
    pump: &'p mut P,
    stream: &'p mut Stream,
    stack: PhantomData<&'a ()>,
}

impl<'a, P: Pump<'a>> Connected<'_, 'a, P> {
    /// Our end and the peer's, while there is a connection.
    pub fn endpoints(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        self.stream.endpoints(self.pump.stack())
    }

    /// Waits until the peer has got all it is owed, our end or our reset too, but no longer than `limit`; says whether it has.
    /// Whoever lets go of the stack sooner loses what was on its way.
    pub fn linger(&mut self, limit: Duration) -> bool {
        let deadline = self.pump.now() + limit;
        while self.stream.lingers(self.pump.stack()) {
            if self.pump.now() >= deadline {
                return false;
            }
            self.pump.pump(Some(deadline));
        }
        true
    }

    /// Pumps until `look` finds something, or until the deadline: the stack is looked at before the clock.
    fn until<R>(
        &mut self,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut Stream, &mut Stack<'a>) -> Poll<Result<R, StreamError>>,
    ) -> Result<Option<R>, StreamError> {
        let mut until = Some(Instant::ZERO);
        loop {
            self.pump.pump(until);
            if let Poll::Ready(found) = look(self.stream, self.pump.stack()) {
                return found.map(Some);
            }
            let now = self.pump.now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(None);
            }
            until = deadline;
        }
    }

    /// What was written or decided leaves now.
    fn send(&mut self) {
        self.pump.pump(Some(Instant::ZERO));
    }
}

impl<P> ErrorType for Connected<'_, '_, P> {
    type Error = StreamError;
}

impl<'a, P: Pump<'a>> Read for Connected<'_, 'a, P> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let read = self.until(None, |stream, stack| stream.read(stack, buf))?;
        // Without a deadline it goes on until there is something.
        Ok(read.unwrap_or(0))
    }
}

impl<'a, P: Pump<'a>> Write for Connected<'_, 'a, P> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, StreamError> {
        let written = self.until(None, |stream, stack| stream.write(stack, buf))?;
        Ok(written.unwrap_or(0))
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.send();
        Ok(())
    }
}

impl<'a, P: Pump<'a>> Wire for Connected<'_, 'a, P> {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        self.pump.now()
    }

    fn wait(
        &mut self,
        interest: Interest,
        deadline: Option<Instant>,
    ) -> Result<Ready, StreamError> {
        let ready = self.until(deadline, |stream, stack| {
            let mut ready = Ready::default();
            if interest != Interest::Write {
                ready.read = stream.readable(stack)?.is_ready();
            }
            if interest != Interest::Read {
                ready.write = stream.writable(stack)?.is_ready();
            }
            if ready.read || ready.write { Poll::Ready(Ok(ready)) } else { Poll::Pending }
        })?;
        Ok(ready.unwrap_or_default())
    }

    fn sleep(&mut self, until: Instant) -> bool {
        // Nothing is awaited of the stream; a failure is noticed when it is used.
        let _ = self.until(Some(until), |_, _| Poll::<Result<(), StreamError>>::Pending);
        true
    }

    fn shutdown(&mut self) -> Result<(), StreamError> {
        self.stream.shutdown(self.pump.stack())?;
        self.send();
        Ok(())
    }

    fn abort(&mut self) {
        self.stream.abort(self.pump.stack());
        self.send();
    }
}

/// Asks `peer`, again and again within `timeout`, from a port of its own, and says how long the answer is: what of it does not fit
/// into `answer` is cut off. `None`: there was none.
pub fn ask<'a, P: Pump<'a>>(
    pump: &mut P,
    asker: &mut Asker,
    peer: SocketAddr,
    datagram: &[u8],
    timeout: Duration,
    answer: &mut [u8],
) -> Option<usize> {
    asker.bind(pump.stack(), 0).ok()?;
    let mut question = Question::new(pump.now(), timeout);
    loop {
        if let Poll::Ready(len) = asker.receive(pump.stack(), peer, answer) {
            return Some(len);
        }
        match question.turn(pump.now()) {
            // One that the stack has no room for is lost like any other.
            Turn::Send => drop(asker.send(pump.stack(), peer, datagram)),
            Turn::WaitUntil(at) => pump.pump(Some(at)),
            Turn::GiveUp => return None,
        }
    }
}
