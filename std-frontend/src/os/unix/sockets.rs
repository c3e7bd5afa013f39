//! What a socket that listens is told.

use std::io;

use socket2::Socket;

/// Whether several sockets can listen on one address, and the system spreads the connections among them.
pub(crate) const SHARES_PORTS: bool = true;

/// A server that restarts need not wait for the last connections' TIME-WAIT.
pub(crate) fn reuse_address(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// Whether the address is shared with others that say so.
pub(crate) fn share_port(socket: &Socket, shared: bool) -> io::Result<()> {
    socket.set_reuse_port(shared)
}
