//! How connections end, and how the server does.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::tcgetattr;
use socket2::SockRef;

use crate::harness::{PATIENCE, Server, anywire_tap, assert_fails, exchange, run, sample, text};
use crate::namespace::{ip, make_tap};

crate::tests![
    a_fin_with_unread_input_behind_it_does_not_become_a_reset,
    a_stopped_server_ends_idle_conversations_and_exits_0,
    esc_ends_three_conversations_in_good_order,
    a_stopped_server_lets_a_file_go_on_within_the_grace,
    a_stopped_server_resets_what_the_grace_does_not_suffice_for,
    once_is_one_conversation_or_one_datagram,
    a_busy_server_never_sleeps_and_obeys_all_the_same,
    a_peer_that_resets_leaves_nothing_behind,
    a_device_that_vanishes_ends_the_program,
    a_device_that_vanishes_ends_a_client_that_waits,
];

fn a_fin_with_unread_input_behind_it_does_not_become_a_reset() {
    let server = Server::start(&["file"], 1);
    let content = sample(300_000);
    std::fs::write(server.folder.path().join("a"), &content).unwrap();
    let mut stream = server.connect();
    stream.write_all(b"a\n").unwrap();
    // More than the session will ever take.
    stream.write_all(&sample(200_000)).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert!(got == content);
}

fn a_stopped_server_ends_idle_conversations_and_exits_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&["hello", "echo", "--grace", "60"], 3);
        let mut stream = server.connect();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; 44]).unwrap();
        let begun = Instant::now();
        server.signal(signal);
        // Between messages: an orderly end, and at once.
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        drop(stream);
        let (status, log) = server.end();
        assert_eq!(status, Some(0), "{log}");
        assert!(log.contains("\"x\", ended: the server stops, 1 byte in, 44 out, "), "{log}");
        assert!(
            log.contains("\nservice  conversations  stopped  bytes in  bytes out\nhello  "),
            "{log}"
        );
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}

fn esc_ends_three_conversations_in_good_order() {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let mut keys = File::from(openpt(flags).unwrap());
    grantpt(&keys).unwrap();
    unlockpt(&keys).unwrap();
    let name = ptsname(&keys, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    let mode = |terminal: &File| format!("{:?}", tcgetattr(terminal).unwrap());
    let before = mode(&keys);
    let folder = tempfile::tempdir().unwrap();
    let mut command = anywire_tap(&["serve", "greet", "--esc", "--dir"]);
    command.arg(folder.path()).stdin(terminal);
    let mut server = Server::start_as(command, folder, 1);
    assert_ne!(mode(&keys), before);
    let mut guests = [(); 3].map(|()| server.connect());
    for key in [&b"\x1b[A"[..], b"\x1bx", b"q"] {
        keys.write_all(key).unwrap();
    }
    // Longer than it waits for what may follow Esc.
    std::thread::sleep(Duration::from_millis(600));
    for guest in &mut guests {
        guest.write_all(b"x\n").unwrap();
        let mut reply = [0; 7];
        guest.read_exact(&mut reply).unwrap();
        assert_eq!(reply, *b"x Ali\r\n");
    }
    keys.write_all(b"\x1b").unwrap();
    for guest in &mut guests {
        assert_eq!(guest.read(&mut [0; 1]).unwrap(), 0);
    }
    drop(guests);
    let (status, log) = server.end();
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(mode(&keys), before);
}

/// Longer than all buffers between us.
const LONG: usize = 30_000_000;

fn a_stopped_server_lets_a_file_go_on_within_the_grace() {
    let mut server = Server::start(&["file", "--grace", "30"], 1);
    std::fs::write(server.folder.path().join("long"), sample(LONG)).unwrap();
    let mut stream = server.connect();
    stream.write_all(b"long\n").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    server.signal(Signal::TERM);
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), LONG - 1);
    drop(stream);
    assert_eq!(server.end().0, Some(0));
}

fn a_stopped_server_resets_what_the_grace_does_not_suffice_for() {
    let mut server = Server::start(&["file", "--grace", "0.2"], 1);
    std::fs::write(server.folder.path().join("long"), sample(LONG)).unwrap();
    let mut stream = server.connect();
    stream.write_all(b"long\n").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    server.signal(Signal::TERM);
    // Nobody reads until the server is gone: the reset must have left before.
    assert_eq!(server.end().0, Some(0));
    let end = stream.read_to_end(&mut Vec::new());
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

fn once_is_one_conversation_or_one_datagram() {
    let mut server = Server::start(&["hello", "--once"], 1);
    let reply = exchange(server.connect(), b"x");
    assert_eq!(text(&reply), "I got \"x\" from you and I am sending it back.");
    assert_eq!(server.end().0, Some(0));

    let mut server = Server::start(&["echo", "--once"], 2);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(server.listening[1]).unwrap();
    socket.send(b"only").unwrap();
    assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 4);
    assert_eq!(server.end().0, Some(0));
}

fn a_busy_server_never_sleeps_and_obeys_all_the_same() {
    let mut server = Server::start(&["hello", "--busy-poll"], 1);
    let (before, begun) = (ticks(server.pid()), Instant::now());
    while ticks(server.pid()) < before + 20 {
        assert!(begun.elapsed() < PATIENCE, "it sleeps while nobody is there");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut stream = server.connect();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0; 44]).unwrap();
    server.signal(Signal::TERM);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    drop(stream);
    assert_eq!(server.end().0, Some(0));

    let mut server = Server::start(&["hello", "--busy-poll", "--once"], 1);
    assert_eq!(exchange(server.connect(), b"x").len(), 44);
    assert_eq!(server.end().0, Some(0));
}

/// The processor time that a process has used, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn a_peer_that_resets_leaves_nothing_behind() {
    let server = Server::start(&["echo", "--sockets", "2"], 2);
    for _ in 0..20 {
        let mut stream = server.connect();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    // Half-closed and never read: the next ones need no socket of theirs.
    let idle = server.connect();
    idle.shutdown(Shutdown::Write).unwrap();
    assert_eq!(exchange(server.connect(), b"still there"), b"still there");
}

fn a_device_that_vanishes_ends_the_program() {
    make_tap("tap7", &["10.7.0.100/24"]).unwrap();
    let options = ["--tap", "tap7", "--address", "10.7.0.1/24"];
    let mut server = Server::start(&[&["echo"], &options[..]].concat(), 2);
    assert_eq!(server.listening[0].to_string(), "10.7.0.1:9900");
    assert_eq!(exchange(server.connect(), b"x"), b"x");
    ip("link del tap7").unwrap();
    let (status, log) = server.end();
    assert_eq!(status, Some(1));
    assert!(log.contains("the TAP device tap7 has gone away"), "{log}");
}

fn a_device_that_vanishes_ends_a_client_that_waits() {
    make_tap("tap7", &["10.7.0.100/24"]).unwrap();
    let listener = TcpListener::bind("10.7.0.100:7777").unwrap();
    let vanishing = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
        ip("link del tap7").unwrap();
    });
    let args = ["--tap", "tap7", "--address", "10.7.0.1/24", "connect", "10.7.0.100", "7777"];
    let output = run(anywire_tap(&args), b"hi");
    vanishing.join().unwrap();
    assert_fails(&output, "the TAP device tap7 has gone away");
}
