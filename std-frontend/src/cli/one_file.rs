//! Stores for one file: what a client fetches goes where its user says.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::store::Store;

use crate::cli::signals::Temporary;
use crate::os;

/// A file at a path, whatever name it is stored under: begun under a temporary name in the same folder, and renamed
/// when it is whole. Until then an older file stays as it is.
///
/// What is no regular file (a device, a FIFO) is written to as it is.
#[derive(Debug)]
pub(super) struct OneFile {
    pub(super) path: PathBuf,
    /// Why it was refused.
    pub(super) failed: Option<io::Error>,
}

/// The file of a [`OneFile`] while it is written.
#[derive(Debug)]
pub(super) struct Begun {
    file: File,
    /// `None` if it is written where it is.
    rename: Option<Rename>,
}

/// Removes the temporary file when it goes, if that has not got its name by then.
#[derive(Debug)]
struct Rename {
    temporary: PathBuf,
    target: PathBuf,
    done: bool,
    _announced: Temporary,
}

impl Drop for Rename {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

impl OneFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, failed: None }
    }

    fn begin(&self) -> io::Result<Begun> {
        // A link leads where it leads: the file there is replaced, not the link.
        let target = match std::fs::canonicalize(&self.path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.path.clone(),
            Err(error) => return Err(error),
        };
        match std::fs::metadata(&target) {
            Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if !there.is_file() => {
                let file = OpenOptions::new().write(true).open(&target)?;
                return Ok(Begun { file, rename: None });
            }
            _ => {}
        }
        if target.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this names no file"));
        }
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!(".anywire-{:016x}", u64::from_ne_bytes(random));
        let temporary = folder.unwrap_or(Path::new(".")).join(name);
        let announced = Temporary::announce(&temporary);
        // A server on this folder removes such files when it starts, unless somebody holds them.
        let file = os::create_locked(&temporary)?;
        let rename = Rename { temporary, target, done: false, _announced: announced };
        Ok(Begun { file, rename: Some(rename) })
    }

    fn note(&mut self, error: io::Error) -> Refusal {
        let refusal = refusal(&error);
        self.failed.get_or_insert(error);
        refusal
    }
}

impl Store for OneFile {
    type Reader = Infallible;
    type Writer = Begun;

    fn open(&mut self, _: FileName<'_>) -> Result<(Infallible, u64), Refusal> {
        Err(Refusal::Unsupported)
    }

    fn create(&mut self, _: FileName<'_>, _: bool) -> Result<Begun, Refusal> {
        self.begin().map_err(|error| self.note(error))
    }

    fn read(&mut self, none: &mut Infallible, _: &mut [u8]) -> Result<usize, Refusal> {
        match *none {}
    }

    fn close(&mut self, none: Infallible) {
        match none {}
    }

    fn write(&mut self, begun: &mut Begun, bytes: &[u8]) -> Result<usize, Refusal> {
        write_some(&mut begun.file, bytes).map_err(|error| self.note(error))
    }

    fn commit(&mut self, begun: Begun) -> Result<(), Refusal> {
        let Some(mut rename) = begun.rename else { return Ok(()) };
        std::fs::rename(&rename.temporary, &rename.target).map_err(|error| self.note(error))?;
        rename.done = true;
        Ok(())
    }

    fn abandon(&mut self, _: Begun) {}
}

/// Standard output as a store. What is written is gone, whether the file becomes whole or not.
#[derive(Debug, Default)]
pub(super) struct StdoutStore {
    /// Why it took no more.
    pub(super) failed: Option<io::Error>,
}

impl StdoutStore {
    fn note(&mut self, error: io::Error) -> Refusal {
        let refusal = refusal(&error);
        self.failed.get_or_insert(error);
        refusal
    }
}

impl Store for StdoutStore {
    type Reader = Infallible;
    type Writer = ();

    fn open(&mut self, _: FileName<'_>) -> Result<(Infallible, u64), Refusal> {
        Err(Refusal::Unsupported)
    }

    fn create(&mut self, _: FileName<'_>, _: bool) -> Result<(), Refusal> {
        Ok(())
    }

    fn read(&mut self, none: &mut Infallible, _: &mut [u8]) -> Result<usize, Refusal> {
        match *none {}
    }

    fn close(&mut self, none: Infallible) {
        match none {}
    }

    fn write(&mut self, (): &mut (), bytes: &[u8]) -> Result<usize, Refusal> {
        loop {
            match os::write_stdout(bytes) {
                Ok(n) => return Ok(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.note(error)),
            }
        }
    }

    fn commit(&mut self, (): ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn abandon(&mut self, (): ()) {}
}

fn write_some(file: &mut File, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::NotFound => Refusal::NotFound,
        io::ErrorKind::PermissionDenied => Refusal::Denied,
        io::ErrorKind::IsADirectory => Refusal::NotAFile,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::Full,
        _ => Refusal::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: &[u8] = b"any";

    fn store(path: &Path, bytes: &[u8], commit: bool) -> Result<(), Refusal> {
        let mut store = OneFile::new(path.to_owned());
        let mut begun = store.create(FileName::new(ANY).unwrap(), true)?;
        let mut left = bytes;
        while !left.is_empty() {
            let n = store.write(&mut begun, left)?;
            left = &left[n..];
        }
        if commit {
            store.commit(begun)
        } else {
            store.abandon(begun);
            Ok(())
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        store(&path, b"old", true).unwrap();
        store(&path, b"new, but cut", false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        store(&path, b"new", true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, b"old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        store(&link, b"new", true).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!(store(folder.path(), b"", true), Err(Refusal::NotAFile));
        assert_eq!(store(&folder.path().join("no/where"), b"", true), Err(Refusal::NotFound));
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to() {
        store(Path::new("/dev/null"), b"bytes", true).unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }
}
