//! Several datagrams in one system call: the kernel hands over together what came together (GRO), and cuts what is sent together (GSO).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use mio::net::UdpSocket;
use rustix::io::Errno;
use socket2::SockAddr;

use crate::os::Received;

/// So many datagrams, at most, go out together.
pub(crate) const MOST_TOGETHER: usize = 64;

/// Room for one control message with an `int`, aligned as they are.
type Control = [u64; 4];

/// A system that does not know how goes on handing them over one by one.
pub(crate) fn receive_together(socket: &UdpSocket) {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads an `int` from where the pointer points, for the time of the call.
    #[allow(unsafe_code)]
    unsafe {
        let len = size_of_val(&on) as libc::socklen_t;
        let on = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_GRO, on, len);
    }
}

pub(crate) fn receive(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<Received> {
    let mut control = Control::default();
    let mut piece = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: all of a `msghdr` may be zero. The kernel writes no more into the name, the piece and the control messages than their
    // lengths say, and all three outlive the call; of the name it says how much that was. The control messages are walked by libc's own
    // macros, which stay within the length that the kernel has written, and the value of this one is an `int`.
    #[allow(unsafe_code)]
    let ((len, segment), peer) = unsafe {
        SockAddr::try_init(|name, name_len| {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_name = name.cast();
            header.msg_namelen = *name_len;
            header.msg_iov = &raw mut piece;
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut control).cast();
            header.msg_controllen = size_of_val(&control) as _;
            let len = libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0);
            let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
            *name_len = header.msg_namelen;
            let (mut segment, mut at) = (len, libc::CMSG_FIRSTHDR(&raw const header));
            while !at.is_null() {
                if ((*at).cmsg_level, (*at).cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO) {
                    let size: libc::c_int =
                        libc::CMSG_DATA(at).cast::<libc::c_int>().read_unaligned();
                    segment = usize::try_from(size).unwrap_or(len);
                }
                at = libc::CMSG_NXTHDR(&raw const header, at);
            }
            Ok((len, segment))
        })?
    };
    let peer = peer.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok(Received { len, segment, peer })
}

pub(crate) fn send(
    socket: &UdpSocket,
    bytes: &[u8],
    segment: usize,
    peer: SocketAddr,
) -> io::Result<usize> {
    let Some(segment) = u16::try_from(segment).ok().filter(|_| segment < bytes.len()) else {
        return socket.send_to(bytes, peer);
    };
    let (peer, mut control) = (SockAddr::from(peer), Control::default());
    let mut piece =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all of a `msghdr` may be zero. The kernel only reads what it points to, and all of that outlives the call. There is room
    // for the one control message with its 2 bytes, for it has room for 4.
    #[allow(unsafe_code)]
    let sent = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_name = peer.as_ptr().cast_mut().cast();
        header.msg_namelen = peer.len();
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as _) as _;
        let at = libc::CMSG_FIRSTHDR(&raw const header);
        (*at).cmsg_level = libc::SOL_UDP;
        (*at).cmsg_type = libc::UDP_SEGMENT;
        (*at).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as _) as _;
        libc::CMSG_DATA(at).cast::<u16>().write_unaligned(segment);
        libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// How long datagrams may be that go out together, once some of `segment` bytes have not: a device may be unable to cut, and none cuts
/// into what is longer than its frames.
pub(crate) fn longest_together(error: &io::Error, segment: usize) -> usize {
    match Errno::from_io_error(error) {
        Some(Errno::IO) => 0,
        Some(Errno::INVAL | Errno::MSGSIZE) => segment.saturating_sub(1),
        _ => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = socket.local_addr().unwrap();
        (socket, addr)
    }

    #[test]
    fn where_together_fails_less_goes_together() {
        for (errno, longest) in [
            (Errno::IO, 0),
            (Errno::MSGSIZE, 2999),
            (Errno::INVAL, 2999),
            (Errno::PERM, usize::MAX),
        ] {
            assert_eq!(longest_together(&errno.into(), 3000), longest);
        }
    }

    #[test]
    fn what_is_sent_together_comes_together_or_one_by_one() {
        let ((from, peer), (to, addr)) = (socket(), socket());
        let mut buf = [0; 100];
        // To one that does not ask for it each comes alone.
        assert_eq!(send(&from, b"aaabbbc", 3, addr).unwrap(), 7);
        for datagram in [&b"aaa"[..], b"bbb", b"c"] {
            let len = datagram.len();
            assert_eq!(receive(&to, &mut buf).unwrap(), Received { len, segment: len, peer });
            assert_eq!(&buf[..len], datagram);
        }
        receive_together(&to);
        send(&from, b"aaabbbc", 3, addr).unwrap();
        assert_eq!(receive(&to, &mut buf).unwrap(), Received { len: 7, segment: 3, peer });
        assert_eq!(&buf[..7], b"aaabbbc");
        send(&from, b"", 0, addr).unwrap();
        assert_eq!(receive(&to, &mut buf).unwrap(), Received { len: 0, segment: 0, peer });
        let none = receive(&to, &mut buf).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
    }
}
