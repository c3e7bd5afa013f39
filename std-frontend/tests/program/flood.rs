//! The same flood on each engine: its memory stays as it is, every honest client is served, the log has a line for each connection at
//! most, and the system shows no more of it than there are connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use crate::harness::{Server, log_lines, read_all, reset, vanish};
use crate::procfs::{
    PATIENCE, await_that, children, descriptors, own_memory, resident, sockets, threads, ticks,
};

/// The services, as endpoints.
const SERVICES: [&str; 5] = ["hello=0", "echo=0", "file=0", "upload=0", "typed=0"];
const HELLO: usize = 0;
const ECHO: usize = 1;
/// echo has a socket for datagrams, too.
const FILE: usize = 3;
const UPLOAD: usize = 4;
const TYPED: usize = 5;
const ENDPOINTS: usize = 6;

/// What file has for the honest.
const FILE_LEN: usize = 300_000;

/// Those who mean no good. Each connection is one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// Says nothing.
    Silent,
    /// Says what no service understands, and is gone.
    Garbage,
    /// Ends as soon as it is there.
    Ended,
    /// Half a message, and a reset.
    Reset,
    /// A name, a byte at a time.
    SlowLoris,
    /// Sends what is to come back, and reads none of it.
    Unread,
    /// In the middle of a conversation its system is gone: nothing of ours is taken note of, and nothing comes.
    Vanished,
}

const PEERS: [Peer; 7] = [
    Peer::Silent,
    Peer::Garbage,
    Peer::Ended,
    Peer::Reset,
    Peer::SlowLoris,
    Peer::Unread,
    Peer::Vanished,
];

/// How large a flood is.
struct Size {
    rounds: usize,
    /// Connections of each kind in a round.
    each: usize,
}

fn connect(server: &Server, endpoint: usize) -> TcpStream {
    let stream = server.connect(endpoint);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One more connection of that kind. What of it must go on comes back.
fn begin(peer: Peer, at: usize, server: &Server) -> Option<TcpStream> {
    let endpoint = match peer {
        Peer::SlowLoris => UPLOAD,
        Peer::Unread | Peer::Vanished => ECHO,
        _ => [HELLO, ECHO, FILE, UPLOAD, TYPED][at % 5],
    };
    let mut stream = connect(server, endpoint);
    match peer {
        Peer::Silent => {}
        Peer::Garbage => {
            // It may be told before all has been sent.
            let _ = stream
                .write_all(&fastrand::Rng::with_seed(at as u64).choose_multiple(0..=255u8, 200));
            return None;
        }
        Peer::Ended => {
            let _ = stream.shutdown(Shutdown::Write);
        }
        Peer::Reset => {
            let _ = stream.write_all(b"\x01\x09\x00ab");
            reset(stream);
            return None;
        }
        // So long is the name to be.
        Peer::SlowLoris => stream.write_all(b"\x01\xff\x00").unwrap(),
        Peer::Unread => {
            stream.set_nonblocking(true).unwrap();
            while stream.write(&[7; 64 << 10]).is_ok() {}
        }
        Peer::Vanished => {
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            vanish(&stream);
            stream.write_all(&[7; 1000]).unwrap();
        }
    }
    stream.set_nonblocking(true).unwrap();
    Some(stream)
}

/// Whether it is over, to such a peer: the server has ended it, or reset it.
fn is_over(peer: Peer, stream: &mut TcpStream) -> bool {
    match peer {
        // They would never know.
        Peer::Vanished => true,
        Peer::SlowLoris => stream.write_all(b"a").is_err(),
        // An error shows before what is unread.
        Peer::Unread => SockRef::from(&*stream).take_error().unwrap().is_some(),
        _ => {
            !matches!(stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock)
        }
    }
}

/// A conversation of each service, as it should be.
fn be_served(server: &Server, who: usize) {
    const TEXT: &[u8] = b"I got \"x\" from you and I am sending it back.";
    let end = |mut stream: TcpStream| {
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(&mut stream)
    };
    let mut hello = connect(server, HELLO);
    hello.write_all(b"x").unwrap();
    let mut reply = [0; TEXT.len()];
    hello.read_exact(&mut reply).unwrap();
    assert_eq!(reply, TEXT);
    assert_eq!(end(hello), b"");

    let mut echo = connect(server, ECHO);
    echo.write_all(&[who as u8; 30_000]).unwrap();
    assert!(end(echo) == [who as u8; 30_000]);

    let mut file = connect(server, FILE);
    file.write_all(b"file\n").unwrap();
    assert_eq!(end(file).len(), FILE_LEN);

    let mut upload = connect(server, UPLOAD);
    let name = format!("honest-{who}");
    upload.write_all(&[&[1, name.len() as u8, 0], name.as_bytes()].concat()).unwrap();
    let mut ok = [0; 2];
    upload.read_exact(&mut ok).unwrap();
    assert_eq!(&ok, b"OK");
    upload.write_all(&[&[3, 0x10, 0x27][..], &[who as u8; 10_000]].concat()).unwrap();
    assert_eq!(end(upload), b"");
    let path = server.folder.path().join(name);
    assert_eq!(std::fs::read(path).unwrap(), [who as u8; 10_000]);

    let mut typed = connect(server, TYPED);
    typed.write_all(b"\x01\x02\x00hi").unwrap();
    assert_eq!(end(typed), b"");
}

/// What the system shows of a server in which nothing goes on.
#[derive(Debug)]
struct Rest {
    threads: usize,
    descriptors: usize,
    sockets: usize,
}

impl Rest {
    fn of(server: &Server) -> Self {
        let pid = server.id();
        Self { threads: threads(pid), descriptors: descriptors(pid), sockets: sockets(pid).len() }
    }
}

/// The engine `poll` has so many threads for files, as soon as there is work for them, and each a pipe.
const FILE_THREADS: usize = 4;

fn flood(engine: &str, size: &Size) {
    let Size { rounds, each } = *size;
    let most = each * PEERS.len() + 64;
    let (max, file_threads) = (most.to_string(), FILE_THREADS.to_string());
    let mut args = vec!["--engine", engine, "--max-connections", &max, "--backlog", "4096"];
    args.extend(["--file-threads", &file_threads, "--no-sync"]);
    args.extend(["--head-timeout", "2", "--idle-timeout", "3"]);
    args.extend(SERVICES);
    let mut server = Server::start(&args, ENDPOINTS);
    let pid = server.id();
    std::fs::write(server.folder.path().join("file"), vec![1; FILE_LEN]).unwrap();
    await_that("the threads are there", || threads(pid) > 1);
    let before = Rest::of(&server);
    be_served(&server, 0);

    let (own, served) = (AtomicUsize::new(0), AtomicUsize::new(5));
    let mut memory = Vec::new();
    let begun = Instant::now();
    for round in 0..rounds {
        let over = AtomicBool::new(false);
        let peak = std::thread::scope(|scope| {
            for who in 1..=3 {
                let (server, over, served) = (&server, &over, &served);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        be_served(server, who);
                        served.fetch_add(5, Ordering::Relaxed);
                    }
                });
            }
            let _over = Over(&over);
            let mut open: Vec<_> = (0..each)
                .flat_map(|at| PEERS.map(|peer| (peer, round * each + at)))
                .filter_map(|(peer, at)| Some((peer, begin(peer, at, &server)?)))
                .collect();
            own.fetch_add(each * PEERS.len(), Ordering::Relaxed);
            let vanished: Vec<_> =
                open.extract_if(.., |(peer, _)| *peer == Peer::Vanished).collect();
            let mut peak = 0;
            let began = Instant::now();
            while !open.is_empty() {
                assert!(began.elapsed() < 2 * PATIENCE, "{engine}: {} go on", open.len());
                open.retain_mut(|(peer, stream)| !is_over(*peer, stream));
                // As many as the options say; one that has just ended may still be counted.
                let (kids, _) = children(pid);
                assert!(kids.len() <= if engine == "processes" { most + 4 } else { 0 });
                let more = if engine == "threads" { most + 4 } else { FILE_THREADS };
                assert!(threads(pid) <= before.threads + more, "{engine}: {}", threads(pid));
                // Each may have a file besides its socket.
                assert!(descriptors(pid) <= before.descriptors + 2 * most, "{engine}");
                peak = peak.max(resident(pid).unwrap());
                let largest = kids.iter().filter_map(|kid| resident(*kid)).max();
                assert!(largest.unwrap_or(0) < 16 << 10, "{engine}: {largest:?} KiB in a child");
                std::thread::sleep(Duration::from_millis(100));
            }
            drop(vanished);
            peak
        });
        await_that("nobody is left", || {
            let now = Rest::of(&server);
            now.sockets == before.sockets
                && children(pid).0.is_empty()
                && now.threads <= before.threads + FILE_THREADS
                && now.descriptors <= before.descriptors + 2 * FILE_THREADS
        });
        memory.push((resident(pid).unwrap(), peak));
    }
    let connections = own.load(Ordering::Relaxed) + served.load(Ordering::Relaxed);
    println!(
        "{engine}: {connections} connections in {:.1?}; KiB resident after each round, and at most in it: {memory:?}",
        begun.elapsed(),
    );
    // What the first round needs is kept for the next ones, and they need no more; nor does one need much.
    let grown = memory[rounds - 1].0.saturating_sub(memory[0].0);
    assert!(grown < 4 << 10, "{engine}: {grown} KiB more: {memory:?}");
    let peak = memory.iter().map(|(_, peak)| *peak).max().unwrap();
    assert!(peak < (64 << 10) + 64 * most as u64, "{engine}: {peak} KiB at most: {memory:?}");

    let (status, log) = server.stop();
    assert_eq!(status, Some(0), "{engine}");
    let lines = log_lines(&log);
    let of_connections = lines.iter().filter(|line| line.contains("127.0.0.1:")).count();
    assert!(of_connections <= connections, "{engine}: {of_connections} lines of {connections}");
    assert!(lines.len() - of_connections < 20, "{engine}: {lines:#?}");
}

/// Tells the honest that they have been served for long enough; also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// In CI.
const SMALL: Size = Size { rounds: 3, each: 30 };

#[test]
fn a_flood_leaves_the_engine_poll_as_it_was() {
    flood("poll", &SMALL);
}

#[test]
fn a_flood_leaves_the_engine_threads_as_it_was() {
    flood("threads", &SMALL);
}

#[test]
fn a_flood_leaves_the_engine_processes_as_it_was() {
    flood("processes", &SMALL);
}

/// 5,000 that send a byte of a name every 2 s. What it costs is printed; run it with
/// `cargo test --release -p anywire-std --test program -- --ignored --nocapture slow_loris`.
#[test]
#[ignore = "takes some minutes, 10,000 descriptors, 5,000 processes and 4 GiB of memory"]
fn a_slow_loris_of_5000_keeps_nobody_waiting() {
    const COUNT: usize = 5000;
    const SECONDS: u64 = 15;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    // To start so many processes takes its time, and all are to be there at once.
    for (engine, head) in [("poll", 30), ("threads", 30), ("processes", 120)] {
        let (max, timeout) = ((COUNT + 100).to_string(), head.to_string());
        let args = ["--engine", engine, "--max-connections", &max, "--backlog", "4096"];
        let args = [&args[..], &["--head-timeout", &timeout, "-q"], &SERVICES[..]].concat();
        let mut server = Server::start(&args, ENDPOINTS);
        let pid = server.id();
        std::fs::write(server.folder.path().join("file"), vec![1; FILE_LEN]).unwrap();
        let before = sockets(pid).len();
        be_served(&server, 0);
        let nobody_is_left = || sockets(pid).len() == before && children(pid).0.is_empty();
        await_that("nobody is left", nobody_is_left);
        let idle = resident(pid).unwrap();

        let begun = Instant::now();
        let mut slow: Vec<_> =
            (0..COUNT).map(|at| begin(Peer::SlowLoris, at, &server).expect("it goes on")).collect();
        // With `processes`, those are the lines to the children.
        while sockets(pid).len() < before + COUNT {
            assert!(begun.elapsed() < Duration::from_secs(head - SECONDS), "{engine}: too slow");
            std::thread::sleep(Duration::from_millis(100));
        }
        let (opened, since) = (begun.elapsed(), (Instant::now(), ticks(pid)));
        let mut times = Vec::new();
        for second in 0..SECONDS {
            let next = since.0 + Duration::from_secs(second);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let asked = Instant::now();
            be_served(&server, 1);
            times.push(asked.elapsed());
            if second % 2 == 0 {
                slow.iter_mut().for_each(|stream| drop(stream.write_all(b"a")));
            }
        }
        let used = (ticks(pid) - since.1) * 1000 / since.0.elapsed().as_millis() as u64;
        let (there, busy) = (sockets(pid).len() - before, resident(pid).unwrap());
        assert!(there >= COUNT, "{engine}: {there} are there");
        let kids = children(pid).0;
        let theirs = kids.iter().filter_map(|kid| own_memory(*kid)).sum::<u64>();
        let (count, threads) = (kids.len(), threads(pid));
        while !slow.is_empty() {
            let late = Duration::from_secs(3 * head);
            assert!(begun.elapsed() < late, "{engine}: {} go on", slow.len());
            slow.retain_mut(|stream| !is_over(Peer::SlowLoris, stream));
            std::thread::sleep(Duration::from_millis(200));
        }
        await_that("nobody is left", nobody_is_left);
        times.sort();
        println!(
            "{engine}: {there} connections in {opened:.1?}; {idle} KiB resident before, {busy} with them, {} after; \
             {threads} threads; {count} children with {theirs} KiB of their own; {used} % of a processor in the parent; \
             five honest conversations: median {:.1?}, at most {:.1?}",
            resident(pid).unwrap(),
            times[times.len() / 2],
            times[times.len() - 1],
        );
        assert_eq!(server.stop().0, Some(0));
    }
}
