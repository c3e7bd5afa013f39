//! The files of a folder: the system moves their bytes by itself.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use anywire_core::request::Refusal;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::pipe::SpliceFlags;

use crate::engine::{Halt, HostReader, HostWriter, Received, Sent};
use crate::folder::{FolderReader, FolderWriter};

/// So much is sent at once if that is all, and so much is read ahead;
const PIECE: usize = 1 << 20;

/// of more, so much. So often it is looked whether it is in the page cache.
const LOOK: usize = 256 << 10;

impl HostReader for FolderReader {
    type ReadAhead = Box<dyn FnOnce() + Send>;

    fn send(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<Sent<Self::ReadAhead>> {
        // Of a long one a piece from wherever the last one ended: short rests between pieces cost more than a look.
        let piece = if most <= PIECE { most } else { LOOK };
        let end = self.at + piece as u64;
        if self.warm < end {
            let mut looks = (self.warm.max(self.at)..end).step_by(LOOK).chain([end - 1]);
            if looks.any(|at| self.is_cold(at)) {
                return Ok(Sent::Cold(self.read_ahead()));
            }
            self.warm = end;
        }
        match rustix::fs::sendfile(socket, &*self.file, Some(&mut self.at), piece) {
            Ok(n) => Ok(Sent::Bytes(n)),
            Err(Errno::INVAL | Errno::NOSYS) => Ok(Sent::Unsupported),
            Err(error) => Err(error.into()),
        }
    }

    fn is_slow_to_close(&self) -> bool {
        crate::os::is_unlinked(&self.file)
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
        self.warm = from + PIECE as u64;
        let until = self.warm;
        Box::new(move || {
            use std::os::unix::fs::FileExt;
            let mut buf = vec![0; LOOK];
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

/// So much of a body is on its way through a pipe at once.
const PIPE: usize = 1 << 20;

/// Empty pipes, for the next bodies: no more than [`SPARES`], for each is two open files.
static SPARE: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

const SPARES: usize = 4;

struct Pipe {
    output: OwnedFd,
    input: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        if let Some(pipe) = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(pipe);
        }
        let (output, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // One that stays at 64 KiB will do as well.
        let _ = rustix::pipe::fcntl_setpipe_size(&input, PIPE);
        Ok(Self { output, input })
    }

    /// Keeps it, empty, for the next body.
    fn spare_it(self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARES {
            spare.push(self);
        }
    }
}

impl HostWriter for FolderWriter {
    /// From the socket into a pipe, and from there into the file: measured against reading and writing 1 MiB at a time, that is 10 to
    /// 20 % faster on a tmpfs, takes a fifth less of the processor's time, and is as fast on a disk.
    fn receive(&mut self, socket: BorrowedFd<'_>, most: u64) -> Option<Received> {
        let Ok(pipe) = Pipe::new() else { return None };
        let mut len = 0;
        let halt = loop {
            let left = most.saturating_sub(len);
            if left == 0 {
                break Halt::Turn;
            }
            let piece = left.min(self.room()).min(PIPE as u64) as usize;
            if piece == 0 {
                // Whether there is more than it may have, or the end, a read will tell.
                break Halt::WouldBlock;
            }
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            match rustix::pipe::splice(socket, None, &pipe.input, None, piece, flags) {
                Ok(0) => break Halt::Ended,
                Ok(n) => match self.append_from(&pipe, n) {
                    Ok(()) => len += n as u64,
                    // What is left in the pipe goes with it.
                    Err((appended, why)) => {
                        let len = len + appended as u64;
                        return Some(Received { len, halt: Halt::Refused(why) });
                    }
                },
                Err(Errno::AGAIN) => break Halt::WouldBlock,
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) if len == 0 => return None,
                Err(error) => break Halt::of(&error.into()),
            }
        };
        pipe.spare_it();
        Some(Received { len, halt })
    }
}

impl FolderWriter {
    /// Moves the `len` bytes that are in the pipe into the file. If it cannot it says how many it has moved, and why not more.
    fn append_from(&mut self, pipe: &Pipe, len: usize) -> Result<(), (usize, Refusal)> {
        let mut left = len;
        while left > 0 {
            let moved = match rustix::pipe::splice(
                &pipe.output,
                None,
                self.file(),
                None,
                left,
                SpliceFlags::MOVE,
            ) {
                Ok(moved) => Ok(moved),
                Err(Errno::INTR) => continue,
                // A file system that does not know how: through the program, then.
                Err(Errno::INVAL) => self.copy_from(pipe, left),
                Err(error) => Err(error.into()),
            };
            match moved {
                Ok(0) => return Err((len - left, Refusal::Full)),
                Ok(moved) => {
                    // What could not be synced does not count, or the body would seem complete.
                    self.appended(moved).map_err(|why| (len - left, why))?;
                    left -= moved.min(left);
                }
                Err(error) => return Err((len - left, self.refused(&error))),
            }
        }
        Ok(())
    }

    /// Copies up to `most` of the bytes in the pipe into the file.
    fn copy_from(&self, pipe: &Pipe, most: usize) -> io::Result<usize> {
        let mut buf = [0; 16 << 10];
        let room = buf.len().min(most);
        let n = rustix::io::read(&pipe.output, buf.get_mut(..room).unwrap_or_default())?;
        let mut file = self.file();
        file.write_all(buf.get(..n).unwrap_or_default())?;
        Ok(n)
    }
}
