//! Stores of the tests' own: slow ones, others, and files that change.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anywire_core::event::End;
use anywire_core::name::FileName;
use anywire_core::request::{Refusal, Stop};
use anywire_core::service::file::File;
use anywire_core::session::Reason;
use anywire_core::store::Store;
use anywire_std::engine::{HostReader, Options, Sent};
use anywire_std::folder::{FolderReader, FolderStore, FolderWriter};

use super::{TIMEOUT, Watched, is_reset, serve, serve_from};

/// A folder whose `open` waits until it is told.
#[derive(Clone)]
struct Slow {
    inner: FolderStore,
    entered: Sender<()>,
    go: Arc<std::sync::Mutex<Receiver<()>>>,
    closed: Sender<()>,
}

impl Store for Slow {
    type Reader = FolderReader;
    type Writer = FolderWriter;
    fn open(&mut self, name: FileName<'_>) -> Result<(FolderReader, u64), Refusal> {
        self.entered.send(()).unwrap();
        self.go.lock().unwrap().recv_timeout(TIMEOUT).unwrap();
        self.inner.open(name)
    }
    fn read(&mut self, file: &mut FolderReader, buf: &mut [u8]) -> Result<usize, Refusal> {
        self.inner.read(file, buf)
    }
    fn close(&mut self, file: FolderReader) {
        self.inner.close(file);
        let _ = self.closed.send(());
    }
    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<FolderWriter, Refusal> {
        self.inner.create(name, replace)
    }
    fn write(&mut self, file: &mut FolderWriter, bytes: &[u8]) -> Result<usize, Refusal> {
        self.inner.write(file, bytes)
    }
    fn commit(&mut self, file: FolderWriter) -> Result<(), Refusal> {
        self.inner.commit(file)
    }
    fn abandon(&mut self, file: FolderWriter) {
        self.inner.abandon(file);
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

struct CopiedFile(FolderReader);

impl HostReader for CopiedFile {
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
    type Reader = CopiedFile;
    type Writer = FolderWriter;
    fn open(&mut self, name: FileName<'_>) -> Result<(CopiedFile, u64), Refusal> {
        self.0.open(name).map(|(file, len)| (CopiedFile(file), len))
    }
    fn read(&mut self, file: &mut CopiedFile, buf: &mut [u8]) -> Result<usize, Refusal> {
        self.0.read(&mut file.0, buf)
    }
    fn close(&mut self, file: CopiedFile) {
        self.0.close(file.0);
    }
    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<FolderWriter, Refusal> {
        self.0.create(name, replace)
    }
    fn write(&mut self, file: &mut FolderWriter, bytes: &[u8]) -> Result<usize, Refusal> {
        self.0.write(file, bytes)
    }
    fn commit(&mut self, file: FolderWriter) -> Result<(), Refusal> {
        self.0.commit(file)
    }
    fn abandon(&mut self, file: FolderWriter) {
        self.0.abandon(file);
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
