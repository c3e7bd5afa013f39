//! The system's TCP streams as a [`Wire`]: for clients, and for everything else that takes turns.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anywire_core::blocking::{Interest, Ready, Wire};
use anywire_core::instant::Instant;
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, SockRef, Socket, Type};

use crate::clock;
use crate::os::{AsFd as _, BorrowedFd, unacknowledged};

/// A connected TCP stream.
///
/// It is never delayed by Nagle's algorithm, and a failure is sticky: once the connection was reset, in
/// either direction, every later call fails too. (The system reports a reset once, and an end of stream from then on.)
#[derive(Debug)]
pub struct Stream {
    /// `None` once aborted.
    stream: Option<TcpStream>,
    local: SocketAddr,
    peer: SocketAddr,
    failed: Option<io::ErrorKind>,
    /// What the kernel still had for the peer when room was waited for last.
    owed: Option<usize>,
}

impl Stream {
    /// Connects to `addr`, within `timeout`.
    pub fn connect(addr: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        socket.connect_timeout(&addr.into(), timeout)?;
        Self::new(socket.into())
    }

    /// Takes over a connected stream.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        Ok(Self { stream: Some(stream), local, peer, failed: None, owed: None })
    }

    /// Our address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The peer's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Takes over a stream that was accepted so, does not block, and is not delayed.
    pub(crate) fn accepted(stream: TcpStream, local: SocketAddr, peer: SocketAddr) -> Self {
        Self { stream: Some(stream), local, peer, failed: None, owed: None }
    }

    /// Whether the kernel still has something for the peer.
    pub(crate) fn owes(&self) -> bool {
        self.owed_now().is_some_and(|len| len > 0)
    }

    /// Whether it has less than when room was waited for last. It tells of room only when a third of its buffer is free, which a slow reader
    /// may take long for.
    pub(crate) fn took(&mut self) -> bool {
        self.owed.zip(self.owed_now()).is_some_and(|(before, now)| now < before)
    }

    /// What the kernel still has for the peer, where that is known.
    fn owed_now(&self) -> Option<usize> {
        self.stream.as_ref().and_then(|stream| unacknowledged(stream.as_fd()))
    }

    /// [`Wire::wait`], but also until `also` can be read. Says whether it can.
    pub fn wait_also(
        &mut self,
        interest: Interest,
        also: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> io::Result<(Ready, bool)> {
        if interest == Interest::Write && deadline.is_some() {
            self.owed = self.owed_now();
        }
        let stream = self.working()?;
        let flags = match interest {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
            Interest::Both => PollFlags::IN | PollFlags::OUT,
        };
        let stream = PollFd::from_borrowed_fd(stream.as_fd(), flags);
        let also = also.map(|also| PollFd::from_borrowed_fd(also, PollFlags::IN));
        let count = 1 + usize::from(also.is_some());
        let mut fds = [stream.clone(), also.unwrap_or(stream)];
        let fds = fds.get_mut(..count).unwrap_or_default();
        poll(fds, deadline)?;
        // An error or a hang-up makes both a read and a write return at once.
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        let has = |at: usize, flag| fds.get(at).is_some_and(|fd| fd.revents().intersects(flag));
        let wants = |flag| flags.contains(flag) && has(0, flag | gone);
        let ready = Ready { read: wants(PollFlags::IN), write: wants(PollFlags::OUT) };
        Ok((ready, has(1, PollFlags::IN | gone)))
    }

    /// The stream, unless it failed.
    fn working(&self) -> io::Result<&TcpStream> {
        match (&self.stream, self.failed) {
            (Some(stream), None) => Ok(stream),
            (_, failed) => Err(failed.unwrap_or(io::ErrorKind::ConnectionAborted).into()),
        }
    }

    /// Does `io` when it will not block, and remembers its failure.
    fn when_ready(
        &mut self,
        interest: Interest,
        mut io: impl FnMut(&mut &TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match io(&mut self.working()?) {
                Ok(n) => return Ok(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_also(interest, None, None)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = Some(error.kind());
                    return Err(error);
                }
            }
        }
    }
}

impl embedded_io::ErrorType for Stream {
    type Error = io::Error;
}

impl embedded_io::Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.when_ready(Interest::Read, |stream| stream.read(buf))
    }
}

impl embedded_io::Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.when_ready(Interest::Write, |stream| stream.write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Stream {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        clock::now()
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> io::Result<Ready> {
        Ok(self.wait_also(interest, None, deadline)?.0)
    }

    fn sleep(&mut self, until: Instant) -> bool {
        std::thread::sleep(clock::until(until));
        true
    }

    fn took(&mut self) -> bool {
        Self::took(self)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        let done = self.working()?.shutdown(Shutdown::Write);
        if let Err(error) = &done {
            self.failed = Some(error.kind());
        }
        done
    }

    fn abort(&mut self) {
        self.failed.get_or_insert(io::ErrorKind::ConnectionAborted);
        if let Some(stream) = self.stream.take() {
            reset_on_close(SockRef::from(&stream), true);
        }
    }

    fn arm(&mut self, armed: bool) {
        if let Some(stream) = &self.stream {
            reset_on_close(SockRef::from(stream), armed);
        }
    }
}

/// Whether a connection broke because nothing is heard of the peer any more: it acknowledges nothing, keep-alive's questions neither, and a
/// router on the way may know why.
pub(crate) fn has_vanished(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut};
    matches!(error.kind(), TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown)
}

/// Waits until something of `fds` is ready, or until the deadline: looks at them before it looks at the clock.
pub(crate) fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let timeout = deadline.map(clock::until).map(|left| Timespec {
            tv_sec: left.as_secs().min(1 << 30) as i64,
            // Less than 10^9, for which every system's type has room.
            tv_nsec: left.subsec_nanos() as _,
        });
        match rustix::event::poll(fds, timeout.as_ref()) {
            Ok(0) if deadline.is_none_or(|deadline| clock::now() < deadline) => {}
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether closing the socket, which a dying process does too, resets the connection (`SO_LINGER` 1, 0).
pub(crate) fn reset_on_close(socket: SockRef<'_>, reset: bool) {
    // It fails only on a socket that is gone already.
    let _ = socket.set_linger(reset.then_some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use embedded_io::{Read as _, Write as _};

    use super::*;

    fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = Stream::connect(listener.local_addr().unwrap(), Duration::from_secs(5)).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    #[test]
    fn half_close_ends_one_direction_only() {
        let (mut ours, mut theirs) = pair();
        ours.write(b"question").unwrap();
        ours.shutdown().unwrap();
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        theirs.write_all(b"answer").unwrap();
        drop(theirs);
        let mut buf = [0; 16];
        assert_eq!((got.as_slice(), ours.read(&mut buf).unwrap()), (&b"question"[..], 6));
        assert_eq!(ours.read(&mut buf).unwrap(), 0);
    }

    #[test]
    fn a_reset_is_sticky() {
        let (mut ours, theirs) = pair();
        reset_on_close(SockRef::from(&theirs), true);
        drop(theirs);
        ours.wait(Interest::Read, None).unwrap();
        // The system would tell one call of the reset, and the next one of an orderly end.
        assert_eq!(ours.write(b"x").unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let mut buf = [0; 1];
        assert_eq!(ours.read(&mut buf).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(ours.read(&mut buf).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn an_abort_and_an_armed_close_reach_the_peer_as_resets() {
        let (mut ours, mut theirs) = pair();
        ours.abort();
        assert_eq!(theirs.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);

        let (mut ours, mut theirs) = pair();
        ours.arm(true);
        drop(ours);
        assert_eq!(theirs.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);

        let (mut ours, mut theirs) = pair();
        ours.arm(true);
        ours.arm(false);
        drop(ours);
        assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn waiting_ends_at_the_deadline() {
        let (mut ours, _theirs) = pair();
        let deadline = clock::now() + Duration::from_millis(20);
        assert_eq!(ours.wait(Interest::Read, Some(deadline)).unwrap(), Ready::default());
        assert!(clock::now() >= deadline);
    }
}
