//! `serve`: listening lines, transcripts, problems, signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::process::Signal;

use crate::harness::{Server, anywire, log_lines, read_all, run, summed, text};

#[test]
fn port_0_is_one_free_port_for_both_protocols() {
    let mut server = Server::start(&["echo=0"], 2);
    let [tcp, udp] = &server.listening[..] else { panic!() };
    assert_eq!(
        (&tcp[0], &tcp[1], &udp[0], &udp[1]),
        (&"echo".into(), &"tcp".into(), &"echo".into(), &"udp".into())
    );
    assert_eq!(tcp[2], udp[2]);
    assert!(!tcp[2].ends_with(":0"));
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn ipv6_stands_in_brackets() {
    let mut server = Server::start(&["hello=[::1]:0", "--transcript"], 1);
    assert!(server.listening[0][2].starts_with("[::1]:"));
    let mut stream = server.connect(0);
    let port = stream.local_addr().unwrap().port();
    stream.write_all("a\u{1b}é".as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let reply = read_all(&mut stream);
    assert_eq!(text(&reply), "I got \"a\u{1b}é\" from you and I am sending it back.");
    assert_eq!(server.line(), format!("Connected by ('::1', {port}, 0, 0)"));
    assert_eq!(server.line(), format!(r#"Sent back "a\x1bé" to: ('::1', {port}, 0, 0)"#));
}

#[test]
fn the_transcript_of_echo_is_the_labs() {
    let mut server = Server::start(&["echo=0", "--transcript"], 2);
    let port = server.port(0);
    let starting = [
        format!("Starting up echo server on localhost port {port}"),
        "Waiting to receive message from client".to_owned(),
    ];
    assert_eq!(server.lines(4), [starting.clone(), starting].concat());

    let mut stream = server.connect(0);
    let addr = format!("('127.0.0.1', {})", stream.local_addr().unwrap().port());
    stream.write_all(b"one\n").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    let said = server.lines(3);
    assert_eq!(said[0], r"Data: one\n");
    assert_eq!(said[1], format!(r"sent one\n bytes back to {addr}"));
    assert_eq!(said[2], "Waiting to receive message from client");

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = format!("('127.0.0.1', {})", socket.local_addr().unwrap().port());
    socket.send_to(b"two", &server.listening[1][2]).unwrap();
    socket.recv(&mut [0; 8]).unwrap();
    assert_eq!(
        server.lines(4),
        [
            format!("received 3 bytes from {addr}"),
            "Data: two".to_owned(),
            format!("sent 3 bytes back to {addr}"),
            "Waiting to receive message from client".to_owned(),
        ]
    );
}

#[test]
fn a_refusal_is_logged_with_name_and_reason() {
    let mut server = Server::start(&["file=0"], 1);
    let mut stream = server.connect(0);
    stream.write_all(b"no\x1bway\n").unwrap();
    assert!(stream.read(&mut [0; 1]).is_err());
    let (status, log) = server.stop();
    assert_eq!(status, Some(0));
    let lines = log_lines(&log);
    let refused: Vec<_> = lines.iter().filter(|line| line.contains("refused")).collect();
    assert_eq!(refused.len(), 1, "{log}");
    assert!(refused[0].contains("control characters"), "{log}");
    assert!(refused[0].contains(r#"  "no\x1bway" refused: "#), "{log}");
    assert_eq!((lines.len(), summed(&log, "file", "refused")), (1, 1), "{log}");
}

#[test]
fn quiet_says_nothing_and_verbose_says_who_connects() {
    for (option, expected) in [("-q", &[][..]), ("-v", &["connected", "came and went"])] {
        let mut server = Server::start(&["hello=0", option], 1);
        let mut stream = server.connect(0);
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(&mut stream);
        drop(stream);
        let log = server.stop().1;
        let lines = if option == "-q" { log.lines().collect() } else { log_lines(&log) };
        assert_eq!(lines.len(), expected.len(), "{log}");
        assert!(lines.iter().zip(expected).all(|(line, word)| line.contains(word)), "{log}");
    }
}

#[test]
fn all_problems_are_told_at_once_each_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = taken.local_addr().unwrap().port();
    // Taken for datagrams, and free for streams: any other port may be some old connection's.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let datagrams = UdpSocket::bind(free).unwrap();
    let datagram = datagrams.local_addr().unwrap().port();
    let services =
        [format!("hello={stream}"), format!("echo={datagram}"), "file=192.0.2.1:0".to_owned()];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    for (dir, more) in [(folder.path(), 0), (file.as_path(), 1)] {
        let mut command = anywire(&["serve"]);
        command.args(&services).arg("--dir").arg(dir);
        let output = run(command, b"");
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{said}");
        let problems: Vec<_> = said.lines().filter(|line| line.starts_with("anywire: ")).collect();
        assert_eq!(problems.len(), 3 + more, "{said}");
        for hint in [
            format!("cannot serve hello on 127.0.0.1:{stream}"),
            "hello=0 takes a free one".to_owned(),
            format!("cannot serve echo on 127.0.0.1:{datagram}"),
            "192.0.2.1:0".to_owned(),
            "--bind".to_owned(),
        ] {
            assert!(said.contains(&hint), "{hint}: {said}");
        }
        let of_folder = problems.iter().any(|problem| problem.contains("--dir"));
        assert_eq!(of_folder, more == 1, "{said}");
    }
}

#[test]
fn two_of_us_do_not_share_a_port_unnoticed() {
    for workers in ["1", "2"] {
        let first = Server::start(&["hello=0", "--workers", workers], 1);
        let folder = tempfile::tempdir().unwrap();
        let mut command = anywire(&["serve", "hello", "--port", &first.port(0)]);
        command.args(["--workers", workers, "--dir"]).arg(folder.path());
        let output = run(command, b"");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("in use"));
    }
}

#[test]
fn beyond_loopback_is_warned_about_once() {
    let warnings = |bind| {
        let mut server = Server::start(&["hello=0", "file=0", "--bind", bind], 2);
        server.stop().1.matches("whoever reaches the port can read and store files").count()
    };
    assert_eq!((warnings("127.0.0.1"), warnings("0.0.0.0")), (0, 1));
}

#[test]
fn either_signal_ends_idle_conversations_in_good_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&["hello=0"], 1);
        let mut stream = server.connect(0);
        stream.write_all(b"x").unwrap();
        assert_ne!(stream.read(&mut [0; 128]).unwrap(), 0);
        server.signal(signal);
        assert_eq!(read_all(&mut stream), b"");
        drop(stream);
        assert_eq!(server.end().0, Some(0));
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::start(&["file=0", "--grace", "600", "--head-timeout", "0"], 1);
    let mut busy = server.connect(0);
    // Half a name: the conversation is not idle, and silence is no end of it only while bytes come.
    let big = vec![0; 64 << 20];
    std::fs::write(server.folder.path().join("big"), big).unwrap();
    busy.write_all(b"big\n").unwrap();
    busy.read_exact(&mut [0; 1]).unwrap();
    server.signal(Signal::INT);
    // Once it accepts no more, the first has arrived.
    while std::net::TcpStream::connect(&server.listening[0][2]).is_ok() {
        std::thread::yield_now();
    }
    assert!(server.is_running());
    server.signal(Signal::INT);
    assert_eq!(server.end().0, Some(130));
}

#[test]
fn once_is_one_conversation() {
    let mut server = Server::start(&["hello", "--port", "0", "--once"], 1);
    let mut stream = server.connect(0);
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(&mut stream);
    drop(stream);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_server_goes_on_when_nobody_reads_its_transcript() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = UnixStream::pair().unwrap();
    let mut command = anywire(&["serve", "hello=0", "--transcript", "--dir"]);
    let mut child = command
        .arg(folder.path())
        .stdout(OwnedFd::from(writer))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(command);
    let mut reader = std::io::BufReader::new(reader);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    reader.get_ref().shutdown(Shutdown::Both).unwrap();
    let addr = line.trim_end().rsplit(' ').next().unwrap().to_owned();
    for _ in 0..3 {
        let mut stream = std::net::TcpStream::connect(&addr).unwrap();
        stream.write_all(b"x").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(text(&read_all(&mut stream)).starts_with("I got \"x\""));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(log.matches("the transcript ends here").count(), 1, "{log}");
}

/// A log that nobody reads: a pipe that fills up, a terminal that is held.
#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let mut child = anywire(&["serve", "hello=0", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().rsplit(' ').next().unwrap();
    // Two lines each: more than a pipe holds.
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"x").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(!got.is_empty());
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
