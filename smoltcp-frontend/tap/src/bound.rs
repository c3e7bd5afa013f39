//! A service that has a port, but no socket yet: its pool is made when the server runs, from memory that the server owns.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;
use anywire_core::datagram::{DatagramService, MAX_DATAGRAM};
use anywire_core::event::Host;
use anywire_core::service::{About, StreamService};
use anywire_core::session::Session;
use anywire_core::store::{OpenIn, Store};
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::pool::{self, Pool, Settings, Slot};
use anywire_smoltcp::stack::Stack;
use anywire_smoltcp::udp::{self, Datagrams};
use anywire_std::engine::Protocol;
use smoltcp::socket::udp::PacketMetadata;
use smoltcp::wire::IpListenEndpoint;

/// The memory of one endpoint, besides its slots.
pub(crate) struct Memory {
    /// For both directions.
    bytes: Vec<u8>,
    /// Of datagrams, for each direction.
    received: Vec<PacketMetadata>,
    sent: Vec<PacketMetadata>,
}

/// What all endpoints are made with.
pub(crate) struct Common {
    pub(crate) settings: Settings,
    /// How many sockets a pool has.
    pub(crate) sockets: usize,
    /// Serve one datagram.
    pub(crate) once: bool,
    /// Datagrams that were dealt with.
    pub(crate) datagrams: Rc<Cell<u64>>,
}

/// A service and where it is served.
pub(crate) trait Bound<T: Store>: Send {
    /// Where.
    fn place(&self) -> (Protocol, IpListenEndpoint);

    /// How much `hold` scratch it needs of the stack.
    fn hold(&self) -> usize;

    /// How many sockets it needs of the stack.
    fn sockets(&self, common: &Common) -> usize;

    /// How many bytes it takes, less what the stack has for the sockets.
    fn size(&self, common: &Common) -> usize;

    /// The memory for so many.
    fn memory(&self, common: &Common) -> Memory;

    /// Makes the endpoint.
    fn endpoint<'p, 'a: 'p>(
        &'p mut self,
        stack: &mut Stack<'a>,
        memory: &'a mut Memory,
        common: &Common,
    ) -> Result<Box<dyn Endpoint<T> + 'p>>;
}

/// The length of every TCP ring: four of the longest segments, and three cache lines. Of one that never has much in it, little is
/// ever touched; with a power of two those little pieces of all rings would be in each other's way, in the same few places of each cache.
pub(crate) const RING_LEN: usize = (256 << 10) + 3 * 64;

/// So many datagrams may wait in each direction,
const DATAGRAMS: usize = 128;

/// or so many bytes of them: more of the longest than come in one burst of frames.
const DATAGRAMS_LEN: usize = 8 * (MAX_DATAGRAM + 1);

/// A stream service.
pub(crate) struct Streams<V: StreamService, F> {
    service: V,
    listen: IpListenEndpoint,
    slots: Vec<Slot<V::Session, F>>,
}

impl<V: StreamService, F> Streams<V, F> {
    pub(crate) fn new(service: V, listen: IpListenEndpoint) -> Self {
        Self { service, listen, slots: Vec::new() }
    }

    /// The length of each ring.
    fn ring_len() -> usize {
        RING_LEN.max(V::Session::HOLD).max(V::Session::ROOM)
    }
}

impl<V, T> Bound<T> for Streams<V, OpenIn<T>>
where
    V: StreamService + Send + 'static,
    T: Store<Reader: Send + 'static, Writer: Send + 'static>,
{
    fn place(&self) -> (Protocol, IpListenEndpoint) {
        (Protocol::Tcp, self.listen)
    }

    fn hold(&self) -> usize {
        V::Session::HOLD
    }

    fn sockets(&self, common: &Common) -> usize {
        common.sockets
    }

    fn size(&self, common: &Common) -> usize {
        let len = Self::ring_len();
        pool::Memory::<V::Session, OpenIn<T>>::size(common.sockets, (len, len))
    }

    fn memory(&self, common: &Common) -> Memory {
        let bytes = vec![0; 2 * Self::ring_len() * common.sockets];
        Memory { bytes, received: Vec::new(), sent: Vec::new() }
    }

    fn endpoint<'p, 'a: 'p>(
        &'p mut self,
        stack: &mut Stack<'a>,
        memory: &'a mut Memory,
        common: &Common,
    ) -> Result<Box<dyn Endpoint<T> + 'p>> {
        self.slots.resize_with(common.sockets, || Slot::EMPTY);
        let len = Self::ring_len();
        let memory = pool::Memory {
            slots: &mut self.slots,
            rings: &mut memory.bytes,
            receive_len: len,
            send_len: len,
        };
        Ok(Box::new(Pool::new(stack, self.service, self.listen, memory, common.settings)?))
    }
}

/// A datagram service; none once it is served.
pub(crate) struct DatagramsAt<D> {
    service: Option<D>,
    listen: IpListenEndpoint,
}

impl<D> DatagramsAt<D> {
    pub(crate) fn new(service: D, listen: IpListenEndpoint) -> Self {
        Self { service: Some(service), listen }
    }
}

impl<D, T> Bound<T> for DatagramsAt<D>
where
    D: DatagramService + Send + 'static,
    T: Store,
{
    fn place(&self) -> (Protocol, IpListenEndpoint) {
        (Protocol::Udp, self.listen)
    }

    fn hold(&self) -> usize {
        D::SCRATCH
    }

    fn sockets(&self, _: &Common) -> usize {
        1
    }

    fn size(&self, _: &Common) -> usize {
        udp::Memory::size(DATAGRAMS, DATAGRAMS_LEN)
    }

    fn memory(&self, _: &Common) -> Memory {
        Memory {
            bytes: vec![0; 2 * DATAGRAMS_LEN],
            received: vec![PacketMetadata::EMPTY; DATAGRAMS],
            sent: vec![PacketMetadata::EMPTY; DATAGRAMS],
        }
    }

    fn endpoint<'p, 'a: 'p>(
        &'p mut self,
        stack: &mut Stack<'a>,
        memory: &'a mut Memory,
        common: &Common,
    ) -> Result<Box<dyn Endpoint<T> + 'p>> {
        let Memory { bytes, received, sent } = memory;
        let (receive, send) = bytes.split_at_mut(DATAGRAMS_LEN);
        let memory = udp::Memory { receive_slots: received, receive, send_slots: sent, send };
        let service = self.service.take().expect("a server runs once");
        let counted = Counted { service, once: common.once, done: Rc::clone(&common.datagrams) };
        Ok(Box::new(Datagrams::new(stack, counted, self.listen, memory)?))
    }
}

/// A datagram service that is counted, and with `once` answers one datagram only.
struct Counted<D> {
    service: D,
    once: bool,
    done: Rc<Cell<u64>>,
}

impl<D: DatagramService> DatagramService for Counted<D> {
    const ABOUT: About = D::ABOUT;
    const SCRATCH: usize = D::SCRATCH;

    fn answer<'a>(
        &mut self,
        datagram: &'a [u8],
        scratch: &'a mut [u8],
        peer: SocketAddr,
        host: &mut dyn Host,
    ) -> Option<&'a [u8]> {
        if self.once && self.done.get() > 0 {
            return None;
        }
        self.done.set(self.done.get() + 1);
        self.service.answer(datagram, scratch, peer, host)
    }
}
