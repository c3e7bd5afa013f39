//! A datagram service on a port, and asking one.

use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;

use anywire_core::datagram::{DatagramService, MAX_DATAGRAM};
use anywire_core::event::Event;
use anywire_core::instant::Instant;
use anywire_core::store::Store;
use smoltcp::config::FRAGMENTATION_BUFFER_SIZE;
use smoltcp::socket::udp::{
    BindError, PacketBuffer, PacketMetadata, SendError, Socket, UdpMetadata,
};
use smoltcp::wire::{IpAddress, IpEndpoint, IpListenEndpoint};

use crate::endpoint::{Counts, Endpoint, Kit};
use crate::observer::{Connection, Kind, Told};
use crate::sockets::Handle;
use crate::stack::Stack;

/// The memory of a datagram socket. Each side holds as many datagrams as it has `slots`, and as many bytes as it has bytes:
/// 65,507 and more for the largest.
#[derive(Debug)]
pub struct Memory<'a> {
    /// A place for each datagram that has come and not been read.
    pub receive_slots: &'a mut [PacketMetadata],
    /// Their bytes.
    pub receive: &'a mut [u8],
    /// A place for each that is to be sent.
    pub send_slots: &'a mut [PacketMetadata],
    /// Their bytes.
    pub send: &'a mut [u8],
}

impl Memory<'_> {
    /// How many bytes it takes with so many slots and so many bytes each way, less what the stack has for the socket.
    pub const fn size(slots: usize, bytes: usize) -> usize {
        2 * (slots * size_of::<PacketMetadata>() + bytes)
    }
}

impl<'a> Memory<'a> {
    fn socket(self) -> Socket<'a> {
        let receive = PacketBuffer::new(self.receive_slots, self.receive);
        Socket::new(receive, PacketBuffer::new(self.send_slots, self.send))
    }
}

/// A datagram service on a port of a stack.
///
/// An answer that there is no room for is dropped and counted, as is one that the network cannot carry: over IPv4
/// [`MAX_ANSWER`] bytes, over IPv6 what fits into one frame.
#[derive(Debug)]
pub struct Datagrams<V> {
    service: V,
    listen: IpListenEndpoint,
    handle: Handle,
    answered: u64,
    dropped: u64,
    retired: bool,
    /// The send buffer has held so many bytes since then.
    stuck: Option<(Instant, usize)>,
}

/// The longest answer over IPv4, in bytes: as long as smoltcp can fragment.
pub const MAX_ANSWER: usize = if FRAGMENTATION_BUFFER_SIZE < MAX_DATAGRAM + HEADERS_V4 {
    FRAGMENTATION_BUFFER_SIZE - HEADERS_V4
} else {
    MAX_DATAGRAM
};
const HEADERS_V4: usize = 28;
const HEADERS_V6: usize = 48;

/// An answer to a neighbour that is not there stands in the way of all others: smoltcp keeps it until the neighbour is found. After
/// so long all that waits is dropped.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a datagram service cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatagramsError {
    /// The port is 0.
    Port,
    /// The stack has no room for another socket.
    Sockets,
    /// The stack's `hold` scratch is shorter than what the service builds its answers in.
    Hold {
        /// Bytes lent.
        len: usize,
        /// Bytes needed.
        needed: usize,
    },
}

impl core::fmt::Display for DatagramsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Port => f.write_str("a datagram service needs a port other than 0"),
            Self::Sockets => f.write_str("the stack has no room for another socket"),
            Self::Hold { len, needed } => {
                write!(f, "a hold scratch of {len} bytes; the service needs {needed}")
            }
        }
    }
}

impl core::error::Error for DatagramsError {}

impl<V: DatagramService> Datagrams<V> {
    /// Serves `service` on `listen`, a port or an address and a port. Answers pass through the stack's `output` scratch: it
    /// bounds them too.
    pub fn new<'a>(
        stack: &mut Stack<'a>,
        service: V,
        listen: impl Into<IpListenEndpoint>,
        memory: Memory<'a>,
    ) -> Result<Self, DatagramsError> {
        let listen = listen.into();
        let (_, hold) = stack.scratch_lens();
        if hold < V::SCRATCH {
            return Err(DatagramsError::Hold { len: hold, needed: V::SCRATCH });
        }
        let mut socket = memory.socket();
        socket.bind(listen).map_err(|_| DatagramsError::Port)?;
        let handle = stack.add(socket).ok_or(DatagramsError::Sockets)?;
        Ok(Self { service, listen, handle, answered: 0, dropped: 0, retired: false, stuck: None })
    }

    /// Answers all that has come; says whether there was any.
    fn answer<T: Store>(&mut self, kit: &mut Kit<'_, '_, T>) -> bool {
        let mut any = false;
        let socket = kit.sockets.get_mut::<Socket<'_>>(self.handle);
        while let Ok((datagram, meta)) = socket.recv() {
            any = true;
            // What was sent to many is answered from an address of our own.
            let local = meta.local_address.filter(|&local| kit.interface.has_ip_addr(local));
            let shown = local.or(meta.local_address).unwrap_or(meta.endpoint.addr);
            let connection = Connection {
                service: V::ABOUT.name,
                kind: Kind::Datagram,
                local: IpEndpoint::new(shown, self.listen.port).into(),
                peer: meta.endpoint.into(),
                since: kit.now,
            };
            let mut told = Told { observer: kit.observer, connection };
            let scratch = kit.hold.get_mut(..V::SCRATCH).unwrap_or_default();
            let received = datagram.len() as u64;
            let answer = self.service.answer(datagram, scratch, connection.peer, &mut told);
            let Some(answer) = answer else { continue };
            let longest = match meta.endpoint.addr {
                IpAddress::Ipv4(_) => MAX_ANSWER,
                IpAddress::Ipv6(_) => kit.ip_mtu.saturating_sub(HEADERS_V6),
            };
            // The socket lends the datagram until it is answered, and cannot send while it lends.
            let len = answer.len();
            let room = kit.output.get_mut(..len).filter(|room| room.len() <= longest);
            let fits = room.is_some();
            if let Some(room) = room {
                room.copy_from_slice(answer);
            }
            let copy = kit.output.get(..len).filter(|_| fits);
            let to = UdpMetadata { local_address: local, ..meta.endpoint.into() };
            let sent = copy.is_some_and(|copy| socket.send_slice(copy, to).is_ok());
            if sent {
                let answered = Event::Answered { received, sent: len as u64 };
                kit.observer.observe(&connection, answered);
            }
            self.answered += u64::from(sent);
            self.dropped += u64::from(!sent);
        }
        any
    }

    /// Drops what cannot be sent, so that the rest can.
    fn unstick<T: Store>(&mut self, kit: &mut Kit<'_, '_, T>) {
        let socket = kit.sockets.get_mut::<Socket<'_>>(self.handle);
        let queued = socket.send_queue();
        self.stuck = match self.stuck {
            _ if queued == 0 && socket.can_send() => None,
            Some((since, before)) if before == queued => {
                if since + PATIENCE > kit.now {
                    Some((since, before))
                } else {
                    self.dropped += 1;
                    socket.close();
                    // It was bound to the same before.
                    let _ = socket.bind(self.listen);
                    None
                }
            }
            _ => Some((kit.now, queued)),
        };
    }
}

impl<V: DatagramService, T: Store> Endpoint<T> for Datagrams<V> {
    fn service(&self) -> &'static str {
        V::ABOUT.name
    }

    fn port(&self) -> u16 {
        self.listen.port
    }

    fn step(&mut self, kit: &mut Kit<'_, '_, T>) -> bool {
        if self.retired {
            kit.sockets.get_mut::<Socket<'_>>(self.handle).close();
            return false;
        }
        let socket = kit.sockets.get::<Socket<'_>>(self.handle);
        if self.stuck.is_none() && !socket.can_recv() && socket.send_queue() == 0 {
            return false;
        }
        let any = self.answer(kit);
        self.unstick(kit);
        any
    }

    fn deadline(&self) -> Option<Instant> {
        self.stuck.map(|(since, _)| since + PATIENCE)
    }

    fn retire(&mut self) {
        self.retired = true;
        self.stuck = None;
    }

    fn abort(&mut self) {
        <Self as Endpoint<T>>::retire(self);
    }

    fn counts(&self) -> Counts {
        let retired = usize::from(self.retired);
        Counts {
            listening: 1 - retired,
            retired,
            served: self.answered,
            dropped: self.dropped,
            ..Counts::default()
        }
    }
}

/// A datagram socket of a stack, for asking. No call here waits.
#[derive(Debug)]
pub struct Asker {
    handle: Handle,
}

impl Asker {
    /// A socket; `None`: the stack has no room for another.
    pub fn new<'a>(stack: &mut Stack<'a>, memory: Memory<'a>) -> Option<Self> {
        Some(Self { handle: stack.add(memory.socket())? })
    }

    /// Forgets all that has come, and begins anew: from `port` or, if that is 0, from one that the stack picks.
    pub fn bind(&mut self, stack: &mut Stack<'_>, port: u16) -> Result<(), BindError> {
        let port = if port == 0 { stack.ephemeral_port() } else { port };
        self.handle = stack.renew(self.handle);
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        socket.close();
        socket.bind(port)
    }

    /// Sends a datagram.
    pub fn send(
        &mut self,
        stack: &mut Stack<'_>,
        peer: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), SendError> {
        stack.want(peer.ip().into());
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        socket.send_slice(datagram, IpEndpoint::from(peer))
    }

    /// The same, as if from another address.
    #[cfg(test)]
    pub(crate) fn send_from(
        &mut self,
        stack: &mut Stack<'_>,
        peer: SocketAddr,
        local: IpAddress,
        datagram: &[u8],
    ) -> Result<(), SendError> {
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        let endpoint = IpEndpoint::from(peer);
        socket.send_slice(datagram, UdpMetadata { local_address: Some(local), ..endpoint.into() })
    }

    /// The next datagram that `peer` has sent; what others send is dropped. Says how long it is: what does not fit into `buf` is cut off.
    pub fn receive(
        &mut self,
        stack: &mut Stack<'_>,
        peer: SocketAddr,
        buf: &mut [u8],
    ) -> Poll<usize> {
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        while let Ok((datagram, meta)) = socket.recv() {
            if meta.endpoint == IpEndpoint::from(peer) {
                let fits = datagram.len().min(buf.len());
                if let (Some(to), Some(from)) = (buf.get_mut(..fits), datagram.get(..fits)) {
                    to.copy_from_slice(from);
                }
                return Poll::Ready(datagram.len());
            }
        }
        Poll::Pending
    }
}
