//! An engine against plain sockets: the rules that only a real kernel can show.

mod failures;
pub(crate) mod hooked;
mod life;
mod sessions;
pub(crate) mod silences;
mod stores;
pub(crate) mod uploads;
mod urgent;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anywire_core::checked::Checked;
use anywire_core::conversation::Limits;
use anywire_core::event::{End, Event};
use anywire_core::service::{About, StreamService, echo::Echo, file::File};
use anywire_core::session::Reason;
use anywire_core::store::NoStore;
use anywire_std::engine::{HostStore, Link, Observer, Options, Server, Stopper};
use anywire_std::folder::{FolderOptions, FolderStore};

/// hello's, to an `x`.
pub(crate) const REPLY: &str = "I got \"x\" from you and I am sending it back.";

pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The options of this engine.
pub(crate) fn options() -> Options {
    Options { engine: crate::ENGINE, ..Options::default() }
}

/// A running server, stopped and joined when dropped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) ends: Receiver<End>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) stopper: Stopper,
    pub(crate) thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        let joined = self.thread.take().unwrap().join();
        assert!(joined.is_ok() || std::thread::panicking(), "the server panicked");
    }
}

pub(crate) struct Ends(pub(crate) std::sync::Mutex<Sender<End>>);

impl Observer for Ends {
    fn observe(&self, _: &Link, event: Event<'_>) {
        if let Event::Ended { end, .. } = event {
            let _ = self.0.lock().unwrap().send(end);
        }
    }
}

pub(crate) fn serve(options: Options, service: impl StreamService + Send + 'static) -> Running {
    serve_from(options, service, |store| store)
}

pub(crate) fn serve_from<St: HostStore>(
    options: Options,
    service: impl StreamService + Send + 'static,
    store: impl FnOnce(FolderStore) -> St,
) -> Running {
    serve_within(FolderOptions::default(), options, service, store)
}

pub(crate) fn serve_within<St: HostStore>(
    folder: FolderOptions,
    options: Options,
    service: impl StreamService + Send + 'static,
    store: impl FnOnce(FolderStore) -> St,
) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let folder = FolderStore::open(dir.path(), folder).unwrap();
    let (sender, ends) = channel();
    let observer = Arc::new(Ends(sender.into()));
    let options = Options { engine: crate::ENGINE, ..options };
    let mut server = Server::new(options, store(folder), observer).unwrap();
    let addr = server.bind_stream(service, "127.0.0.1:0".parse().unwrap()).unwrap();
    let stopper = server.stopper();
    let thread = std::thread::spawn(move || server.run().unwrap());
    Running { addr, ends, dir, stopper, thread: Some(thread) }
}

impl Running {
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        stream
    }

    pub(crate) fn end(&self) -> End {
        self.ends.recv_timeout(TIMEOUT).unwrap()
    }
}

pub(crate) fn short(idle: u64, head: u64) -> Options {
    let limits = Limits {
        idle: Some(Duration::from_millis(idle)),
        head: Some(Duration::from_millis(head)),
        ..Limits::default()
    };
    Options { limits, ..Options::default() }
}

/// Every session watched.
#[derive(Clone, Copy)]
pub(crate) struct Watched<S>(pub(crate) S);

impl<S: StreamService> StreamService for Watched<S> {
    type Session = Checked<S::Session>;
    const ABOUT: About = S::ABOUT;
    fn open(&self) -> Self::Session {
        Checked::new(self.0.open())
    }
}

pub(crate) fn is_reset(result: std::io::Result<usize>) -> bool {
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
    assert_eq!(server.end(), End::Aborted(Reason::Unread));
}

#[test]
fn datagrams_come_back_whole_empty_and_the_largest_too() {
    let mut server = Server::new(options(), NoStore, Arc::new(())).unwrap();
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
