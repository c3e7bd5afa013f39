//! One loop, one buffer for all, two system calls a request and one for a batch of events: what echo costs at least.
//!
//! Level-triggered: a read that fills less than the buffer is the last, and writability is asked for only while a write blocks.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

struct Connection {
    socket: OwnedFd,
    /// What the peer has not taken. While there is any, nothing is read.
    pending: Vec<u8>,
}

enum Turn {
    Wait(EventFlags),
    Over,
}

pub(super) fn echo() -> io::Result<()> {
    let listener = TcpListener::bind(super::any())?;
    // More than std's 128 may wait.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    super::say(listener.local_addr()?)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let accepting = listener.as_raw_fd() as u64;
    epoll::add(&poll, &listener, EventData::new_u64(accepting), EventFlags::IN)?;
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut events = Vec::with_capacity(1024);
    let mut buf = vec![0; 256 << 10];
    loop {
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None) {
            Err(Errno::INTR) => continue,
            done => done?,
        };
        for event in events.drain(..) {
            let key = event.data.u64();
            if key == accepting {
                while let Ok(socket) = rustix::net::accept_with(
                    &listener,
                    SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
                ) {
                    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
                    let key = socket.as_raw_fd() as u64;
                    epoll::add(&poll, &socket, EventData::new_u64(key), EventFlags::IN)?;
                    connections.insert(key, Connection { socket, pending: Vec::new() });
                }
                continue;
            }
            let Some(connection) = connections.get_mut(&key) else { continue };
            let was_pending = !connection.pending.is_empty();
            match connection.turn(&mut buf) {
                Turn::Wait(flags) => {
                    if was_pending != flags.contains(EventFlags::OUT) {
                        epoll::modify(&poll, &connection.socket, event.data, flags)?;
                    }
                }
                Turn::Over => drop(connections.remove(&key)),
            }
        }
    }
}

impl Connection {
    fn turn(&mut self, buf: &mut [u8]) -> Turn {
        if !self.pending.is_empty() {
            match rustix::net::send(&self.socket, &self.pending, SendFlags::NOSIGNAL) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(Errno::AGAIN) => {}
                Err(_) => return Turn::Over,
            }
            if !self.pending.is_empty() {
                return Turn::Wait(EventFlags::OUT);
            }
        }
        let read = match rustix::net::recv(&self.socket, &mut *buf, RecvFlags::empty()) {
            Ok((0, _)) => return Turn::Over,
            Ok((n, _)) => &buf[..n],
            Err(Errno::AGAIN) => return Turn::Wait(EventFlags::IN),
            Err(_) => return Turn::Over,
        };
        match rustix::net::send(&self.socket, read, SendFlags::NOSIGNAL) {
            Ok(n) if n == read.len() => return Turn::Wait(EventFlags::IN),
            Ok(n) => self.pending = read[n..].to_vec(),
            Err(Errno::AGAIN) => self.pending = read.to_vec(),
            Err(_) => return Turn::Over,
        }
        Turn::Wait(EventFlags::OUT)
    }
}
