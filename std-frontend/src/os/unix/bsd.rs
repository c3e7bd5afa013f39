//! Any Unix but Linux: by what macOS has besides POSIX.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::SendFlags;

/// Rust's programs ignore SIGPIPE, so nothing need be said of it.
pub(crate) const SEND: SendFlags = SendFlags::DONTWAIT;

/// Whether a socket is one that connections are accepted from. Where that cannot be asked (on macOS) it shows later: it has no peer.
pub(crate) fn listens(socket: BorrowedFd<'_>) -> Result<bool, Errno> {
    #[cfg(target_vendor = "apple")]
    {
        let _ = socket;
        Ok(false)
    }
    #[cfg(not(target_vendor = "apple"))]
    rustix::net::sockopt::socket_acceptconn(socket)
}

/// This program, by the name that it was started by.
pub(crate) fn this_program() -> PathBuf {
    std::env::current_exe()
        .unwrap_or_else(|_| std::env::args_os().next().unwrap_or_default().into())
}

/// Where a folder that is open here is now.
#[cfg(target_vendor = "apple")]
pub(crate) fn path_of(folder: &impl AsFd) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt;

    let path = rustix::fs::getpath(folder)?;
    Ok(std::ffi::OsString::from_vec(path.into_bytes()).into())
}

/// Where a folder that is open here is now: that cannot be asked.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn path_of(_: &impl AsFd) -> io::Result<PathBuf> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system does not say where an open folder is: the engine `processes` cannot serve files here",
    ))
}

/// Renames a file in a folder if nothing has that name: where that cannot be done in one step, it is `NOSYS`.
pub(crate) fn rename_new(folder: &impl AsFd, from: &str, to: &str) -> Result<(), Errno> {
    #[cfg(target_vendor = "apple")]
    return rustix::fs::renameat_with(folder, from, folder, to, rustix::fs::RenameFlags::NOREPLACE);
    #[cfg(not(target_vendor = "apple"))]
    {
        let _ = (folder, from, to);
        Err(Errno::NOSYS)
    }
}
