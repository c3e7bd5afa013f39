//! What a socket that listens is told.

use std::io;

use socket2::Socket;

/// Several sockets on one address would take each other's connections.
pub(crate) const SHARES_PORTS: bool = false;

/// No server has to wait for TIME-WAIT here; what has that name would let others in.
pub(crate) fn reuse_address(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// It never is.
pub(crate) fn share_port(_: &Socket, _: bool) -> io::Result<()> {
    Ok(())
}
