//! Files that have no name yet: what is being written, and what a crash left of it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::os;

/// What a temporary file's name begins with; 16 hexadecimal digits follow. No client can ask for it: names do not start with a
/// dot.
const PREFIX: &str = ".anywire-";

/// A name that nobody sees; removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: Arc<OwnedFd>,
    /// `None` once it has another, or belongs to somebody else.
    name: Option<String>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(file) = &self.name
            && let Err(error) = rustix::fs::unlinkat(&*self.folder, file, AtFlags::empty())
        {
            tracing::warn!(file, %error, "cannot remove a temporary file");
        }
    }
}

impl Temporary {
    /// A new file that nobody else has, locked for as long as it is open.
    pub(super) fn create(folder: &Arc<OwnedFd>) -> io::Result<(File, Self)> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            let name = format!("{PREFIX}{:016x}", u64::from_ne_bytes(random));
            match rustix::fs::openat(&**folder, &name, flags, Mode::from_raw_mode(0o666)) {
                Ok(file) => {
                    let mut temporary = Self { folder: Arc::clone(folder), name: Some(name) };
                    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                        Ok(()) if rustix::fs::fstat(&file)?.st_nlink > 0 => {
                            return Ok((file.into(), temporary));
                        }
                        // A sibling that starts has come between, and takes it for a leftover.
                        Ok(()) | Err(Errno::WOULDBLOCK) => {}
                        Err(error) => return Err(error.into()),
                    }
                    temporary.name = None;
                }
                Err(Errno::EXIST | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the file the name `to`: in place of what has that, or only if nothing has.
    pub(super) fn give(&mut self, to: &str, replace: bool) -> Result<(), Errno> {
        let folder = &*self.folder;
        let Some(from) = &self.name else { return Err(Errno::NOENT) };
        if replace {
            rustix::fs::renameat(folder, from, folder, to)?;
        } else {
            match os::rename_new(folder, from, to) {
                // Not every file system knows of that: a second name, then, and the first one goes with us.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    return rustix::fs::linkat(folder, from, folder, to, AtFlags::empty());
                }
                done => done?,
            }
        }
        self.name = None;
        Ok(())
    }
}

/// Removes the temporary files of programs that are gone. Whoever is alive and writes one holds its lock.
pub(super) fn remove_leftovers(folder: &OwnedFd) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !is_temporary(name.to_bytes()) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else {
            continue;
        };
        let regular = rustix::fs::fstat(&file)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        let lock = FlockOperation::NonBlockingLockExclusive;
        if regular && rustix::fs::flock(&file, lock).is_ok() {
            match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) => tracing::info!("removed what a crash has left: {name:?}"),
                // Another one that starts has removed it, or it has been given its name.
                Err(Errno::NOENT) => {}
                Err(error) => {
                    tracing::warn!("cannot remove what a crash has left: {name:?}: {error}")
                }
            }
        }
    }
    Ok(())
}

fn is_temporary(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX.as_bytes()).is_some_and(|digits| {
        digits.len() == 16 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}
