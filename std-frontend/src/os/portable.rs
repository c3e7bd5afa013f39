//! Any Unix but Linux: the items of [`super`] by POSIX, and by what macOS has besides.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use anyhow::{Result, bail};
use mio::Interest;
use mio::net::UdpSocket;
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::engine::{HostReader, HostWriter, Sent};
use crate::folder::{FolderReader, FolderWriter};
use crate::os::Received;

/// kqueue's events come again only when there is more: a read must say that it would block.
pub(crate) const SHORT_READ_IS_LAST: bool = false;

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

/// Of a connection, all that an event may tell. Urgent data is in the stream, and nothing is told of it.
pub(crate) const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE);

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

/// The number of a network interface: that is not asked for here.
pub(crate) fn interface(name: &str) -> Result<u32> {
    bail!("on this system an interface is given by its number (ifconfig -v), not as {name:?}")
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

/// How many bytes a peer has not acknowledged: that is not asked for here, so one that takes its bytes slowly, and lets none of them be
/// written for as long as the limit, is idle.
pub(crate) fn unacknowledged(_: BorrowedFd<'_>) -> Result<usize, Errno> {
    Err(Errno::NOSYS)
}

/// The system does not tell.
pub(crate) fn open_files() -> Option<u64> {
    None
}

/// The system does not tell.
pub(crate) fn resident_len() -> Option<u64> {
    None
}

/// Files are read and written here, by the program.
impl HostReader for FolderReader {
    type ReadAhead = fn();

    fn send(&mut self, _: BorrowedFd<'_>, _: usize) -> io::Result<Sent<fn()>> {
        Ok(Sent::Unsupported)
    }

    fn is_slow_to_close(&self) -> bool {
        rustix::fs::fstat(&*self.file).is_ok_and(|stat| stat.st_nlink == 0)
    }
}

/// By the default: the bytes are read and written.
impl HostWriter for FolderWriter {}

/// Each datagram goes out alone.
pub(crate) const MOST_TOGETHER: usize = 1;

/// Each comes alone, too.
pub(crate) fn receive_together(_: &UdpSocket) {}

pub(crate) fn receive(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<Received> {
    let (len, peer) = socket.recv_from(buf)?;
    Ok(Received { len, segment: len, peer })
}

pub(crate) fn send(
    socket: &UdpSocket,
    bytes: &[u8],
    _: usize,
    peer: SocketAddr,
) -> io::Result<usize> {
    socket.send_to(bytes, peer)
}

/// None go out together.
pub(crate) fn longest_together(_: &io::Error, _: usize) -> usize {
    0
}
