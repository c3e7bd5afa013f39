//! `serve SERVICE --stdio`: over pipes, files, and sockets of either family.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{anywire, assert_output, run, text, unread};

const REPLY: &str = "I got \"x\" from you and I am sending it back.";

fn stdio(service: &str, args: &[&str]) -> Command {
    let mut command = anywire(&["serve", service, "--stdio"]);
    command.args(args);
    command
}

#[test]
fn a_pipe_is_a_wire_and_its_end_is_the_peers() {
    let output = run(stdio("hello", &[]), b"x");
    assert_output(&output, 0, REPLY);
    assert!(text(&output.stderr).contains(r#""x", 1 byte in, 44 out"#));
    let output = run(stdio("message", &["-q", "--reply-prefix", "> "]), b"one\ntwo\r\nthree");
    assert_output(&output, 0, "> one> two> three");
    assert_eq!(text(&output.stderr), "");
    // The datagrams of echo are another matter.
    assert_output(&run(stdio("echo", &["-q"]), b"abc"), 0, "abc");
}

#[test]
fn a_transcript_goes_to_standard_error() {
    let output = run(stdio("message", &["-q", "--transcript"]), b"one\x1b\n");
    assert_output(&output, 0, "Message: one\x1b");
    assert_eq!(text(&output.stderr), "stdin: one\\x1b\n");
}

#[test]
fn a_file_is_a_wire() {
    let dir = tempfile::tempdir().unwrap();
    let (questions, answers) = (dir.path().join("questions"), dir.path().join("answers"));
    std::fs::write(&questions, "one\ntwo\n").unwrap();
    let mut command = stdio("greet", &["-q"]);
    command.stdin(File::open(&questions).unwrap()).stdout(File::create(&answers).unwrap());
    assert!(command.status().unwrap().success());
    assert_eq!(std::fs::read_to_string(&answers).unwrap(), "one Ali\r\ntwo Ali\r\n");
}

#[test]
fn files_pass_through_pipes_and_an_abort_is_exit_status_1() {
    let dir = tempfile::tempdir().unwrap();
    let folder = ["-q", "--dir", dir.path().to_str().unwrap()];
    let content: Vec<u8> = (0..3_000_000u32).map(|at| ((at * 31) >> 4) as u8).collect();
    std::fs::write(dir.path().join("a"), &content).unwrap();
    let output = run(stdio("file", &folder), b"a\n");
    assert!(output.status.success() && output.stdout == content);
    let output = run(stdio("file", &folder), b"absent\n");
    assert_output(&output, 1, "");
    assert!(text(&output.stderr).contains("no such file"));

    let upload = [b"\x01\x01\x00b\x05\xc0\xc6\x2d\x00", &content[..]].concat();
    let output = run(stdio("upload", &folder), &upload);
    assert_output(&output, 0, "OK");
    assert!(std::fs::read(dir.path().join("b")).unwrap() == content);
    let output = run(stdio("upload", &folder), &upload[..1_000_000]);
    assert_output(&output, 1, "OK");
    let entries = std::fs::read_dir(dir.path()).unwrap();
    assert_eq!(entries.count(), 2, "nothing is left of what was not whole");
}

#[test]
fn what_fails_on_our_side_is_no_reset_by_the_peer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("a"), [7; 300_000]).unwrap();
    let full = || Stdio::from(File::create("/dev/full").unwrap());
    let folder = || Stdio::from(File::open(dir.path()).unwrap());
    let (input, output) = ("cannot read standard input: ", "cannot write to standard output: ");
    let mut failing = [
        (stdio("hello", &[]), &b"x"[..], output, "No space left"),
        (stdio("file", &["--dir", path]), b"a\n", output, "No space left"),
        (stdio("hello", &[]), b"", input, "Is a directory"),
        (stdio("echo", &["--log-format", "json"]), b"x", output, "No space left"),
    ];
    for (at, (command, sent, what, why)) in failing.iter_mut().enumerate() {
        let mut questions = tempfile::tempfile().unwrap();
        questions.write_all(sent).unwrap();
        questions.rewind().unwrap();
        match at {
            2 => command.stdin(folder()).stdout(Stdio::piped()),
            _ => command.stdin(questions).stdout(full()),
        };
        let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_output(&output, 1, "");
        let told = text(&output.stderr);
        assert!(told.contains(*what) && told.contains(*why), "{told}");
        assert!(!told.contains("reset") && !told.contains("0.0.0.0"), "{told}");
        assert!(told.contains("stdin") && told.contains("aborted"), "{told}");
    }
    // Nobody reads any more: that is the peer's doing.
    let mut command = stdio("hello", &[]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(unread()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_output(&output, 1, "");
    assert!(text(&output.stderr).contains("reset by the peer"), "{}", text(&output.stderr));
}

#[test]
fn silences_end_messages_on_pipes_too_and_our_end_is_seen_before_theirs() {
    let mut command = stdio("message", &["-q", "--close-after-reply"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello").unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "Message: hello");
    // It reads on until we end, too.
    assert!(child.try_wait().unwrap().is_none());
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_peer_that_does_not_read_a_pipe_meets_the_idle_limit() {
    let mut command = stdio("echo", &["-q", "--idle-timeout", "0.5"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It takes so much, and then is gone.
    while stdin.write_all(&[7; 4096]).is_ok() {}
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the peer took nothing"));
}

#[test]
fn a_pair_of_sockets_is_half_closed_from_either_side() {
    for (service, sent, expected) in [("hello", "x", REPLY), ("knock", "", "")] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut command = stdio(service, &["-q"]);
        command.stdin(OwnedFd::from(theirs.try_clone().unwrap())).stdout(OwnedFd::from(theirs));
        let mut child = command.spawn().unwrap();
        drop(command);
        ours.write_all(sent.as_bytes()).unwrap();
        if service == "hello" {
            ours.shutdown(Shutdown::Write).unwrap();
        }
        let mut said = String::new();
        ours.read_to_string(&mut said).unwrap();
        assert_eq!(said, expected);
        drop(ours);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

/// Runs it as inetd does: a connection is its standard input, output and error.
fn as_inetd(args: &[&str], service: &str) -> (TcpStream, std::process::Child) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let theirs = listener.accept().unwrap().0;
    let copy = || OwnedFd::from(theirs.try_clone().unwrap());
    let mut command = stdio(service, args);
    let child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
    (ours, child)
}

#[test]
fn under_inetd_nothing_but_the_service_is_on_the_wire_and_an_abort_is_a_reset() {
    let (mut stream, mut child) = as_inetd(&["-vv", "--transcript"], "hello");
    stream.write_all(b"x").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, REPLY);
    drop(stream);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let dir = tempfile::tempdir().unwrap();
    let (mut stream, mut child) = as_inetd(&["--dir", dir.path().to_str().unwrap()], "file");
    stream.write_all(b"absent\n").unwrap();
    let end = stream.read(&mut [0]).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_signal_ends_what_is_idle_and_after_the_grace_everything() {
    let (mut stream, mut child) = as_inetd(&[], "hello");
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0; REPLY.len()]).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("big"), vec![0; 64 << 20]).unwrap();
    let args = ["--dir", dir.path().to_str().unwrap(), "--grace", "0.5"];
    let (mut stream, mut child) = as_inetd(&args, "file");
    stream.write_all(b"big\n").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let begun = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(begun.elapsed() >= Duration::from_millis(500));
    let end = std::io::copy(&mut stream, &mut std::io::sink()).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_cannot_be_is_told() {
    for (args, status, words) in [
        (&["serve", "--stdio"][..], 2, "one service"),
        (&["serve", "echo", "hello", "--stdio"], 2, "one service"),
        (&["serve", "guess", "--stdio"], 2, "datagrams"),
        (&["serve", "hello=0", "--stdio"], 2, "no port"),
        (&["serve", "hello", "--port", "1", "--stdio"], 2, "no port"),
        (&["serve", "hello", "--stdio", "--esc"], 2, "--esc"),
        (&["serve", "hello", "--stdio", "--metrics", "0"], 2, "--metrics"),
        (&["serve", "hello", "--child"], 2, "--stdio"),
    ] {
        let output = run(anywire(args), b"");
        assert_output(&output, status, "");
        assert!(text(&output.stderr).contains(words), "{args:?}: {}", text(&output.stderr));
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = stdio("hello", &[]);
    command.stdin(OwnedFd::from(listener.try_clone().unwrap())).stdout(OwnedFd::from(listener));
    let child = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(child.status.code(), Some(1));
    assert!(text(&child.stderr).contains("listens"), "{}", text(&child.stderr));
}
