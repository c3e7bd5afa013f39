//! Any system but Linux: what it has besides, done by what the standard library knows.

use std::io;
use std::net::SocketAddr;

use anyhow::{Result, bail};
use mio::Interest;
use mio::net::UdpSocket;

use super::{BorrowedFd, Received};
use crate::engine::{HostReader, HostWriter, Sent};
use crate::folder::{FolderReader, FolderWriter};

/// Events come again only when there is more: a read must say that it would block.
pub(crate) const SHORT_READ_IS_LAST: bool = false;

/// So it is for writes on Windows, where no event comes before a call that would block. kqueue tells of room by itself.
pub(crate) const SHORT_WRITE_IS_LAST: bool = cfg!(unix);

/// What is accepted may lack its listener's options.
pub(crate) const INHERITS_OPTIONS: bool = false;

/// Of a connection, all that an event may tell. Urgent data is in the stream, and nothing is told of it.
pub(crate) const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The number of a network interface: that is not asked for here.
pub(crate) fn interface(name: &str) -> Result<u32> {
    #[cfg(unix)]
    const BY: &str = "ifconfig -v";
    #[cfg(windows)]
    const BY: &str = "netsh interface show interface";
    bail!("on this system an interface is given by its number ({BY}), not as {name:?}")
}

/// How many bytes a peer has not acknowledged: that is not asked for here, so one that takes its bytes slowly, and lets none of them be
/// written for as long as the limit, is idle.
pub(crate) fn unacknowledged(_: BorrowedFd<'_>) -> Option<usize> {
    None
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
        super::is_unlinked(&self.file)
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
