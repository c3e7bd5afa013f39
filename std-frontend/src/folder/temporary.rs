//! Files that have no name yet: what is being written, and what a crash left of it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::os::Folder;

/// What a temporary file's name begins with; 16 hexadecimal digits follow. No client can ask for it: names do not start with a
/// dot.
const PREFIX: &str = ".anywire-";

/// A name that nobody sees; removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: Arc<Folder>,
    /// `None` once it has another.
    name: Option<String>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(file) = &self.name
            && let Err(error) = self.folder.remove(file)
        {
            tracing::warn!(file, %error, "cannot remove a temporary file");
        }
    }
}

impl Temporary {
    /// A new file that nobody else has, locked for as long as it is open.
    pub(super) fn create(folder: &Arc<Folder>) -> io::Result<(File, Self)> {
        loop {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            let name = format!("{PREFIX}{:016x}", u64::from_ne_bytes(random));
            if let Some(file) = folder.create(&name)? {
                return Ok((file, Self { folder: Arc::clone(folder), name: Some(name) }));
            }
        }
    }

    /// Gives the file the name `to`: in place of what has that, or only if nothing has.
    pub(super) fn give(&mut self, to: &str, replace: bool) -> io::Result<()> {
        let Some(from) = &self.name else { return Err(io::ErrorKind::NotFound.into()) };
        if replace {
            self.folder.rename(from, to)?;
        } else if self.folder.rename_new(from, to)? {
            // The first name goes with us.
            return Ok(());
        }
        self.name = None;
        Ok(())
    }
}

/// Removes the temporary files of programs that are gone. Whoever is alive and writes one holds its lock.
pub(super) fn remove_leftovers(folder: &Folder) -> io::Result<()> {
    for name in folder.names()? {
        let name = name?;
        let Some(name) = name.to_str().filter(|name| is_temporary(name.as_bytes())) else {
            continue;
        };
        match folder.remove_unlocked(name) {
            Ok(true) => tracing::info!("removed what a crash has left: {name:?}"),
            Ok(false) => {}
            Err(error) => tracing::warn!("cannot remove what a crash has left: {name:?}: {error}"),
        }
    }
    Ok(())
}

fn is_temporary(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX.as_bytes()).is_some_and(|digits| {
        digits.len() == 16 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}
