//! The load generator: one thread, and as little work for each request as can be.

pub(crate) mod connect;
pub(crate) mod echo;
pub(crate) mod transfer;
pub(crate) mod udp;

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Sockets that are waited for together.
struct Poll {
    poll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    fn new() -> Result<Self> {
        Ok(Self { poll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(1024) })
    }

    fn add(&self, socket: impl std::os::fd::AsFd, at: usize, flags: EventFlags) -> Result<()> {
        Ok(epoll::add(&self.poll, socket, EventData::new_u64(at as u64), flags)?)
    }

    fn change(&self, socket: impl std::os::fd::AsFd, at: usize, flags: EventFlags) -> Result<()> {
        Ok(epoll::modify(&self.poll, socket, EventData::new_u64(at as u64), flags)?)
    }

    /// Which sockets are ready. It is an error if none is for 20 s.
    fn wait(&mut self) -> Result<Vec<(usize, EventFlags)>> {
        let limit = rustix::time::Timespec { tv_sec: 20, tv_nsec: 0 };
        self.events.clear();
        let ready = loop {
            let spare = rustix::buffer::spare_capacity(&mut self.events);
            match epoll::wait(&self.poll, spare, Some(&limit)) {
                Err(Errno::INTR) => {}
                done => break done?,
            }
        };
        anyhow::ensure!(ready > 0, "the server does not answer");
        Ok(self.events.iter().map(|event| (event.data.u64() as usize, event.flags)).collect())
    }
}

/// A connected socket that is never delayed.
fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(20))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One that is still being connected, and does not block.
fn connecting(addr: SocketAddr) -> Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &addr) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
