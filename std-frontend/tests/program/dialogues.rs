//! The clients that ask, or take turns: `client date`, `message`, `greet`, `knock`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::harness::{
    Server, anywire, assert_output, nobody, peer, peers, read_all, reset, run, text, unread,
};

/// Runs `client` with `args` against that port.
fn client(port: &str, args: &[&str], input: &[u8]) -> std::process::Output {
    let args = [&["client"], args, &["--port", port]].concat();
    run(anywire(&args), input)
}

/// The status is 1, and it says why.
#[track_caller]
fn assert_fails(output: &std::process::Output, stdout: &str, why: &str) {
    assert_output(output, 1, stdout);
    let said = text(&output.stderr);
    assert!(said.starts_with("anywire: ") && said.contains(why), "{said}");
}

#[test]
fn date_and_logdate_tell_the_time() {
    let server = Server::start(&["date=0", "logdate=0", "--utc"], 2);
    for (at, service) in ["date", "logdate"].into_iter().enumerate() {
        let output = client(&server.port(at), &[service], b"");
        let said = text(&output.stdout);
        assert_output(&output, 0, &said);
        assert_eq!(said.len(), "2026-11-21T09:30:00Z\n".len(), "{said}");
        assert!(said.starts_with("20") && said.ends_with("Z\n"), "{said}");
    }
    let log = std::fs::read_to_string(server.folder.path().join("logs/log0.txt")).unwrap();
    assert!(log.contains("What time is it?"), "{log}");
}

#[test]
fn date_takes_what_comes_to_the_end_for_an_answer() {
    let (port, peer) = peer(|mut stream| {
        let asked = read_all(&mut stream);
        stream.write_all(b"half past ").unwrap();
        stream.write_all(b"nine").unwrap();
        asked
    });
    assert_output(&client(&port, &["date"], b""), 0, "half past nine\n");
    assert_eq!(peer.join().unwrap(), b"What time is it?");
}

#[test]
fn message_has_a_reply_for_each_line_or_for_its_text() {
    let server = Server::start(&["message=0"], 1);
    let port = server.port(0);
    let lines = b"one\n\n\xff two\r\nlast";
    let output = client(&port, &["message"], lines);
    let expected = b"Message: one\nMessage: \nMessage: \xff two\nMessage: last\n";
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &expected[..]));
    assert_output(&client(&port, &["message", "Hi there"], b"not this"), 0, "Message: Hi there\n");
    assert_output(&client(&port, &["message", "a\nb\n"], b""), 0, "Message: a\nMessage: b\n");
    assert_output(&client(&port, &["message", ""], b""), 0, "Message: \n");
    assert_output(&client(&port, &["message"], b""), 0, "");
    // A line is cut where the service would cut it.
    let long = [&[b'x'; 5000][..], b"\nnext\n"].concat();
    let expected = format!("Message: {}\nMessage: next\n", "x".repeat(4096));
    assert_output(&client(&port, &["message"], &long), 0, &expected);
}

#[test]
fn message_hears_the_end_of_a_server_that_answers_once() {
    let server = Server::start(&["message=0", "--close-after-reply"], 1);
    let port = server.port(0);
    assert_output(&client(&port, &["message", "one"], b""), 0, "Message: one\n");
    assert_output(&client(&port, &["message"], b"one\n"), 0, "Message: one\n");
    for (args, input) in [(&["message"][..], &b"one\ntwo\n"[..]), (&["message", "one\ntwo"], b"")] {
        let output = client(&port, args, input);
        assert_fails(&output, "Message: one\n", "ended the connection before all lines were sent");
    }
}

#[test]
fn message_shows_a_reply_when_it_is_silent_for_200_ms() {
    let (port, peer) = peer(|mut stream| {
        let mut got = [0; 3];
        stream.read_exact(&mut got).unwrap();
        stream.write_all(b"in ").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(b"pieces").unwrap();
        assert_eq!(read_all(&mut stream), b"");
        got
    });
    let begun = Instant::now();
    assert_output(&client(&port, &["message", "hi"], b""), 0, "in pieces\n");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(peer.join().unwrap(), *b"hi\n");
}

#[test]
fn a_turn_does_not_wait_for_the_next_line() {
    let server = Server::start(&["message=0", "greet=0"], 2);
    for (at, service, reply) in [(0, "message", "Message: one\n"), (1, "greet", "one Ali\n")] {
        let mut child = anywire(&["client", service, "--port", &server.port(at)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"one\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, reply);
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn greet_has_an_answer_for_each_line() {
    let server = Server::start(&["greet=0", "--name", "the server"], 1);
    let port = server.port(0);
    let output = client(&port, &["greet"], b"Hello\n\na\xff\xffb\r\nlast");
    let expected = b"Hello the server\n the server\na\xff\xffb the server\nlast the server\n";
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &expected[..]));
    assert_output(&client(&port, &["greet", "Hi"], b""), 0, "Hi the server\n");
    // One line is one message, and has one answer.
    let long = [&[b'x'; 3000][..], b"\nnext\n"].concat();
    let expected = format!("{} the server\nnext the server\n", "x".repeat(1023));
    assert_output(&client(&port, &["greet"], &long), 0, &expected);
}

#[test]
fn knock_connects_for_each_line_up_to_a_count() {
    let mut server = Server::start(&["knock=0", "--transcript"], 1);
    let port = server.port(0);
    let connected = format!("Connected to 127.0.0.1:{port}\n");
    for (args, input, times) in [
        (&["knock"][..], &b"\n\n"[..], 2),
        (&["knock"], b"any words\nlast", 2),
        (&["knock"], b"", 0),
        // How often has been said, and nobody is there to say when.
        (&["knock", "--count", "3"], b"", 3),
        (&["knock", "--count", "2"], b"\n\n\n\n", 2),
    ] {
        assert_output(&client(&port, args, input), 0, &connected.repeat(times));
        for line in server.lines(times) {
            assert!(line.starts_with("Connected by ('127.0.0.1', "), "{line}");
        }
    }
    let output = client(&port, &["knock", "--host", "localhost", "--count", "1"], b"");
    assert_output(&output, 0, &format!("Connected to localhost:{port}\n"));
}

#[test]
fn knock_waits_for_the_end_before_it_knocks_again() {
    let (port, peer) = peers(|listener| {
        let (mut first, _) = listener.accept().unwrap();
        first.write_all(b"come in").unwrap();
        std::thread::sleep(Duration::from_millis(100));
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "it did not wait");
        listener.set_nonblocking(false).unwrap();
        drop(first);
        drop(listener.accept().unwrap());
    });
    let connected = format!("Connected to 127.0.0.1:{port}\n");
    assert_output(&client(&port, &["knock", "--count", "2"], b""), 0, &connected.repeat(2));
    peer.join().unwrap();
}

/// Each client, with what it prints when it has connected.
fn each(port: &str) -> [(&'static [&'static str], String); 5] {
    [
        (&["date"], String::new()),
        (&["logdate"], String::new()),
        (&["message", "text"], String::new()),
        (&["greet", "text"], String::new()),
        (&["knock", "--count", "3"], format!("Connected to 127.0.0.1:{port}\n")),
    ]
}

/// Streams on which nothing more is said, and which do not end.
static SILENT: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());

#[test]
fn whoever_is_not_there_says_nothing_or_resets_is_exit_status_1() {
    let port = nobody();
    for (args, _) in each(&port) {
        assert_fails(
            &client(&port, args, b""),
            "",
            &format!("cannot connect to 127.0.0.1 port {port}"),
        );
    }
    let serve = |stream: fn(TcpStream)| {
        peers(move |listener| {
            for _ in 0..5 {
                stream(listener.accept().unwrap().0);
            }
        })
    };
    let (port, silent) = serve(|stream| {
        // Whether the client has ended or given up: it must not see our end.
        drop((&stream).read_to_end(&mut Vec::new()));
        SILENT.lock().unwrap().push(stream);
    });
    for (args, stdout) in each(&port) {
        let args = [args, &["--timeout", "0.2"]].concat();
        assert_fails(&client(&port, &args, b""), &stdout, "did not answer within 0.2 s");
    }
    silent.join().unwrap();
    let (port, resetting) = serve(|mut stream| {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let _ = stream.read(&mut [0; 1]);
        reset(stream);
    });
    for (args, stdout) in each(&port) {
        assert_fails(&client(&port, args, b""), &stdout, "reset the connection");
    }
    resetting.join().unwrap();
    let (port, ending) = serve(|mut stream| {
        let _ = stream.shutdown(Shutdown::Write);
        // Whoever wants more resets it.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for (args, _) in &each(&port)[..4] {
        assert_fails(&client(&port, args, b""), "", "ended the connection without an answer");
    }
    assert!(client(&port, &["knock", "--count", "1"], b"").status.success());
    ending.join().unwrap();
}

#[test]
fn lines_that_nobody_sees_answered_are_not_sent() {
    let server = Server::start(&["message=0"], 1);
    let mut child = anywire(&["client", "message", "--port", &server.port(0)])
        .stdin(Stdio::piped())
        .stdout(unread())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Standard input stays open.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141));
    drop(stdin);
}

/// Whether a process has a socket open.
fn has_socket(pid: u32) -> bool {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    let mut links = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    links.any(|link| link.to_string_lossy().starts_with("socket:"))
}

#[test]
fn a_signal_ends_whoever_waits_and_leaves_nothing() {
    let here = tempfile::tempdir().unwrap();
    let server = Server::start(&["message=0", "fixed=0", "hello=0", "file=0"], 4);
    let [message, fixed, hello, file] = [0, 1, 2, 3].map(|at| server.port(at));
    for args in [
        &["message", "--port", &message][..],
        &["fixed", "--port", &fixed],
        &["report-size", "--hello-port", &hello, "--file-port", &file],
    ] {
        let mut command = anywire(&[&["client"], args].concat());
        let mut child = command.current_dir(here.path()).stdin(Stdio::piped()).spawn().unwrap();
        // It has connected: next it waits for its input.
        while !has_socket(child.id()) {
            assert!(child.try_wait().unwrap().is_none(), "{args:?} ended by itself");
            std::thread::yield_now();
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        // Its input is open until it has ended.
        let stdin = child.stdin.take();
        let status = child.wait().unwrap();
        drop(stdin);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "{args:?}");
    }
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
}
