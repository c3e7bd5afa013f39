//! What a socket that listens is told.

use std::io;

use socket2::{Socket, TcpKeepalive};

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

/// How a peer's system is asked, after a silence, whether it still knows of the connection. Before Windows 10 (1703) how often it is asked
/// cannot be said: that comes last, and all else is set.
pub(crate) fn keep_alive(socket: &Socket, how: &TcpKeepalive) -> io::Result<()> {
    const WSAENOPROTOOPT: i32 = 10042;
    match socket.set_tcp_keepalive(how) {
        Err(error) if error.raw_os_error() == Some(WSAENOPROTOOPT) => Ok(()),
        done => done,
    }
}
