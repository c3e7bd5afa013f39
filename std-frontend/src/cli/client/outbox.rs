//! What a client sends, and the store that it sends it from.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::path::Path;

use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::store::Store;

use crate::os;

/// Bytes to be sent, and how many.
#[derive(Debug)]
pub(super) struct Source {
    bytes: Bytes,
    pub(super) len: u64,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    Random(fastrand::Rng),
}

impl Source {
    /// The regular file at `path`, with the length that it has now.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        // Opening a FIFO would wake whoever waits at its other end.
        regular(&std::fs::metadata(path)?)?;
        // It may have been exchanged meanwhile: a FIFO does not hang us.
        let file = os::open_nonblocking(path)?;
        let there = file.metadata()?;
        regular(&there)?;
        Ok(Self { bytes: Bytes::File(file), len: there.len() })
    }

    /// So many random bytes, made as they are read.
    pub(super) fn random(len: u64) -> io::Result<Self> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let random = fastrand::Rng::with_seed(u64::from_ne_bytes(seed));
        Ok(Self { bytes: Bytes::Random(random), len })
    }

    fn read_at(&mut self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::Random(random) => {
                random.fill(buf);
                Ok(buf.len())
            }
            Bytes::File(file) => loop {
                match os::read_at(file, buf, at) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    done => return done,
                }
            },
        }
    }
}

fn regular(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if metadata.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Holds the one thing that is to be sent next. The session asks for it by a name, which is a formality here.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    source: RefCell<Option<Source>>,
    failed: RefCell<Option<io::Error>>,
}

impl Outbox {
    /// Puts `source` there. It can be sent again until the next one comes.
    pub(super) fn put(&self, source: Source) {
        self.source.replace(Some(source));
    }

    /// Why it could not be read, once.
    pub(super) fn take_failed(&self) -> Option<io::Error> {
        self.failed.take()
    }
}

/// Reads from an [`Outbox`], while somebody else puts things there.
impl Store for &Outbox {
    /// How far it has been read.
    type Reader = u64;
    type Writer = Infallible;

    fn open(&mut self, _: FileName<'_>) -> Result<(u64, u64), Refusal> {
        self.source.borrow().as_ref().map(|source| (0, source.len)).ok_or(Refusal::NotFound)
    }

    fn read(&mut self, at: &mut u64, buf: &mut [u8]) -> Result<usize, Refusal> {
        let mut source = self.source.borrow_mut();
        let source = source.as_mut().ok_or(Refusal::NotFound)?;
        let len = source.read_at(buf, *at).map_err(|error| {
            self.failed.replace(Some(error));
            Refusal::Failed
        })?;
        *at += len as u64;
        Ok(len)
    }

    fn close(&mut self, _: u64) {}

    fn create(&mut self, _: FileName<'_>, _: bool) -> Result<Infallible, Refusal> {
        Err(Refusal::Unsupported)
    }

    fn write(&mut self, none: &mut Infallible, _: &[u8]) -> Result<usize, Refusal> {
        match *none {}
    }

    fn commit(&mut self, none: Infallible) -> Result<(), Refusal> {
        match none {}
    }

    fn abandon(&mut self, none: Infallible) {
        match none {}
    }
}
