//! What whoever runs a server sees of it: who came, what they did, and what it was in all.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Server, anywire, log_lines, read_all, run, summed, text};
use crate::terminal::Terminal;

#[test]
fn who_came_what_they_did_and_what_it_was_in_all() {
    let mut server = Server::start(&["echo=0", "hello=0", "file=0", "knock=0"], 5);
    let mut hello = server.connect(2);
    let peer = hello.local_addr().unwrap().to_string();
    hello.write_all(b"na\x1b[31m").unwrap();
    hello.read_exact(&mut [0; 40]).unwrap();
    hello.shutdown(Shutdown::Write).unwrap();
    read_all(&mut hello);
    let mut echo = server.connect(0);
    echo.write_all(b"12345").unwrap();
    echo.read_exact(&mut [0; 5]).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"123", &server.listening[1][2]).unwrap();
    socket.recv(&mut [0; 8]).unwrap();
    let mut file = server.connect(3);
    file.write_all(b"absent\n").unwrap();
    file.read(&mut [0; 1]).unwrap_err();
    read_all(&mut server.connect(4));
    let (status, log) = server.stop();
    assert_eq!(status, Some(0));

    let lines = log_lines(&log);
    assert_eq!(lines.len(), 5, "{log}");
    let of = |service: &str| {
        let mut its = lines.iter().filter(|line| line.get(9..9 + service.len()) == Some(service));
        *its.next().unwrap_or_else(|| panic!("nothing of {service}: {log}"))
    };
    // Columns: the time, the service, the peer, and then what happened.
    let line = of("hello");
    let (time, rest) = line.split_at(8);
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    assert!(time.split(':').count() == 3 && time.split(':').all(digits), "{line}");
    assert!(rest.starts_with(&format!(" hello    {peer:21}  ")), "{line}");
    let said = r#""na\x1b[31m", 7 bytes in, "#;
    assert!(line[41..].starts_with(said) && line.ends_with(" ms"), "{line}");
    assert!(of("file")[41..].starts_with(r#""absent" refused: no such file, "#), "{log}");
    assert!(of("knock")[41..].starts_with("came and went, "), "{log}");
    // Two of echo: the datagram, and the conversation that was open to the end.
    let echo: Vec<_> = lines.iter().filter(|line| line[9..].starts_with("echo ")).collect();
    assert!(echo[0].ends_with(r#"  "123", 3 bytes"#), "{log}");
    assert!(echo[1].contains("  ended: the server stops, 5 bytes in, 5 out, "), "{log}");

    let row = |service| {
        ["conversations", "finished", "stopped", "refused", "datagrams", "bytes in", "bytes out"]
            .map(|column| summed(&log, service, column))
    };
    assert_eq!(row("echo"), [1, 0, 1, 0, 1, 8, 8]);
    assert_eq!(row("hello"), [1, 1, 0, 0, 0, 7, 50]);
    assert_eq!(row("file"), [1, 0, 0, 1, 0, 7, 0]);
    assert_eq!(row("knock"), [1, 1, 0, 0, 0, 0, 0]);
    // Nobody was reset, and no line was lost.
    assert!(!log.contains("  reset  ") && !log.contains("lost"), "{log}");
}

#[test]
fn once_has_its_summary_too() {
    let mut server = Server::start(&["hello", "--port", "0", "--once"], 1);
    let mut stream = server.connect(0);
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(&mut stream);
    drop(stream);
    let (status, log) = server.end();
    assert_eq!((status, summed(&log, "hello", "conversations")), (Some(0), 1), "{log}");
}

/// Nobody reads until it is over: what is written, and what is said to be lost, are all there was.
#[test]
fn lines_that_nobody_read_are_counted() {
    const DATAGRAMS: usize = 20_000;
    let mut child = anywire(&["serve", "echo=0", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let addr = stdout.lines().map(Result::unwrap).find(|line| line.contains(" udp ")).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(addr.rsplit(' ').next().unwrap()).unwrap();
    for _ in 0..DATAGRAMS {
        socket.send(b"x").unwrap();
        socket.recv(&mut [0; 8]).unwrap();
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let lost = log.lines().last().unwrap().rsplit_once("and are lost: ");
    let lost: usize = lost.unwrap_or_else(|| panic!("none are told")).1.parse().unwrap();
    let read = log_lines(&log).len();
    assert!(lost > 0 && read + lost == DATAGRAMS, "{read} and {lost}");
    assert_eq!(summed(&log, "echo", "datagrams"), DATAGRAMS as u64);
}

/// What a terminal shows of a server with a warning, until it has stopped.
fn on_a_terminal(no_color: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = anywire(&["serve", "file=0", "--bind", "0.0.0.0", "--dir"]);
    command.arg(folder.path()).env("NO_COLOR", no_color);
    let mut terminal = Terminal::run(command);
    terminal.wait_for(&format!("files are kept in {}; Ctrl-C ends it", folder.path().display()));
    terminal.signal(Signal::INT);
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(0), "{seen}");
    assert!(seen.contains("warning: listening on 0.0.0.0, "), "{seen:?}");
    assert!(seen.contains("; nobody came"), "{seen:?}");
    seen
}

#[test]
fn a_person_is_told_more_and_in_color_if_that_is_wanted() {
    assert!(on_a_terminal("").contains("\x1b[33mwarning: listening on 0.0.0.0, "));
    assert!(!on_a_terminal("1").contains('\x1b'));
    // Nobody watches.
    let mut server = Server::start(&["file=0"], 1);
    assert!(!server.stop().1.contains("Ctrl-C"));
}

#[test]
fn a_standard_error_that_takes_nothing_is_no_failure() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut command = anywire(&["serve", "hello", "--port", "0", "--once"]);
    let mut child = command.stdout(Stdio::piped()).stderr(full()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().rsplit(' ').next().unwrap();
    let port = addr.rsplit(':').next().unwrap();
    let output = run(anywire(&["client", "hello", "--port", port, "x"]), b"");
    assert!(text(&output.stdout).contains("I got \"x\""));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
