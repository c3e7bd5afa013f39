//! What the kernel still has for a peer.

use std::os::fd::BorrowedFd;

use rustix::ioctl::{Getter, Opcode, ioctl};

/// `TIOCOUTQ`, which tcp(7) calls `SIOCOUTQ`.
const OUTPUT_QUEUE: Opcode = libc::TIOCOUTQ as Opcode;

/// How many bytes were written to a TCP socket that its peer has not acknowledged: on their way, or waiting for its window to open. `None`: that cannot be told of this socket.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> Option<usize> {
    // SAFETY: this opcode takes a pointer to an `int`, which it writes and does not read, and of which `Getter` has one that lives until the
    // call has returned. Every bit pattern is one of its values.
    #[allow(unsafe_code)]
    let len = unsafe { ioctl(socket, Getter::<OUTPUT_QUEUE, libc::c_int>::new()).ok()? };
    Some(usize::try_from(len).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_a_peer_has_no_room_for_is_counted_until_it_has_read() {
        const LEN: usize = 1 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        assert_eq!(unacknowledged(ours.as_fd()), Some(0));
        ours.set_nonblocking(true).unwrap();
        let written = ours.write(&[7; LEN]).unwrap();
        let left = unacknowledged(ours.as_fd()).unwrap();
        assert!(left > 0 && left <= written, "{left} of {written}");
        theirs.read_exact(&mut vec![0; written]).unwrap();
        while unacknowledged(ours.as_fd()).unwrap() > 0 {
            std::thread::yield_now();
        }
    }
}
