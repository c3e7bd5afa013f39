//! What a socket that listens is told.

use std::io;

use socket2::{Socket, TcpKeepalive};

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

/// How a peer's system is asked, after a silence, whether it still knows of the connection.
pub(crate) fn keep_alive(socket: &Socket, how: &TcpKeepalive) -> io::Result<()> {
    socket.set_tcp_keepalive(how)
}
