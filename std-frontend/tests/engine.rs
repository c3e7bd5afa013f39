//! The poll engine against plain sockets: the rules that only a real kernel can show.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anywire_core::checked::Checked;
use anywire_core::conversation::Limits;
use anywire_core::event::{End, Event};
use anywire_core::exchange::Exchange;
use anywire_core::name::FileName;
use anywire_core::request::{Answer, Refusal, Request, Stop};
use anywire_core::service::{About, StreamService, echo::Echo, file::File, hello::Hello};
use anywire_core::session::{Breach, Next, Phase, Reason, Session};
use anywire_core::store::Store;
use anywire_std::engine::{HostFile, Link, Observer, Options, Sent, Server, Stopper};
use anywire_std::folder::{FolderFile, FolderOptions, FolderStore};

/// hello's, to an `x`.
const REPLY: &str = "I got \"x\" from you and I am sending it back.";

const TIMEOUT: Duration = Duration::from_secs(20);

/// A running server, stopped and joined when dropped.
struct Running {
    addr: SocketAddr,
    ends: Receiver<End>,
    dir: tempfile::TempDir,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        let joined = self.thread.take().unwrap().join();
        assert!(joined.is_ok() || std::thread::panicking(), "the server panicked");
    }
}

struct Ends(std::sync::Mutex<Sender<End>>);

impl Observer for Ends {
    fn observe(&self, _: &Link, event: Event<'_>) {
        if let Event::Ended { end, .. } = event {
            let _ = self.0.lock().unwrap().send(end);
        }
    }
}

fn serve(options: Options, service: impl StreamService + Send + 'static) -> Running {
    serve_from(options, service, |store| store)
}

fn serve_from<St>(
    options: Options,
    service: impl StreamService + Send + 'static,
    store: impl FnOnce(FolderStore) -> St,
) -> Running
where
    St: Store<File: HostFile> + Clone + Send + 'static,
{
    let dir = tempfile::tempdir().unwrap();
    let folder = FolderStore::open(dir.path(), FolderOptions::default()).unwrap();
    let (sender, ends) = channel();
    let observer = Arc::new(Ends(sender.into()));
    let mut server = Server::new(options, store(folder), observer).unwrap();
    let addr = server.bind_stream(service, "127.0.0.1:0".parse().unwrap()).unwrap();
    let stopper = server.stopper();
    let thread = std::thread::spawn(move || server.run().unwrap());
    Running { addr, ends, dir, stopper, thread: Some(thread) }
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        stream
    }

    fn end(&self) -> End {
        self.ends.recv_timeout(TIMEOUT).unwrap()
    }
}

fn short(idle: u64, head: u64) -> Options {
    let limits = Limits {
        idle: Some(Duration::from_millis(idle)),
        head: Some(Duration::from_millis(head)),
        ..Limits::default()
    };
    Options { limits, ..Options::default() }
}

/// Every session watched.
#[derive(Clone, Copy)]
struct Watched<S>(S);

impl<S: StreamService> StreamService for Watched<S> {
    type Session = Checked<S::Session>;
    const ABOUT: About = S::ABOUT;
    fn open(&self) -> Self::Session {
        Checked::new(self.0.open())
    }
}

fn is_reset(result: std::io::Result<usize>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn echo_sends_everything_back_and_ends_when_the_peer_ends() {
    let server = serve(Options::default(), Watched(Echo));
    let mut stream = server.connect();
    let sent: Vec<u8> = (0..5_000_000u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let sending = sent.clone();
    let thread = std::thread::spawn(move || {
        writer.write_all(&sending).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    thread.join().unwrap();
    assert!(got == sent);
    assert_eq!(server.end(), End::Finished);
}

#[test]
fn a_fin_with_unread_input_behind_it_does_not_become_a_reset() {
    let server = serve(Options::default(), Watched(File));
    std::fs::write(server.dir.path().join("a"), vec![7; 100_000]).unwrap();
    let mut stream = server.connect();
    // Far more than the session will ever take.
    stream.write_all(b"a\n").unwrap();
    stream.write_all(&[b'x'; 200_000]).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), 100_000);
    drop(stream);
    assert_eq!(server.end(), End::Finished);
}

#[test]
fn what_cannot_be_served_is_a_reset_and_never_an_end() {
    let server = serve(Options::default(), Watched(File));
    for name in ["absent\n", "../etc/passwd\n", "\n", ".hidden", "a/b"] {
        let mut stream = server.connect();
        stream.write_all(name.as_bytes()).unwrap();
        assert!(is_reset(stream.read(&mut [0; 1])), "{name:?}");
        assert!(matches!(server.end(), End::Aborted(Reason::Refused(_))), "{name:?}");
    }
}

#[test]
fn a_peer_that_never_reads_is_aborted_and_others_keep_their_pace() {
    let server = serve(short(300, 300), Watched(Echo));
    let mut greedy = server.connect();
    greedy.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    while greedy.write(&[0; 65536]).is_ok() {}
    let mut other = server.connect();
    for _ in 0..100 {
        other.write_all(b"ping").unwrap();
        other.read_exact(&mut [0; 4]).unwrap();
    }
    assert_eq!(server.end(), End::Aborted(Reason::Idle));
}

#[test]
fn a_silent_peer_is_ended_between_messages_and_aborted_inside_a_name() {
    let server = serve(short(150, 50), Watched(Hello));
    let mut stream = server.connect();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    drop(stream);
    assert_eq!(server.end(), End::Idle);

    let server = serve(short(60_000, 50), OneLine);
    let mut stream = server.connect();
    stream.write_all(b"half a na").unwrap();
    assert!(is_reset(stream.read(&mut [0; 1])));
    assert_eq!(server.end(), End::Aborted(Reason::HeadTimeout));
}

/// Waits for a line, takes none.
#[derive(Clone, Copy)]
struct OneLine;

impl StreamService for OneLine {
    type Session = Self;
    const ABOUT: About = About { name: "one-line", port: 0, summary: "" };
    fn open(&self) -> Self {
        Self
    }
}

impl Session for OneLine {
    const HOLD: usize = 64;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match io.input() {
            [] => Next::Wait(Phase::Between, None),
            _ => Next::Wait(Phase::Head, None),
        }
    }
}

/// Says `Progress` for ever.
#[derive(Clone, Copy)]
struct Spinning;

impl StreamService for Spinning {
    type Session = Self;
    const ABOUT: About = About { name: "spinning", port: 0, summary: "" };
    fn open(&self) -> Self {
        Self
    }
}

impl Session for Spinning {
    const HOLD: usize = 1;
    fn step(&mut self, _: &mut Exchange<'_>) -> Next {
        Next::Progress
    }
}

#[test]
fn a_session_that_breaks_the_contract_is_reported_and_aborted_not_spun_on() {
    let server = serve(Options::default(), Spinning);
    let mut stream = server.connect();
    assert!(is_reset(stream.read(&mut [0; 1])));
    assert_eq!(server.end(), End::Aborted(Reason::Broken(Breach::NoProgress)));
}

/// Takes a body of so many bytes behind its first byte, stores it as `a`, and says `y`.
#[derive(Clone, Copy)]
struct Take {
    len: Option<u64>,
    state: u8,
}

impl StreamService for Take {
    type Session = Self;
    const ABOUT: About = About { name: "take", port: 0, summary: "" };
    fn open(&self) -> Self {
        *self
    }
}

impl Session for Take {
    const HOLD: usize = 16;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        let answer = io.answer();
        self.state += 1;
        match (self.state, answer) {
            (1, _) if io.input().is_empty() => {
                self.state = 0;
                Next::Wait(Phase::Between, None)
            }
            (1, _) => {
                io.take(1);
                Next::Ask
            }
            (2, Some(Answer::Created)) => Next::Ask,
            (3, Some(Answer::Moved { stop: Stop::Complete, .. })) => Next::Ask,
            (3, Some(Answer::Moved { stop: Stop::Ended, .. })) if self.len.is_none() => Next::Ask,
            (3, Some(Answer::Moved { len: moved, stop })) => {
                Next::Abort(Reason::Cut { moved, stop })
            }
            (4, Some(Answer::Committed)) => {
                io.put(b"y");
                Next::Finish
            }
            _ => Next::Abort(Reason::Failed),
        }
    }
    fn request<'a>(&'a self, _: &'a [u8]) -> Option<Request<'a>> {
        Some(match self.state {
            1 => Request::Create { name: FileName::new(b"a").ok()? },
            2 => Request::Receive { len: self.len },
            _ => Request::Commit,
        })
    }
}

#[test]
fn a_body_is_stored_whole_and_nothing_behind_it_is_taken() {
    let body: Vec<u8> = (0..1_000_000u32).map(|i| (i * 7) as u8).collect();
    for len in [Some(body.len() as u64), None] {
        let server = serve(Options::default(), Watched(Take { len, state: 0 }));
        let mut stream = server.connect();
        stream.write_all(b"!").unwrap();
        stream.write_all(&body).unwrap();
        match len {
            Some(_) => stream.write_all(b"behind the body").unwrap(),
            None => stream.shutdown(Shutdown::Write).unwrap(),
        }
        stream.read_exact(&mut [0; 1]).unwrap();
        assert!(std::fs::read(server.dir.path().join("a")).unwrap() == body);
    }
}

#[test]
fn a_body_that_is_cut_short_stores_nothing() {
    let server = serve(Options::default(), Watched(Take { len: Some(100), state: 0 }));
    let mut stream = server.connect();
    stream.write_all(b"!only this").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(is_reset(stream.read(&mut [0; 1])));
    assert_eq!(server.end(), End::Aborted(Reason::Cut { moved: 9, stop: Stop::Ended }));
    assert_eq!(std::fs::read_dir(server.dir.path()).unwrap().count(), 0);
}

/// A folder whose `open` waits until it is told.
#[derive(Clone)]
struct Slow {
    inner: FolderStore,
    entered: Sender<()>,
    go: Arc<std::sync::Mutex<Receiver<()>>>,
    closed: Sender<()>,
}

impl Store for Slow {
    type File = FolderFile;
    fn open(&mut self, name: FileName<'_>) -> Result<(FolderFile, u64), Refusal> {
        self.entered.send(()).unwrap();
        self.go.lock().unwrap().recv_timeout(TIMEOUT).unwrap();
        self.inner.open(name)
    }
    fn create(&mut self, name: FileName<'_>) -> Result<FolderFile, Refusal> {
        self.inner.create(name)
    }
    fn read(&mut self, file: &mut FolderFile, buf: &mut [u8]) -> Result<usize, Refusal> {
        self.inner.read(file, buf)
    }
    fn write(&mut self, file: &mut FolderFile, bytes: &[u8]) -> Result<usize, Refusal> {
        self.inner.write(file, bytes)
    }
    fn commit(&mut self, file: FolderFile) -> Result<(), Refusal> {
        self.inner.commit(file)
    }
    fn close(&mut self, file: FolderFile) {
        self.inner.close(file);
        let _ = self.closed.send(());
    }
}

#[test]
fn an_answer_for_a_connection_that_is_gone_is_dropped_and_its_file_closed() {
    let (entered, enters) = channel();
    let (go, waits) = channel();
    let (closed, closes) = channel();
    let server = serve_from(Options::default(), Watched(File), |inner| Slow {
        inner,
        entered,
        go: Arc::new(waits.into()),
        closed,
    });
    std::fs::write(server.dir.path().join("a"), b"content").unwrap();
    let mut gone = server.connect();
    gone.write_all(b"a\n").unwrap();
    enters.recv_timeout(TIMEOUT).unwrap();
    socket2::SockRef::from(&gone).set_linger(Some(Duration::ZERO)).unwrap();
    drop(gone);
    // The reset is noticed while the answer is still out.
    assert_eq!(server.end(), End::Reset);
    // The next connection takes the same slot, and must not get the first one's answer.
    let mut next = server.connect();
    next.write_all(b"absent\n").unwrap();
    go.send(()).unwrap();
    closes.recv_timeout(TIMEOUT).unwrap();
    go.send(()).unwrap();
    assert!(is_reset(next.read(&mut [0; 1])));
    assert_eq!(server.end(), End::Aborted(Reason::Refused(Refusal::NotFound)));
}

/// A folder whose files cannot be sent by the system.
#[derive(Clone)]
struct Copying(FolderStore);

struct CopiedFile(FolderFile);

impl HostFile for CopiedFile {
    type ReadAhead = fn();
    fn send(
        &mut self,
        _: std::os::fd::BorrowedFd<'_>,
        _: usize,
    ) -> std::io::Result<Sent<Self::ReadAhead>> {
        Ok(Sent::Unsupported)
    }
}

impl Store for Copying {
    type File = CopiedFile;
    fn open(&mut self, name: FileName<'_>) -> Result<(CopiedFile, u64), Refusal> {
        self.0.open(name).map(|(file, len)| (CopiedFile(file), len))
    }
    fn create(&mut self, name: FileName<'_>) -> Result<CopiedFile, Refusal> {
        self.0.create(name).map(CopiedFile)
    }
    fn read(&mut self, file: &mut CopiedFile, buf: &mut [u8]) -> Result<usize, Refusal> {
        self.0.read(&mut file.0, buf)
    }
    fn write(&mut self, file: &mut CopiedFile, bytes: &[u8]) -> Result<usize, Refusal> {
        self.0.write(&mut file.0, bytes)
    }
    fn commit(&mut self, file: CopiedFile) -> Result<(), Refusal> {
        self.0.commit(file.0)
    }
    fn close(&mut self, file: CopiedFile) {
        self.0.close(file.0);
    }
}

#[test]
fn files_that_cannot_be_sent_by_the_system_are_copied() {
    let server = serve_from(Options::default(), Watched(File), Copying);
    let content: Vec<u8> = (0..3_000_000u32).map(|i| ((i * 13) >> 2) as u8).collect();
    std::fs::write(server.dir.path().join("a"), &content).unwrap();
    let mut stream = server.connect();
    stream.write_all(b"a\n").unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert!(got == content);
}

#[test]
fn a_file_that_becomes_shorter_is_a_reset() {
    let server = serve(Options::default(), Watched(File));
    let path = server.dir.path().join("a");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    let mut stream = server.connect();
    stream.write_all(b"a\n").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    file.set_len(1000).unwrap();
    let mut got = Vec::new();
    let error = stream.read_to_end(&mut got).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(matches!(server.end(), End::Aborted(Reason::Cut { stop: Stop::FileShort, .. })));
}

#[test]
fn at_the_limit_of_connections_others_wait_and_are_served_then() {
    let options = Options { max_connections: 2, ..Options::default() };
    let server = serve(options, Watched(Hello));
    let (first, _second) = (server.connect(), server.connect());
    let mut third = server.connect();
    third.write_all(b"x").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(third.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(first);
    third.set_read_timeout(Some(TIMEOUT)).unwrap();
    third.read_exact(&mut [0; REPLY.len()]).unwrap();
}

#[test]
fn stopping_ends_the_idle_lets_the_busy_finish_and_aborts_what_takes_too_long() {
    let options = Options { grace: Duration::from_millis(500), ..Options::default() };
    let server = serve(options, Watched(Echo));
    let mut idle = server.connect();
    idle.write_all(b"x").unwrap();
    idle.read_exact(&mut [0; 1]).unwrap();
    let mut stuck = server.connect();
    stuck.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    while stuck.write(&[0; 65536]).is_ok() {}
    let begun = Instant::now();
    server.stopper.stop();
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
    drop(idle);
    assert_eq!(server.end(), End::Stopped);
    assert_eq!(server.end(), End::Aborted(Reason::Stopped));
    assert!(begun.elapsed() >= Duration::from_millis(500));
}

#[test]
fn once_serves_one_and_ends() {
    let options = Options { once: true, ..Options::default() };
    let mut server = serve(options, Watched(Hello));
    let mut stream = server.connect();
    stream.write_all(b"x").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).unwrap();
    assert_eq!(got, REPLY);
    let thread = server.thread.take().unwrap();
    thread.join().unwrap();
    server.thread = Some(std::thread::spawn(|| {}));
}

#[test]
fn workers_share_a_port_and_a_port_in_use_is_an_error() {
    let options = Options { workers: 3, ..Options::default() };
    let server = serve(options, Watched(Hello));
    for _ in 0..30 {
        let mut stream = server.connect();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; REPLY.len()]).unwrap();
    }
    let store = FolderStore::open(server.dir.path(), FolderOptions::default()).unwrap();
    let mut second = Server::new(options, store, Arc::new(())).unwrap();
    let error = second.bind_stream(Hello, server.addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn datagrams_come_back_whole_empty_and_the_largest_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = FolderStore::open(dir.path(), FolderOptions::default()).unwrap();
    let mut server = Server::new(Options::default(), store, Arc::new(())).unwrap();
    let addr = server.bind_datagram(Echo, "127.0.0.1:0".parse().unwrap()).unwrap();
    let stopper = server.stopper();
    let thread = std::thread::spawn(move || server.run().unwrap());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    for len in [0, 1, 1472, 9000, 65_507] {
        let sent = vec![len as u8; len];
        socket.send_to(&sent, addr).unwrap();
        let mut buf = vec![0; 65_536];
        let (n, from) = socket.recv_from(&mut buf).unwrap();
        assert!(buf[..n] == sent[..] && from == addr, "{len}");
    }
    stopper.stop();
    thread.join().unwrap();
}

/// Waits for the end, and then asks for a body.
#[derive(Clone, Copy)]
struct LateBody(u8);

impl StreamService for LateBody {
    type Session = Self;
    const ABOUT: About = About { name: "late", port: 0, summary: "" };
    fn open(&self) -> Self {
        *self
    }
}

impl Session for LateBody {
    const HOLD: usize = 16;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match (self.0, io.answer()) {
            (0, _) if !io.ended() => return Next::Wait(Phase::Inside, None),
            (2, Some(Answer::Moved { len: 3, stop: Stop::Ended })) => return Next::Finish,
            (0 | 1, _) => self.0 += 1,
            _ => return Next::Abort(Reason::Failed),
        }
        Next::Ask
    }
    fn request<'a>(&'a self, _: &'a [u8]) -> Option<Request<'a>> {
        match self.0 {
            1 => Some(Request::Create { name: FileName::new(b"x").ok()? }),
            _ => Some(Request::Receive { len: None }),
        }
    }
}

#[test]
fn a_body_asked_for_behind_the_end_has_ended() {
    let server = serve(Options::default(), Watched(LateBody(0)));
    let mut stream = server.connect();
    stream.write_all(b"abc").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.end(), End::Finished);
}

#[test]
fn at_the_limit_the_next_is_served_as_soon_as_one_has_ended() {
    let options = Options { max_connections: 1, ..Options::default() };
    let server = serve(options, Watched(Hello));
    let streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
    let begun = Instant::now();
    for mut stream in streams {
        stream.write_all(b"x").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    // Resting after each would take 5 s.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn what_was_sent_before_the_stop_comes_back() {
    let server = serve(Options::default(), Watched(Echo));
    let mut stream = server.connect();
    let mut writer = stream.try_clone().unwrap();
    let stopper = server.stopper.clone();
    let sending = std::thread::spawn(move || {
        for round in 0..200 {
            writer.write_all(&[round as u8; 65_536]).unwrap();
            if round == 20 {
                stopper.stop();
            }
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    sending.join().unwrap();
    assert_eq!(got.len(), 200 * 65_536);
}

/// Takes three bytes at a time, so that some are held, and minds how many it is offered.
#[derive(Clone, Copy)]
struct Threes;

impl StreamService for Threes {
    type Session = Self;
    const ABOUT: About = About { name: "threes", port: 0, summary: "" };
    fn open(&self) -> Self {
        *self
    }
}

impl Session for Threes {
    const HOLD: usize = 4;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match io.input() {
            offered if offered.len() > Self::HOLD => Next::Abort(Reason::Failed),
            three if three.len() >= 3 => {
                io.put(three.get(..3).unwrap_or_default());
                io.take(3);
                Next::Progress
            }
            _ if io.ended() => Next::Finish,
            _ => Next::Wait(Phase::Head, None),
        }
    }
}

#[test]
fn no_more_is_read_than_a_session_may_hold() {
    let server = serve(Options::default(), Watched(Threes));
    let mut stream = server.connect();
    stream.write_all(&[7; 100]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert_eq!((got.len(), server.end()), (99, End::Finished));
}
