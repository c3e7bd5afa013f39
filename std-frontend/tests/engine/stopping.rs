//! A server that stops while another thread is at work for a connection.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anywire_core::event::End;
use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::service::upload::Upload;
use anywire_core::session::Reason;
use anywire_core::store::Store;
use anywire_std::engine::Options;
use anywire_std::folder::{FolderReader, FolderStore, FolderWriter};

use super::{TIMEOUT, Watched, is_reset, serve_from};

/// A folder whose `write` waits until it is told.
#[derive(Clone)]
struct Gated {
    inner: FolderStore,
    entered: Sender<()>,
    go: Arc<Mutex<Receiver<()>>>,
}

impl Store for Gated {
    type Reader = FolderReader;
    type Writer = FolderWriter;
    fn open(&mut self, name: FileName<'_>) -> Result<(FolderReader, u64), Refusal> {
        self.inner.open(name)
    }
    fn read(&mut self, file: &mut FolderReader, buf: &mut [u8]) -> Result<usize, Refusal> {
        self.inner.read(file, buf)
    }
    fn close(&mut self, file: FolderReader) {
        self.inner.close(file);
    }
    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<FolderWriter, Refusal> {
        self.inner.create(name, replace)
    }
    fn write(&mut self, file: &mut FolderWriter, bytes: &[u8]) -> Result<usize, Refusal> {
        self.entered.send(()).unwrap();
        self.go.lock().unwrap().recv_timeout(TIMEOUT).unwrap();
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
fn a_server_ends_when_nobody_works_for_it_any_more_and_leaves_no_temporary_file() {
    let ((entered, enters), (go, waits)) = (channel(), channel());
    let options = Options { grace: Duration::ZERO, ..Options::default() };
    let mut server = serve_from(options, Watched(Upload), |inner| Gated {
        inner,
        entered,
        go: Arc::new(waits.into()),
    });
    let mut stream = server.connect();
    stream.write_all(b"\x01\x01\x00a").unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
    stream.write_all(b"\x05\x04\x00\x00\x00bo").unwrap();
    enters.recv_timeout(TIMEOUT).unwrap();
    server.stopper.stop();
    assert_eq!(server.end(), End::Aborted(Reason::Stopped));
    // It must not be over yet, for as long as this takes: so the test waits for what should not come.
    let begun = Instant::now();
    let thread = server.thread.replace(std::thread::spawn(|| {})).unwrap();
    while begun.elapsed() < Duration::from_millis(200) {
        assert!(!thread.is_finished(), "the server ended with a file half written");
        std::thread::yield_now();
    }
    go.send(()).unwrap();
    thread.join().unwrap();
    assert!(is_reset(stream.read(&mut [0; 1])));
    assert_eq!(std::fs::read_dir(server.dir.path()).unwrap().count(), 0);
}
