//! One datagram service and its socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anywire_core::datagram::DatagramService;
use anywire_core::event::Event;
use mio::net::UdpSocket;

use super::{Link, LinkHost, Observer, Protocol};
use crate::clock;

/// So many datagrams are answered before others have their turn.
const BATCH: usize = 64;

pub(super) struct Datagrams<D> {
    service: D,
    socket: UdpSocket,
    local: SocketAddr,
    observer: Arc<dyn Observer>,
    scratch: Vec<u8>,
    /// A reply that the socket has not taken yet, and to what. While there is one, none is received: replies are not lost here.
    pending: Option<(Vec<u8>, Question)>,
}

/// What is answered: who asked, in how many bytes.
#[derive(Clone, Copy)]
struct Question {
    link: Link,
    len: usize,
}

/// A [`Datagrams`] of any service.
pub(super) trait Served: Send {
    fn socket(&mut self) -> &mut UdpSocket;
    /// Answers what has come, and says how many there were and whether there may be more.
    fn serve(&mut self, buf: &mut [u8], max: usize) -> (usize, bool);
}

impl<D: DatagramService> Datagrams<D> {
    pub(super) fn new(
        service: D,
        socket: UdpSocket,
        local: SocketAddr,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { service, socket, local, observer, scratch: vec![0; D::SCRATCH], pending: None }
    }

    /// Whether the socket is done with the reply.
    fn send(&mut self, reply: &[u8], question: Question) -> bool {
        let Question { link, len } = question;
        let peer = link.peer;
        match self.socket.send_to(reply, peer) {
            Ok(sent) => {
                let answered = Event::Answered { received: len as u64, sent: sent as u64 };
                self.observer.observe(&link, answered);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                tracing::debug!(service = D::ABOUT.name, %peer, %error, "a datagram cannot be sent");
                true
            }
        }
    }
}

impl<D: DatagramService + Send> Served for Datagrams<D> {
    fn socket(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    fn serve(&mut self, buf: &mut [u8], max: usize) -> (usize, bool) {
        if let Some((reply, question)) = self.pending.take()
            && !self.send(&reply, question)
        {
            self.pending = Some((reply, question));
            return (0, false);
        }
        // IPv6 carries a few bytes more than IPv4's `MAX_DATAGRAM`.
        let room = buf.len().min(1 << 16);
        let Some(buf) = buf.get_mut(..room) else { return (0, false) };
        let since = clock::now();
        for served in 0..max.min(BATCH) {
            let (len, peer) = match self.socket.recv_from(buf) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (served, false),
                Err(error) => {
                    // Of an earlier send, to a port where nobody listens, say.
                    tracing::debug!(service = D::ABOUT.name, %error, "a datagram cannot be received");
                    return (served, true);
                }
            };
            let (service, local) = (D::ABOUT.name, self.local);
            let link = Link { service, protocol: Protocol::Udp, local, peer, since };
            let mut host = LinkHost { link: &link, observer: &*self.observer };
            let mut scratch = std::mem::take(&mut self.scratch);
            let datagram = buf.get(..len).unwrap_or_default();
            if let Some(reply) = self.service.answer(datagram, &mut scratch, peer, &mut host)
                && !self.send(reply, Question { link, len })
            {
                self.pending = Some((reply.to_vec(), Question { link, len }));
                self.scratch = scratch;
                return (served + 1, false);
            }
            self.scratch = scratch;
        }
        (max.min(BATCH), true)
    }
}
