//! The load: what is asked of a peer, and what that came to.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mio::{Events, Interest, Poll, Token};

use crate::peer::Peer;

/// Ports of every peer.
pub const ECHO: u16 = 9900;
pub const SOURCE: u16 = 6565;
pub const SINK: u16 = 9003;

/// How many sockets a server has for each of them, if it is not for ping-pong: closing ones are no listening ones.
pub const BULK: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The peer sends as fast as it can.
    Down,
    /// The peer takes all.
    Up,
    /// Both at once, 64 KiB a write.
    Bulk,
    /// 64 bytes there and back on `busy` connections; `idle` others are open.
    PingPong { busy: usize, idle: usize },
    /// 64-byte datagrams, so many on their way at once.
    Datagrams { window: usize },
}

pub const ALL: &[(&str, Work)] = &[
    ("down", Work::Down),
    ("up", Work::Up),
    ("bulk echo", Work::Bulk),
    ("ping-pong, 1 connection", Work::PingPong { busy: 1, idle: 0 }),
    ("ping-pong, 10 connections", Work::PingPong { busy: 10, idle: 0 }),
    ("ping-pong, 64 connections", Work::PingPong { busy: 64, idle: 0 }),
    ("ping-pong, 256 connections", Work::PingPong { busy: 256, idle: 0 }),
    ("ping-pong, 1000 connections", Work::PingPong { busy: 1000, idle: 0 }),
    ("ping-pong, 1 of 1000 connections", Work::PingPong { busy: 1, idle: 999 }),
    ("datagrams", Work::Datagrams { window: 64 }),
];

impl Work {
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Down | Self::Up | Self::Bulk => "MB/s",
            Self::PingPong { .. } | Self::Datagrams { .. } => "/s",
        }
    }

    /// How many sockets a server needs.
    pub fn sockets(&self) -> usize {
        match self {
            Self::PingPong { busy, idle } => busy + idle,
            _ => BULK,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// MB or round trips in a second.
    pub rate: f64,
    /// The server's microseconds for a round trip, or for 64 KiB.
    pub cpu: f64,
    pub p50: f64,
    pub p99: f64,
}

const PIECE: usize = 64 << 10;

pub fn run(work: Work, peer: &mut Peer, span: Duration) -> Result<Figure> {
    match work {
        Work::Down => bulk(peer, span, SOURCE, down),
        Work::Up => bulk(peer, span, SINK, up),
        Work::Bulk => bulk(peer, span, ECHO, both),
        Work::PingPong { busy, idle } => ping_pong(peer, span, busy, idle),
        Work::Datagrams { window } => datagrams(peer, span, window),
    }
}

/// Until it works: a device that has just been opened loses what comes first, and the stock loop has no backlog.
fn connect(peer: &Peer, port: u16) -> Result<TcpStream> {
    let to = SocketAddr::new(peer.ip, port);
    let begun = Instant::now();
    let stream = loop {
        match TcpStream::connect_timeout(&to, Duration::from_secs(1)) {
            Ok(stream) => break stream,
            Err(_) if begun.elapsed() < PATIENCE => {}
            Err(error) => return Err(error.into()),
        }
    };
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Longer than a machine that is busy with something else is away.
const PATIENCE: Duration = Duration::from_secs(10);

fn bulk(
    peer: &Peer,
    span: Duration,
    port: u16,
    way: fn(TcpStream, Instant) -> Result<u64>,
) -> Result<Figure> {
    let stream = connect(peer, port)?;
    let cpu = peer.cpu()?;
    let begun = Instant::now();
    let bytes = way(stream, begun + span)?;
    let took = begun.elapsed();
    let cpu = peer.cpu()? - cpu;
    let rate = bytes as f64 / 1e6 / took.as_secs_f64();
    let pieces = bytes as f64 / PIECE as f64;
    Ok(Figure { rate, cpu: cpu.as_secs_f64() * 1e6 / pieces, p50: 0.0, p99: 0.0 })
}

fn down(mut stream: TcpStream, until: Instant) -> Result<u64> {
    stream.write_all(b"f\n")?;
    let (mut buf, mut all) = (vec![0; 1 << 20], 0);
    while Instant::now() < until {
        let n = stream.read(&mut buf)?;
        ensure!(n > 0, "it ended after {all} bytes");
        all += n as u64;
    }
    Ok(all)
}

fn up(mut stream: TcpStream, until: Instant) -> Result<u64> {
    // As the service upload has it: the name f, and as many bytes as it can take.
    stream.write_all(b"\x01\x01\0f\x05\xff\xff\xff\xff")?;
    let (buf, mut all) = (vec![0; 1 << 20], 0);
    // What would come behind them is none of it.
    while Instant::now() < until && all + buf.len() as u64 <= u64::from(u32::MAX) {
        all += stream.write(&buf)? as u64;
    }
    Ok(all)
}

fn both(stream: TcpStream, until: Instant) -> Result<u64> {
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| -> Result<u64> {
            let (buf, mut sent) = (vec![7; PIECE], 0);
            while Instant::now() < until {
                (&stream).write_all(&buf)?;
                sent += buf.len() as u64;
            }
            stream.shutdown(Shutdown::Write)?;
            Ok(sent)
        });
        let (mut buf, mut got) = (vec![0; 1 << 20], 0);
        loop {
            match (&stream).read(&mut buf)? {
                0 => break,
                n => got += n as u64,
            }
        }
        let sent = sending.join().expect("it does not panic")?;
        ensure!(sent == got, "{got} of {sent} bytes came back");
        Ok(got)
    })
}

struct Conversation {
    stream: mio::net::TcpStream,
    got: usize,
    since: Instant,
}

const MESSAGE: [u8; 64] = [7; 64];

fn ping_pong(peer: &Peer, span: Duration, busy: usize, idle: usize) -> Result<Figure> {
    let mut streams = (0..busy + idle).map(|_| connect(peer, ECHO)).collect::<Result<Vec<_>>>()?;
    // Each has been heard of before the clock runs.
    for stream in &mut streams {
        stream.write_all(&MESSAGE)?;
    }
    for stream in &mut streams {
        stream.read_exact(&mut [0; 64])?;
    }
    let _idle = streams.split_off(busy);
    let mut poll = Poll::new()?;
    let mut conversations = Vec::new();
    for (at, stream) in streams.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
        conversations.push(Conversation { stream, got: 0, since: Instant::now() });
    }
    let cpu = peer.cpu()?;
    let begun = Instant::now();
    for conversation in &mut conversations {
        conversation.since = Instant::now();
        conversation.stream.write_all(&MESSAGE)?;
    }
    let (mut events, mut buf, mut took) = (Events::with_capacity(1024), [0; 256], Vec::new());
    while begun.elapsed() < span {
        poll.poll(&mut events, Some(PATIENCE))?;
        ensure!(!events.is_empty(), "no answer after {} round trips", took.len());
        for event in &events {
            let conversation = &mut conversations[event.token().0];
            // Less than was asked for is all there is: more is another event.
            match conversation.stream.read(&mut buf) {
                Ok(0) => anyhow::bail!("it ended"),
                Ok(n) => conversation.got += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            if conversation.got == MESSAGE.len() {
                let now = Instant::now();
                took.push((now - conversation.since).as_secs_f64() * 1e6);
                (conversation.got, conversation.since) = (0, now);
                conversation.stream.write_all(&MESSAGE)?;
            }
        }
    }
    figure(took, begun.elapsed(), peer.cpu()? - cpu)
}

fn figure(mut took: Vec<f64>, span: Duration, cpu: Duration) -> Result<Figure> {
    ensure!(!took.is_empty(), "nothing came back");
    took.sort_by(f64::total_cmp);
    let count = took.len() as f64;
    Ok(Figure {
        rate: count / span.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / count,
        p50: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
    })
}

fn datagrams(peer: &Peer, span: Duration, window: usize) -> Result<Figure> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(SocketAddr::new(peer.ip, ECHO))?;
    connect(peer, ECHO)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let cpu = peer.cpu()?;
    let begun = Instant::now();
    let (mut away, mut buf, mut took) = (0, [0; 64], Vec::new());
    while begun.elapsed() < span {
        while away < window {
            let sent = begun.elapsed().as_nanos() as u64;
            buf[..8].copy_from_slice(&sent.to_ne_bytes());
            if socket.send(&buf).is_err() {
                break;
            }
            away += 1;
        }
        match socket.recv(&mut buf) {
            Ok(_) => {
                let sent = u64::from_ne_bytes(*buf.first_chunk().expect("it has 64 bytes"));
                took.push(begun.elapsed().as_nanos() as f64 / 1e3 - sent as f64 / 1e3);
                away -= 1;
            }
            // They are lost.
            Err(_) => away = 0,
        }
    }
    figure(took, begun.elapsed(), peer.cpu()? - cpu)
}
