//! How many files and sockets this process may have open.

use crate::os;

/// Raises the soft limit of open files to the hard one: the soft one is 1024 on most systems, for the sake of `select`, which
/// is not used here. Says what it is now.
pub fn raise_limit() -> usize {
    if let Err(error) = os::raise_max_files() {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    os::max_files().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}
