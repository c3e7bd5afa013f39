//! A folder as a [`Store`].

mod log;
mod temporary;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::store::{Entry, Store};
use log::LogFolder;
use temporary::Temporary;

use crate::os::{self, Cause, Folder, Kind};

/// Files of one folder: nothing outside can be reached, not by a symbolic link there either.
///
/// A file is begun under a temporary name, locked while it is written, and renamed when it is whole. What a crash left is
/// removed when the folder is opened; what a living sibling is writing is locked, and stays.
#[derive(Clone, Debug)]
pub struct FolderStore {
    /// `None`: there is no folder, and no file.
    folder: Option<Arc<Folder>>,
    log: Option<Arc<LogFolder>>,
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

/// A file of a [`FolderStore`] that is being read.
#[derive(Debug)]
pub struct FolderReader {
    /// Shared with whoever reads ahead.
    pub(crate) file: Arc<File>,
    /// How far it has been read.
    pub(crate) at: u64,
    /// Up to where it has been read ahead, where the system can tell what would have to be.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    pub(crate) warm: u64,
}

/// A file of a [`FolderStore`] that is being written.
#[derive(Debug)]
pub struct FolderWriter {
    /// Its name until it is whole,
    temporary: Temporary,
    /// and from then on.
    name: String,
    replace: bool,
    /// Closed, and with that unlocked, when the temporary name is gone.
    file: File,
    len: u64,
    /// The longest it may become.
    max: u64,
    sync: bool,
    /// Why it can never be committed: the system tells of some failures only once.
    failed: Option<Refusal>,
}

/// A file that is to be on the disk when it is committed goes there from time to time while it grows. Or the last bytes of a large one
/// would be followed by so long a silence that its sender gives up.
const SYNC_STEP: u64 = 8 << 20;

impl FolderWriter {
    /// The file itself, to be appended to by the system.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// How many more bytes it may have.
    pub(crate) fn room(&self) -> u64 {
        self.max.saturating_sub(self.len)
    }

    /// `len` bytes were appended.
    pub(crate) fn appended(&mut self, len: usize) -> Result<(), Refusal> {
        let before = self.len;
        self.len = before.saturating_add(len as u64);
        if self.sync && self.len / SYNC_STEP > before / SYNC_STEP {
            self.file.sync_data().map_err(|error| self.refused(&error))?;
        }
        Ok(())
    }

    /// There was no [room](Self::room).
    fn too_large(&self) -> Refusal {
        Refusal::TooLarge { max: self.max }
    }

    /// Appending failed.
    pub(crate) fn refused(&mut self, error: &io::Error) -> Refusal {
        *self.failed.insert(failed("write", error))
    }
}

impl FolderStore {
    /// Opens the folder `dir`, makes it if it is not there, and removes what a crash has left in it. A folder in which
    /// nothing can be written is an error now, not later.
    pub fn open(dir: &Path, options: FolderOptions) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let folder = Arc::new(Folder::open(dir)?);
        temporary::remove_leftovers(&folder)?;
        // Whether anything can be written there.
        Temporary::create(&folder)?;
        Ok(Self { folder: Some(folder), log: None, options })
    }

    /// Opens the folder `dir` as a child of whoever has [opened](Self::open) it: that has made it, tidied it up, and seen that it can be written.
    pub fn join(dir: &Path, options: FolderOptions) -> io::Result<Self> {
        let folder = Arc::new(Folder::open(dir)?);
        Ok(Self { folder: Some(folder), log: None, options })
    }

    /// Where a process that is being started finds the folder that is open here, wherever that is by now: its working directory can begin
    /// there. `None`: there is none.
    pub(crate) fn start_in(&self) -> Option<io::Result<PathBuf>> {
        Some(self.folder.as_ref()?.path())
    }

    /// A store without a folder, for servers that need none: it has no files, and takes none.
    pub fn nowhere(options: FolderOptions) -> Self {
        Self { folder: None, log: None, options }
    }

    /// The same store, and it keeps a log in the folder `dir`, a file for each entry. That is made if it is not there; one in which nothing
    /// can be written is an error now.
    pub fn with_log(self, dir: &Path) -> io::Result<Self> {
        let log = Arc::new(LogFolder::open(dir, self.options.sync)?);
        Ok(Self { log: Some(log), ..self })
    }

    /// The same, as a child of whoever keeps one there.
    pub fn join_log(self, dir: &Path) -> io::Result<Self> {
        let log = Arc::new(LogFolder::join(dir, self.options.sync)?);
        Ok(Self { log: Some(log), ..self })
    }

    fn folder(&self) -> Result<&Arc<Folder>, Refusal> {
        self.folder.as_ref().ok_or(Refusal::Unsupported)
    }

    /// What has that name in the folder, if anything.
    fn kind(&self, name: &str) -> Result<Option<Kind>, Refusal> {
        self.folder()?.kind(name).map_err(|error| refusal("look at", name, &error))
    }

    /// How many bytes the file system has room for; `None`: it does not say.
    fn free(&self) -> Result<Option<u64>, Refusal> {
        Ok(self.folder()?.free())
    }
}

impl Store for FolderStore {
    type Reader = FolderReader;
    type Writer = FolderWriter;

    fn open(&mut self, name: FileName<'_>) -> Result<(FolderReader, u64), Refusal> {
        let name = name.as_str();
        // Opening a FIFO would wake whoever waits at its other end.
        let kind = self.kind(name)?.ok_or(Refusal::NotFound)?;
        if kind != Kind::File {
            return Err(Refusal::NotAFile);
        }
        let opened = self.folder()?.read(name).map_err(|error| refusal("open", name, &error))?;
        let (file, len) = opened.ok_or(Refusal::NotAFile)?;
        Ok((FolderReader { file: Arc::new(file), at: 0, warm: 0 }, len))
    }

    /// Where the system knows the name without looking on the disk.
    fn open_at_once(&mut self, name: FileName<'_>) -> Option<(FolderReader, u64)> {
        let (file, len) = self.folder.as_ref()?.read_at_once(name.as_str())?;
        Some((FolderReader { file: Arc::new(file), at: 0, warm: 0 }, len))
    }

    fn read(&mut self, file: &mut FolderReader, buf: &mut [u8]) -> Result<usize, Refusal> {
        let n = retried(|| os::read_at(&file.file, buf, file.at))
            .map_err(|error| failed("read", &error))?;
        file.at += n as u64;
        Ok(n)
    }

    fn close(&mut self, file: FolderReader) {
        drop(file);
    }

    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<FolderWriter, Refusal> {
        let name = name.as_str();
        match self.kind(name)? {
            Some(Kind::File) if replace => {}
            Some(Kind::File) => return Err(Refusal::Exists),
            Some(_) => return Err(Refusal::NotAFile),
            None => {}
        }
        if self.free()? == Some(0) {
            return Err(Refusal::Full);
        }
        let (file, temporary) =
            Temporary::create(self.folder()?).map_err(|error| failed("create", &error))?;
        let FolderOptions { max_file: max, sync } = self.options;
        let name = name.into();
        Ok(FolderWriter { temporary, name, replace, file, len: 0, max, sync, failed: None })
    }

    fn expect(&mut self, file: &mut FolderWriter, len: u64) -> Result<(), Refusal> {
        if len > file.room() {
            return Err(file.too_large());
        }
        match self.free()? {
            Some(free) if free < len => Err(Refusal::Full),
            _ => Ok(()),
        }
    }

    fn write(&mut self, file: &mut FolderWriter, bytes: &[u8]) -> Result<usize, Refusal> {
        let allowed = usize::try_from(file.room()).unwrap_or(usize::MAX);
        let bytes = bytes.get(..allowed.min(bytes.len())).unwrap_or_default();
        if bytes.is_empty() {
            return Err(file.too_large());
        }
        let n = retried(|| (&file.file).write(bytes)).map_err(|error| file.refused(&error))?;
        file.appended(n)?;
        if n == 0 { Err(Refusal::Full) } else { Ok(n) }
    }

    /// Should the folder alone fail to sync, at the very end, the file is there, under its name, and may be gone after a crash of the
    /// system, when the older one is back.
    fn commit(&mut self, file: FolderWriter) -> Result<(), Refusal> {
        let FolderWriter { mut temporary, name, replace, file, failed: before, .. } = file;
        if let Some(refusal) = before {
            return Err(refusal);
        }
        if self.options.sync {
            file.sync_all().map_err(|error| failed("sync", &error))?;
        }
        // Renaming would not follow a link that has come meanwhile, but it would remove it.
        if self.kind(&name)?.is_some_and(|kind| kind != Kind::File) {
            return Err(Refusal::NotAFile);
        }
        temporary.give(&name, replace).map_err(|error| refusal("rename", &name, &error))?;
        if self.options.sync {
            let synced = self.folder()?.sync();
            synced.map_err(|error| refusal("sync the folder of", &name, &error))?;
        }
        Ok(())
    }

    fn abandon(&mut self, file: FolderWriter) {
        drop(file);
    }

    fn log(&mut self, entry: Entry<'_>) -> Result<(), Refusal> {
        self.log.as_ref().ok_or(Refusal::Unsupported)?.log(entry)
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
fn refusal(what: &str, name: &str, error: &io::Error) -> Refusal {
    let name = name.escape_debug();
    match os::cause(error) {
        Cause::NotFound => Refusal::NotFound,
        Cause::Exists => Refusal::Exists,
        Cause::NotAFile => Refusal::NotAFile,
        Cause::Denied => {
            tracing::warn!("cannot {what} {name}: {error}");
            Refusal::Denied
        }
        Cause::Full => {
            tracing::warn!("cannot {what} {name}: {error}");
            Refusal::Full
        }
        Cause::Shortage => {
            if is_news(&TOLD_OF_SHORTAGE) {
                tracing::error!("cannot {what} {name}, nor others, until it is over: {error}");
            }
            Refusal::Failed
        }
        Cause::Other => {
            tracing::error!("cannot {what} {name}: {error}");
            Refusal::Failed
        }
    }
}

/// When a shortage of descriptors was seen last.
static TOLD_OF_SHORTAGE: Mutex<Option<Instant>> = Mutex::new(None);

/// A shortage that was not seen for so long is a new one.
const CALM: Duration = Duration::from_secs(10);

/// Whether something is to be told, or goes on as it was told already.
fn is_news(last: &Mutex<Option<Instant>>) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    last.replace(Instant::now()).is_none_or(|last| last.elapsed() > CALM)
}

fn failed(what: &str, error: &io::Error) -> Refusal {
    match os::cause(error) {
        // The folder is gone.
        Cause::NotFound | Cause::Other => {
            tracing::error!("cannot {what} a file: {error}");
            Refusal::Failed
        }
        _ => refusal(what, "a file", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_news_once_and_again_when_it_was_over() {
        let last = Mutex::new(None);
        assert!(is_news(&last) && !is_news(&last) && !is_news(&last));
        *last.lock().unwrap() = Instant::now().checked_sub(CALM + Duration::from_secs(1));
        assert!(is_news(&last));
    }

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

    #[cfg(unix)]
    #[test]
    fn only_regular_files_of_the_folder_itself_are_served() {
        let (dir, mut store) = store();
        std::fs::write(dir.path().join("real"), b"12345").unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("outside")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("inside")).unwrap();
        let fifo = dir.path().join("fifo");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, rustix::fs::Mode::RUSR, 0).unwrap();
        assert_eq!(store.open(name("real")).unwrap().1, 5);
        assert_eq!(store.open(name("absent")).err(), Some(Refusal::NotFound));
        for other in ["folder", "outside", "inside", "fifo"] {
            assert_eq!(store.open(name(other)).err(), Some(Refusal::NotAFile), "{other}");
            assert_eq!(store.create(name(other), true).err(), Some(Refusal::NotAFile), "{other}");
        }
        // What is to wait for, and what is refused, is not to be had at once.
        for other in ["absent", "folder", "outside", "inside", "fifo"] {
            assert!(store.open_at_once(name(other)).is_none(), "{other}");
        }
        if cfg!(target_os = "linux") {
            assert_eq!(store.open_at_once(name("real")).unwrap().1, 5);
        }
    }

    #[test]
    fn a_file_is_there_when_it_is_committed_and_not_before() {
        let (dir, mut store) = store();
        std::fs::write(dir.path().join("a"), b"old").unwrap();
        let mut file = store.create(name("a"), true).unwrap();
        store.write(&mut file, b"new").unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"old");
        store.commit(file).unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
        let mut file = store.create(name("a"), true).unwrap();
        store.write(&mut file, b"half").unwrap();
        store.abandon(file);
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
        assert_eq!(files(&dir), ["a"]);
    }

    #[test]
    fn leftovers_are_removed_at_the_start_but_not_a_living_siblings() {
        let (dir, mut store) = store();
        std::fs::write(dir.path().join(".anywire-0000000000000000"), b"crashed").unwrap();
        let mut living = store.create(name("b"), true).unwrap();
        store.write(&mut living, b"alive").unwrap();
        let _sibling = FolderStore::open(dir.path(), FolderOptions::default()).unwrap();
        assert_eq!(files(&dir).len(), 1);
        store.commit(living).unwrap();
        assert_eq!(files(&dir), ["b"]);
    }

    #[test]
    fn without_a_folder_there_is_no_file() {
        let mut store = FolderStore::nowhere(FolderOptions::default());
        assert_eq!(store.open(name("a")).err(), Some(Refusal::Unsupported));
        assert_eq!(store.create(name("a"), true).err(), Some(Refusal::Unsupported));
    }

    #[cfg(unix)]
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
        let mut file = store.create(name("a"), true).unwrap();
        assert_eq!(store.write(&mut file, b"12345"), Ok(4));
        assert_eq!(store.write(&mut file, b"5"), Err(Refusal::TooLarge { max: 4 }));
    }
}
