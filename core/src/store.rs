//! Where files are kept.

use core::convert::Infallible;
use core::net::SocketAddr;

use crate::name::FileName;
use crate::request::{Answer, Refusal, Request};

/// Keeps files by name: a folder, RAM, or one day something across a network. No seeking, and a file is there
/// whole or not at all.
///
/// Its methods may block. Drivers that must not block call them from another thread.
pub trait Store {
    /// A file that is being read. Given back with [`close`](Self::close).
    type Reader;

    /// A file that is being written, and is under no name yet. Given back with [`commit`](Self::commit) or
    /// [`abandon`](Self::abandon).
    type Writer;

    /// Opens the regular file `name`, and says how many bytes it has.
    fn open(&mut self, name: FileName<'_>) -> Result<(Self::Reader, u64), Refusal>;

    /// The same, if it need not wait: what it would have to wait for, and what it would refuse, is `None`, as everything is by default. Drivers
    /// that must not block try this first.
    fn open_at_once(&mut self, name: FileName<'_>) -> Option<(Self::Reader, u64)> {
        let _ = name;
        None
    }

    /// Reads the next bytes of a file; 0 is its end (`buf` is never empty).
    fn read(&mut self, file: &mut Self::Reader, buf: &mut [u8]) -> Result<usize, Refusal>;

    /// Closes a file that was read.
    fn close(&mut self, file: Self::Reader);

    /// Begins a file that will be `name` when it is committed. Until then nobody sees it. With `replace` it takes the place of an
    /// older one; without, there must be none, now or then: [`Refusal::Exists`].
    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<Self::Writer, Refusal>;

    /// `len` bytes are about to be written: refuses now what would be refused then, as far as that can be known. No room
    /// is taken. Refuses nothing by default.
    fn expect(&mut self, file: &mut Self::Writer, len: u64) -> Result<(), Refusal> {
        let _ = (file, len);
        Ok(())
    }

    /// Appends, and says how many of `bytes` (never none) it took: at least one.
    fn write(&mut self, file: &mut Self::Writer, bytes: &[u8]) -> Result<usize, Refusal>;

    /// Puts a file under its name, whole and durable. On an error there is no new file, and the older one is as it was; a store that cannot
    /// promise that of every failure says of which.
    fn commit(&mut self, file: Self::Writer) -> Result<(), Refusal>;

    /// Gives up a file that was not committed: it is gone.
    fn abandon(&mut self, file: Self::Writer);

    /// Keeps an entry in the log: when it returns the entry is there. Refuses by default.
    fn log(&mut self, entry: Entry<'_>) -> Result<(), Refusal> {
        let _ = entry;
        Err(Refusal::Unsupported)
    }
}

/// An entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it happened, as it is written.
    pub time: &'a [u8],
    /// Who it was, where the transport has addresses.
    pub peer: Option<SocketAddr>,
    /// What the peer sent, as it came.
    pub text: &'a [u8],
}

/// The open file of a connection: one at a time.
#[derive(Debug)]
pub enum OpenFile<R, W> {
    /// One that is being read.
    Reading(R),
    /// One that is being written.
    Writing(W),
}

/// The open file of a connection to a store `S`.
pub type OpenIn<S> = OpenFile<<S as Store>::Reader, <S as Store>::Writer>;

/// A store that has no files and takes none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl Store for NoStore {
    type Reader = Infallible;
    type Writer = Infallible;

    fn open(&mut self, _: FileName<'_>) -> Result<(Infallible, u64), Refusal> {
        Err(Refusal::Unsupported)
    }

    fn read(&mut self, file: &mut Infallible, _: &mut [u8]) -> Result<usize, Refusal> {
        match *file {}
    }

    fn close(&mut self, file: Infallible) {
        match file {}
    }

    fn create(&mut self, _: FileName<'_>, _: bool) -> Result<Infallible, Refusal> {
        Err(Refusal::Unsupported)
    }

    fn write(&mut self, file: &mut Infallible, _: &[u8]) -> Result<usize, Refusal> {
        match *file {}
    }

    fn commit(&mut self, file: Infallible) -> Result<(), Refusal> {
        match file {}
    }

    fn abandon(&mut self, file: Infallible) {
        match file {}
    }
}

/// Carries out a request of `peer`'s for the store; `file` is the connection's open file. Transfers and lines are the driver's own business, and
/// refused here.
pub fn carry_out<S: Store>(
    store: &mut S,
    file: &mut Option<OpenIn<S>>,
    peer: Option<SocketAddr>,
    request: Request<'_>,
) -> Answer<'static> {
    let answer = match request {
        Request::Open { name } => {
            release(store, file);
            store.open(name).map(|(opened, len)| {
                *file = Some(OpenFile::Reading(opened));
                Answer::Opened { len }
            })
        }
        Request::Create { name, replace } => {
            release(store, file);
            store.create(name, replace).map(|created| {
                *file = Some(OpenFile::Writing(created));
                Answer::Created
            })
        }
        Request::Expect { len } => match file {
            Some(OpenFile::Writing(created)) => {
                store.expect(created, len).map(|()| Answer::Expected)
            }
            _ => Err(Refusal::Unsupported),
        },
        Request::Commit => match file.take() {
            Some(OpenFile::Writing(created)) => store.commit(created).map(|()| Answer::Committed),
            other => {
                *file = other;
                Err(Refusal::Unsupported)
            }
        },
        Request::Log { time, text } => {
            store.log(Entry { time, peer, text }).map(|()| Answer::Logged)
        }
        Request::Send { .. } | Request::Receive { .. } | Request::Line { .. } => {
            Err(Refusal::Unsupported)
        }
    };
    answer.unwrap_or_else(Answer::Refused)
}

/// Gives back the connection's open file, if there is one: what was not committed is gone.
pub fn release<S: Store>(store: &mut S, file: &mut Option<OpenIn<S>>) {
    match file.take() {
        Some(OpenFile::Reading(file)) => store.close(file),
        Some(OpenFile::Writing(file)) => store.abandon(file),
        None => {}
    }
}
