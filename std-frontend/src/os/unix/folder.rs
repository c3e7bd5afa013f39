//! A folder, and files of it by their names: whatever becomes of the folder's own name, it is the same one.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::os::{self, Kind};

/// A folder that is open.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

impl Folder {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(dir, flags, Mode::empty())?))
    }

    /// Where a process that is being started finds it: its working directory can begin there.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        os::path_of(&self.0)
    }

    /// What has that name, if anything. A symbolic link is not followed.
    pub(crate) fn kind(&self, name: &str) -> io::Result<Option<Kind>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_regular(&stat) => Ok(Some(Kind::File)),
            Ok(_) => Ok(Some(Kind::Other)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file to be read, and says how long it is. `None`: it is none, or a symbolic link.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<(File, u64)>> {
        // It may have been exchanged since it was looked at: a symbolic link is not followed, and a FIFO does not hang us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        Ok(is_regular(&stat).then(|| (file.into(), len(&stat))))
    }

    /// The same, where the kernel knows the name without looking on the disk.
    #[cfg(target_os = "linux")]
    pub(crate) fn read_at_once(&self, name: &str) -> Option<(File, u64)> {
        use rustix::fs::{ResolveFlags, fstat, openat2};
        let open = |flags| {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat2(&self.0, name, flags, Mode::empty(), ResolveFlags::CACHED).ok()
        };
        // This does not open it yet: it may be a FIFO.
        let found = fstat(open(OFlags::PATH)?).ok()?;
        if !is_regular(&found) {
            return None;
        }
        let file = open(OFlags::RDONLY | OFlags::NONBLOCK)?;
        let stat = fstat(&file).ok().filter(is_regular)?;
        Some((file.into(), len(&stat)))
    }

    /// The same, where the system can tell: here it cannot.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn read_at_once(&self, _: &str) -> Option<(File, u64)> {
        None
    }

    /// A new file that nobody else has, locked for as long as it is open. `None`: try another name. This one is taken, or a sibling that
    /// starts has come between, and takes the file for a leftover.
    pub(crate) fn create(&self, name: &str) -> io::Result<Option<File>> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => file,
            Err(Errno::EXIST | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .and_then(|()| rustix::fs::fstat(&file));
        match locked {
            Ok(stat) if stat.st_nlink > 0 => Ok(Some(file.into())),
            Ok(_) | Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => {
                let _ = self.remove(name);
                Err(error.into())
            }
        }
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Removes a regular file, unless somebody holds its lock. Says whether it did.
    pub(crate) fn remove_unlocked(&self, name: &str) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(&self.0, name, flags, Mode::empty()) else {
            return Ok(false);
        };
        let regular = rustix::fs::fstat(&file).is_ok_and(|stat| is_regular(&stat));
        let lock = FlockOperation::NonBlockingLockExclusive;
        if !regular || rustix::fs::flock(&file, lock).is_err() {
            return Ok(false);
        }
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            // Another one that starts has removed it, or it has been given its name.
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the file `from` the name `to`, in place of what has that. A symbolic link there is replaced, not followed.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// The same, only if nothing has that name. Says whether the file still has its first name, too: not every file system can do it in
    /// one step.
    pub(crate) fn rename_new(&self, from: &str, to: &str) -> io::Result<bool> {
        match os::rename_new(&self.0, from, to) {
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(&self.0, from, &self.0, to, AtFlags::empty())?;
                Ok(true)
            }
            done => Ok(done.map(|()| false)?),
        }
    }

    /// All the names in it.
    pub(crate) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        let name = |entry: Result<rustix::fs::DirEntry, Errno>| {
            Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned())
        };
        Ok(rustix::fs::Dir::read_from(&self.0)?.map(name))
    }

    /// Waits until the names are on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::io::retry_on_intr(|| rustix::fs::fsync(&self.0))?)
    }

    /// How many bytes the file system has room for; `None`: it does not say.
    pub(crate) fn free(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(&self.0).ok()?;
        // Some blocks are root's alone.
        let blocks =
            if rustix::process::geteuid().is_root() { stat.f_bfree } else { stat.f_bavail };
        (stat.f_blocks > 0).then(|| blocks.saturating_mul(stat.f_frsize))
    }
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn len(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}
