//! What each system does in its own way. The rest of the crate speaks of it through here alone.
//!
//! Every system has the same items: `unix` or `windows`, and with it `linux` or `portable`. What a system lacks is an error that says so, or is
//! done in a slower way.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(not(any(unix, windows)))]
compile_error!("anywire-std needs a Unix or Windows: sockets that can be waited for, and files");

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::*;

/// What can be waited for: a descriptor; on Windows a socket.
pub(crate) use rustix::fd::{AsFd, BorrowedFd};

/// What one system call received from a UDP socket: `len` bytes, of which each datagram has `segment`, and the last one perhaps fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) len: usize,
    pub(crate) segment: usize,
    pub(crate) peer: std::net::SocketAddr,
}

/// What has a name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file,
    File,
    /// or something else: a folder, a link, a device.
    Other,
}

/// Why something cannot be done with a file, as far as that makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    NotFound,
    Exists,
    NotAFile,
    Denied,
    Full,
    /// There are too many open files.
    Shortage,
    Other,
}
