//! On a terminal: questions are asked, and nothing from the network reaches it raw.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::harness::{Server, anywire, peer, read_all, reset, text};

/// A terminal, and the program on it.
pub(crate) struct Terminal {
    pub(crate) ours: File,
    pub(crate) child: Child,
    pub(crate) seen: Vec<u8>,
}

/// Our end of a new terminal, and the programs'.
pub(crate) fn open_terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    // Other tests' children must not have it.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    (ours.into(), theirs.into())
}

impl Terminal {
    pub(crate) fn run(command: Command) -> Self {
        let (ours, theirs) = open_terminal();
        Self::run_on(command, ours, theirs)
    }

    pub(crate) fn run_on(mut command: Command, ours: File, theirs: File) -> Self {
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap());
        let child = command.stderr(theirs).spawn().unwrap();
        Self { ours, child, seen: Vec::new() }
    }

    pub(crate) fn read(&mut self) -> bool {
        let mut fds = [PollFd::new(&self.ours, PollFlags::IN)];
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        let ready = rustix::event::poll(&mut fds, Some(&patience)).unwrap();
        assert_ne!(ready, 0, "nothing more came: {:?}", text(&self.seen));
        let mut buf = [0; 1024];
        // When the last program on it has gone, a terminal fails.
        let len = self.ours.read(&mut buf).unwrap_or(0);
        self.seen.extend_from_slice(&buf[..len]);
        len > 0
    }

    pub(crate) fn wait_for(&mut self, expected: &str) {
        while !String::from_utf8_lossy(&self.seen).contains(expected) {
            assert!(self.read(), "{expected:?} did not come: {:?}", text(&self.seen));
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .unwrap();
    }

    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        while self.read() {}
        (self.child.wait().unwrap().code(), text(&self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn hello_asks_and_its_answer_is_escaped() {
    let server = Server::start(&["hello=0"], 1);
    let mut terminal = Terminal::run(anywire(&["client", "hello", "--port", &server.port(0)]));
    terminal.wait_for("Enter your message to server: ");
    terminal.ours.write_all("é\u{9b}1m\n".as_bytes()).unwrap();
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(0));
    let expected = r#"Server says: I got "é\xc2\x9b1m" from you and I am sending it back."#;
    assert!(seen.contains(expected), "{seen:?}");
}

#[test]
fn connect_shows_no_control_characters_and_leaves_with_the_peer() {
    let (port, peer) = peer(|mut stream| {
        let mut got = [0; 4];
        stream.read_exact(&mut got).unwrap();
        stream.write_all("one\r\ntwo\u{1b}[2J\0\u{202e}".as_bytes()).unwrap();
        drop(stream);
        got
    });
    let mut terminal = Terminal::run(anywire(&["connect", "127.0.0.1", &port]));
    terminal.ours.write_all(b"ask\n").unwrap();
    let (status, seen) = terminal.end();
    assert_eq!((status, peer.join().unwrap()), (Some(0), *b"ask\n"));
    // The terminal makes CR LF of each newline.
    let expected = "one\\r\r\ntwo\\x1b[2J\\x00\\xe2\\x80\\xae";
    assert!(seen.contains(expected), "{seen:?}");
    assert!(seen.contains(" has ended the connection"), "{seen:?}");
}

#[test]
fn connect_says_where_it_is_and_shows_the_rest_after_ctrl_d() {
    let server = Server::start(&["greet=[::1]:0"], 1);
    let port = server.port(0);
    let mut terminal = Terminal::run(anywire(&["connect", "::1", &port]));
    terminal.wait_for(&format!(
        "anywire: connected to [::1]:{port}; Ctrl-D ends your side, Ctrl-C leaves\r\n"
    ));
    terminal.ours.write_all(b"one\n").unwrap();
    terminal.wait_for("one Ali\\r\r\n");
    // The first sends what has been typed, the second ends.
    terminal.ours.write_all(b"two\x04\x04").unwrap();
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(0), "{seen:?}");
    assert!(seen.ends_with("two Ali\\r\r\n"), "{seen:?}");
}

#[test]
fn connect_shows_characters_that_come_in_pieces() {
    // The rest of each comes when what is before it has been shown.
    let pieces: [&[u8]; 4] = [b"1:\xc3", b"\xa92:\xf0\x9f", b"\x91\x8d3:\xc2", b"\x9b4:\xc3"];
    let (shown, next) = std::sync::mpsc::channel();
    let (port, peer) = peer(move |mut stream| {
        for piece in pieces {
            stream.write_all(piece).unwrap();
            next.recv().unwrap();
        }
    });
    let mut terminal = Terminal::run(anywire(&["connect", "127.0.0.1", &port]));
    for part in ["1:", "é2:", "👍3:", "\\xc2\\x9b4:"] {
        terminal.wait_for(part);
        shown.send(()).unwrap();
    }
    let (status, seen) = terminal.end();
    peer.join().unwrap();
    assert_eq!(status, Some(0));
    assert!(seen.contains("1:é2:👍3:\\xc2\\x9b4:\\xc3\r\nanywire: "), "{seen:?}");
}

#[test]
fn a_reset_is_told_on_a_line_of_its_own() {
    let (shown, next) = std::sync::mpsc::channel();
    let (port, peer) = peer(move |mut stream| {
        stream.write_all(b"some").unwrap();
        next.recv().unwrap();
        reset(stream);
    });
    let mut terminal = Terminal::run(anywire(&["connect", "127.0.0.1", &port]));
    terminal.wait_for("some");
    shown.send(()).unwrap();
    let (status, seen) = terminal.end();
    peer.join().unwrap();
    assert_eq!(status, Some(1));
    let expected = format!(
        "some\r\nanywire: the connection to 127.0.0.1 port {port} failed: reset by the peer\r\n"
    );
    assert!(seen.ends_with(&expected), "{seen:?}");
}

#[test]
fn ctrl_c_leaves_connect_at_once() {
    let (port, peer) = peer(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop));
    let mut command = Command::new("setsid");
    command.args([
        "--ctty",
        "--wait",
        env!("CARGO_BIN_EXE_anywire"),
        "connect",
        "127.0.0.1",
        &port,
    ]);
    let mut terminal = Terminal::run(command);
    terminal.wait_for("connected to ");
    terminal.ours.write_all(b"\x03").unwrap();
    let status = terminal.child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
    peer.join().unwrap().unwrap();
}

#[test]
fn file_asks_for_its_name_and_shows_its_progress() {
    let (port, peer) = peer(|mut stream| {
        let name = read_all(&mut stream);
        stream.write_all(&[0; 2048]).unwrap();
        (stream, name)
    });
    let here = tempfile::tempdir().unwrap();
    let mut command = anywire(&["client", "file", "--port", &port]);
    command.current_dir(here.path()).env("TERM", "xterm").env("COLUMNS", "80");
    let mut terminal = Terminal::run(command);
    terminal.wait_for("Enter the name of the file: ");
    terminal.ours.write_all(b"some name\n").unwrap();
    let (stream, name) = peer.join().unwrap();
    assert_eq!(name, b"some name");
    terminal.wait_for("2.00 KiB");
    terminal.wait_for("/s");
    drop(stream);
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(0));
    assert!(seen.contains("The size of some name is 2048"), "{seen:?}");
    assert_eq!(std::fs::read(here.path().join("some name")).unwrap().len(), 2048);
}

#[test]
fn upload_asks_for_names_and_shows_its_progress() {
    let (port, peer) = peer(|mut stream| {
        let mut name = [0; 3 + 4];
        stream.read_exact(&mut name).unwrap();
        stream.write_all(b"OK").unwrap();
        (stream, name)
    });
    let here = tempfile::tempdir().unwrap();
    // More than is sent before anybody reads.
    let len = 64 << 20;
    File::create(here.path().join("name")).unwrap().set_len(len).unwrap();
    let mut command = anywire(&["client", "upload", "--port", &port]);
    command.current_dir(here.path()).env("TERM", "xterm").env("COLUMNS", "100");
    let mut terminal = Terminal::run(command);
    terminal.wait_for("Enter the name of the file: ");
    terminal.ours.write_all(b"name\n").unwrap();
    let (mut stream, name) = peer.join().unwrap();
    assert_eq!(name, *b"\x01\x04\0name");
    for part in [" of 64.00 MiB, ", "/s, ", " left: name"] {
        terminal.wait_for(part);
    }
    let sent = std::io::copy(&mut (&mut stream).take(5 + len), &mut std::io::sink()).unwrap();
    assert_eq!(sent, 5 + len);
    // Ctrl-D: no more names.
    terminal.ours.write_all(b"\x04").unwrap();
    assert_eq!(read_all(&mut stream), b"");
    drop(stream);
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(0), "{seen:?}");
    assert!(seen.contains(&format!("name: {len} bytes stored")), "{seen:?}");
    assert_eq!(seen.matches("Enter the name").count(), 2, "{seen:?}");
}

#[test]
fn typed_asks_for_the_type_and_then_for_the_value() {
    let server = Server::start(&["typed=0"], 1);
    let mut terminal = Terminal::run(anywire(&["client", "typed", "--port", &server.port(0)]));
    const TYPE: &str = "Type (string, random, file; empty line ends): ";
    terminal.wait_for(TYPE);
    terminal.ours.write_all(b"string\n").unwrap();
    terminal.wait_for("Text: ");
    terminal.ours.write_all(b"abc\n").unwrap();
    terminal.wait_for("STRING of 3 bytes: accepted");
    terminal.ours.write_all(b"random\n").unwrap();
    terminal.wait_for("How many bytes: ");
    terminal.ours.write_all(b"1K\n").unwrap();
    terminal.wait_for("DATA_2B of 1024 bytes: accepted");
    terminal.ours.write_all(b"\n").unwrap();
    let (status, seen) = terminal.end();
    assert_eq!((status, seen.matches(TYPE).count()), (Some(0), 3), "{seen:?}");
}

#[test]
fn message_asks_for_lines_and_its_replies_are_escaped() {
    let server = Server::start(&["message=0"], 1);
    let mut terminal = Terminal::run(anywire(&["client", "message", "--port", &server.port(0)]));
    const ASKS: &str = "Enter your message to server: ";
    terminal.wait_for(ASKS);
    terminal.ours.write_all("\u{9b}1m\n".as_bytes()).unwrap();
    terminal.wait_for(&format!("Message: \\xc2\\x9b1m\r\n{ASKS}"));
    terminal.ours.write_all(b"\x04").unwrap();
    let (status, seen) = terminal.end();
    assert_eq!((status, seen.matches(ASKS).count()), (Some(0), 2), "{seen:?}");
}

#[test]
fn whoever_talks_to_a_server_that_has_ended_need_not_end_too() {
    let server = Server::start(&["message=0", "--close-after-reply"], 1);
    let mut terminal = Terminal::run(anywire(&["client", "message", "--port", &server.port(0)]));
    terminal.wait_for("Enter your message to server: ");
    terminal.ours.write_all(b"one\n").unwrap();
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(0), "{seen:?}");
    assert!(
        seen.contains("Message: one\r\n") && seen.contains(" has ended the connection"),
        "{seen:?}"
    );
}

#[test]
fn knock_waits_for_enter_up_to_its_count() {
    let server = Server::start(&["knock=0"], 1);
    let port = server.port(0);
    let mut terminal =
        Terminal::run(anywire(&["client", "knock", "--count", "2", "--port", &port]));
    const ASKS: &str = "Press Enter to knock: ";
    terminal.wait_for(ASKS);
    assert!(!text(&terminal.seen).contains("Connected"));
    terminal.ours.write_all(b"\n").unwrap();
    terminal.wait_for(&format!("Connected to 127.0.0.1:{port}\r\n{ASKS}"));
    terminal.ours.write_all(b"\n").unwrap();
    let (status, seen) = terminal.end();
    assert_eq!((status, seen.matches(ASKS).count()), (Some(0), 2), "{seen:?}");
    assert_eq!(seen.matches("Connected to ").count(), 2, "{seen:?}");
}

#[test]
fn guess_asks_again_after_what_is_no_number() {
    let server = Server::start(&["guess=0", "--secret", "7"], 1);
    let mut terminal = Terminal::run(anywire(&["client", "guess", "--port", &server.port(0)]));
    const ASKS: &str = "Enter a number from 1 to 99: ";
    terminal.wait_for(ASKS);
    terminal.ours.write_all(b"x\n").unwrap();
    terminal.wait_for(&format!("x: INVALID: that is no decimal number\r\n{ASKS}"));
    terminal.ours.write_all(b"7\n").unwrap();
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(0), "{seen:?}");
    assert!(seen.ends_with("7: CORRECT\r\n"), "{seen:?}");
}

#[test]
fn report_size_asks_for_the_name_while_hello_is_connected() {
    let server = Server::start(&["hello=0", "file=0"], 2);
    std::fs::write(server.folder.path().join("a"), b"123").unwrap();
    let (hello, file) = (server.port(0), server.port(1));
    let args = ["client", "report-size", "--hello-port", &hello, "--file-port", &file];
    let mut terminal = Terminal::run(anywire(&args));
    terminal.wait_for("Enter the name of the file: ");
    terminal.ours.write_all(b"a\n").unwrap();
    let (status, seen) = terminal.end();
    assert_eq!(status, Some(0), "{seen:?}");
    assert!(seen.contains("Server says: I got \"The size of a is 3\" from you"), "{seen:?}");
}

#[test]
fn a_list_fits_a_narrow_terminal() {
    let lines = |columns| {
        let mut command = Command::new("sh");
        let script = format!("stty cols {columns} && exec \"$0\" list");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_anywire")]);
        let (status, seen) = Terminal::run(command).end();
        assert_eq!(status, Some(0), "{seen}");
        seen.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (narrow, wide) = (lines(80), lines(120));
    assert_eq!(wide.len(), 12, "{wide:?}");
    assert!(wide.iter().all(|line| line.len() <= 120), "{wide:?}");
    assert!(narrow.iter().all(|line| line.len() <= 80), "{narrow:?}");
    let at = narrow.iter().position(|line| line.starts_with("message ")).unwrap();
    assert_eq!(narrow[at + 1].trim_start(), "--reply-prefix TEXT  --close-after-reply");
}
