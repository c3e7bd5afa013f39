//! Bodies on their way between a socket and a file.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use anywire_core::request::Refusal;
use anywire_core::store::Store;
use rustix::io::{Errno, ReadWriteFlags};

use crate::folder::FolderReader;

/// A store whose files an event loop can move, and other threads work on.
pub trait HostStore:
    Store<Reader: HostReader, Writer: Send + 'static> + Clone + Send + 'static
{
}

impl<S> HostStore for S where
    S: Store<Reader: HostReader, Writer: Send + 'static> + Clone + Send + 'static
{
}

/// What an event loop asks of a file that is read, besides what the [`Store`] does with it.
pub trait HostReader: Send + 'static {
    /// Work that makes the next bytes come without waiting for a disk: done on another thread.
    type ReadAhead: FnOnce() + Send + 'static;

    /// Moves up to `most` bytes to a socket that does not block, without copying them through the program.
    fn send(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<Sent<Self::ReadAhead>>;
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

/// So much is looked at, read ahead and sent at once.
const PIECE: usize = 256 << 10;

/// The files of a store that has none.
impl HostReader for std::convert::Infallible {
    type ReadAhead = fn();

    fn send(&mut self, _: BorrowedFd<'_>, _: usize) -> io::Result<Sent<fn()>> {
        match *self {}
    }
}

impl HostReader for FolderReader {
    type ReadAhead = Box<dyn FnOnce() + Send>;

    fn send(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<Sent<Self::ReadAhead>> {
        let piece = most.min(PIECE);
        if self.at >= self.warm {
            if self.is_cold(self.at) || self.is_cold(self.at + piece as u64 - 1) {
                return Ok(Sent::Cold(self.read_ahead()));
            }
            self.warm = self.at + piece as u64;
        }
        match rustix::fs::sendfile(socket, &*self.file, Some(&mut self.at), piece) {
            Ok(n) => Ok(Sent::Bytes(n)),
            Err(Errno::INVAL | Errno::NOSYS) => Ok(Sent::Unsupported),
            Err(error) => Err(error.into()),
        }
    }
}

impl FolderReader {
    /// Whether the byte `at` would have to come from the disk. Where the system cannot say, it would not.
    fn is_cold(&self, at: u64) -> bool {
        let buf = &mut [0];
        let mut buf = [io::IoSliceMut::new(buf)];
        let read = rustix::io::preadv2(self.file.as_fd(), &mut buf, at, ReadWriteFlags::NOWAIT);
        matches!(read, Err(Errno::AGAIN))
    }

    /// Reads the next pieces into the page cache.
    fn read_ahead(&mut self) -> Box<dyn FnOnce() + Send> {
        let (file, from) = (std::sync::Arc::clone(&self.file), self.at);
        self.warm = from + 4 * PIECE as u64;
        let until = self.warm;
        Box::new(move || {
            use std::os::unix::fs::FileExt;
            let mut buf = vec![0; PIECE];
            let mut at = from;
            while at < until {
                // What cannot be read here cannot be sent either, and that is where it is told.
                match file.read_at(&mut buf, at) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => at += n as u64,
                }
            }
        })
    }
}

/// What came of [`receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// So many bytes are in the file,
    pub(super) len: u64,
    /// and this is why not more.
    pub(super) halt: Halt,
}

/// Why a body was not moved any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// Others have their turn; or it is complete.
    Turn,
    /// There was no more to read.
    WouldBlock,
    /// The peer has ended the stream.
    Ended,
    /// The connection has failed.
    Reset,
    /// The store refused.
    Refused(Refusal),
}

/// So much is read at once: less costs a fast disk dearly.
const GULP: usize = 1 << 20;

/// So much of one body, and others have their turn.
const TURN: u64 = 16 << 20;

/// Moves up to `most` bytes into `file`: those in `held` first, then what can be read from `socket` without waiting. For a thread
/// that may block.
pub(super) fn receive<St: Store>(
    store: &mut St,
    file: &mut St::Writer,
    held: &[u8],
    mut socket: impl Read,
    most: u64,
) -> Received {
    thread_local! {
        static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; GULP].into());
    }

    let mut len = 0;
    let mut write = |bytes: &[u8], len: &mut u64| {
        let mut left = bytes;
        while !left.is_empty() {
            match store.write(file, left) {
                // It is to take some, or say why not.
                Ok(0) => return Err(Refusal::Failed),
                Ok(n) => {
                    *len += n.min(left.len()) as u64;
                    left = left.get(n..).unwrap_or_default();
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    };
    if let Err(refusal) = write(held, &mut len) {
        return Received { len, halt: Halt::Refused(refusal) };
    }
    let most = most.min(TURN);
    BUFFER.with_borrow_mut(|buffer| {
        let halt = loop {
            let left = usize::try_from(most.saturating_sub(len)).unwrap_or(usize::MAX);
            if left == 0 {
                break Halt::Turn;
            }
            let room = buffer.len().min(left);
            let read = match socket.read(buffer.get_mut(..room).unwrap_or_default()) {
                Ok(0) => break Halt::Ended,
                Ok(read) => read,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break Halt::WouldBlock,
                    io::ErrorKind::Interrupted => continue,
                    _ => break Halt::Reset,
                },
            };
            if let Err(refusal) = write(buffer.get(..read).unwrap_or_default(), &mut len) {
                break Halt::Refused(refusal);
            }
        };
        Received { len, halt }
    })
}
