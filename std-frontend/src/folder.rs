//! A folder as a [`Store`].

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::store::Store;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// What a temporary file's name begins with. No client can ask for it: names do not start with a dot.
const TEMPORARY: &str = ".anywire-";

/// Files of one folder: nothing outside can be reached, not by a symbolic link there either.
///
/// A file is begun under a temporary name, locked while it is written, and renamed when it is whole. What a crash left is
/// removed when the folder is opened; what a living sibling is writing is locked, and stays.
#[derive(Clone, Debug)]
pub struct FolderStore {
    /// `None`: there is no folder, and no file.
    folder: Option<Arc<OwnedFd>>,
    options: FolderOptions,
}

/// How a [`FolderStore`] keeps its files.
#[derive(Clone, Copy, Debug)]
pub struct FolderOptions {
    /// The longest file that is taken, in bytes.
    pub max_file: u64,
    /// Whether a commit waits until the file and the folder are on the disk.
    pub sync: bool,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self { max_file: 4 << 30, sync: true }
    }
}

/// An open file of a [`FolderStore`].
#[derive(Debug)]
pub struct FolderFile {
    /// Shared with whoever reads ahead.
    pub(crate) file: Arc<File>,
    /// How far it has been read or written.
    pub(crate) at: u64,
    /// Up to where it has been read ahead.
    pub(crate) warm: u64,
    /// While it is being written: its temporary name, and the one it will have.
    unfinished: Option<(Temporary, String)>,
}

/// A name that nobody sees; removed when dropped.
#[derive(Debug)]
struct Temporary {
    folder: Arc<OwnedFd>,
    /// `None` once it has been renamed.
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

impl FolderStore {
    /// Opens the folder `dir`, makes it if it is not there, and removes what a crash has left in it. A folder in which
    /// nothing can be written is an error now, not later.
    pub fn open(dir: &Path, options: FolderOptions) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = Arc::new(rustix::fs::open(dir, flags, Mode::empty())?);
        remove_leftovers(&folder)?;
        temporary(&folder)?;
        Ok(Self { folder: Some(folder), options })
    }

    /// A store without a folder, for servers that need none: it has no files, and takes none.
    pub fn nowhere() -> Self {
        Self { folder: None, options: FolderOptions::default() }
    }

    fn folder(&self) -> Result<&Arc<OwnedFd>, Refusal> {
        self.folder.as_ref().ok_or(Refusal::Unsupported)
    }
}

/// Removes temporary files of programs that are gone.
fn remove_leftovers(folder: &OwnedFd) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_bytes().starts_with(TEMPORARY.as_bytes()) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else {
            continue;
        };
        // Whoever is writing it holds the lock, for as long as it lives.
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        }
    }
    Ok(())
}

/// A new file that nobody else has, locked, under a name that nobody else has, which is removed when it is dropped.
fn temporary(folder: &Arc<OwnedFd>) -> io::Result<(OwnedFd, Temporary)> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random));
        match rustix::fs::openat(&**folder, &name, flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => {
                let mut temporary = Temporary { folder: Arc::clone(folder), name: Some(name) };
                match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) if rustix::fs::fstat(&file)?.st_nlink > 0 => {
                        return Ok((file, temporary));
                    }
                    // A sibling that starts has come between, and takes it for a leftover.
                    Ok(()) | Err(Errno::WOULDBLOCK) => {}
                    Err(error) => return Err(error.into()),
                }
                temporary.name = None;
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Store for FolderStore {
    type File = FolderFile;

    fn open(&mut self, name: FileName<'_>) -> Result<(FolderFile, u64), Refusal> {
        // NONBLOCK, or a FIFO would hang us. A symbolic link is ELOOP.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&**self.folder()?, name.as_str(), flags, Mode::empty())
            .map_err(|error| refusal("open", name.as_str(), error))?;
        let stat =
            rustix::fs::fstat(&file).map_err(|error| refusal("stat", name.as_str(), error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Refusal::NotAFile);
        }
        let len = u64::try_from(stat.st_size).unwrap_or_default();
        Ok((FolderFile { file: Arc::new(file.into()), at: 0, warm: 0, unfinished: None }, len))
    }

    fn create(&mut self, name: FileName<'_>) -> Result<FolderFile, Refusal> {
        match rustix::fs::statat(&**self.folder()?, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                return Err(Refusal::NotAFile);
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(refusal("look at", name.as_str(), error)),
        }
        let (file, temporary) =
            temporary(self.folder()?).map_err(|error| failed("create", error))?;
        let unfinished = Some((temporary, name.as_str().into()));
        Ok(FolderFile { file: Arc::new(file.into()), at: 0, warm: 0, unfinished })
    }

    fn read(&mut self, file: &mut FolderFile, buf: &mut [u8]) -> Result<usize, Refusal> {
        let n =
            retried(|| file.file.read_at(buf, file.at)).map_err(|error| failed("read", error))?;
        file.at += n as u64;
        Ok(n)
    }

    fn write(&mut self, file: &mut FolderFile, bytes: &[u8]) -> Result<usize, Refusal> {
        let max = self.options.max_file;
        let allowed = usize::try_from(max.saturating_sub(file.at)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..allowed.min(bytes.len())).unwrap_or_default();
        if bytes.is_empty() {
            return Err(Refusal::TooLarge { max });
        }
        let n = retried(|| (&*file.file).write(bytes)).map_err(|error| failed("write", error))?;
        file.at += n as u64;
        if n == 0 { Err(Refusal::Full) } else { Ok(n) }
    }

    fn commit(&mut self, mut file: FolderFile) -> Result<(), Refusal> {
        let Some((mut temporary, name)) = file.unfinished.take() else {
            return Err(Refusal::Unsupported);
        };
        if self.options.sync {
            file.file.sync_all().map_err(|error| failed("sync", error))?;
        }
        let folder = &**self.folder()?;
        if let Some(unnamed) = temporary.name.take()
            && let Err(error) = rustix::fs::renameat(folder, &unnamed, folder, &name)
        {
            temporary.name = Some(unnamed);
            return Err(refusal("rename", &name, error));
        }
        if self.options.sync {
            rustix::fs::fsync(folder).map_err(|error| failed("sync", error.into()))?;
        }
        Ok(())
    }

    fn close(&mut self, file: FolderFile) {
        drop(file);
    }
}

fn retried(mut io: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match io() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// What the peer may know of an error; the log gets the rest.
fn refusal(what: &str, name: &str, error: Errno) -> Refusal {
    let name = name.escape_debug();
    match error {
        Errno::NOENT => Refusal::NotFound,
        Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NOTDIR => Refusal::NotAFile,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => {
            tracing::warn!("cannot {what} {name}: {error}");
            Refusal::Denied
        }
        Errno::NOSPC | Errno::DQUOT => {
            tracing::warn!("cannot {what} {name}: {error}");
            Refusal::Full
        }
        error => {
            tracing::error!("cannot {what} {name}: {error}");
            Refusal::Failed
        }
    }
}

fn failed(what: &str, error: io::Error) -> Refusal {
    match Errno::from_io_error(&error) {
        Some(error) => refusal(what, "a file", error),
        None => Refusal::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> FileName<'_> {
        FileName::new(name.as_bytes()).unwrap()
    }

    fn store() -> (tempfile::TempDir, FolderStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::open(dir.path(), FolderOptions::default()).unwrap();
        (dir, store)
    }

    fn files(dir: &tempfile::TempDir) -> Vec<String> {
        let name = |entry: io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        std::fs::read_dir(dir.path()).unwrap().map(name).collect()
    }

    #[test]
    fn only_regular_files_of_the_folder_itself_are_served() {
        let (dir, mut store) = store();
        std::fs::write(dir.path().join("real"), b"12345").unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("outside")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("inside")).unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(store.open(name("real")).unwrap().1, 5);
        assert_eq!(store.open(name("absent")).err(), Some(Refusal::NotFound));
        for other in ["folder", "outside", "inside", "fifo"] {
            assert_eq!(store.open(name(other)).err(), Some(Refusal::NotAFile), "{other}");
            assert_eq!(store.create(name(other)).err(), Some(Refusal::NotAFile), "{other}");
        }
    }

    #[test]
    fn a_file_is_there_when_it_is_committed_and_not_before() {
        let (dir, mut store) = store();
        std::fs::write(dir.path().join("a"), b"old").unwrap();
        let mut file = store.create(name("a")).unwrap();
        store.write(&mut file, b"new").unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"old");
        store.commit(file).unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
        let mut file = store.create(name("a")).unwrap();
        store.write(&mut file, b"half").unwrap();
        store.close(file);
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
        assert_eq!(files(&dir), ["a"]);
    }

    #[test]
    fn leftovers_are_removed_at_the_start_but_not_a_living_siblings() {
        let (dir, mut store) = store();
        std::fs::write(dir.path().join(".anywire-0000000000000000"), b"crashed").unwrap();
        let mut living = store.create(name("b")).unwrap();
        store.write(&mut living, b"alive").unwrap();
        let _sibling = FolderStore::open(dir.path(), FolderOptions::default()).unwrap();
        assert_eq!(files(&dir).len(), 1);
        store.commit(living).unwrap();
        assert_eq!(files(&dir), ["b"]);
    }

    #[test]
    fn without_a_folder_there_is_no_file() {
        let mut store = FolderStore::nowhere();
        assert_eq!(store.open(name("a")).err(), Some(Refusal::Unsupported));
        assert_eq!(store.create(name("a")).err(), Some(Refusal::Unsupported));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_at_once() {
        // Nobody can write there, not root either.
        let error = FolderStore::open("/proc/self".as_ref(), FolderOptions::default());
        assert!(error.is_err());
    }

    #[test]
    fn a_file_is_no_longer_than_allowed() {
        let (_dir, mut store) = store();
        store.options.max_file = 4;
        let mut file = store.create(name("a")).unwrap();
        assert_eq!(store.write(&mut file, b"12345"), Ok(4));
        assert_eq!(store.write(&mut file, b"5"), Err(Refusal::TooLarge { max: 4 }));
    }
}
