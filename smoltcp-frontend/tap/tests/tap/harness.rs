//! Runs the program, and peers for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, SocketAddrV6, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anywire_core::date::Zone;
use anywire_core::service::date::Date;
use anywire_core::service::echo::Echo;
use anywire_core::service::file::File;
use anywire_core::service::fixed::Fixed;
use anywire_core::service::greet::Greet;
use anywire_core::service::guess::Guess;
use anywire_core::service::hello::Hello;
use anywire_core::service::knock::Knock;
use anywire_core::service::message::Message;
use anywire_core::service::typed::Typed;
use anywire_core::service::upload::Upload;
use anywire_std::engine;
use anywire_std::folder::{FolderOptions, FolderStore};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

/// Linux's end of the TAP device.
pub(crate) const LINUX: &str = "192.168.69.100";

/// Nothing may take longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program.
pub(crate) fn anywire_tap(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anywire-tap"));
    command.args(args).env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs a command to its end, with `input` piped in.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end without having read all.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let limit = limit(&child);
    let output = child.wait_with_output().unwrap();
    limit.join().unwrap();
    writer.join().unwrap();
    output
}

/// Kills a process that has not ended in good time.
fn limit(child: &Child) -> JoinHandle<()> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    std::thread::spawn(move || {
        let limit = Timespec::try_from(PATIENCE).unwrap();
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).unwrap();
        if ended == 0 {
            pidfd_send_signal(&process, Signal::KILL).unwrap();
        }
    })
}

/// What it wrote, and its exit status.
#[track_caller]
pub(crate) fn assert_output(output: &Output, status: i32, stdout: &str) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), out.as_str()), (Some(status), stdout), "stderr: {err}");
}

/// That it failed, and gave this reason.
#[track_caller]
pub(crate) fn assert_fails(output: &Output, reason: &str) {
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "stderr: {err}");
    assert!(err.contains(reason), "{err:?} does not say {reason:?}");
}

/// Bytes that should be text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Bytes that repeat nowhere soon.
pub(crate) fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31) >> 3) as u8 ^ (i >> 11) as u8).collect()
}

/// A stall takes a second: delayed acknowledgements and Nagle, or a window probe. 40 ms would be one of Linux's.
pub(crate) const STALL: Duration = Duration::from_millis(700);

/// The shortest time of a few tries, of which the first that is short is the last. A machine that is busy with something else may hold up
/// any of them: what stalls by itself stalls each time.
pub(crate) fn shortest(enough: Duration, mut once: impl FnMut() -> Duration) -> Duration {
    let mut shortest = once();
    for _ in 0..4 {
        if shortest < enough {
            break;
        }
        shortest = shortest.min(once());
    }
    shortest
}

/// `anywire-tap serve`, running. It is killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    /// Where it has said it listens.
    pub(crate) listening: Vec<SocketAddr>,
    pub(crate) folder: TempDir,
}

impl Server {
    /// Starts `serve` with a folder of its own, and waits until it has said so of `endpoints`.
    pub(crate) fn start(args: &[&str], endpoints: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = anywire_tap(&["serve"]);
        command.args(args).arg("--dir").arg(folder.path());
        Self::start_as(command, folder, endpoints)
    }

    /// The same, where it is begun in some other way.
    pub(crate) fn start_as(mut command: Command, folder: TempDir, endpoints: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut all = String::new();
            stderr.read_to_string(&mut all).unwrap();
            all
        });
        let mut server =
            Self { child, stdout, stderr: Some(stderr), listening: Vec::new(), folder };
        for _ in 0..endpoints {
            let line = server.line();
            match line.rsplit_once(' ').map(|(_, addr)| addr.parse()) {
                Some(Ok(addr)) if line.starts_with("listening ") => server.listening.push(addr),
                _ => panic!("not a listening line: {line:?}: {}", server.end().1),
            }
        }
        server
    }

    /// The next line of its standard output, without the newline.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.strip_suffix('\n').unwrap_or(&line).to_owned()
    }

    /// Connects to its first endpoint.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.listening[0])
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; says with which status, and what it had logged.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let limit = limit(&self.child);
        let status = self.child.wait().unwrap();
        limit.join().unwrap();
        let log = self.stderr.take().map(|stderr| stderr.join().unwrap());
        (status.code(), log.unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As long as there is one, Linux asks 30 times, once a second, where a neighbour is. It would give up after three, which on a bad wire is
/// too soon: of the questions and the answers some get lost.
pub(crate) struct Persistence {
    before: String,
}

impl Persistence {
    const QUESTIONS: &str = "/proc/sys/net/ipv4/neigh/tap0/mcast_solicit";

    pub(crate) fn of_linux() -> Self {
        let before = std::fs::read_to_string(Self::QUESTIONS).unwrap();
        std::fs::write(Self::QUESTIONS, "30").unwrap();
        Self { before }
    }
}

impl Drop for Persistence {
    fn drop(&mut self) {
        std::fs::write(Self::QUESTIONS, &self.before).unwrap();
    }
}

/// A connection of Linux's.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends all and receives all, at the same time.
pub(crate) fn exchange(stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        (&stream).read_to_end(&mut got).unwrap();
    });
    got
}

/// A std server of every service but logdate at Linux's end, on their default ports; guess's secret is 63. It is stopped when dropped.
pub(crate) struct LinuxServer {
    stopper: engine::Stopper,
    thread: Option<JoinHandle<()>>,
    pub(crate) folder: TempDir,
}

impl LinuxServer {
    pub(crate) fn start() -> Self {
        Self::start_on(LINUX, 0)
    }

    /// On another of Linux's addresses; a link-local one is of the interface of this number.
    pub(crate) fn start_on(ip: &str, scope: u32) -> Self {
        let ip: IpAddr = ip.parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(folder.path(), FolderOptions::default()).unwrap();
        let options = engine::Options::default();
        let mut server = engine::Server::new(options, store, Arc::new(())).unwrap();
        let addr = |port| match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
        };
        server.bind_stream(Echo, addr(9900)).unwrap();
        server.bind_datagram(Echo, addr(9900)).unwrap();
        server.bind_stream(Hello, addr(65432)).unwrap();
        server.bind_stream(Typed::default(), addr(9002)).unwrap();
        server.bind_stream(Upload, addr(9003)).unwrap();
        server.bind_stream(File, addr(6565)).unwrap();
        server.bind_stream(Message::default(), addr(9001)).unwrap();
        server.bind_stream(Fixed::default(), addr(9004)).unwrap();
        server.bind_stream(Knock, addr(9000)).unwrap();
        server.bind_stream(Date { zone: Zone::Utc }, addr(6015)).unwrap();
        server.bind_stream(Greet::default(), addr(8888)).unwrap();
        server.bind_datagram(Guess { secret: Some(63), redraw: false }, addr(9905)).unwrap();
        let stopper = server.stopper();
        let thread = std::thread::spawn(move || server.run().unwrap());
        Self { stopper, thread: Some(thread), folder }
    }
}

impl Drop for LinuxServer {
    fn drop(&mut self) {
        self.stopper.stop();
        let joined = self.thread.take().unwrap().join();
        assert!(joined.is_ok() || std::thread::panicking(), "the server panicked");
    }
}
