//! A folder of logs: each entry is a file of its own, with the next number.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anywire_core::request::Refusal;
use anywire_core::store::Entry;

use super::temporary::{self, Temporary};
use super::{failed, refusal};
use crate::console::escape::Shown;
use crate::os::{self, Cause, Folder};

/// Files `log0.txt`, `log1.txt` and so on. A number is taken by whoever gives its file that name first, in whichever process; it only
/// grows, and one that this process gave out is not given again, whatever becomes of its file.
#[derive(Debug)]
pub(super) struct LogFolder {
    folder: Arc<Folder>,
    /// No number below it is free.
    next: AtomicU64,
    sync: bool,
}

impl LogFolder {
    /// Opens the folder `dir`, and makes it if it is not there. A folder in which nothing can be written is an error now, not later.
    pub(super) fn open(dir: &Path, sync: bool) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let folder = Arc::new(Folder::open(dir)?);
        temporary::remove_leftovers(&folder)?;
        Temporary::create(&folder)?;
        Self::after_the_last(folder, sync)
    }

    /// Opens it as a child of whoever has opened it before.
    pub(super) fn join(dir: &Path, sync: bool) -> io::Result<Self> {
        let folder = Arc::new(Folder::open(dir)?);
        Self::after_the_last(folder, sync)
    }

    /// Goes on behind the highest number there is.
    fn after_the_last(folder: Arc<Folder>, sync: bool) -> io::Result<Self> {
        let mut next = 0;
        for name in folder.names()? {
            let taken = number(name?.as_encoded_bytes());
            next = next.max(taken.map_or(0, |taken| taken.saturating_add(1)));
        }
        Ok(Self { folder, next: next.into(), sync })
    }

    /// Keeps an entry: the file has its name only when the entry is in it.
    pub(super) fn log(&self, entry: Entry<'_>) -> Result<(), Refusal> {
        let (mut file, mut temporary) =
            Temporary::create(&self.folder).map_err(|error| failed("create", &error))?;
        file.write_all(Line(entry).to_string().as_bytes())
            .map_err(|error| failed("write", &error))?;
        if self.sync {
            file.sync_all().map_err(|error| failed("sync", &error))?;
        }
        loop {
            let next = |number: u64| number.checked_add(1);
            let Ok(number) = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            else {
                return Err(failed("number", &io::Error::other("there is no higher number")));
            };
            let name = format!("log{number}.txt");
            match temporary.give(&name, false) {
                Ok(()) => break,
                // Another server on this folder has it.
                Err(error) if os::cause(&error) == Cause::Exists => {}
                Err(error) => return Err(refusal("rename", &name, &error)),
            }
        }
        if self.sync {
            let synced = self.folder.sync();
            synced.map_err(|error| refusal("sync", "the folder of logs", &error))?;
        }
        Ok(())
    }
}

/// The number of a log with that name.
fn number(name: &[u8]) -> Option<u64> {
    let digits = name.strip_prefix(b"log")?.strip_suffix(b".txt")?;
    if digits.iter().all(u8::is_ascii_digit) {
        std::str::from_utf8(digits).ok()?.parse().ok()
    } else {
        None
    }
}

/// One line: the time, the peer, and the request, escaped and quoted.
struct Line<'a>(Entry<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { time, peer, text } = self.0;
        let peer = peer.as_ref().map_or("-".to_owned(), SocketAddr::to_string);
        writeln!(f, "{} {peer} \"{}\"", Shown(time), Shown(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(name).collect();
        names.sort();
        names
    }

    fn entry(text: &[u8]) -> Entry<'_> {
        Entry { time: b"now", peer: Some("127.0.0.1:9".parse().unwrap()), text }
    }

    #[test]
    fn each_entry_is_a_line_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFolder::open(dir.path(), true).unwrap();
        log.log(entry(b"one\n\x1b\xff")).unwrap();
        log.log(Entry { peer: None, ..entry(b"two") }).unwrap();
        assert_eq!(names(dir.path()), ["log0.txt", "log1.txt"]);
        let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("log0.txt"), "now 127.0.0.1:9 \"one\\n\\x1b\\xff\"\n");
        assert_eq!(read("log1.txt"), "now - \"two\"\n");
    }

    #[test]
    fn numbers_go_on_after_the_highest_and_two_servers_share_none() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["log7.txt", "log07x.txt", "log.txt", "log99.txt.bak", "xlog100.txt"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let logs = [0; 2].map(|_| LogFolder::open(dir.path(), false).unwrap());
        std::thread::scope(|scope| {
            for log in &logs {
                for _ in 0..2 {
                    scope.spawn(|| (0..25).for_each(|_| log.log(entry(b"x")).unwrap()));
                }
            }
        });
        let mut numbers: Vec<_> =
            names(dir.path()).iter().filter_map(|name| number(name.as_bytes())).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (7..=107).collect::<Vec<_>>());
    }

    #[test]
    fn behind_the_highest_number_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let highest = format!("log{}.txt", u64::MAX);
        std::fs::write(dir.path().join(&highest), b"").unwrap();
        let log = LogFolder::open(dir.path(), false).unwrap();
        for _ in 0..2 {
            assert_eq!(log.log(entry(b"one")), Err(Refusal::Failed));
        }
        assert_eq!(names(dir.path()), [highest]);
    }

    #[test]
    fn a_number_that_was_given_out_is_not_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFolder::open(dir.path(), false).unwrap();
        log.log(entry(b"one")).unwrap();
        std::fs::remove_file(dir.path().join("log0.txt")).unwrap();
        log.log(entry(b"two")).unwrap();
        assert_eq!(names(dir.path()), ["log1.txt"]);
    }
}
