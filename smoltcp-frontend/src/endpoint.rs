//! What a stack serves: the one face of pools of connections and of datagram sockets.

use anywire_core::instant::Instant;
use anywire_core::store::Store;
use smoltcp::iface::Interface;

use crate::observer::Observer;
use crate::sockets::Sockets;
use crate::syn::Syn;

/// A service on a port of a stack: a [`Pool`](crate::pool::Pool) or a [`Datagrams`](crate::udp::Datagrams), with its
/// sessions' types inside, so that a stack drives many of them as one list.
pub trait Endpoint<T: Store> {
    /// The service's name.
    fn service(&self) -> &'static str;

    /// The port it is served on.
    fn port(&self) -> u16;

    /// Makes way for a connection, if this is its port. If no socket is free, a handshake that nobody has answered for a second
    /// makes way, and so does, when its reset has left, who has acknowledged nothing since the conversation was over, for some seconds.
    fn admit(&mut self, sockets: &mut Sockets<'_>, syn: &Syn, now: Instant) -> Admission {
        let _ = (sockets, syn, now);
        Admission::NotMine
    }

    /// Does all that can be done with what the network has brought, and says whether that changed any socket.
    fn step(&mut self, kit: &mut Kit<'_, '_, T>) -> bool;

    /// When it is to be stepped though nothing comes.
    fn deadline(&self) -> Option<Instant>;

    /// Stops listening, ends what is between messages, and lets what is not finish.
    fn retire(&mut self);

    /// Stops listening, and resets every connection.
    fn abort(&mut self);

    /// What its sockets are doing.
    fn counts(&self) -> Counts;
}

/// What is to become of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// This port is not served here.
    NotMine,
    /// A socket is listening for it.
    Pass,
    /// No socket is free: it must wait, or be dropped for the peer to send it again. It must not reach the stack, which
    /// would refuse it.
    Full,
    /// The same, but a socket will be free for it as soon as its reset has left.
    Soon,
    /// It belongs to a connection that there is already.
    Known,
}

/// What the sockets of an endpoint are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting for a connection.
    pub listening: usize,
    /// In the handshake.
    pub opening: usize,
    /// In a conversation.
    pub open: usize,
    /// Done with the conversation, and not yet with the connection: unsent data, FIN, RST.
    pub closing: usize,
    /// Done with both, and kept in case the peer has missed our last ACK.
    pub time_wait: usize,
    /// Closed, and not to be opened again: the endpoint is retired.
    pub retired: usize,
    /// Connections made, or datagrams answered, so far.
    pub served: u64,
    /// Handshakes that came to nothing, or answers dropped for want of room, so far.
    pub dropped: u64,
}

/// All that an endpoint needs for a step, lent by the stack.
pub struct Kit<'k, 'a, T: Store> {
    /// The stack's sockets.
    pub sockets: &'k mut Sockets<'a>,
    /// Room for the output of one step.
    pub output: &'k mut [u8],
    /// Room to straighten input in.
    pub hold: &'k mut [u8],
    /// Where files are kept.
    pub store: &'k mut T,
    /// Who is told.
    pub observer: &'k mut dyn Observer,
    /// The interface, with its addresses.
    pub interface: &'k Interface,
    /// The longest IP packet that the device carries, in bytes.
    pub ip_mtu: usize,
    /// The time, after all that is in the sockets has arrived.
    pub now: Instant,
    /// All that had arrived by this moment has been taken from the device: a deadline up to then has passed in silence. `None`: there is
    /// more to take, and no deadline has passed yet.
    pub dry_at: Option<Instant>,
    /// Since the last step the stack has sent, and nothing has arrived: a connection that broke meanwhile was given up by the stack.
    pub sent: bool,
}
