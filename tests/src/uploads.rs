//! A server of files, run as its users run it, and a client of upload that knows the bytes only: no code of the servers' own
//! is in between.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use socket2::SockRef;

use crate::programs::{Served, program};

/// Longer than anything takes that works.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A server of upload, typed and file. A panic in its log fails the test.
#[derive(Debug)]
pub struct FileServer {
    served: Served,
    log: tempfile::NamedTempFile,
    /// Its descriptors before anybody has come.
    descriptors: Descriptors,
}

impl FileServer {
    /// Serves `dir`, with `options`.
    pub fn start(dir: &Path, options: &[&str]) -> Self {
        Self::wrapped(program("anywire"), dir, options)
    }

    /// The same, where `wrapper` is a command that ends with the program.
    pub fn wrapped(mut wrapper: Command, dir: &Path, options: &[&str]) -> Self {
        let log = tempfile::NamedTempFile::new().expect("a log can be made");
        wrapper.args(["serve", "upload=0", "typed=0", "file=0", "--dir"]).arg(dir);
        wrapper.args(options).stderr(log.reopen().expect("the log is there"));
        let served = Served::start(wrapper, 3);
        // Its threads may begin only now, and look something up in files of the system.
        until("all threads are at rest", || are_at_rest(served.child.id()));
        let descriptors = Descriptors::of(served.child.id());
        Self { served, log, descriptors }
    }

    /// The port of a service.
    pub fn port(&self, service: &str) -> u16 {
        self.served.port(&format!("{service} tcp"))
    }

    /// A connection to upload.
    pub fn upload(&self) -> Uploader {
        Uploader::connect(self.port("upload"))
    }

    /// Stores `bytes` as `name`, and has it proven.
    pub fn store(&self, name: &str, bytes: &[u8]) -> Reply {
        self.upload().store(name, bytes)
    }

    /// What file answers to `name`: all, or an error.
    pub fn fetch(&self, name: &str) -> io::Result<Vec<u8>> {
        fetch(self.port("file"), name)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.served.child.id()
    }

    /// Waits until it has no more descriptors open than at its start, and no fewer. Of pipes its threads may keep one each.
    #[track_caller]
    pub fn wait_for_rest(&self) {
        const THREADS: usize = 4;
        let begun = Instant::now();
        let then = &self.descriptors;
        loop {
            let now = Descriptors::of(self.pid());
            if now.others.len() == then.others.len() && now.pipes <= then.pipes + 2 * THREADS {
                return;
            }
            assert!(begun.elapsed() < TIMEOUT, "{now:?}, and at the start {then:?}");
            std::thread::yield_now();
        }
    }

    /// How many bytes of memory it has, in RAM.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the server is alive");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib = line.split_whitespace().next().expect("a number").parse::<u64>();
        kib.expect("a number") << 10
    }

    /// Waits until it has logged `text`: another thread of its writes the log.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        until(text, || self.log().contains(text));
    }

    /// What it has logged, so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log.path()).expect("the log is there")).into()
    }

    /// `kill -9`, of its children too, all at one moment: they would live on to end in good order.
    pub fn kill(mut self) {
        self.signal(Signal::STOP);
        let children = self.children();
        self.served.child.kill().expect("it was alive");
        for child in children {
            // It may have ended meanwhile.
            let _ = kill_process(child, Signal::KILL);
        }
        self.served.child.wait().expect("it was ours");
    }

    /// The processes that it has started and not waited for.
    fn children(&self) -> Vec<Pid> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
        let tasks = tasks.expect("the server is alive").filter_map(Result::ok);
        let listed =
            tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let listed: Vec<_> = listed.collect();
        let pids = listed.iter().flat_map(|pids| pids.split_whitespace());
        pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it was alive");
    }

    /// How it ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.served.child.wait().expect("it was ours")
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let log = self.log();
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// How a step of an upload came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `OK`.
    Ok,
    /// `ERR `, the reason, a newline, and an orderly end behind it.
    Err(String),
    /// The orderly end.
    End,
    /// A reset.
    Reset,
}

/// One connection to upload. A reset is sticky: after a failed write nothing is read.
#[derive(Debug)]
pub struct Uploader(TcpStream);

impl Uploader {
    /// A connection to the server at this port.
    pub fn connect(port: u16) -> Self {
        Self(connect(port))
    }

    /// Sends a name, and waits for the answer: it proves what was sent before.
    pub fn name(&mut self, name: &str) -> Reply {
        match self.send(&name_frame(name)) {
            Ok(()) => self.reply(),
            Err(_) => Reply::Reset,
        }
    }

    /// Sends DATA.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(&head(bytes.len()))?;
        self.send(bytes)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// A name, its DATA, and the end that proves them; or what came instead.
    pub fn store(mut self, name: &str, bytes: &[u8]) -> Reply {
        match self.name(name) {
            Reply::Ok => match self.data(bytes) {
                Ok(()) => self.end(),
                Err(_) => Reply::Reset,
            },
            other => other,
        }
    }

    /// Half-closes, and waits for the end: it proves what was sent before.
    pub fn end(mut self) -> Reply {
        match self.0.shutdown(Shutdown::Write) {
            Ok(()) => self.reply(),
            Err(_) => Reply::Reset,
        }
    }

    /// Waits for an answer.
    pub fn reply(&mut self) -> Reply {
        let mut answer = Vec::new();
        loop {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(0) if answer.is_empty() => return Reply::End,
                Ok(0) => {
                    let text = String::from_utf8(answer).expect("an answer is text");
                    let reason = text.strip_prefix("ERR ").and_then(|why| why.strip_suffix('\n'));
                    return Reply::Err(reason.expect("an answer is OK or ERR").into());
                }
                Ok(_) => answer.extend(byte),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Reply::Reset,
                Err(error) => panic!("neither an answer nor an end: {error}"),
            }
            if answer == b"OK" {
                return Reply::Ok;
            }
        }
    }

    /// Closes with a reset.
    pub fn reset(self) {
        let linger = SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
        linger.expect("a socket can be armed");
    }
}

/// A connection that does not wait for ever.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a time limit");
    stream.set_write_timeout(Some(TIMEOUT)).expect("a time limit");
    stream
}

/// What file answers to `name`: all, or an error.
pub fn fetch(port: u16, name: &str) -> io::Result<Vec<u8>> {
    let mut stream = connect(port);
    stream.write_all(format!("{name}\n").as_bytes())?;
    let mut got = Vec::new();
    stream.read_to_end(&mut got).map(|_| got)
}

/// STRING: its tag, its length in two bytes, the name.
pub fn name_frame(name: &str) -> Vec<u8> {
    let len = u16::try_from(name.len()).expect("a short name").to_le_bytes();
    [&[1], &len[..], name.as_bytes()].concat()
}

/// The head of DATA: its tag, its length in four bytes.
pub fn head(len: usize) -> Vec<u8> {
    let len = u32::try_from(len).expect("a short file").to_le_bytes();
    [&[5], &len[..]].concat()
}

/// A file that says which one it is, so that whoever finds it can tell whether it is whole.
pub fn content(name: &str, version: u64, len: usize) -> Vec<u8> {
    let mut bytes = format!("{name} {version} {len}\n").into_bytes();
    let seed = name.bytes().fold(version, |seed, byte| seed.rotate_left(8) ^ u64::from(byte));
    // Each version is another piece of the same noise, which is made once.
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut noise = vec![0; 8 << 20];
        fastrand::Rng::with_seed(7).fill(&mut noise);
        noise
    });
    let rest = len.saturating_sub(bytes.len());
    let from = fastrand::Rng::with_seed(seed).usize(..noise.len() - rest);
    bytes.extend_from_slice(&noise[from..from + rest]);
    bytes
}

/// Which version of `name` this is; panics if it is not one, whole.
#[track_caller]
pub fn version(name: &str, bytes: &[u8]) -> u64 {
    let line = bytes.split(|byte| *byte == b'\n').next().expect("a first line");
    let line = String::from_utf8_lossy(line);
    let words: Vec<_> = line.split(' ').collect();
    let [found, version, len] = words[..] else {
        panic!("{name} has no head, and {} bytes", bytes.len())
    };
    let (version, len) = (version.parse().expect("a version"), len.parse().expect("a length"));
    assert_eq!(found, name);
    assert!(content(name, version, len) == bytes, "{name} {version} is not whole");
    version
}

/// The temporary files in `dir`.
pub fn temporaries(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|name| name.starts_with(".anywire-")).collect()
}

/// The names in `dir`, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("the folder is there");
    let name = |entry: io::Result<std::fs::DirEntry>| {
        entry.expect("the folder can be read").file_name().into_string().expect("a name is text")
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

/// What a process has open.
#[derive(Debug)]
struct Descriptors {
    /// What they lead to.
    others: Vec<PathBuf>,
    pipes: usize,
}

impl Descriptors {
    fn of(pid: u32) -> Self {
        let links = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the server is alive");
        let links = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        let (pipes, others): (Vec<_>, Vec<_>) =
            links.partition(|link| link.to_string_lossy().starts_with("pipe:"));
        Self { others, pipes: pipes.len() }
    }
}

/// Whether all of its threads wait for something to happen.
fn are_at_rest(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the server is alive");
    let mut states = threads.map(|thread| {
        let stat = std::fs::read_to_string(thread?.path().join("stat"))?;
        // The name before it may have anything in it.
        Ok(stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S')))
    });
    states.all(|asleep: io::Result<bool>| asleep.is_ok_and(|asleep| asleep))
}

/// Waits until `is_so`; panics if that takes too long.
#[track_caller]
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < TIMEOUT, "it never came: {what}");
        std::thread::yield_now();
    }
}

/// Locks a file as the server does.
pub fn lock(file: &File) {
    let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    rustix::fs::flock(file, lock).expect("nobody has it");
}

/// Tells the threads of a scope that it is over when it is dropped, so that a panic does not leave them going for ever.
#[derive(Debug)]
pub struct Until<'a>(pub &'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
