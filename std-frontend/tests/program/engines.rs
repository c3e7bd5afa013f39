//! The life of a server on every engine: floods, shortages, slow peers, signals; and what the system shows of it meanwhile.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, Signal, getrlimit, kill_process,
    pidfd_getfd, pidfd_open, prlimit,
};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use crate::harness::{
    Server, anywire, assert_output, nobody, read_all, run, scrape, summed, text, vanish,
};
use crate::procfs::{PATIENCE, await_that, children, descriptors, sockets, status, threads, ticks};

const ENGINES: [&str; 3] = ["poll", "threads", "processes"];

const REPLY: &[u8] = b"I got \"x\" from you and I am sending it back.";

pub(crate) fn start(engine: &str, args: &[&str], endpoints: usize) -> Server {
    Server::start(&[&["--engine", engine], args].concat(), endpoints)
}

pub(crate) fn connect(server: &Server) -> TcpStream {
    let stream = server.connect(0);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Has `hello` answer.
pub(crate) fn greet(stream: &mut TcpStream) {
    stream.write_all(b"x").unwrap();
    let mut reply = vec![0; REPLY.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, REPLY);
}

/// A connection to hello between two messages, and one to file, the second that is served, in the middle of a large one.
pub(crate) fn idle_and_busy(server: &Server) -> (TcpStream, TcpStream) {
    std::fs::write(server.folder.path().join("big"), vec![0; 64 << 20]).unwrap();
    let mut idle = connect(server);
    greet(&mut idle);
    let mut busy = TcpStream::connect(&server.listening[1][2]).unwrap();
    busy.write_all(b"big\n").unwrap();
    busy.read_exact(&mut [0; 1]).unwrap();
    (idle, busy)
}

#[test]
fn threads_and_children_are_as_many_as_conversations_and_go_with_them() {
    const COUNT: usize = 20;
    for engine in ENGINES {
        let mut server = start(engine, &["hello=0"], 1);
        let pid = server.id();
        await_that("the threads are there", || threads(pid) > 1);
        let (before, open) = (threads(pid), descriptors(pid));
        let mut streams: Vec<_> = (0..COUNT).map(|_| connect(&server)).collect();
        streams.iter_mut().for_each(greet);
        let (more_threads, more_children) = match engine {
            "threads" => (COUNT, 0),
            "processes" => (0, COUNT),
            _ => (0, 0),
        };
        // The files' threads begin with the first file.
        assert_eq!(threads(pid), before + more_threads, "{engine}");
        // A socket for each, or the pipe from a child.
        assert_eq!(descriptors(pid), open + COUNT, "{engine}");
        let (kids, zombies) = children(pid);
        assert_eq!((kids.len(), zombies), (more_children, 0), "{engine}");
        let ours = sockets(pid);
        for kid in &kids {
            // Its connection's, twice and once more; its signals'. The parent has closed its copy, and given away none of its own.
            let its = sockets(*kid);
            assert!(its.iter().all(|socket| !ours.contains(socket)), "{its:?} {ours:?}");
            assert_eq!(its.iter().filter(|&socket| *socket == its[0]).count(), 3, "{its:?}");
        }
        streams.truncate(COUNT / 2);
        await_that("the others are gone", || {
            let (kids, zombies) = children(pid);
            threads(pid) == before + more_threads / 2
                && descriptors(pid) == open + COUNT / 2
                && (kids.len(), zombies) == (more_children / 2, 0)
        });
        assert_eq!(server.stop().0, Some(0));
        await_that("no child is left", || kids.iter().all(|kid| status(*kid, "State").is_none()));
    }
}

#[test]
fn a_flood_beyond_the_limit_waits_and_everybody_is_served() {
    const COUNT: usize = 2000;
    const MAX: usize = 50;
    for engine in ENGINES {
        let max = MAX.to_string();
        let mut server =
            start(engine, &["hello=0", "--max-connections", &max, "--backlog", "4096", "-q"], 1);
        let pid = server.id();
        std::thread::scope(|scope| {
            let flood: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        // All at once, and then one after the other.
                        let streams: Vec<_> = (0..COUNT / 4).map(|_| connect(&server)).collect();
                        for (at, mut stream) in streams.into_iter().enumerate() {
                            match at % 4 {
                                // Gone without a word; half open; garbage; honest.
                                0 => crate::harness::reset(stream),
                                1 => drop(stream),
                                2 => {
                                    let _ = stream.write_all(&[0xff; 5000]);
                                }
                                _ => {
                                    greet(&mut stream);
                                    stream.shutdown(Shutdown::Write).unwrap();
                                    assert!(read_all(&mut stream).is_empty());
                                }
                            }
                        }
                    })
                })
                .collect();
            while flood.iter().any(|thread| !thread.is_finished()) {
                // One that has just ended may still be counted there.
                assert!(threads(pid) <= 64 + MAX, "{engine}");
                assert!(children(pid).0.len() <= MAX + 1, "{engine}");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let (status, log) = server.stop();
        assert_eq!((status, log.as_str()), (Some(0), ""), "{engine}");
    }
}

#[test]
fn without_descriptors_a_server_rests_and_goes_on_when_there_are_some() {
    for engine in ENGINES {
        let mut server = start(engine, &["hello=0", "--workers", "2"], 1);
        let pid = Pid::from_raw(server.id() as i32);
        let mut first = connect(&server);
        greet(&mut first);
        // It has raised its limit as far as it may.
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = |current| {
            prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap();
        };
        limit(Some(descriptors(server.id()) as u64 + 4));
        let mut waiting: Vec<_> = (0..50).map(|_| connect(&server)).collect();
        let begun = (Instant::now(), ticks(server.id()));
        // So that something is seen of what it does all the time.
        while begun.0.elapsed() < Duration::from_secs(1) {
            greet(&mut first);
            std::thread::sleep(Duration::from_millis(50));
        }
        let used = ticks(server.id()) - begun.1;
        assert!(used < 30, "{engine}: {used} % of a processor while it can do nothing");
        limit(maximum);
        // Those that it could accept and not serve have waited like all others.
        waiting.iter_mut().for_each(greet);
        greet(&mut connect(&server));
        let log = server.stop().1;
        let told = log.matches("connections cannot be accepted").count();
        assert_eq!(told, 1, "{engine}: {log}");
    }
}

#[test]
fn slow_peers_keep_nobody_waiting_and_meet_their_limits() {
    const SLOW: usize = 150;
    for engine in ENGINES {
        let args = ["file=0", "hello=0", "--head-timeout", "1", "-q"];
        let mut server = start(engine, &args, 2);
        std::fs::write(server.folder.path().join("a"), b"content").unwrap();
        // Half a name, and a byte every now and then.
        let mut slow: Vec<_> = (0..SLOW).map(|_| connect(&server)).collect();
        let mut open: Vec<_> = slow.iter().collect();
        let begun = Instant::now();
        while !open.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "{engine}: {} are not aborted", open.len());
            open.retain(|stream| (&**stream).write_all(b"x").is_ok());
            let mut other = TcpStream::connect(&server.listening[1][2]).unwrap();
            other.set_read_timeout(Some(PATIENCE)).unwrap();
            greet(&mut other);
            std::thread::sleep(Duration::from_millis(20));
        }
        for stream in &mut slow {
            let end = stream.read(&mut [0]).map_err(|error| error.kind());
            assert!(matches!(end, Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) | Ok(0)));
        }
        assert_eq!(server.stop().0, Some(0));
    }
}

#[test]
fn a_signal_ends_the_idle_at_once_and_the_busy_after_the_grace() {
    for engine in ENGINES {
        let args = ["hello=0", "file=0", "--grace", "3", "--head-timeout", "0"];
        let mut server = start(engine, &args, 2);
        let (mut idle, mut busy) = idle_and_busy(&server);
        let begun = Instant::now();
        server.signal(Signal::TERM);
        assert!(read_all(&mut idle).is_empty());
        drop(idle);
        assert!(begun.elapsed() < Duration::from_secs(3), "{engine}");
        let (status, log) = server.end();
        assert_eq!(status, Some(0), "{engine}");
        assert!((3..20).contains(&begun.elapsed().as_secs()), "{engine}: {:?}", begun.elapsed());
        let end = std::io::copy(&mut busy, &mut std::io::sink()).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset, "{engine}");
        assert!(
            log.contains("ended: the server stops") && log.contains("aborted"),
            "{engine}: {log}"
        );
    }
}

#[test]
fn without_a_grace_the_idle_end_in_good_order_all_the_same() {
    for engine in ENGINES {
        let mut server = start(engine, &["hello=0", "file=0", "--grace", "0"], 2);
        let (mut idle, mut busy) = idle_and_busy(&server);
        // Longer than what may be a pause in a message.
        std::thread::sleep(Duration::from_millis(300));
        server.signal(Signal::TERM);
        assert!(read_all(&mut idle).is_empty(), "{engine}");
        drop(idle);
        assert_eq!(server.end().0, Some(0), "{engine}");
        let end = std::io::copy(&mut busy, &mut std::io::sink()).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset, "{engine}");
    }
}

/// The system tells of room only when there is much of it, long after the limit: what such a peer takes counts all the same.
#[test]
fn whoever_reads_slowly_is_not_idle() {
    std::thread::scope(|scope| {
        for engine in ENGINES {
            scope.spawn(move || {
                let server = start(engine, &["file=0", "--idle-timeout", "3"], 1);
                std::fs::write(server.folder.path().join("big"), vec![7; 64 << 20]).unwrap();
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_recv_buffer_size(4096).unwrap();
                let addr: SocketAddr = server.listening[0][2].parse().unwrap();
                socket.connect(&addr.into()).unwrap();
                let mut slow = TcpStream::from(socket);
                slow.write_all(b"big\n").unwrap();
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(8) {
                    slow.read_exact(&mut [0; 4096]).unwrap_or_else(|error| {
                        panic!("{engine}: {error} after {:?}", begun.elapsed())
                    });
                    std::thread::sleep(Duration::from_millis(200));
                }
            });
        }
    });
}

#[test]
fn a_second_signal_ends_everybody_at_once() {
    for engine in ENGINES {
        // The system hangs up on a child that stands still when its parent has gone.
        let mut command = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_anywire");
        command.args(["-c", "trap '' HUP; exec \"$0\" serve \"$@\"", program]);
        let args = ["--engine", engine, "file=0", "--grace", "600"];
        let mut server = Server::start_as(command, &args, 1);
        // So much cannot be sent between the signal and its effect.
        let big = File::create(server.folder.path().join("big")).unwrap();
        big.set_len(8 << 30).unwrap();
        let mut busy = connect(&server);
        busy.write_all(b"big\n").unwrap();
        busy.read_exact(&mut [0; 1]).unwrap();
        // A child that hears of both signals at once is no exception.
        let children: Vec<_> = children(server.id())
            .0
            .into_iter()
            .map(|id| Pid::from_raw(id as i32).unwrap())
            .collect();
        children.iter().for_each(|&child| kill_process(child, Signal::STOP).unwrap());
        server.signal(Signal::INT);
        while TcpStream::connect(&server.listening[0][2]).is_ok() {
            std::thread::yield_now();
        }
        server.signal(Signal::INT);
        assert_eq!(server.end().0, Some(130), "{engine}");
        children.iter().for_each(|&child| kill_process(child, Signal::CONT).unwrap());
        let end = std::io::copy(&mut busy, &mut std::io::sink()).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset, "{engine}");
    }
}

#[test]
fn once_is_one_conversation_on_every_engine() {
    for engine in ENGINES {
        let mut server = start(engine, &["hello", "--port", "0", "--once"], 1);
        let mut stream = connect(&server);
        greet(&mut stream);
        drop(stream);
        assert_eq!(server.end().0, Some(0), "{engine}");
    }
}

#[test]
fn a_busy_server_never_sleeps_and_obeys_all_the_same() {
    let mut server = start("poll", &["hello=0", "--busy-poll"], 1);
    let (pid, before) = (server.id(), ticks(server.id()));
    await_that("it works though nobody is there", || ticks(pid) > before + 20);
    let mut stream = connect(&server);
    greet(&mut stream);
    assert_eq!(server.stop().0, Some(0));

    let mut server = start("poll", &["hello=0", "--busy-poll", "--once"], 1);
    let mut stream = connect(&server);
    greet(&mut stream);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.end().0, Some(0));

    for engine in ["threads", "processes"] {
        let refused = run(anywire(&["serve", "hello=0", "--busy-poll", "--engine", engine]), b"");
        assert_output(&refused, 1, "");
        assert!(text(&refused.stderr).contains("--busy-poll needs --engine poll"), "{refused:?}");
    }
}

#[test]
fn workers_keep_one_limit_together() {
    for engine in ENGINES {
        let args = ["hello=0", "--workers", "4", "--max-connections", "8", "-q"];
        let mut server = start(engine, &args, 1);
        let mut streams: Vec<_> = (0..40).map(|_| connect(&server)).collect();
        for stream in &mut streams {
            stream.write_all(b"x").unwrap();
            stream.set_nonblocking(true).unwrap();
        }
        let answered = || {
            let answers = streams.iter().filter(|stream| {
                let mut first = [0];
                matches!(rustix::net::recv(stream, &mut first, RecvFlags::PEEK), Ok((1, _)))
            });
            answers.count()
        };
        await_that("as many as allowed are answered", || answered() >= 8);
        // One more would come soon.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(answered(), 8, "{engine}");
        drop(streams);
        assert_eq!(server.stop().0, Some(0));
    }
}

/// On whichever worker and of whichever service the one that ends was, and the next one is.
#[test]
fn at_the_limit_the_next_is_served_for_each_that_ends() {
    const MAX: usize = 5;
    const COUNT: usize = 30;
    for engine in ENGINES {
        let metrics = nobody();
        let max = MAX.to_string();
        let args = ["hello=0", "date=0", "--workers", "4", "--max-connections", &max];
        let args = [&args[..], &["--metrics", &metrics, "-q"]].concat();
        let mut server = start(engine, &args, 2);
        let mut waiting: Vec<_> = (0..COUNT).map(|at| server.connect(at % 2)).collect();
        waiting.iter_mut().for_each(|stream| stream.write_all(b"x").unwrap());
        let mut answered = Vec::new();
        for ended in 0..=COUNT - MAX {
            await_that("as many as allowed are answered", || {
                let has_answer = |stream: &mut TcpStream| {
                    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
                    rustix::net::recv(&*stream, &mut [0], flags) == Ok((1, 1))
                };
                answered.extend(waiting.extract_if(.., has_answer));
                assert!(answered.len() <= MAX, "{engine}: {} beside {ended}", answered.len());
                answered.len() == MAX
            });
            let text = scrape(&metrics);
            let open = ["hello", "date"].map(|service| {
                let sample = format!("anywire_connections_open{{service=\"{service}\"}} ");
                let open = text.lines().find_map(|line| line.strip_prefix(&sample)).unwrap();
                open.parse::<usize>().unwrap()
            });
            assert!(open.iter().sum::<usize>() <= MAX, "{engine}: {open:?}");
            let mut leaving = answered.swap_remove(0);
            leaving.shutdown(Shutdown::Write).unwrap();
            assert!(!read_all(&mut leaving).is_empty());
        }
        assert!(waiting.is_empty(), "{engine}");
        assert_eq!(server.stop().0, Some(0));
    }
}

/// The server's end of a connection: a descriptor of the server's, or of a child's.
fn other_end(server: &Server, stream: &TcpStream) -> OwnedFd {
    let ours = stream.local_addr().unwrap();
    let pids = children(server.id()).0.into_iter().chain([server.id()]);
    let ends = pids.flat_map(|pid| {
        let process = Pid::from_raw(pid as i32).unwrap();
        let process = pidfd_open(process, PidfdFlags::empty()).unwrap();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let open: Vec<i32> =
            open.map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
        open.into_iter().filter_map(move |fd| {
            match pidfd_getfd(&process, fd, PidfdGetfdFlags::empty()) {
                Ok(fd) => Some(fd),
                // It has been closed meanwhile.
                Err(Errno::BADF) => None,
                Err(error) => panic!("a process of our own cannot be looked into: {error}"),
            }
        })
    });
    let is_it = |fd: &OwnedFd| {
        let peer = SockRef::from(fd).peer_addr();
        peer.is_ok_and(|peer| peer.as_socket() == Some(ours))
    };
    { ends }.find(is_it).expect("the server has the other end")
}

#[test]
fn peers_that_vanish_are_noticed_and_counted_as_such() {
    /// What is there for everybody takes a minute and a half.
    const SOON: TcpKeepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(1))
        .with_interval(Duration::from_secs(1))
        .with_retries(1);
    for engine in ENGINES {
        let metrics = nobody();
        let mut server = start(engine, &["hello=0", "upload=0", "--metrics", &metrics], 2);
        let none = sockets(server.id()).len();
        let mut idle = connect(&server);
        greet(&mut idle);
        let mut midway = server.connect(1);
        midway.write_all(b"\x01\x01\x00a").unwrap();
        midway.read_exact(&mut [0; 2]).unwrap();
        midway.write_all(b"\x03\x10\x27half").unwrap();
        for stream in [&idle, &midway] {
            SockRef::from(&other_end(&server, stream)).set_tcp_keepalive(&SOON).unwrap();
            vanish(stream);
        }
        await_that("both are missed", || sockets(server.id()).len() == none);
        let text = scrape(&metrics);
        for service in ["hello", "upload"] {
            let counted = |end, count| {
                let sample = format!(
                    "anywire_connections_ended_total{{service=\"{service}\",end=\"{end}\"}} {count}\n"
                );
                assert!(text.contains(&sample), "{engine}: {sample} {text}");
            };
            counted("vanished", 1);
            counted("reset", 0);
        }
        let (status, log) = server.stop();
        assert_eq!(status, Some(0));
        assert_eq!(log.matches("the peer has vanished").count(), 2, "{engine}: {log}");
        let summed = ["hello", "upload"].map(|service| summed(&log, service, "vanished"));
        assert_eq!(summed, [1, 1], "{engine}: {log}");
        assert!(!server.folder.path().join("a").exists());
    }
}

/// A body, an open conversation, and many short ones: to the byte, whichever way they are driven.
#[test]
fn what_is_counted_is_the_same_on_every_engine() {
    const COUNT: usize = 30;
    for engine in ENGINES {
        let metrics = nobody();
        let args = ["hello=0", "upload=0", "--metrics", &metrics, "--no-sync"];
        let mut server = start(engine, &args, 2);
        let counted = |sample: &str, want: usize| {
            let sample = format!("{sample} {want}\n");
            await_that(&format!("{engine}: {sample}"), || scrape(&metrics).contains(&sample));
        };
        let bytes = |service, direction| {
            format!("anywire_bytes_total{{service=\"{service}\",direction=\"{direction}\"}}")
        };
        let mut open = connect(&server);
        greet(&mut open);
        // While it is open.
        counted(&bytes("hello", "in"), 1);
        counted(&bytes("hello", "out"), REPLY.len());
        for _ in 0..COUNT {
            let mut stream = connect(&server);
            greet(&mut stream);
            stream.shutdown(Shutdown::Write).unwrap();
            assert!(read_all(&mut stream).is_empty());
        }
        counted(&bytes("hello", "in"), 1 + COUNT);
        counted(&bytes("hello", "out"), (1 + COUNT) * REPLY.len());

        let mut upload = server.connect(1);
        upload.write_all(b"\x01\x01\x00a").unwrap();
        upload.read_exact(&mut [0; 2]).unwrap();
        upload.write_all(&[&[5, 0x40, 0x42, 0x0f, 0][..], &[7; 600_000]].concat()).unwrap();
        counted(&bytes("upload", "in"), 4 + 5 + 600_000);
        upload.write_all(&[7; 400_000]).unwrap();
        upload.shutdown(Shutdown::Write).unwrap();
        assert!(read_all(&mut upload).is_empty());
        counted(&bytes("upload", "in"), 4 + 5 + 1_000_000);
        counted(&bytes("upload", "out"), 2);

        let text = scrape(&metrics);
        let steps = text.lines().find_map(|line| {
            line.strip_prefix("anywire_step_seconds_count{service=\"hello\"} ")?.parse().ok()
        });
        let steps: usize = steps.unwrap();
        assert!(steps > 2 * COUNT, "{engine}: {text}");
        drop(open);
        assert_eq!(server.stop().0, Some(0));
    }
}
