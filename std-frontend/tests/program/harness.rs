//! Runs the program, and peers for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::JoinHandle;

use socket2::{SockFilter, SockRef};
use tempfile::TempDir;

/// The program, with what it needs to be alone in the world.
pub(crate) fn anywire(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anywire"));
    command.args(args).env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// The program with an `ulimit` of its own, as a shell sets it.
pub(crate) fn anywire_with(ulimit: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit {ulimit} && exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_anywire")]).args(args);
    command.env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs it to its end, with `input` piped in.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end without having read all.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What it wrote, and its exit status.
#[track_caller]
pub(crate) fn assert_output(output: &Output, status: i32, stdout: &str) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), out.as_str()), (Some(status), stdout), "stderr: {err}");
}

/// Bytes that should be text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running server. It is killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    /// What it has said it listens on: service, protocol, address.
    pub(crate) listening: Vec<[String; 3]>,
    pub(crate) folder: TempDir,
}

impl Server {
    /// Starts `serve` with a folder of its own, and waits until it has said so of `endpoints`.
    pub(crate) fn start(args: &[&str], endpoints: usize) -> Self {
        Self::start_as(anywire(&["serve"]), args, endpoints)
    }

    /// The same, where `serve` is begun in some other way.
    pub(crate) fn start_as(mut command: Command, args: &[&str], endpoints: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        command.args(args).arg("--dir").arg(folder.path());
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
            let words: Vec<_> = line.split(' ').collect();
            let ["listening", service, protocol, addr] = words[..] else {
                panic!("not a listening line: {line:?}: {}", server.end().1);
            };
            server.listening.push([service, protocol, addr].map(str::to_owned));
        }
        server
    }

    /// The next line of its standard output, without the newline.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.strip_suffix('\n').unwrap_or(&line).to_owned()
    }

    /// The next `count` lines.
    pub(crate) fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line()).collect()
    }

    pub(crate) fn port(&self, endpoint: usize) -> String {
        let [_, _, addr] = &self.listening[endpoint];
        addr.rsplit_once(':').unwrap().1.to_owned()
    }

    pub(crate) fn connect(&self, endpoint: usize) -> TcpStream {
        TcpStream::connect(&self.listening[endpoint][2]).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; says with which status, and what it had logged.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let log = self.stderr.take().map(|stderr| stderr.join().unwrap());
        (status.code(), log.unwrap_or_default())
    }

    /// Stops it, and says the same.
    pub(crate) fn stop(&mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        self.end()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a server's log, without the summary behind them.
#[track_caller]
pub(crate) fn log_lines(log: &str) -> Vec<&str> {
    let lines: Vec<_> = log.lines().take_while(|line| !line.starts_with("served for ")).collect();
    assert_ne!(lines.len(), log.lines().count(), "there is no summary: {log}");
    lines
}

/// What the summary says of a service. What it does not show is 0.
#[track_caller]
pub(crate) fn summed(log: &str, service: &str, column: &str) -> u64 {
    let mut table = log.lines().skip_while(|line| !line.starts_with("served for ")).skip(1);
    let cells = |line: &'_ str| -> Vec<String> {
        line.split("  ")
            .map(|cell| cell.trim().to_owned())
            .filter(|cell| !cell.is_empty())
            .collect()
    };
    let Some(names) = table.next().map(cells) else { return 0 };
    let Some(row) = table.map(cells).find(|row| row[0] == service) else { return 0 };
    assert_eq!(names.len(), row.len(), "{log}");
    names.iter().position(|name| name == column).map_or(0, |at| row[at].parse().unwrap())
}

/// A peer of our clients: serves one connection as `serve` says. Returns its port.
pub(crate) fn peer<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (port, std::thread::spawn(move || serve(listener.accept().unwrap().0)))
}

/// The same for several connections, as `serve` accepts them.
pub(crate) fn peers<T: Send + 'static>(
    serve: impl FnOnce(TcpListener) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (port, std::thread::spawn(move || serve(listener)))
}

/// A port where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Closes with a reset.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

/// From now on the system drops whatever comes for this socket, before it is acknowledged: to its peer it has vanished.
pub(crate) fn vanish(stream: &TcpStream) {
    /// BPF's `ret #0`: nothing of a packet is kept.
    const NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    SockRef::from(stream).attach_filter(&[NOTHING]).unwrap();
}

/// What the server's metrics say, at that port.
pub(crate) fn scrape(port: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    text(&read_all(&mut stream))
}

/// All that comes until the end.
pub(crate) fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// A standard output that nobody reads any more. (Of a pipe another test's child may hold the reading end until it has
/// become another program.)
pub(crate) fn unread() -> OwnedFd {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.shutdown(Shutdown::Both).unwrap();
    theirs.into()
}
