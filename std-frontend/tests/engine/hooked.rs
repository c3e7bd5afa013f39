//! A folder whose calls can be held up, refused, or made to panic.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::service::StreamService;
use anywire_core::store::Store;
use anywire_std::engine::{Halt, HostReader, HostWriter, Options, Received, Sent};
use anywire_std::folder::{FolderReader, FolderStore, FolderWriter};

use super::{Running, TIMEOUT, serve_from};

type Hook = Arc<dyn Fn(&'static str) -> Result<(), Refusal> + Send + Sync>;

/// Tells of each call before it makes it. Bytes pass through the program, not by the system.
#[derive(Clone)]
pub(crate) struct Hooked {
    inner: FolderStore,
    hook: Hook,
}

pub(crate) struct Reader(FolderReader);

pub(crate) struct Writer {
    inner: FolderWriter,
    hook: Hook,
}

impl Hooked {
    pub(crate) fn new(
        inner: FolderStore,
        hook: impl Fn(&'static str) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        Self { inner, hook: Arc::new(hook) }
    }

    /// One that waits before each of these calls: it says which one it is, and goes on when it is told.
    pub(crate) fn gated(inner: FolderStore, gates: &'static [&'static str]) -> (Self, Gate) {
        let (calls, entered) = channel();
        let hooked = Self::new(inner, move |call| {
            if gates.contains(&call) {
                // When the test is over nobody tells any more.
                let (go, told) = channel();
                let _ = calls.send((call, go));
                let _ = told.recv_timeout(TIMEOUT);
            }
            Ok(())
        });
        (hooked, Gate { entered, held: RefCell::default() })
    }
}

/// The other side of [`Hooked::gated`].
pub(crate) struct Gate {
    entered: Receiver<(&'static str, Sender<()>)>,
    /// Those that have entered and wait, in that order.
    held: RefCell<VecDeque<Sender<()>>>,
}

impl Gate {
    /// Waits until that call is about to be made.
    pub(crate) fn entered(&self, call: &str) {
        let (entered, go) = self.entered.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(entered, call);
        self.held.borrow_mut().push_back(go);
    }

    /// Lets it be made: of several, the one that entered first.
    pub(crate) fn go(&self) {
        self.held.borrow_mut().pop_front().expect("one has entered").send(()).unwrap();
    }
}

/// Serves `service` from a folder with these gates.
pub(crate) fn serve_gated(
    options: Options,
    service: impl StreamService + Send + 'static,
    gates: &'static [&'static str],
) -> (Running, Gate) {
    let mut gate = None;
    let server = serve_from(options, service, |inner| {
        let (hooked, made) = Hooked::gated(inner, gates);
        gate = Some(made);
        hooked
    });
    (server, gate.unwrap())
}

impl HostReader for Reader {
    type ReadAhead = fn();
    fn send(&mut self, _: BorrowedFd<'_>, _: usize) -> io::Result<Sent<fn()>> {
        Ok(Sent::Unsupported)
    }
}

impl HostWriter for Writer {
    fn receive(&mut self, _: BorrowedFd<'_>, _: u64) -> Option<Received> {
        let refused = (self.hook)("receive").err();
        refused.map(|why| Received { len: 0, halt: Halt::Refused(why) })
    }
}

impl Store for Hooked {
    type Reader = Reader;
    type Writer = Writer;
    fn open(&mut self, name: FileName<'_>) -> Result<(Reader, u64), Refusal> {
        (self.hook)("open")?;
        self.inner.open(name).map(|(file, len)| (Reader(file), len))
    }
    fn read(&mut self, file: &mut Reader, buf: &mut [u8]) -> Result<usize, Refusal> {
        (self.hook)("read")?;
        self.inner.read(&mut file.0, buf)
    }
    fn close(&mut self, file: Reader) {
        // There is nothing to refuse.
        let _ = (self.hook)("close");
        self.inner.close(file.0);
    }
    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<Writer, Refusal> {
        (self.hook)("create")?;
        let inner = self.inner.create(name, replace)?;
        Ok(Writer { inner, hook: Arc::clone(&self.hook) })
    }
    fn expect(&mut self, file: &mut Writer, len: u64) -> Result<(), Refusal> {
        (self.hook)("expect")?;
        self.inner.expect(&mut file.inner, len)
    }
    fn write(&mut self, file: &mut Writer, bytes: &[u8]) -> Result<usize, Refusal> {
        (self.hook)("write")?;
        self.inner.write(&mut file.inner, bytes)
    }
    fn commit(&mut self, file: Writer) -> Result<(), Refusal> {
        (self.hook)("commit")?;
        self.inner.commit(file.inner)
    }
    fn abandon(&mut self, file: Writer) {
        self.inner.abandon(file.inner);
    }
}
