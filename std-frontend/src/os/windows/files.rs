//! Files by their paths, and what is wrong with them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::os::Cause;

/// Others may remove and rename the file while it is open, and that is all.
pub(super) const FILE_SHARE_DELETE: u32 = 4;

/// Somebody has the file open, and does not share it.
pub(super) const ERROR_SHARING_VIOLATION: i32 = 32;

/// The path that somebody has typed.
pub(crate) fn path_from(typed: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&typed).into_owned().into()
}

/// A new file at `path`, which nobody else can open as long as it is open.
pub(crate) fn create_locked(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).share_mode(FILE_SHARE_DELETE).open(path)
}

/// Opens what is at `path` to be read.
pub(crate) fn open_nonblocking(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(crate) fn read_at(file: &File, buf: &mut [u8], at: u64) -> io::Result<usize> {
    match file.seek_read(buf, at) {
        // Behind the end.
        Err(error) if error.raw_os_error() == Some(ERROR_HANDLE_EOF) => Ok(0),
        done => done,
    }
}

const ERROR_HANDLE_EOF: i32 = 38;

/// That is not asked for.
pub(crate) fn is_unlinked(_: &File) -> bool {
    false
}

pub(crate) fn cause(error: &io::Error) -> Cause {
    use io::ErrorKind::{
        AlreadyExists, IsADirectory, NotADirectory, NotFound, PermissionDenied, QuotaExceeded,
        ReadOnlyFilesystem, StorageFull,
    };
    const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
    match (error.kind(), error.raw_os_error()) {
        (NotFound, _) => Cause::NotFound,
        (AlreadyExists, _) => Cause::Exists,
        (IsADirectory | NotADirectory, _) => Cause::NotAFile,
        (PermissionDenied | ReadOnlyFilesystem, _) | (_, Some(ERROR_SHARING_VIOLATION)) => {
            Cause::Denied
        }
        (StorageFull | QuotaExceeded, _) => Cause::Full,
        (_, Some(ERROR_TOO_MANY_OPEN_FILES)) => Cause::Shortage,
        _ => Cause::Other,
    }
}
