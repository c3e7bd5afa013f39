//! A client's stream, as the blocking driver has it.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anyhow::Result;
use anywire_core::blocking::{Interest, Ready, Wire};
use anywire_core::instant::Instant;
use anywire_smoltcp::stack::Stack;
use anywire_smoltcp::stream::{Stream, StreamError};
use anywire_std::cli::network::HostWire;
use anywire_std::clock;
use embedded_io::{ErrorKind, ErrorType, Read, Write};

use crate::client::ClientStack;

/// A connection of a [`Client`](crate::client::Client). Whoever waits for one works for all of them.
///
/// One that is dropped is forgotten: [`close`](HostWire::close) sees to it that the peer hears of the end.
pub struct TapWire {
    stack: Rc<RefCell<ClientStack>>,
    at: usize,
}

/// Why a stream failed.
#[derive(Debug)]
pub enum WireError {
    /// The connection.
    Stream(StreamError),
    /// The device.
    Device(std::io::Error),
}

impl TapWire {
    /// Begins to connect.
    pub(crate) fn connect(stack: Rc<RefCell<ClientStack>>, peer: SocketAddr) -> Result<Self> {
        let at = stack.borrow_mut().connect(peer)?;
        Ok(Self { stack, at })
    }

    /// Waits for the handshake; says whether it is done, or gives the connection up.
    pub(crate) fn await_connection(&mut self, deadline: Instant) -> Result<bool, WireError> {
        let connected = self.until(None, Some(deadline), Stream::connected)?;
        if connected.0.is_none() {
            self.abort();
        }
        Ok(connected.0.is_some())
    }

    /// Works until `look` finds something, `also` can be read, or the deadline has passed: looks before it looks at the clock. Says what
    /// was found, and whether `also` can be read.
    fn until<R>(
        &mut self,
        also: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut Stream, &mut Stack<'static>) -> Poll<Result<R, StreamError>>,
    ) -> Result<(Option<R>, bool), WireError> {
        let mut stack = self.stack.borrow_mut();
        let mut until = Some(Instant::ZERO);
        loop {
            let readable = stack.turn(also, until)?;
            match stack.look(self.at, &mut look) {
                Some(Poll::Ready(found)) => return Ok((Some(found?), readable)),
                Some(Poll::Pending) => {}
                None => return Err(StreamError::NotConnected.into()),
            }
            if readable || deadline.is_some_and(|deadline| deadline <= clock::now()) {
                return Ok((None, readable));
            }
            until = deadline;
        }
    }

    /// What was written or decided leaves now.
    fn send(&mut self) -> Result<(), WireError> {
        self.stack.borrow_mut().turn(None, Some(Instant::ZERO))?;
        Ok(())
    }

    fn ready(
        &mut self,
        interest: Option<Interest>,
        also: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> Result<(Ready, bool), WireError> {
        let (ready, readable) = self.until(also, deadline, |stream, stack| {
            let Some(interest) = interest else { return Poll::Pending };
            let mut ready = Ready::default();
            if interest != Interest::Write {
                ready.read = stream.readable(stack)?.is_ready();
            }
            if interest != Interest::Read {
                ready.write = stream.writable(stack)?.is_ready();
            }
            if ready.read || ready.write { Poll::Ready(Ok(ready)) } else { Poll::Pending }
        })?;
        Ok((ready.unwrap_or_default(), readable))
    }
}

impl ErrorType for TapWire {
    type Error = WireError;
}

impl Read for TapWire {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, WireError> {
        let look = |stream: &mut Stream, stack: &mut Stack<'static>| stream.read(stack, buf);
        // Without a deadline it goes on until there is something.
        Ok(self.until(None, None, look)?.0.unwrap_or(0))
    }
}

impl Write for TapWire {
    fn write(&mut self, buf: &[u8]) -> Result<usize, WireError> {
        let written = self.until(None, None, |stream, stack| stream.write(stack, buf))?;
        Ok(written.0.unwrap_or(0))
    }

    fn flush(&mut self) -> Result<(), WireError> {
        self.send()
    }
}

impl Wire for TapWire {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        clock::now()
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> Result<Ready, WireError> {
        Ok(self.ready(Some(interest), None, deadline)?.0)
    }

    fn sleep(&mut self, until: Instant) -> bool {
        self.ready(None, None, Some(until)).is_ok()
    }

    fn shutdown(&mut self) -> Result<(), WireError> {
        let done = self.stack.borrow_mut().look(self.at, Stream::shutdown);
        done.unwrap_or(Err(StreamError::NotConnected))?;
        self.send()
    }

    fn abort(&mut self) {
        self.stack.borrow_mut().look(self.at, Stream::abort);
        // If the device is gone, so is the connection.
        let _ = self.send();
    }
}

impl HostWire for TapWire {
    fn wait_also(
        &mut self,
        interest: Option<Interest>,
        also: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> Result<(Ready, bool), WireError> {
        self.ready(interest, also, deadline)
    }

    fn close(self, within: Duration) {
        let mut stack = self.stack.borrow_mut();
        let deadline = clock::now() + within;
        // Of what is gone nothing lingers.
        let _ = stack.look(self.at, Stream::shutdown);
        let mut until = Instant::ZERO;
        while stack.turn(None, Some(until)).is_ok() && clock::now() < deadline {
            until = deadline;
            if !stack.look(self.at, |stream, stack| stream.lingers(stack)).unwrap_or(false) {
                return;
            }
        }
    }
}

impl Drop for TapWire {
    fn drop(&mut self) {
        self.stack.borrow_mut().release(self.at);
    }
}

impl From<StreamError> for WireError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<std::io::Error> for WireError {
    fn from(error: std::io::Error) -> Self {
        Self::Device(error)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WireError {}

impl embedded_io::Error for WireError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Stream(error) => error.kind(),
            Self::Device(_) => ErrorKind::Other,
        }
    }
}
