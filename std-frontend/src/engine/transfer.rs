//! Files that the system can send by itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Errno, ReadWriteFlags};

use crate::folder::FolderFile;

/// What an event loop asks of a store's files, besides what the [`Store`](anywire_core::store::Store) does with them.
pub trait HostFile: Send + 'static {
    /// Work that makes the next bytes come without waiting for a disk: done on another thread.
    type ReadAhead: FnOnce() + Send + 'static;

    /// Moves up to `most` bytes to a socket that does not block, without copying them through the program.
    fn send(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<Sent<Self::ReadAhead>>;
}

/// What came of [`HostFile::send`].
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
impl HostFile for std::convert::Infallible {
    type ReadAhead = fn();

    fn send(&mut self, _: BorrowedFd<'_>, _: usize) -> io::Result<Sent<fn()>> {
        match *self {}
    }
}

impl HostFile for FolderFile {
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

impl FolderFile {
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
