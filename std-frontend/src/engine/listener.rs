//! Sockets that wait for peers.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use crate::os;
use crate::shim::reset_on_close;

/// `count` listeners on one address, among which the kernel spreads the connections. Those are `armed` from the beginning if the
/// listener is: the process may die between accepting one and arming it.
pub(super) fn streams(
    addr: SocketAddr,
    backlog: i32,
    count: usize,
    armed: bool,
) -> io::Result<Vec<mio::net::TcpListener>> {
    let from_std = mio::net::TcpListener::from_std;
    if count <= 1 {
        return Ok(vec![from_std(listen(addr, backlog, false, armed)?)]);
    }
    if !os::SHARES_PORTS {
        // All of them wait for the same one, and whoever is first has the connection.
        let one = listen(addr, backlog, false, armed)?;
        return (0..count).map(|_| Ok(from_std(one.try_clone()?))).collect();
    }
    // Sockets that share a port do not see that somebody else's, with our rights, share it already: probe without.
    let addr = listen(addr, backlog, false, armed)?.local_addr()?;
    (0..count).map(|_| Ok(from_std(listen(addr, backlog, true, armed)?))).collect()
}

/// After a minute of silence the peer's system is asked whether it still knows of the connection, every 10 s, 3 times.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

fn listen(addr: SocketAddr, backlog: i32, shared: bool, armed: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    os::reuse_address(&socket)?;
    os::share_port(&socket, shared)?;
    both_families(&socket, addr)?;
    // What is accepted inherits these.
    if os::INHERITS_OPTIONS {
        socket.set_tcp_nodelay(true)?;
    }
    reset_on_close(SockRef::from(&socket), armed);
    serve_on(SockRef::from(&socket))?;
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// What a connection of a server needs; from a listener it is inherited.
pub(crate) fn serve_on(socket: SockRef<'_>) -> io::Result<()> {
    // A peer that has vanished without a word is noticed, even where silence is allowed.
    os::keep_alive(&socket, &KEEP_ALIVE)?;
    // Urgent data is data: nobody here takes it out of order.
    socket.set_out_of_band_inline(true)
}

/// A socket for datagrams, with buffers for bursts.
pub(super) fn datagrams(addr: SocketAddr) -> io::Result<mio::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
    both_families(&socket, addr)?;
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    // The kernel gives what it allows.
    socket.set_recv_buffer_size(BURST)?;
    socket.set_send_buffer_size(BURST)?;
    Ok(mio::net::UdpSocket::from_std(socket.into()))
}

/// Bytes of datagrams that may wait in the kernel.
const BURST: usize = 4 << 20;

/// `[::]` takes IPv4 too, on every system.
fn both_families(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    match addr {
        SocketAddr::V6(addr) if addr.ip().is_unspecified() => socket.set_only_v6(false),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// Nothing of it is asked for when a connection is accepted.
    #[test]
    fn what_is_accepted_inherits_what_the_contract_needs() {
        for armed in [false, true] {
            let listener = &streams("127.0.0.1:0".parse().unwrap(), 1, 1, armed).unwrap()[0];
            let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let accepted = listener.accept().unwrap().0;
            let accepted = SockRef::from(&accepted);
            assert!(accepted.keepalive().unwrap() && accepted.out_of_band_inline().unwrap());
            assert_eq!(accepted.tcp_nodelay().unwrap(), os::INHERITS_OPTIONS);
            // Windows does not tell.
            #[cfg(unix)]
            {
                assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
                assert_eq!(accepted.tcp_keepalive_retries().unwrap(), 3);
            }
            assert_eq!(accepted.linger().unwrap(), armed.then_some(Duration::ZERO));
        }
    }
}
