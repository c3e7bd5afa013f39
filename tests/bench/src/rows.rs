//! What is measured: each row is a work, and who does it.

use std::time::Duration;

use anyhow::Result;

use crate::framing::{self, By};
use crate::load::transfer::{Ask, Send, download, upload};
use crate::load::udp::Datagrams;
use crate::load::{connect, echo};
use crate::peers::{Peer, Work};
use crate::server::{Place, Server};

/// Measures once.
pub(crate) type Round = Box<dyn FnMut() -> Result<Vec<f64>>>;

/// A number that a round comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) more_is_better: bool,
}

const fn more(name: &'static str) -> Metric {
    Metric { name, more_is_better: true }
}

const fn less(name: &'static str) -> Metric {
    Metric { name, more_is_better: false }
}

/// Starts a contestant.
type Begin = Box<dyn Fn(&Place) -> Result<Round>>;

/// One work. The first of `contestants` is ours.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) contestants: Vec<Contestant>,
}

pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) start: Begin,
}

impl Row {
    pub(crate) fn new(name: &'static str, about: impl Into<String>, metrics: &[Metric]) -> Self {
        Self { name, about: about.into(), metrics: metrics.to_vec(), contestants: Vec::new() }
    }

    pub(crate) fn by(
        mut self,
        name: &'static str,
        start: impl Fn(&Place) -> Result<Round> + 'static,
    ) -> Self {
        self.contestants.push(Contestant { name, start: Box::new(start) });
        self
    }

    /// The same `work` with each of the servers.
    pub(crate) fn servers<R>(
        mut self,
        servers: Vec<(&'static str, Start)>,
        work: impl Fn(Server) -> Result<R> + Clone + 'static,
    ) -> Self
    where
        R: FnMut() -> Result<Vec<f64>> + 'static,
    {
        for (name, start) in servers {
            let work = work.clone();
            self = self.by(name, move |place| Ok(Box::new(work(start(place)?)?)));
        }
        self
    }
}

pub(crate) type Start = Box<dyn Fn(&Place) -> Result<Server>>;

pub(crate) fn anywire(
    service: &'static str,
    args: &'static [&'static str],
) -> (&'static str, Start) {
    ("anywire", Box::new(move |place| Server::anywire(place, service, args)))
}

fn python(work: &'static str) -> (&'static str, Start) {
    ("python", Box::new(move |place| Server::python(place, work, ".", "")))
}

pub(crate) fn peer(
    name: &'static str,
    peer: Peer,
    work: Work,
    args: &'static [&'static str],
) -> (&'static str, Start) {
    (name, Box::new(move |_| Server::peer(peer, work, args)))
}

/// Those that echo, with so large buffers.
fn echoing(buffer: &'static [&'static str]) -> Vec<(&'static str, Start)> {
    vec![
        anywire("echo", &[]),
        peer("epoll", Peer::Epoll, Work::Echo, &[]),
        peer("tokio", Peer::Tokio, Work::Echo, buffer),
        peer("tokio-mt", Peer::TokioMt, Work::Echo, buffer),
        peer("monoio", Peer::Monoio, Work::Echo, buffer),
        peer("threads", Peer::Threads, Work::Echo, buffer),
        python("echo"),
    ]
}

const FILE: (&str, u64) = ("file.bin", 583_163);
const LARGE: (&str, u64) = ("large.bin", 1 << 30);

/// What a ping-pong comes to.
pub(crate) const PING: [Metric; 4] =
    [more("req/s"), less("CPU µs/req"), less("p50 µs"), less("p99 µs")];

/// Everything there is; a round lasts `long` where the work has no length of its own.
pub(crate) fn all(long: Duration) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, count) in [("echo-1", 1), ("echo-64", 64), ("echo-1000", 1000)] {
        let about = format!("TCP echo, 64 B there and back, {count} connections");
        let mut servers = echoing(&[]);
        if count == 1 {
            let busy = |place: &Place| Server::anywire(place, "echo", &["--busy-poll"]);
            servers.push(("anywire-busy", Box::new(busy)));
        }
        let row = Row::new(name, about, &PING).servers(servers, move |server| {
            let mut clients = echo::PingPong::new(server.addr, count)?;
            Ok(move || clients.round(&server, long))
        });
        rows.push(row);
    }
    let buffer = &["--buffer", "65536"];
    let bulk = Row::new(
        "bulk",
        "TCP echo, writes of 64 KiB, 1 connection, buffers of 64 KiB",
        &[more("MB/s"), less("CPU ms/GB")],
    );
    rows.push(bulk.servers(echoing(buffer), move |server| {
        let mut stream = std::net::TcpStream::connect(server.addr)?;
        Ok(move || echo::bulk(&mut stream, &server, long))
    }));
    rows.push(idle());
    let connections = Row::new(
        "connect",
        "connect, 5 B of hello there and back, close; 16 at once",
        &[more("conn/s"), less("CPU µs/conn")],
    );
    rows.push(
        connections.servers(echoing(&[]), move |server| Ok(move || connect::round(&server, long))),
    );
    for (name, gso) in [("udp", false), ("udp-gso", true)] {
        let how = if gso { ", a sender that uses GSO" } else { "" };
        let row = Row::new(
            name,
            format!("UDP echo, 64 B{how}, 256 under way"),
            &[more("datagrams/s"), less("CPU µs/datagram")],
        );
        let servers = vec![
            anywire("echo", &[]),
            peer("std", Peer::Threads, Work::Udp, &[]),
            peer("tokio", Peer::Tokio, Work::Udp, &[]),
            python("udp"),
        ];
        rows.push(row.servers(servers, move |server| {
            let mut clients = Datagrams::new(&server, gso)?;
            Ok(move || clients.round(&server, long))
        }));
    }
    rows.push(files("file", "583,163 B, 4 at once", FILE, 4, long));
    rows.push(files("file-1g", "1 GiB", LARGE, 1, Duration::ZERO));
    rows.push(uploads("upload", "256 MiB to memory", 1, 256 << 20, false));
    rows.push(uploads("upload-64", "64 of 4 MiB at once to memory", 64, 4 << 20, false));
    rows.push(uploads("upload-disk", "1 GiB to a disk, synced", 1, 1 << 30, true));
    for (name, len) in [("tagged-32", 32), ("tagged-4096", 4096)] {
        let row = framed(name, len).by("Tagged", move |_| in_memory(By::Tagged, len));
        rows.push(
            row.by("by hand", move |_| in_memory(By::TaggedByHand, len))
                .by("tokio-util", move |_| in_memory(By::TokioUtil, len)),
        );
    }
    for (name, len) in [("prefixed-32", 32), ("prefixed-4096", 4096)] {
        let row = framed(name, len).by("prefixed", move |_| in_memory(By::Prefixed, len));
        rows.push(
            row.by("by hand", move |_| in_memory(By::PrefixedByHand, len))
                .by("tokio-util", move |_| in_memory(By::TokioUtil, len)),
        );
    }
    let overhead = Row::new(
        "core",
        "the same echo with sessions, as a library, and without; 64 connections",
        &PING,
    );
    let servers = vec![
        ("sessions", Box::new(|_: &Place| Server::peer(Peer::Library, Work::Echo, &[])) as Start),
        peer("epoll", Peer::Epoll, Work::Echo, &[]),
    ];
    rows.push(overhead.servers(servers, move |server| {
        let mut clients = echo::PingPong::new(server.addr, 64)?;
        Ok(move || clients.round(&server, long))
    }));
    rows
}

pub(crate) fn framed(name: &'static str, len: usize) -> Row {
    Row::new(
        name,
        format!("decoding bodies of {len} B in chunks of 64 KiB"),
        &[less("ns/frame"), more("GB/s")],
    )
}

pub(crate) fn in_memory(by: By, len: usize) -> Result<Round> {
    Ok(Box::new(move || framing::round(by, len)))
}

/// Each round has a server of its own, for what one takes it may keep.
fn idle() -> Row {
    waiting(
        "idle",
        most_connections(),
        &["anywire", "epoll", "tokio", "tokio-mt", "monoio", "threads"],
    )
}

/// So many connections can be had: ours keeps a descriptor for a file of each connection, and some for itself.
pub(crate) fn most_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(10_000, |limit| (limit as usize / 2).saturating_sub(100).min(10_000))
}

pub(crate) fn waiting(name: &'static str, count: usize, by: &[&'static str]) -> Row {
    let about = format!("{count} connections that wait");
    let mut row = Row::new(name, about, &[less("RSS B/conn")]);
    for &name in by {
        row = row.by(name, move |place| {
            let place = place.clone();
            Ok(Box::new(move || {
                let (_, start) = echoing(&[])
                    .into_iter()
                    .find(|(of, _)| *of == name)
                    .ok_or_else(|| anyhow::anyhow!("no {name}"))?;
                echo::idle(&start(&place)?, count)
            }))
        });
    }
    row
}

fn files(
    name: &'static str,
    what: &str,
    (file, len): (&'static str, u64),
    at_once: usize,
    long: Duration,
) -> Row {
    let metrics = [more("files/s"), more("MB/s"), less("CPU µs/file")];
    let fetch = move |server: Server, ask| -> Result<Round> {
        Ok(Box::new(move || download(&server, ask, file, len, at_once, long)))
    };
    Row::new(name, format!("files of {what}, a connection each"), &metrics)
        .by("anywire", move |place| {
            let dir = place.disk.display().to_string();
            fetch(Server::anywire(place, "file", &["--dir", &dir])?, Ask::Name)
        })
        .by("nginx", move |place| fetch(Server::nginx(place)?, Ask::Http))
        .by("io::copy", move |place| {
            let path = place.disk.join(file).display().to_string();
            fetch(Server::peer(Peer::Copy, Work::File, &["--path", &path])?, Ask::Name)
        })
        .by("python", move |place| {
            let path = place.disk.join(file).display().to_string();
            fetch(Server::python(place, "file", &path, "")?, Ask::Name)
        })
}

fn uploads(name: &'static str, what: &str, clients: usize, len: usize, disk: bool) -> Row {
    let send = move |server: Server, how| -> Result<Round> {
        Ok(Box::new(move || upload(&server, how, clients, len)))
    };
    let dir =
        move |place: &Place| if disk { &place.disk } else { &place.memory }.display().to_string();
    let peer = move |peer, place: &Place| {
        let sync: &[&str] = if disk { &["--sync"] } else { &[] };
        let dir = dir(place);
        let args = [&["--path", &*dir], sync].concat();
        send(Server::peer(peer, Work::Upload, &args)?, Send::Plain)
    };
    Row::new(name, format!("upload of {what}"), &[more("MB/s"), less("CPU ms/GB")])
        .by("anywire", move |place| {
            let sync: &[&str] = if disk { &[] } else { &["--no-sync"] };
            let dir = dir(place);
            let args = [&["--dir", &dir], sync].concat();
            send(Server::anywire(place, "upload", &args)?, Send::Upload)
        })
        .by("io::copy", move |place| peer(Peer::Copy, place))
        .by("tokio", move |place| peer(Peer::Tokio, place))
        .by("python", move |place| {
            let sync = if disk { "sync" } else { "" };
            send(Server::python(place, "upload", &dir(place), sync)?, Send::Plain)
        })
}

/// Makes the files that are fetched.
pub(crate) fn make_files(place: &Place) -> Result<()> {
    for (name, len) in [FILE, LARGE] {
        let mut file = std::fs::File::create(place.disk.join(name))?;
        let piece: Vec<u8> =
            (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut left = len;
        while left > 0 {
            let n = left.min(piece.len() as u64);
            std::io::Write::write_all(&mut file, &piece[..n as usize])?;
            left -= n;
        }
    }
    Ok(())
}
