//! Datagrams, so many on their way at a time, one by one or cut by the kernel from large ones (GSO).

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::server::Server;

/// Bytes of a datagram.
const LEN: usize = 64;
/// Datagrams of one system call.
const BATCH: usize = 64;
/// What is on its way: the kernel's default buffer has room for so many.
const WINDOW: usize = 4 * BATCH;

pub(crate) struct Datagrams {
    socket: UdpSocket,
    gso: bool,
}

impl Datagrams {
    pub(crate) fn new(server: &Server, gso: bool) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server.addr)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        if gso {
            set(&socket, libc::UDP_SEGMENT, LEN as i32)?;
            set(&socket, libc::UDP_GRO, 1)?;
        }
        Ok(Self { socket, gso })
    }

    /// Datagrams that came back per second, and the server's CPU for each in µs.
    pub(crate) fn round(&mut self, server: &Server, long: Duration) -> Result<Vec<f64>> {
        let mut large = vec![0; 1 << 16];
        let mut batch = Batch::new();
        let cpu = server.cpu()?;
        let begun = Instant::now();
        let (mut count, mut under_way, mut sending) = (0, 0_usize, true);
        while sending || under_way > 0 {
            while sending && under_way + BATCH <= WINDOW {
                if self.gso {
                    self.socket.send(&large[..BATCH * LEN])?;
                } else {
                    batch.send(&self.socket)?;
                }
                under_way += BATCH;
            }
            let received = if self.gso {
                // Datagrams that were cut alike come together.
                self.socket.recv(&mut large).map(|n| n / LEN)
            } else {
                batch.receive(&self.socket)
            };
            match received {
                Ok(n) => {
                    count += n;
                    under_way = under_way.saturating_sub(n);
                }
                // The rest is lost.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => under_way = 0,
                Err(error) => return Err(error.into()),
            }
            sending = begun.elapsed() < long;
        }
        let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), server.cpu()? - cpu);
        let count = count as f64;
        Ok(vec![count / elapsed, cpu.as_secs_f64() * 1e6 / count])
    }
}

fn set(socket: &UdpSocket, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the kernel reads an int from where the pointer points, for the time of the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as u32,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams for one system call.
struct Batch {
    headers: Vec<libc::mmsghdr>,
    _pieces: Vec<libc::iovec>,
    _data: Vec<[u8; LEN]>,
}

impl Batch {
    fn new() -> Self {
        let mut data = vec![[7; LEN]; BATCH];
        let mut pieces: Vec<_> = data
            .iter_mut()
            .map(|datagram| libc::iovec { iov_base: datagram.as_mut_ptr().cast(), iov_len: LEN })
            .collect();
        let headers = pieces
            .iter_mut()
            .map(|piece| {
                // SAFETY: all zeros are an empty header.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = piece;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { headers, _pieces: pieces, _data: data }
    }

    fn send(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let (fd, count) = (socket.as_raw_fd(), BATCH as u32);
        // SAFETY: `BATCH` headers, whose pieces and data live as long as they do.
        let sent = unsafe { libc::sendmmsg(fd, self.headers.as_mut_ptr(), count, 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let (fd, count) = (socket.as_raw_fd(), BATCH as u32);
        let (headers, limit) = (self.headers.as_mut_ptr(), std::ptr::null_mut());
        // SAFETY: as above.
        let got = unsafe { libc::recvmmsg(fd, headers, count, libc::MSG_WAITFORONE, limit) };
        if got < 0 { Err(io::Error::last_os_error()) } else { Ok(got as usize) }
    }
}
