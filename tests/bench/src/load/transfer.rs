//! Files, a connection each, down and up.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use super::{Poll, connecting};
use crate::server::Server;

/// How one asks for a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// A name, and the end.
    Name,
    /// HTTP/1.0.
    Http,
}

/// Fetches the file of `len` bytes, `at_once` at a time, for `long` or one after the other, at least once: files per second, MB/s, and the
/// server's CPU for each in µs.
pub(crate) fn download(
    server: &Server,
    ask: Ask,
    name: &str,
    len: u64,
    at_once: usize,
    long: Duration,
) -> Result<Vec<f64>> {
    let request = match ask {
        Ask::Name => name.to_owned(),
        Ask::Http => format!("GET /{name} HTTP/1.0\r\n\r\n"),
    };
    let mut poll = Poll::new()?;
    let mut open: Vec<Option<(OwnedFd, u64)>> = Vec::new();
    for at in 0..at_once {
        let socket = connecting(server.addr)?;
        poll.add(&socket, at, EventFlags::OUT)?;
        open.push(Some((socket, 0)));
    }
    let mut buf = vec![0; 256 << 10];
    let cpu = server.cpu()?;
    let begun = Instant::now();
    let (mut count, mut left) = (0.0, at_once);
    while left > 0 {
        for (at, flags) in poll.wait()? {
            let Some((socket, got)) = &mut open[at] else { continue };
            if flags.contains(EventFlags::OUT) {
                rustix::net::send(&*socket, request.as_bytes(), SendFlags::NOSIGNAL)?;
                if matches!(ask, Ask::Name) {
                    rustix::net::shutdown(&*socket, Shutdown::Write)?;
                }
                poll.change(&*socket, at, EventFlags::IN)?;
                continue;
            }
            let (n, _) = rustix::net::recv(&*socket, &mut buf[..], RecvFlags::empty())?;
            *got += n as u64;
            if n > 0 {
                continue;
            }
            let got = *got;
            ensure!(got >= len && got < len + 1024, "{got} bytes came of a file of {len}");
            count += 1.0;
            open[at] = None;
            if begun.elapsed() < long {
                let socket = connecting(server.addr)?;
                poll.add(&socket, at, EventFlags::OUT)?;
                open[at] = Some((socket, 0));
            } else {
                left -= 1;
            }
        }
    }
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), server.cpu()? - cpu);
    let rate = count / elapsed;
    Ok(vec![rate, rate * len as f64 / 1e6, cpu.as_secs_f64() * 1e6 / count])
}

/// How one sends a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Send {
    /// As our upload service wants it.
    Upload,
    /// All to the end of the stream.
    Plain,
}

/// What a client that sends a file has reached.
enum Stage {
    /// It sends its name.
    Name,
    /// It waits for `OK`.
    Named,
    /// It has sent so much of head and body.
    Body(usize),
    /// It waits for the end.
    Sent,
}

/// Sends `clients` files of `len` bytes at once, and waits until each is acknowledged by an end: MB/s, and the server's CPU in ms per GB.
pub(crate) fn upload(server: &Server, how: Send, clients: usize, len: usize) -> Result<Vec<f64>> {
    let body = vec![7; 1 << 20];
    let (mut poll, mut sockets) = (Poll::new()?, Vec::new());
    let cpu = server.cpu()?;
    let begun = Instant::now();
    for at in 0..clients {
        let socket = connecting(server.addr)?;
        poll.add(&socket, at, EventFlags::OUT)?;
        let stage = if matches!(how, Send::Upload) { Stage::Name } else { Stage::Body(0) };
        sockets.push(Some((socket, stage)));
    }
    let mut head = vec![5];
    head.extend(u32::try_from(len)?.to_le_bytes());
    if matches!(how, Send::Plain) {
        head.clear();
    }
    let whole = head.len() + len;
    let mut left = clients;
    while left > 0 {
        for (at, _) in poll.wait()? {
            let Some((socket, stage)) = &mut sockets[at] else { continue };
            match stage {
                Stage::Name => {
                    let name = format!("up-{at:02}");
                    let mut frame = vec![1, name.len() as u8, 0];
                    frame.extend(name.as_bytes());
                    rustix::net::send(&*socket, &frame, SendFlags::NOSIGNAL)?;
                    poll.change(&*socket, at, EventFlags::IN)?;
                    *stage = Stage::Named;
                }
                Stage::Named => {
                    let mut buf = [0; 64];
                    let (n, _) = rustix::net::recv(&*socket, &mut buf[..], RecvFlags::empty())?;
                    let said = String::from_utf8_lossy(&buf[..n]);
                    ensure!(said == "OK", "the server refuses: {said}");
                    poll.change(&*socket, at, EventFlags::OUT)?;
                    *stage = Stage::Body(0);
                }
                Stage::Body(sent) => {
                    let piece = match head.get(*sent..) {
                        Some(head @ [_, ..]) => head,
                        _ => &body[..body.len().min(whole - *sent)],
                    };
                    match rustix::net::send(&*socket, piece, SendFlags::NOSIGNAL) {
                        Ok(n) => *sent += n,
                        Err(Errno::AGAIN) => {}
                        Err(error) => return Err(error.into()),
                    }
                    if *sent == whole {
                        rustix::net::shutdown(&*socket, Shutdown::Write)?;
                        poll.change(&*socket, at, EventFlags::IN)?;
                        *stage = Stage::Sent;
                    }
                }
                Stage::Sent => {
                    let mut buf = [0; 64];
                    let (n, _) = rustix::net::recv(&*socket, &mut buf[..], RecvFlags::empty())?;
                    if n == 0 {
                        sockets[at] = None;
                        left -= 1;
                    }
                }
            }
        }
    }
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), server.cpu()? - cpu);
    let bytes = (clients * len) as f64;
    Ok(vec![bytes / elapsed / 1e6, cpu.as_secs_f64() * 1e3 / (bytes / 1e9)])
}
