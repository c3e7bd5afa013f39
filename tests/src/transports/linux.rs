//! The peer's end of a wire, as Linux's own TCP has it, with any server on the other.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, SockRef, Socket, Type};

use anywire_core::datagram::MAX_DATAGRAM;
use anywire_core::event::End;

use super::store::Files;
use crate::network::{Awaited, Handle, Network, Received, Reset};

/// A server that runs by itself.
pub(super) trait Server {
    /// The largest segment on its wire over IPv4, in bytes.
    const MSS: usize;

    /// How many connections a scenario for many may open at once.
    const MANY: usize;

    /// The longest datagram that it answers, in bytes.
    fn longest_datagram(&self) -> usize {
        MAX_DATAGRAM
    }

    /// Where it listens.
    fn addr(&self) -> SocketAddr;

    /// How the next connection ended, if it does within `limit`.
    fn ended(&mut self, limit: Duration) -> Option<End>;

    /// What it keeps its files in.
    fn files(&self) -> &dyn Files;
}

/// Streams of the system's, to a server.
#[derive(Debug)]
pub(super) struct FromLinux<S> {
    server: S,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    socket: Option<TcpStream>,
    broken: bool,
}

impl<S: Server> FromLinux<S> {
    pub(super) fn new(server: S) -> Self {
        Self { server, streams: Vec::new() }
    }
}

impl<S: Server> Network for FromLinux<S> {
    /// Connects, and waits until that is done.
    fn open(&mut self) -> Handle {
        let addr = self.server.addr();
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        let connected = socket.connect_timeout(&addr.into(), Duration::from_secs(30));
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        assert!(connected.is_ok(), "cannot connect to {addr}: {connected:?}");
        self.streams.push(Stream { socket: Some(socket), broken: false });
        self.streams.len() - 1
    }

    fn send(&mut self, stream: Handle, bytes: &[u8]) -> Result<usize, Reset> {
        self.streams[stream].io(|mut socket| socket.write(bytes)).map(Option::unwrap_or_default)
    }

    fn receive(&mut self, stream: Handle, buf: &mut [u8]) -> Result<Received, Reset> {
        Ok(match self.streams[stream].io(|mut socket| socket.read(buf))? {
            Some(0) => Received::End,
            Some(n) => Received::Bytes(n),
            None => Received::Nothing,
        })
    }

    fn shutdown(&mut self, stream: Handle) {
        if let Some(socket) = &self.streams[stream].socket {
            // Of a connection that was reset there is nothing to shut down.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    fn abort(&mut self, stream: Handle) {
        if let Some(socket) = self.streams[stream].socket.take() {
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    fn wait(&mut self, stream: Handle, awaited: Awaited, limit: Duration) -> bool {
        let Some(socket) = &self.streams[stream].socket else { return true };
        let flags = match awaited {
            Awaited::Read => PollFlags::IN,
            Awaited::Write => PollFlags::OUT,
            Awaited::Both => PollFlags::IN | PollFlags::OUT,
        };
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), flags)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(0) if Instant::now() < deadline => {}
                Ok(n) => return n > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("poll: {error}"),
            }
        }
    }

    fn ended(&mut self, limit: Duration) -> Option<End> {
        self.server.ended(limit)
    }

    fn stored(&mut self, name: &str) -> Option<Vec<u8>> {
        self.server.files().stored(name)
    }

    fn names(&mut self) -> Vec<String> {
        self.server.files().names()
    }

    fn unfinished(&mut self) -> usize {
        self.server.files().unfinished()
    }

    fn logs(&mut self) -> Vec<String> {
        self.server.files().logs()
    }

    fn mss(&self) -> usize {
        S::MSS - if self.server.addr().is_ipv6() { 20 } else { 0 }
    }

    /// From sockets that are all open at once.
    fn ask(&mut self, questions: &[&[u8]], limit: Duration) -> Vec<Option<Vec<u8>>> {
        let addr = self.server.addr();
        let any: IpAddr = if addr.is_ipv6() {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let ask = |question: &&[u8]| {
            let socket = UdpSocket::bind((any, 0)).unwrap();
            socket.connect(addr).unwrap();
            socket.set_read_timeout(Some(limit)).unwrap();
            socket.send(question).unwrap();
            socket
        };
        let answer = |socket: UdpSocket| {
            let mut answer = vec![0; 1 << 16];
            match socket.recv(&mut answer) {
                Ok(len) => {
                    answer.truncate(len);
                    Some(answer)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                Err(error) => panic!("{error}"),
            }
        };
        let sockets: Vec<_> = questions.iter().map(ask).collect();
        sockets.into_iter().map(answer).collect()
    }

    fn longest_datagram(&self) -> usize {
        self.server.longest_datagram()
    }

    fn many(&self) -> usize {
        S::MANY
    }
}

impl Stream {
    /// Does `io` unless it would block. A reset stays one.
    fn io(
        &mut self,
        mut io: impl FnMut(&TcpStream) -> std::io::Result<usize>,
    ) -> Result<Option<usize>, Reset> {
        let Some(socket) = self.socket.as_ref().filter(|_| !self.broken) else { return Err(Reset) };
        loop {
            match io(socket) {
                Ok(n) => return Ok(Some(n)),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(None),
                    ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                        self.broken = true;
                        return Err(Reset);
                    }
                    kind => panic!("{kind:?}: {error}"),
                },
            }
        }
    }
}
