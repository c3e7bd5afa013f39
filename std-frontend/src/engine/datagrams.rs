//! One datagram service and its socket.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anywire_core::datagram::DatagramService;
use anywire_core::event::Event;
use mio::net::UdpSocket;

use super::{Link, LinkHost, Observer, Protocol};
use crate::clock;
use crate::os::{self, Received};

/// So many datagrams are answered before others have their turn.
const BATCH: usize = 256;

/// Replies that go out together have so many bytes at most: what one datagram can have.
const TOGETHER: usize = anywire_core::datagram::MAX_DATAGRAM;

pub(super) struct Datagrams<D> {
    service: D,
    socket: UdpSocket,
    local: SocketAddr,
    observer: Arc<dyn Observer>,
    scratch: Vec<u8>,
    /// To be sent when there is nothing more to receive, or with what comes next.
    gathered: Replies,
    /// Replies that the socket has not taken yet. While there are any, nothing is received: replies are not lost here.
    pending: VecDeque<Replies>,
    /// Longer ones go alone: a device may not be able to cut what goes out together.
    longest: usize,
}

/// Replies to one peer, of one size but for the last, which may be shorter.
#[derive(Default)]
struct Replies {
    /// `None`: there are none.
    link: Option<Link>,
    bytes: Vec<u8>,
    segment: usize,
    /// The lengths of what is answered.
    received: Vec<usize>,
}

/// A [`Datagrams`] of any service.
pub(super) trait Served: Send {
    fn socket(&mut self) -> &mut UdpSocket;
    /// Whether it waits until the socket takes its replies.
    fn is_blocked(&self) -> bool;
    /// Answers what has come, and says how many there were and whether there may be more.
    fn serve(&mut self, buf: &mut [u8], max: usize) -> (usize, bool);
}

impl Replies {
    /// Whether a reply to `link` can go out with those that are here.
    fn have_room_for(&self, link: &Link, reply: &[u8], longest: usize) -> bool {
        let Some(gathered) = &self.link else { return true };
        let full = self.bytes.len() == self.segment * self.received.len();
        gathered.peer == link.peer
            && full
            && self.segment <= longest
            && (1..=self.segment).contains(&reply.len())
            && self.received.len() < os::MOST_TOGETHER
            && self.bytes.len() + reply.len() <= TOGETHER
    }

    fn push(&mut self, link: &Link, reply: &[u8], received: usize) {
        if self.link.is_none() {
            (self.link, self.segment) = (Some(*link), reply.len());
        }
        self.bytes.extend_from_slice(reply);
        self.received.push(received);
    }

    fn clear(&mut self) {
        self.link = None;
        self.bytes.clear();
        self.received.clear();
    }

    /// Each with the length of what it answers.
    fn each(&self) -> impl DoubleEndedIterator<Item = (&[u8], usize)> {
        let reply = |at: usize| {
            let from = at * self.segment;
            let to = (from + self.segment).min(self.bytes.len());
            self.bytes.get(from..to).unwrap_or_default()
        };
        self.received.iter().enumerate().map(move |(at, received)| (reply(at), *received))
    }
}

impl<D: DatagramService> Datagrams<D> {
    pub(super) fn new(
        service: D,
        socket: UdpSocket,
        local: SocketAddr,
        observer: Arc<dyn Observer>,
    ) -> Self {
        os::receive_together(&socket);
        Self {
            service,
            socket,
            local,
            observer,
            scratch: vec![0; D::SCRATCH],
            gathered: Replies::default(),
            pending: VecDeque::new(),
            longest: usize::MAX,
        }
    }

    /// Answers what came from one peer at once, up to `max` datagrams of it, and says how many those were. The last replies are
    /// [to be sent](Self::send_gathered) yet.
    fn answer(&mut self, bytes: &[u8], segment: usize, link: &Link, max: usize) -> usize {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (mut left, mut answered) = (bytes, 0);
        while answered == 0 || (!left.is_empty() && answered < max) {
            let (datagram, rest) = left.split_at(segment.max(1).min(left.len()));
            left = rest;
            answered += 1;
            let mut host = LinkHost { link, observer: &*self.observer };
            let reply = self.service.answer(datagram, &mut scratch, link.peer, &mut host);
            let Some(reply) = reply else { continue };
            if !self.gathered.have_room_for(link, reply, self.longest) {
                self.send_gathered();
            }
            self.gathered.push(link, reply, datagram.len());
        }
        self.scratch = scratch;
        answered
    }

    fn send_gathered(&mut self) {
        let replies = std::mem::take(&mut self.gathered);
        self.gathered = self.send(replies);
    }

    /// Sends them, or keeps what the socket does not take. What comes back is empty, for the next ones.
    fn send(&mut self, mut replies: Replies) -> Replies {
        let Some(link) = replies.link else { return replies };
        if !self.pending.is_empty() {
            self.pending.push_back(replies);
            return Replies::default();
        }
        match os::send(&self.socket, &replies.bytes, replies.segment, link.peer) {
            Ok(_) => {
                for (reply, received) in replies.each() {
                    let (received, sent) = (received as u64, reply.len() as u64);
                    self.observer.observe(&link, Event::Answered { received, sent });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.pending.push_back(replies);
                return Replies::default();
            }
            Err(error) if replies.received.len() > 1 => {
                self.longest = self.longest.min(os::longest_together(&error, replies.segment));
                for (reply, received) in replies.each() {
                    let mut one = Replies::default();
                    one.push(&link, reply, received);
                    self.send(one);
                }
            }
            Err(error) => {
                let (service, peer) = (D::ABOUT.name, link.peer);
                tracing::debug!(service, %peer, %error, "a datagram cannot be sent");
            }
        }
        replies.clear();
        replies
    }

    /// Sends what is pending, and says whether that was all.
    fn flush(&mut self) -> bool {
        for replies in std::mem::take(&mut self.pending) {
            self.send(replies);
        }
        self.pending.is_empty()
    }

    /// Receives and answers up to `max`, and says how many there were and whether there may be more.
    fn receive(&mut self, buf: &mut [u8], max: usize) -> (usize, bool) {
        let since = clock::now();
        let mut served = 0;
        while served < max && self.pending.is_empty() {
            let Received { len, segment, peer } = match os::receive(&self.socket, buf) {
                Ok(received) => received,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return (served, false),
                    io::ErrorKind::Interrupted => continue,
                    _ => {
                        // Of an earlier send, to a port where nobody listens, say.
                        let service = D::ABOUT.name;
                        tracing::debug!(service, %error, "a datagram cannot be received");
                        return (served, true);
                    }
                },
            };
            let (service, local) = (D::ABOUT.name, self.local);
            let link = Link { service, protocol: Protocol::Udp, local, peer, since };
            let bytes = buf.get(..len).unwrap_or_default();
            served += self.answer(bytes, segment, &link, max - served);
        }
        (served, true)
    }
}

impl<D: DatagramService + Send> Served for Datagrams<D> {
    fn socket(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    fn is_blocked(&self) -> bool {
        !self.pending.is_empty()
    }

    fn serve(&mut self, buf: &mut [u8], max: usize) -> (usize, bool) {
        if !self.flush() {
            return (0, false);
        }
        // IPv6 carries a few bytes more than IPv4's `MAX_DATAGRAM`.
        let room = buf.len().min(1 << 16);
        let Some(buf) = buf.get_mut(..room) else { return (0, false) };
        let (served, more) = self.receive(buf, max.min(BATCH));
        self.send_gathered();
        (served, more && self.pending.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use anywire_core::event::Host;
    use anywire_core::service::About;
    use anywire_core::service::echo::Echo;

    use super::*;

    /// Says everything but `x`, and twice what begins with `d`.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    struct Picky;

    impl DatagramService for Picky {
        const ABOUT: About = <Echo as DatagramService>::ABOUT;
        const SCRATCH: usize = 64;

        fn answer<'a>(
            &mut self,
            datagram: &'a [u8],
            scratch: &'a mut [u8],
            _: SocketAddr,
            _: &mut dyn Host,
        ) -> Option<&'a [u8]> {
            match datagram {
                [b'x', ..] => None,
                [b'd', ..] => {
                    let len = 2 * datagram.len();
                    scratch[..len].copy_from_slice(&[datagram, datagram].concat());
                    Some(&scratch[..len])
                }
                _ => Some(datagram),
            }
        }
    }

    fn socket() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = socket.local_addr().unwrap();
        (socket, addr)
    }

    /// What comes back of `bytes`, sent as datagrams of `segment` bytes, from a service that is allowed to answer `max` of them.
    fn answers(
        service: impl DatagramService + Send,
        bytes: &[u8],
        segment: usize,
        max: usize,
        alone: bool,
    ) -> Vec<Vec<u8>> {
        let ((client, _), (server, addr)) = (socket(), socket());
        let mut served = Datagrams::new(service, server, addr, Arc::new(()));
        if alone {
            served.longest = 0;
        }
        os::send(&client, bytes, segment, addr).unwrap();
        let (answered, _) = served.serve(&mut [0; 1 << 16], max);
        assert_eq!(answered, max.min(bytes.len().div_ceil(segment.max(1)).max(1)));
        let mut buf = [0; 1 << 16];
        let received = || client.recv(&mut buf).ok().map(|len| buf[..len].to_vec());
        std::iter::from_fn(received).collect()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_came_together_is_answered_one_by_one() {
        for alone in [false, true] {
            let all = |bytes: &[u8]| answers(Echo, bytes, 3, 100, alone);
            assert_eq!(all(b"aaabbbccccc"), [&b"aaa"[..], b"bbb", b"ccc", b"cc"]);
            let picky = |bytes: &[u8]| answers(Picky, bytes, 3, 100, alone);
            assert_eq!(picky(b"aaaxxxbbbdddeeef"), [&b"aaa"[..], b"bbb", b"dddddd", b"eee", b"f"]);
            assert_eq!(answers(Echo, b"aaabbbccc", 3, 2, alone), [&b"aaa"[..], b"bbb"]);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_came_one_by_one_is_answered_together_to_each_peer() {
        let ((a, to_a), (b, to_b), (server, addr)) = (socket(), socket(), socket());
        for client in [&a, &b] {
            os::receive_together(client);
        }
        let mut served = Datagrams::new(Echo, server, addr, Arc::new(()));
        for (client, datagram) in [(&a, "a1"), (&a, "a2"), (&b, "b1"), (&a, "a3"), (&a, "a4")] {
            client.send_to(datagram.as_bytes(), addr).unwrap();
        }
        assert_eq!(served.serve(&mut [0; 1 << 16], 100), (5, false));
        let together = |client: &UdpSocket| {
            let mut buf = [0; 100];
            let Received { len, segment, peer } = os::receive(client, &mut buf).unwrap();
            assert_eq!(peer, addr);
            (String::from_utf8(buf[..len].to_vec()).unwrap(), segment)
        };
        assert_ne!(to_a, to_b);
        assert_eq!(together(&a), ("a1a2".into(), 2));
        assert_eq!(together(&b), ("b1".into(), 2));
        assert_eq!(together(&a), ("a3a4".into(), 2));
    }

    #[test]
    fn empty_ones_and_the_largest_are_answered_too() {
        let large = vec![7; TOGETHER];
        assert_eq!(answers(Echo, b"", 0, 100, false), [b""]);
        assert_eq!(answers(Echo, &large, large.len(), 100, false), [large]);
    }
}
