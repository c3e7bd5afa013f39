//! What each system does in its own way: here is all that only Linux has, and what any other Unix does instead.
//!
//! Both have the same items. What a system lacks is an error that says so, or is done in a slower way.

#[cfg(not(unix))]
compile_error!("anywire-std needs a Unix: descriptors, poll(2), openat(2) and signals");

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(all(unix, not(target_os = "linux")))]
mod portable;
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) use portable::*;

/// What one system call received from a UDP socket: `len` bytes, of which each datagram has `segment`, and the last one perhaps fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) len: usize,
    pub(crate) segment: usize,
    pub(crate) peer: std::net::SocketAddr,
}
