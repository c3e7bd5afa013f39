//! Bodies on their way between a socket and a file.

mod receive;

use std::convert::Infallible;
use std::io;

use anywire_core::request::Refusal;
use anywire_core::store::Store;

use crate::os::BorrowedFd;
use crate::shim::has_vanished;

pub(super) use receive::receive;

/// A store whose files an event loop can move, and other threads work on.
pub trait HostStore:
    Store<Reader: HostReader, Writer: HostWriter> + Clone + Send + 'static
{
}

impl<S> HostStore for S where
    S: Store<Reader: HostReader, Writer: HostWriter> + Clone + Send + 'static
{
}

/// What an event loop asks of a file that is read, besides what the [`Store`] does with it.
pub trait HostReader: Send + 'static {
    /// Work that makes the next bytes come without waiting for a disk: done on another thread.
    type ReadAhead: FnOnce() + Send + 'static;

    /// Moves up to `most` bytes to a socket that does not block, without copying them through the program.
    fn send(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<Sent<Self::ReadAhead>>;

    /// Whether closing it may take long: it has been removed meanwhile, say, and this is its last user. `false` by default.
    fn is_slow_to_close(&self) -> bool {
        false
    }
}

/// What came of [`HostReader::send`].
#[derive(Debug)]
pub enum Sent<R> {
    /// So many bytes went out; none: the file has ended.
    Bytes(usize),
    /// The bytes are still on the disk: let another thread do this first.
    Cold(R),
    /// This file cannot: it is to be read and written.
    Unsupported,
}

/// What an event loop's other threads ask of a file that is written, besides what the [`Store`] does with it.
pub trait HostWriter: Send + 'static {
    /// Moves what can be read now, up to `most` bytes, from a socket that does not block into the file, without copying them through
    /// the program. `None`, as by default: this file cannot, and the bytes are to be read and written. So are those behind
    /// [`Halt::WouldBlock`] and [`Halt::Ended`], if there are any.
    fn receive(&mut self, socket: BorrowedFd<'_>, most: u64) -> Option<Received> {
        let _ = (socket, most);
        None
    }
}

/// What was moved from a socket into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// So many bytes are in the file,
    pub len: u64,
    /// and this is why not more.
    pub halt: Halt,
}

/// Why a body was not moved any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Others have their turn; or it is complete.
    Turn,
    /// There was no more to read.
    WouldBlock,
    /// The peer has ended the stream.
    Ended,
    /// The connection has failed.
    Reset,
    /// It has, because nothing was heard of the peer any more.
    Vanished,
    /// The store refused.
    Refused(Refusal),
}

impl Halt {
    /// Why a socket gave no more.
    pub(crate) fn of(error: &io::Error) -> Self {
        if has_vanished(error) { Self::Vanished } else { Self::Reset }
    }
}

/// The files of a store that has none.
impl HostReader for Infallible {
    type ReadAhead = fn();

    fn send(&mut self, _: BorrowedFd<'_>, _: usize) -> io::Result<Sent<fn()>> {
        match *self {}
    }
}

impl HostWriter for Infallible {}
