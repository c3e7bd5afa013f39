//! One conversation on standard input and output: from inetd, in an ssh session, between two pipes, or as a child of a server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use anywire_core::blocking::{Interest, Ready, Told, Wire};
use anywire_core::conversation::Limits;
use anywire_core::event::{End, Event};
use anywire_core::instant::Instant;
use anywire_core::service::{About, StreamService};
use anywire_core::session::Reason;
use anywire_core::store::Store;
use embedded_io::{ErrorType, Read, Write};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketType};
use rustix::stdio::{stderr, stdin, stdout};
use socket2::SockRef;

use crate::clock;
use crate::engine::conversing::{Accepted, hold, sleep};
use crate::engine::listener::serve_on;
use crate::engine::{Link, LinkHost, Observer, Orders, Protocol};
use crate::os;
use crate::shim::{self, Stream};

/// Whether a conversation can be held there.
pub(crate) fn can_converse() -> io::Result<()> {
    Ok(())
}

/// Holds one conversation of `service` on standard input and output, and says how it ended.
///
/// If they are one TCP connection it is served as one, and an abort is a reset when this process ends: that should be next. Otherwise standard
/// input's end is the peer's, ours is that standard output is closed, and of an abort nothing tells but what this returns: an error if
/// it was for one of standard input or output that is not the peer's doing. The peer has no address then, and is `0.0.0.0:0`.
pub fn converse(
    service: impl StreamService,
    mut store: impl Store,
    observer: &dyn Observer,
    limits: &Limits,
    orders: &Orders,
) -> io::Result<End> {
    let (service_name, since) = (about(&service).name, clock::now());
    let link =
        |local, peer| Link { service: service_name, protocol: Protocol::Tcp, local, peer, since };
    let session = service.open();
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    if let Some((stream, local)) = connection()? {
        let Ok(peer) = stream.peer_addr() else {
            // It has been reset meanwhile.
            let (link, end) = (link(local, nobody), End::Reset);
            observer.observe(&link, Event::Connected);
            observer.observe(&link, Event::Ended { end, received: 0, sent: 0 });
            return Ok(end);
        };
        stream.set_nonblocking(true)?;
        // These can fail only where the next read does.
        let _ = (stream.set_nodelay(true), serve_on(SockRef::from(&stream)));
        let link = link(local, peer);
        let mut host = LinkHost { link: &link, observer };
        let mut wire = Accepted::new(Stream::accepted(stream, local, peer), orders);
        return Ok(hold(session, &mut wire, &mut store, &mut host, limits));
    }
    let link = link(nobody, nobody);
    let mut host = LinkHost { link: &link, observer };
    let kind = FileType::from_raw_mode(rustix::fs::fstat(stdout())?.st_mode);
    let mut wire = Piped { kind, orders, told: Told::GoOn, failed: None };
    let end = hold(session, &mut wire, &mut store, &mut host, limits);
    match wire.failed {
        Some(error) if end == End::Aborted(Reason::Failed) => Err(error),
        _ => Ok(end),
    }
}

fn about<S: StreamService>(_: &S) -> About {
    S::ABOUT
}

/// Whether standard error is the wire, too, as inetd has it: then nothing may be said there.
pub fn errors_go_to_the_peer() -> bool {
    let socket = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
    match (rustix::fs::fstat(stdout()), rustix::fs::fstat(stderr())) {
        (Ok(wire), Ok(errors)) => same(&wire, &errors) && socket(&wire),
        _ => false,
    }
}

/// Says nothing on standard error any more.
pub fn silence_errors() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(null()?)?)
}

fn null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// The TCP connection that standard input and output are, and our address.
fn connection() -> io::Result<Option<(TcpStream, SocketAddr)>> {
    let (input, output) = (rustix::fs::fstat(stdin())?, rustix::fs::fstat(stdout())?);
    let kind = rustix::net::sockopt::socket_type(stdin());
    if !same(&input, &output) || kind != Ok(SocketType::STREAM) {
        return Ok(None);
    }
    if os::listens(stdin())? {
        return Err(io::Error::other(
            "standard input is a socket that listens; it is to be accepted from: inetd's nowait, systemd's Accept=yes",
        ));
    }
    let stream = TcpStream::from(stdin().try_clone_to_owned()?);
    // A socket of another family has no such address.
    let local = stream.local_addr();
    Ok(local.ok().map(|local| (stream, local)))
}

/// Standard input and output, each whatever it is.
struct Piped<'o> {
    /// What standard output is.
    kind: FileType,
    orders: &'o Orders,
    told: Told,
    /// What has failed on our side.
    failed: Option<io::Error>,
}

impl Piped<'_> {
    /// An error, kept if it is ours.
    fn failed(&mut self, what: &str, error: Errno) -> io::Error {
        let error = io::Error::from(error);
        if self.is_ours(&error) {
            self.failed = Some(io::Error::new(error.kind(), format!("cannot {what}: {error}")));
        }
        error
    }
}

/// A pipe that has room has room for so many bytes; a write of more might block.
const PIPE_BUF: usize = 4096;

impl ErrorType for Piped<'_> {
    type Error = io::Error;
}

impl Read for Piped<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(stdin(), &mut *buf) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.wait(Interest::Read, None)?;
                }
                done => return done.map_err(|error| self.failed("read standard input", error)),
            }
        }
    }
}

impl Write for Piped<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            let written = match self.kind {
                FileType::Socket => rustix::net::send(stdout(), buf, os::SEND),
                FileType::RegularFile => rustix::io::write(stdout(), buf),
                _ => {
                    let len = buf.len().min(PIPE_BUF);
                    rustix::io::write(stdout(), buf.get(..len).unwrap_or_default())
                }
            };
            match written {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.wait(Interest::Write, None)?;
                }
                done => {
                    return done.map_err(|error| self.failed("write to standard output", error));
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Piped<'_> {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        clock::now()
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> io::Result<Ready> {
        let (input, output) = (stdin(), stdout());
        let order = self.orders.more_than(self.told);
        let mut fds = Vec::with_capacity(3);
        let (read, write) = (interest != Interest::Write, interest != Interest::Read);
        fds.extend(order.map(|order| PollFd::from_borrowed_fd(order, PollFlags::IN)));
        let orders = fds.len();
        fds.extend(read.then(|| PollFd::from_borrowed_fd(input, PollFlags::IN)));
        fds.extend(write.then(|| PollFd::from_borrowed_fd(output, PollFlags::OUT)));
        shim::poll(&mut fds, deadline)?;
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready { read: read && ready(orders), write: write && ready(orders + usize::from(read)) })
    }

    fn sleep(&mut self, until: Instant) -> bool {
        sleep(self.orders, self.told, until)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        if self.kind == FileType::Socket {
            return Ok(rustix::net::shutdown(stdout(), Shutdown::Write)?);
        }
        // With something else in its place it is closed.
        Ok(rustix::stdio::dup2_stdout(null()?)?)
    }

    /// A pipe knows of none: the exit status tells.
    fn abort(&mut self) {}

    /// All but what tells that there is nobody at the other end any more.
    fn is_ours(&self, error: &io::Error) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        let gone = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected];
        !gone.contains(&error.kind()) && !shim::has_vanished(error)
    }

    fn told(&mut self) -> Told {
        self.told = self.orders.behind(self.told);
        self.told
    }
}
