//! A folder, and files of it by their names. Nobody can rename the folder while it is open, so that its path stays its own.
//!
//! The names are for the caller to check: here come no separators, no streams (`a:b`), no devices (`NUL`), no dots or spaces at the end. The path
//! is a verbatim one (`\\?\`), in which Windows would not even look for them.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::files::{ERROR_SHARING_VIOLATION, FILE_SHARE_DELETE, create_locked};
use crate::os::Kind;

const FILE_SHARE_READ_AND_WRITE: u32 = 1 | 2;
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// A folder that is open.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// As long as it is open the folder can be neither renamed nor removed.
    _held: File,
}

impl Folder {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = std::fs::canonicalize(dir)?;
        let mut options = OpenOptions::new();
        options.read(true).share_mode(FILE_SHARE_READ_AND_WRITE);
        let held = options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(&path)?;
        if !held.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path, _held: held })
    }

    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        Ok(self.path.clone())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What has that name, if anything. A symbolic link is not followed.
    pub(crate) fn kind(&self, name: &str) -> io::Result<Option<Kind>> {
        match std::fs::symlink_metadata(self.at(name)) {
            Ok(metadata) if metadata.is_file() => Ok(Some(Kind::File)),
            Ok(_) => Ok(Some(Kind::Other)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a regular file to be read, and says how long it is. `None`: it is none, or a symbolic link.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<(File, u64)>> {
        let mut options = OpenOptions::new();
        // A link itself is opened, not what it leads to.
        options.read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        let file = options.open(self.at(name))?;
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then(|| (file, metadata.len())))
    }

    /// The same, where the system can tell that it need not wait for a disk: here it cannot.
    pub(crate) fn read_at_once(&self, _: &str) -> Option<(File, u64)> {
        None
    }

    /// A new file that nobody else can open as long as it is open. `None`: its name is taken.
    pub(crate) fn create(&self, name: &str) -> io::Result<Option<File>> {
        match create_locked(&self.at(name)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.at(name))
    }

    /// Removes a regular file, unless somebody holds it. Says whether it did.
    pub(crate) fn remove_unlocked(&self, name: &str) -> io::Result<bool> {
        if self.kind(name)? != Some(Kind::File) {
            return Ok(false);
        }
        let mut options = OpenOptions::new();
        let held = options.read(true).share_mode(FILE_SHARE_DELETE).open(self.at(name));
        let removed = held.and_then(|_held| self.remove(name));
        match removed {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(false),
            // Another one that starts has removed it, or it has been given its name.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the file `from` the name `to`, in place of what has that. A symbolic link there is replaced, not followed.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.at(from), self.at(to))
    }

    /// Gives it that name only if nothing has it: as a second one, for a rename would replace what is there. Says that it has its first name, too.
    pub(crate) fn rename_new(&self, from: &str, to: &str) -> io::Result<bool> {
        std::fs::hard_link(self.at(from), self.at(to))?;
        Ok(true)
    }

    /// All the names in it.
    pub(crate) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        Ok(std::fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name())))
    }

    /// The file system keeps its names in order by itself.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// It does not say.
    pub(crate) fn free(&self) -> Option<u64> {
        None
    }
}
