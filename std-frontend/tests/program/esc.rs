//! `serve --esc`: what Esc does, what other keys do not, and the terminal as it was before, whatever happens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, OutputModes, tcgetattr};
use tempfile::TempDir;

use crate::harness::{Server, anywire, read_all, text};
use crate::terminal::{Terminal, open_terminal};

const ESC: &[u8] = b"\x1b";

/// Longer than the server waits for what may follow Esc.
const LONGER: Duration = Duration::from_millis(600);

/// A server on a terminal, which does not control it unless `setsid` says so: then keys make signals.
struct OnTerminal {
    terminal: Terminal,
    before: String,
    addr: String,
    folder: TempDir,
}

impl OnTerminal {
    fn start(args: &[&str]) -> Self {
        Self::start_as(anywire(&[]), args)
    }

    fn start_as(mut command: Command, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        command.args(["serve", "--esc", "--dir"]).arg(folder.path()).args(args);
        let (ours, theirs) = open_terminal();
        let before = mode(&ours);
        let terminal = Terminal::run_on(command, ours, theirs);
        let mut server = Self { terminal, before, addr: String::new(), folder };
        server.addr = loop {
            let seen = text(&server.terminal.seen);
            let line = seen.split_inclusive('\n').find(|line| line.starts_with("listening "));
            if let Some(line) = line.and_then(|line| line.strip_suffix("\r\n")) {
                break line.rsplit(' ').next().unwrap().to_owned();
            }
            assert!(server.terminal.read(), "{seen:?}");
        };
        server
    }

    fn press(&mut self, keys: &[u8]) {
        self.terminal.ours.write_all(keys).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.terminal.child), signal).unwrap();
    }

    /// A client of greet who was answered once.
    fn guest(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        ask(&mut stream);
        stream
    }

    /// Waits for its end; the terminal is as it was. Says how it ended, and all that was seen.
    fn end(mut self) -> (std::process::ExitStatus, String) {
        while self.terminal.read() {}
        let status = self.terminal.child.wait().unwrap();
        assert_eq!(mode(&self.terminal.ours), self.before);
        (status, text(&self.terminal.seen))
    }
}

/// All of a terminal's settings, to be compared.
fn mode(terminal: &std::fs::File) -> String {
    format!("{:?}", tcgetattr(terminal).unwrap())
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"x\n").unwrap();
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, *b"x Ali\r\n");
}

#[test]
fn esc_ends_three_conversations_in_good_order() {
    let mut server = OnTerminal::start(&["greet=0", "--transcript"]);
    let during = tcgetattr(&server.terminal.ours).unwrap();
    assert!(!during.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO));
    assert!(during.local_modes.contains(LocalModes::ISIG));
    assert!(during.output_modes.contains(OutputModes::OPOST | OutputModes::ONLCR));
    let mut guests: Vec<_> = (0..3).map(|_| server.guest()).collect();
    server.press(ESC);
    for guest in &mut guests {
        assert_eq!(read_all(guest), b"");
    }
    drop(guests);
    let (status, seen) = server.end();
    assert_eq!(status.code(), Some(0), "{seen:?}");
    // No staircase: each line feed has its carriage return. And no key was shown.
    assert_eq!(seen.matches('\n').count(), seen.matches("\r\n").count(), "{seen:?}");
    assert!(!seen.contains("^["), "{seen:?}");
}

#[test]
fn no_other_key_ends_it() {
    let mut server = OnTerminal::start(&["greet=0"]);
    let mut guest = server.guest();
    // Arrows in both modes, with Ctrl and with Alt; F1, F5; Alt with x, é and an arrow of rxvt's; a mouse; keys with no escape.
    let keys: [&[u8]; 12] = [
        b"\x1b[A",
        b"\x1bOB",
        b"\x1b[1;5C",
        b"\x1b[1;3D",
        b"\x1bOP",
        b"\x1b[15~",
        b"\x1bx",
        "\u{1b}é".as_bytes(),
        b"\x1b\x1b[A",
        b"\x1b[M !!",
        b"q\r\n \x04",
        b"\x1b[200~pasted\x1b[201~",
    ];
    for key in keys {
        server.press(key);
    }
    std::thread::sleep(LONGER);
    ask(&mut guest);
    for key in keys {
        // Cut anywhere, as on a slow line.
        for byte in key {
            server.press(&[*byte]);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    std::thread::sleep(LONGER);
    ask(&mut guest);
    server.press(ESC);
    assert_eq!(read_all(&mut guest), b"");
    drop(guest);
    assert_eq!(server.end().0.code(), Some(0));
}

#[test]
fn esc_held_down_is_pressed_once() {
    let mut server = OnTerminal::start(&["greet=0"]);
    let guest = server.guest();
    for _ in 0..20 {
        server.press(ESC);
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(guest);
    assert_eq!(server.end().0.code(), Some(0));
}

/// A conversation that is not over when the server is told to stop: a file that nobody reads.
fn busy(server: &OnTerminal) -> TcpStream {
    std::fs::write(server.folder.path().join("big"), vec![0; 64 << 20]).unwrap();
    let mut stream = TcpStream::connect(&server.addr).unwrap();
    stream.write_all(b"big\n").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    stream
}

#[test]
fn a_second_esc_or_signal_ends_at_once_with_the_terminal_restored() {
    for second in [None, Some(Signal::TERM)] {
        let mut server = OnTerminal::start(&["file=0", "--grace", "600"]);
        let _busy = busy(&server);
        server.press(ESC);
        // Once it accepts no more, the first has arrived.
        while TcpStream::connect(&server.addr).is_ok() {
            std::thread::yield_now();
        }
        assert!(server.terminal.child.try_wait().unwrap().is_none());
        match second {
            None => server.press(ESC),
            Some(signal) => server.signal(signal),
        }
        assert_eq!(server.end().0.code(), Some(if second.is_none() { 130 } else { 143 }));
    }
}

#[test]
fn whatever_signal_ends_it_the_terminal_is_restored() {
    for (signal, status) in [
        (Signal::TERM, Ok(0)),
        (Signal::INT, Ok(0)),
        (Signal::HUP, Err(1)),
        (Signal::QUIT, Err(3)),
        (Signal::ABORT, Err(6)),
        (Signal::USR1, Err(10)),
        (Signal::ALARM, Err(14)),
    ] {
        let server = OnTerminal::start(&["greet=0"]);
        let guest = server.guest();
        server.signal(signal);
        let (ended, seen) = server.end();
        drop(guest);
        let how = ended.code().ok_or_else(|| ended.signal().unwrap());
        assert_eq!(how, status, "{signal:?}: {seen:?}");
    }
}

#[test]
fn the_end_after_once_restores_the_terminal() {
    let server = OnTerminal::start(&["greet=0", "--once"]);
    drop(server.guest());
    assert_eq!(server.end().0.code(), Some(0));
}

/// Held up by a terminal whose output is stopped, it is ended when it is overdue.
#[test]
fn the_overdue_end_restores_the_terminal() {
    let mut server = OnTerminal::start(&["hello=0", "--transcript", "--grace", "0"]);
    let mut guest = TcpStream::connect(&server.addr).unwrap();
    // Ctrl-S. (A terminal that is merely full takes a little more at each signal.)
    server.press(b"\x13");
    guest.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    while guest.write_all(b"x").and_then(|()| guest.read(&mut [0; 100])).is_ok() {}
    server.signal(Signal::TERM);
    assert_eq!(server.terminal.child.wait().unwrap().code(), Some(1));
    assert_eq!(mode(&server.terminal.ours), server.before);
}

#[test]
fn a_server_that_cannot_begin_leaves_the_terminal_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let greet = format!("greet={}", taken.local_addr().unwrap().port());
    let folder = tempfile::tempdir().unwrap();
    let mut command = anywire(&["serve", "--esc", &greet, "--dir"]);
    command.arg(folder.path());
    let (ours, theirs) = open_terminal();
    let before = mode(&ours);
    let mut terminal = Terminal::run_on(command, ours, theirs);
    terminal.wait_for("cannot serve greet");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(1));
    assert_eq!(mode(&terminal.ours), before);
}

/// A shell with job control, whose session the terminal is, that runs `script` with the server as `"$@"`.
fn shell(script: &str) -> Command {
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", "sh", "-mc", script, env!("CARGO_BIN_EXE_anywire")]);
    command.arg(env!("CARGO_BIN_EXE_anywire")).env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

#[test]
fn ctrl_c_is_a_signal_as_ever() {
    let mut server = OnTerminal::start_as(shell(r#""$@"; echo "status $?""#), &["greet=0"]);
    let mut guest = server.guest();
    server.press(b"\x03");
    assert_eq!(read_all(&mut guest), b"");
    drop(guest);
    server.terminal.wait_for("status 0\r\n");
    server.end();
}

#[test]
fn whoever_stops_it_has_the_terminal_meanwhile() {
    let script =
        r#""$@"; echo "stopped: $(stty -a)"; read line; echo "read: $line"; fg; echo "status $?""#;
    let mut server = OnTerminal::start_as(shell(script), &["greet=0"]);
    let mut guest = server.guest();
    server.press(b"\x1a");
    server.terminal.wait_for("stopped: ");
    server.terminal.wait_for(" echo ");
    assert_eq!(mode(&server.terminal.ours), server.before);
    assert!(text(&server.terminal.seen).contains(" icanon "));
    // While it is stopped Esc is not for it.
    server.press(b"a\x1bline\n");
    server.terminal.wait_for("read: a");
    until_single(&server.terminal);
    ask(&mut guest);
    server.press(ESC);
    assert_eq!(read_all(&mut guest), b"");
    drop(guest);
    server.terminal.wait_for("status 0\r\n");
    server.end();
}

#[test]
fn in_the_background_it_leaves_the_terminal_alone() {
    let script = r#""$@" & read line; echo "read: $line"; fg; echo "status $?""#;
    let mut server = OnTerminal::start_as(shell(script), &["greet=0"]);
    server.terminal.wait_for("in the background");
    let mut guest = server.guest();
    assert_eq!(mode(&server.terminal.ours), server.before);
    server.press(b"a\x1bline\n");
    server.terminal.wait_for("read: a");
    until_single(&server.terminal);
    ask(&mut guest);
    server.press(ESC);
    assert_eq!(read_all(&mut guest), b"");
    drop(guest);
    server.terminal.wait_for("status 0\r\n");
    server.end();
}

#[test]
fn a_signal_in_the_background_ends_it_without_touching_the_terminal() {
    let script = r#""$@" & read line; kill $!; wait $!; echo "status $?""#;
    let mut server = OnTerminal::start_as(shell(script), &["greet=0"]);
    server.terminal.wait_for("in the background");
    server.press(b"\n");
    server.terminal.wait_for("status 0\r\n");
    server.end();
}

/// Where no shell waits for it nobody could let it go on.
#[test]
fn a_server_without_a_shell_is_not_stopped() {
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_anywire")]).env("NO_COLOR", "1");
    let mut server = OnTerminal::start_as(command, &["greet=0"]);
    let mut guest = server.guest();
    server.press(b"\x1a");
    server.press(ESC);
    assert_eq!(read_all(&mut guest), b"");
    drop(guest);
    assert_eq!(server.end().0.code(), Some(0));
}

fn until_single(terminal: &Terminal) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while tcgetattr(&terminal.ours).unwrap().local_modes.contains(LocalModes::ICANON) {
        assert!(Instant::now() < deadline, "the terminal is not in single mode");
        std::thread::yield_now();
    }
}

#[test]
fn without_a_terminal_it_says_so_and_serves() {
    for input in [Stdio::null(), Stdio::piped()] {
        let mut command = anywire(&["serve"]);
        command.stdin(input);
        let mut server = Server::start_as(command, &["greet=0", "--esc"], 1);
        ask(&mut server.connect(0));
        let (status, log) = server.stop();
        assert_eq!(status, Some(0));
        assert_eq!(log.matches("--esc does nothing: ").count(), 1, "{log}");
    }
}

#[test]
fn a_terminal_that_goes_takes_nothing_but_esc_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = open_terminal();
    let mut command = anywire(&["serve", "greet=0", "--esc", "--dir"]);
    command.arg(folder.path()).stdin(theirs).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    drop(ours);
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains("the terminal has gone")));
    ask(&mut TcpStream::connect(line.trim_end().rsplit(' ').next().unwrap()).unwrap());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}
