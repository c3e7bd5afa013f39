//! Connect, say hello, be answered, close.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::event::epoll::EventFlags;
use rustix::net::{RecvFlags, SendFlags};

use super::{Poll, connecting};
use crate::server::Server;

/// Connections at once.
const AT_ONCE: usize = 16;

/// Connections per second, and the server's CPU for each in µs.
pub(crate) fn round(server: &Server, long: Duration) -> Result<Vec<f64>> {
    let mut poll = Poll::new()?;
    let mut sockets = Vec::new();
    for at in 0..AT_ONCE {
        let socket = connecting(server.addr)?;
        poll.add(&socket, at, EventFlags::OUT)?;
        sockets.push(Some(socket));
    }
    let cpu = server.cpu()?;
    let begun = Instant::now();
    let (mut count, mut open) = (0.0, AT_ONCE);
    while open > 0 {
        for (at, flags) in poll.wait()? {
            let Some(socket) = &sockets[at] else { continue };
            if flags.contains(EventFlags::OUT) {
                rustix::net::send(socket, b"hello", SendFlags::NOSIGNAL)?;
                poll.change(socket, at, EventFlags::IN)?;
                continue;
            }
            let mut buf = [0; 64];
            let (n, _) = rustix::net::recv(socket, &mut buf[..], RecvFlags::empty())?;
            ensure!(n == 5, "{n} bytes came back of hello");
            count += 1.0;
            sockets[at] = None;
            if begun.elapsed() < long {
                let socket = connecting(server.addr)?;
                poll.add(&socket, at, EventFlags::OUT)?;
                sockets[at] = Some(socket);
            } else {
                open -= 1;
            }
        }
    }
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), server.cpu()? - cpu);
    Ok(vec![count / elapsed, cpu.as_secs_f64() * 1e6 / count])
}
