//! Where files are kept.

use crate::name::FileName;
use crate::request::{Answer, Refusal, Request};

/// Keeps files by name: a folder, RAM, or one day something across a network. No seeking, and a file is there
/// whole or not at all.
///
/// Its methods may block. Drivers that must not block call them from another thread.
pub trait Store {
    /// An open file: one being read, or one being written and not committed yet.
    type File;

    /// Opens the regular file `name` for reading, and says how many bytes it has.
    fn open(&mut self, name: FileName<'_>) -> Result<(Self::File, u64), Refusal>;

    /// Begins a file that will be `name` when it is committed. Until then nobody sees it.
    fn create(&mut self, name: FileName<'_>) -> Result<Self::File, Refusal>;

    /// Reads the next bytes of an opened file; 0 is its end (`buf` is never empty).
    fn read(&mut self, file: &mut Self::File, buf: &mut [u8]) -> Result<usize, Refusal>;

    /// Appends to a created file, and says how many of `bytes` (never none) it took: at least one.
    fn write(&mut self, file: &mut Self::File, bytes: &[u8]) -> Result<usize, Refusal>;

    /// Puts a created file under its name, in place of an older one. On an error there is no new file, and the older one is
    /// as it was.
    fn commit(&mut self, file: Self::File) -> Result<(), Refusal>;

    /// Closes a file. One that was created and not committed is gone.
    fn close(&mut self, file: Self::File);

    /// Keeps `line` in the log.
    fn log(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let _ = line;
        Err(Refusal::Unsupported)
    }
}

/// A store that has no files and takes none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl Store for NoStore {
    type File = core::convert::Infallible;

    fn open(&mut self, _: FileName<'_>) -> Result<(Self::File, u64), Refusal> {
        Err(Refusal::Unsupported)
    }

    fn create(&mut self, _: FileName<'_>) -> Result<Self::File, Refusal> {
        Err(Refusal::Unsupported)
    }

    fn read(&mut self, file: &mut Self::File, _: &mut [u8]) -> Result<usize, Refusal> {
        match *file {}
    }

    fn write(&mut self, file: &mut Self::File, _: &[u8]) -> Result<usize, Refusal> {
        match *file {}
    }

    fn commit(&mut self, file: Self::File) -> Result<(), Refusal> {
        match file {}
    }

    fn close(&mut self, file: Self::File) {
        match file {}
    }
}

/// Carries out a request for the store; `file` is the connection's open file. Transfers and lines are the driver's own business, and
/// refused here.
pub fn carry_out<S: Store>(
    store: &mut S,
    file: &mut Option<S::File>,
    request: Request<'_>,
) -> Answer<'static> {
    let answer = match request {
        Request::Open { name } => {
            release(store, file);
            store.open(name).map(|(opened, len)| {
                *file = Some(opened);
                Answer::Opened { len }
            })
        }
        Request::Create { name } => {
            release(store, file);
            store.create(name).map(|created| {
                *file = Some(created);
                Answer::Created
            })
        }
        Request::Commit => match file.take() {
            Some(created) => store.commit(created).map(|()| Answer::Committed),
            None => Err(Refusal::Unsupported),
        },
        Request::Log { line } => store.log(line).map(|()| Answer::Logged),
        Request::Send { .. } | Request::Receive { .. } | Request::Line { .. } => {
            Err(Refusal::Unsupported)
        }
    };
    answer.unwrap_or_else(Answer::Refused)
}

/// Closes the connection's open file, if there is one.
pub fn release<S: Store>(store: &mut S, file: &mut Option<S::File>) {
    if let Some(file) = file.take() {
        store.close(file);
    }
}
