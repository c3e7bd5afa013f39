//! Files by their paths, and what is wrong with them.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::os::Cause;

/// The path that somebody has typed.
pub(crate) fn path_from(typed: Vec<u8>) -> PathBuf {
    OsString::from_vec(typed).into()
}

/// A new file at `path`, locked for as long as it is open where the file system knows of locks.
pub(crate) fn create_locked(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(file)
}

/// Opens what is at `path` to be read; a FIFO does not hang us.
pub(crate) fn open_nonblocking(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

pub(crate) fn read_at(file: &File, buf: &mut [u8], at: u64) -> io::Result<usize> {
    file.read_at(buf, at)
}

/// Whether a file has no name any more: closing it may take long.
pub(crate) fn is_unlinked(file: &File) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}

pub(crate) fn cause(error: &io::Error) -> Cause {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) => Cause::NotFound,
        Some(Errno::EXIST) => Cause::Exists,
        Some(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NOTDIR) => Cause::NotAFile,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Cause::Denied,
        Some(Errno::NOSPC | Errno::DQUOT) => Cause::Full,
        Some(Errno::MFILE | Errno::NFILE) => Cause::Shortage,
        _ => Cause::Other,
    }
}
