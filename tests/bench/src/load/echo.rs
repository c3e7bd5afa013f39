//! Echo: ping-pong, bulk, and doing nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::event::epoll::EventFlags;

use super::Poll;
use crate::server::Server;

/// Bytes of a request, and of its answer.
const LEN: usize = 64;

/// Connections that ask again as soon as they are answered.
pub(crate) struct PingPong {
    poll: Poll,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    asked: Instant,
    got: usize,
}

impl PingPong {
    pub(crate) fn new(addr: SocketAddr, count: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let connections = (0..count)
            .map(|at| {
                let stream = super::connect(addr)?;
                stream.set_nonblocking(count > 1)?;
                poll.add(&stream, at, EventFlags::IN)?;
                Ok(Connection { stream, asked: Instant::now(), got: 0 })
            })
            .collect::<Result<_>>()?;
        Ok(Self { poll, connections })
    }

    /// Requests per second, the server's CPU per request in µs, and the median and the 99th percentile of the time that an answer takes in µs.
    pub(crate) fn round(&mut self, server: &Server, long: Duration) -> Result<Vec<f64>> {
        let mut took: Vec<u32> = Vec::with_capacity(1 << 18);
        let cpu = server.cpu()?;
        let begun = Instant::now();
        let until = begun + long;
        if let [one] = &mut *self.connections {
            let mut buf = [7; LEN];
            let mut now = begun;
            while now < until {
                let asked = now;
                one.stream.write_all(&buf)?;
                one.stream.read_exact(&mut buf)?;
                now = Instant::now();
                took.push((now - asked).as_nanos() as u32);
            }
        } else {
            self.many(until, &mut took)?;
        }
        let elapsed = begun.elapsed().as_secs_f64();
        let cpu = server.cpu()? - cpu;
        let count = took.len() as f64;
        ensure!(count > 0.0, "no answer");
        took.sort_unstable();
        let percentile = |part: f64| f64::from(took[(part * (count - 1.0)) as usize]) / 1e3;
        Ok(vec![
            count / elapsed,
            cpu.as_secs_f64() * 1e6 / count,
            percentile(0.5),
            percentile(0.99),
        ])
    }

    fn many(&mut self, until: Instant, took: &mut Vec<u32>) -> Result<()> {
        let mut buf = [7; LEN];
        for connection in &mut self.connections {
            connection.asked = Instant::now();
            connection.stream.write_all(&buf)?;
        }
        let mut open = self.connections.len();
        while open > 0 {
            for (at, _) in self.poll.wait()? {
                let connection = &mut self.connections[at];
                let n = connection.stream.read(&mut buf[connection.got..])?;
                ensure!(n > 0, "the server has ended the stream");
                connection.got += n;
                if connection.got < LEN {
                    continue;
                }
                connection.got = 0;
                let now = Instant::now();
                took.push((now - connection.asked).as_nanos().min(u128::from(u32::MAX)) as u32);
                if now < until {
                    connection.asked = now;
                    connection.stream.write_all(&buf)?;
                } else {
                    open -= 1;
                }
            }
        }
        Ok(())
    }
}

/// Bytes of a write.
const WRITE: usize = 64 << 10;

/// One connection that writes all it can, and reads all that comes: MB/s, and the server's CPU in ms per GB.
pub(crate) fn bulk(stream: &mut TcpStream, server: &Server, long: Duration) -> Result<Vec<f64>> {
    stream.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&*stream, 0, EventFlags::IN | EventFlags::OUT)?;
    let (data, mut buf) = (vec![7; WRITE], vec![0; 256 << 10]);
    let cpu = server.cpu()?;
    let begun = Instant::now();
    let (mut sent, mut received, mut sending) = (0, 0, true);
    while sending || received < sent {
        for (_, flags) in poll.wait()? {
            if flags.contains(EventFlags::IN)
                && let Some(n) = unless_it_blocks(stream.read(&mut buf))?
            {
                ensure!(n > 0, "the server has ended the stream");
                received += n;
            }
            if sending && flags.contains(EventFlags::OUT) {
                sent += unless_it_blocks(stream.write(&data))?.unwrap_or(0);
            }
        }
        if sending && begun.elapsed() >= long {
            sending = false;
            poll.change(&*stream, 0, EventFlags::IN)?;
        }
    }
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), server.cpu()? - cpu);
    let count = received as f64;
    Ok(vec![count / elapsed / 1e6, cpu.as_secs_f64() * 1e3 / (count / 1e9)])
}

fn unless_it_blocks(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        done => done.map(Some),
    }
}

/// What each of `count` connections that have been answered once, and wait, costs of the server's resident memory, in bytes.
pub(crate) fn idle(server: &Server, count: usize) -> Result<Vec<f64>> {
    // What the first ones cost is the server's own.
    let _first = Waiting::new(server.addr, 16)?;
    let before = server.resident()?;
    let _rest = Waiting::new(server.addr, count)?;
    let more = server.resident()?.saturating_sub(before);
    Ok(vec![more as f64 / count as f64])
}

/// Connections that have been answered once, and wait.
pub(crate) struct Waiting(Vec<TcpStream>);

impl Waiting {
    pub(crate) fn new(addr: SocketAddr, count: usize) -> Result<Self> {
        let mut open = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = super::connect(addr)?;
            let mut buf = [7; LEN];
            // One that is full never answers.
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.write_all(&buf)?;
            stream.read_exact(&mut buf).context("the server does not answer")?;
            open.push(stream);
        }
        Ok(Self(open))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // No ports are kept from what is measured next.
        for stream in &self.0 {
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }
}
