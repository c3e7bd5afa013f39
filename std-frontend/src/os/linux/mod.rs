//! Linux.

mod segments;
mod transfer;
mod unsent;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

use anyhow::{Context, Result};
use mio::Interest;
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;

pub(crate) use segments::{MOST_TOGETHER, longest_together, receive, receive_together, send};
pub(crate) use unsent::unacknowledged;

/// Whether a read that fills less than its buffer has emptied the socket, so that the next event will tell of more: so on
/// epoll, epoll(7) says. Elsewhere a read must say that it would block.
pub(crate) const SHORT_READ_IS_LAST: bool = true;

/// The same for a write that takes less than it was given, and room.
pub(crate) const SHORT_WRITE_IS_LAST: bool = true;

/// Whether what is accepted has its listener's options, for certain: it need not be given them then.
pub(crate) const INHERITS_OPTIONS: bool = true;

/// How bytes are sent to a socket that may block, and that may be gone.
pub(crate) const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Whether a socket is one that connections are accepted from.
pub(crate) fn listens(socket: BorrowedFd<'_>) -> Result<bool, Errno> {
    rustix::net::sockopt::socket_acceptconn(socket)
}

/// Of a connection, all that an event may tell: of urgent data too.
pub(crate) const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);

/// This very program, though there may be another under its name by now.
pub(crate) fn this_program() -> PathBuf {
    "/proc/self/exe".into()
}

/// Where a process that is being started finds a folder that is open here, wherever that is by now: its working directory can begin there.
pub(crate) fn path_of(folder: &impl AsFd) -> io::Result<PathBuf> {
    Ok(format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()).into())
}

/// The number of a network interface.
pub(crate) fn interface(name: &str) -> Result<u32> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv6Addr::UNSPECIFIED, 0))?;
    rustix::net::netdevice::name_to_index(&socket, name)
        .with_context(|| format!("there is no interface {name:?}"))
}

/// Renames a file in a folder if nothing has that name. Not every file system knows of that: `INVAL` or `NOSYS`.
pub(crate) fn rename_new(folder: &impl AsFd, from: &str, to: &str) -> Result<(), Errno> {
    rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE)
}

/// Descriptors that are open in this process; `None`: the system does not tell.
pub(crate) fn open_files() -> Option<u64> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One of them is this look.
    Some(open.saturating_sub(1))
}

/// Bytes of this process's memory that are resident; `None`: the system does not tell.
pub(crate) fn resident_len() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}
