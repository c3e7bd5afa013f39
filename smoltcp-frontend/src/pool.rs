//! A stream service on a port: a pool of sockets, since smoltcp has no listen backlog.
//!
//! Every free socket listens. One that is done listens again as soon as nothing of its connection is owed: not before its
//! RST has left, and in TIME-WAIT only when a SYN comes that no other socket is free for. Then a peer that has vanished before the
//! end is given up too, with a RST.

use core::fmt;

use anywire_core::conversation::Limits;
use anywire_core::instant::{Instant, earliest};
use anywire_core::service::StreamService;
use anywire_core::session::Session;
use anywire_core::store::{OpenIn, Store};
use core::time::Duration;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::IpListenEndpoint;

use crate::endpoint::{Admission, Counts, Endpoint, Kit};
use crate::slot::Common;
pub use crate::slot::Slot;
use crate::sockets::Sockets;
use crate::stack::Stack;
use crate::syn::Syn;
use crate::time::span;

/// How a pool treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long and how much a conversation may keep others waiting.
    pub limits: Limits,
    /// A handshake must be done after so long.
    pub handshake: Duration,
    /// After the conversation, the peer's last acknowledgement is awaited so long. Less than two minutes is too short where frames
    /// get lost: a FIN is then sent again after up to one.
    pub close: Duration,
    /// A silent peer is asked after so long whether it is still there, and given up when it has said nothing four times as
    /// long. `None`: only the limits end a silence.
    pub keep_alive: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            handshake: Duration::from_secs(10),
            close: Duration::from_secs(120),
            keep_alive: None,
        }
    }
}

/// The memory of a pool: as many sockets as there are slots.
#[derive(Debug)]
pub struct Memory<'p, 'a, S, F> {
    /// One for each socket.
    pub slots: &'p mut [Slot<S, F>],
    /// `slots.len() * (receive_len + send_len)` bytes for the sockets' rings.
    pub rings: &'a mut [u8],
    /// The length of each receive ring, at least the session's `HOLD`. This is the window that the peer sees.
    pub receive_len: usize,
    /// The length of each send ring, at least the session's `ROOM`.
    pub send_len: usize,
}

impl<'p, 'a, S, F> Memory<'p, 'a, S, F> {
    /// The same, with the lengths of a receive and of a send ring.
    pub fn new(
        slots: &'p mut [Slot<S, F>],
        rings: &'a mut [u8],
        (receive_len, send_len): (usize, usize),
    ) -> Self {
        Self { slots, rings, receive_len, send_len }
    }
}

impl<S, F> Memory<'_, '_, S, F> {
    /// How many bytes the memory for so many connections takes, less what the stack has for their sockets.
    pub const fn size(slots: usize, (receive_len, send_len): (usize, usize)) -> usize {
        slots * (size_of::<Slot<S, F>>() + receive_len + send_len)
    }
}

/// A stream service on a port of a stack. `F` is what the stack's store has for an open file, [`OpenIn`] it.
#[derive(Debug)]
pub struct Pool<'p, V: StreamService, F> {
    service: V,
    settings: Settings,
    listen: IpListenEndpoint,
    slots: &'p mut [Slot<V::Session, F>],
    retiring: bool,
    aborting: bool,
    served: u64,
    dropped: u64,
    /// When there will be somebody to give up for a SYN that found no socket free.
    gives_up: Option<Instant>,
}

/// Under pressure, who has acknowledged nothing for so long is taken to have vanished: by then a FIN, or the first of the last bytes,
/// was sent four times, at once and after 1, 3 and 7 s, and the last time had its second to be answered in.
const VANISHED: Duration = Duration::from_secs(8);

/// Who does not answer our SYN for so long, longer than any round trip, makes way when another waits: those that never answer leave no
/// room for those who would.
const OVERDUE: Duration = Duration::from_secs(1);

impl<'p, V: StreamService, F> Pool<'p, V, F> {
    /// Serves `service` on `listen`, a port or an address and a port, with as many sockets as there are slots.
    pub fn new<'a>(
        stack: &mut Stack<'a>,
        service: V,
        listen: impl Into<IpListenEndpoint>,
        memory: Memory<'p, 'a, V::Session, F>,
        settings: Settings,
    ) -> Result<Self, PoolError> {
        let listen = listen.into();
        let Memory { slots, mut rings, receive_len, send_len } = memory;
        check::<V::Session>(stack, listen, slots.len(), rings.len(), receive_len, send_len)?;
        for slot in &mut *slots {
            let (receive, rest) = rings.split_at_mut(receive_len.min(rings.len()));
            let (send, rest) = rest.split_at_mut(send_len.min(rest.len()));
            rings = rest;
            let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(send));
            prepare(&mut socket, settings.keep_alive);
            if let Some(handle) = stack.add(socket) {
                slot.set(handle);
                slot.wake();
            }
        }
        Ok(Self {
            service,
            settings,
            listen,
            slots,
            retiring: false,
            aborting: false,
            served: 0,
            dropped: 0,
            gives_up: None,
        })
    }
}

/// What every TCP socket of ours is like. Without the first two, every second bulk transfer with Linux stalls for a second.
pub(crate) fn prepare(socket: &mut Socket<'_>, keep_alive: Option<Duration>) {
    socket.set_nagle_enabled(false);
    // An acknowledgement leaves when the sessions have been stepped, on the answer if there is one.
    socket.set_ack_delay(None);
    socket.set_keep_alive(keep_alive.map(span));
    socket.set_timeout(keep_alive.map(|interval| span(interval * 4)));
}

impl<V: StreamService, T: Store> Endpoint<T> for Pool<'_, V, OpenIn<T>> {
    fn service(&self) -> &'static str {
        V::ABOUT.name
    }

    fn port(&self) -> u16 {
        self.listen.port
    }

    fn admit(&mut self, sockets: &mut Sockets<'_>, syn: &Syn, now: Instant) -> Admission {
        let here = self.listen.addr.is_none_or(|addr| addr == syn.local.addr);
        if !here || syn.local.port != self.listen.port || self.retiring {
            return Admission::NotMine;
        }
        let (mut listening, mut promised) = (false, false);
        let mut vanished: Option<(usize, (bool, Instant))> = None;
        let mut gives_up = None;
        let (mut oldest, mut oldest_half_open) = (None, None);
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let Some(handle) = slot.handle() else { continue };
            let socket = sockets.get::<Socket<'_>>(handle);
            listening |= socket.state() == State::Listen;
            let known = socket.local_endpoint() == Some(syn.local)
                && socket.remote_endpoint() == Some(syn.peer);
            if let Some(since) = slot.half_open(socket)
                && !known
            {
                if since + OVERDUE > now {
                    gives_up = earliest(gives_up, Some(since + OVERDUE));
                } else if oldest_half_open.is_none_or(|(_, oldest)| since < oldest) {
                    oldest_half_open = Some((at, since));
                }
            }
            promised |= slot.makes_way_for(syn.peer);
            if let Some(silence @ (_, since)) = slot.unacknowledged(socket)
                && !known
            {
                if since + VANISHED > now {
                    gives_up = earliest(gives_up, Some(since + VANISHED));
                } else if vanished.is_none_or(|(_, longest)| silence < longest) {
                    // Who has got all of the bytes goes first.
                    vanished = Some((at, silence));
                }
            }
            match slot.recyclable() {
                // The peer begins anew from the same port: it has got our last ACK.
                Some(_) if known => {
                    slot.recycle(sockets.get_mut(handle), self.listen);
                    listening = true;
                }
                // smoltcp would hand it to the first socket that listens, and there would be two for one connection. If it is a
                // SYN again, our SYN and ACK were lost, and the socket sends them again by itself.
                _ if known => return Admission::Known,
                Some(since) if oldest.is_none_or(|(_, oldest)| since < oldest) => {
                    oldest = Some((at, since));
                }
                _ => {}
            }
        }
        if listening {
            return Admission::Pass;
        }
        if oldest.is_none() {
            let vanished = vanished.filter(|_| !promised);
            if let Some(slot) = vanished.and_then(|(at, _)| self.slots.get_mut(at))
                && let Some(handle) = slot.handle()
            {
                slot.make_way(sockets.get_mut(handle), now, syn.peer);
                promised = true;
            }
            if promised {
                return Admission::Soon;
            }
        }
        self.dropped += u64::from(oldest.is_none() && oldest_half_open.is_some());
        let oldest = oldest.or(oldest_half_open).and_then(|(at, _)| self.slots.get_mut(at));
        match oldest.and_then(|slot| Some((slot.handle()?, slot))) {
            Some((handle, slot)) => {
                slot.recycle(sockets.get_mut(handle), self.listen);
                Admission::Pass
            }
            None => {
                self.gives_up = gives_up;
                Admission::Full
            }
        }
    }

    fn step(&mut self, kit: &mut Kit<'_, '_, T>) -> bool {
        let common = Common {
            service: &self.service,
            settings: &self.settings,
            listen: self.listen,
            retiring: self.retiring,
            aborting: self.aborting,
        };
        // If there is still a SYN that waits, it asks again.
        self.gives_up = self.gives_up.filter(|&at| Some(at) > kit.dry_at);
        let mut changed = false;
        for slot in &mut *self.slots {
            // Most are at rest: their sockets are not even looked at.
            let due = slot.due().is_some_and(|due| Some(due) <= kit.dry_at);
            let woken = slot.due() == Some(Instant::ZERO);
            if !due && !woken && !slot.handle().is_some_and(|handle| kit.sockets.fed(handle)) {
                continue;
            }
            let tally = slot.step(&common, kit);
            changed |= tally.changed;
            self.served += u64::from(tally.opened);
            self.dropped += u64::from(tally.came_to_nothing);
        }
        changed
    }

    fn deadline(&self) -> Option<Instant> {
        self.slots.iter().fold(self.gives_up, |due, slot| earliest(due, slot.due()))
    }

    fn retire(&mut self) {
        self.retiring = true;
        self.slots.iter_mut().for_each(Slot::wake);
    }

    fn abort(&mut self) {
        self.aborting = true;
        <Self as Endpoint<T>>::retire(self);
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts { served: self.served, dropped: self.dropped, ..Counts::default() };
        for slot in &*self.slots {
            slot.count(&mut counts, self.retiring);
        }
        counts
    }
}

/// Why a pool cannot be made: what was lent, and what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The port is 0, or there is no slot.
    Empty,
    /// A receive ring is shorter than what the session may hold.
    ReceiveRing {
        /// Bytes lent.
        len: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// A send ring, or the stack's output scratch, is shorter than the session's largest reply.
    SendRing {
        /// Bytes lent.
        len: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// The stack's `hold` scratch is shorter than what the session may hold.
    Hold {
        /// Bytes lent.
        len: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// All rings together do not fit into the memory lent for them.
    Rings {
        /// Bytes lent.
        len: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// The stack has no place for so many sockets.
    Sockets {
        /// Places free.
        free: usize,
        /// Places needed.
        needed: usize,
    },
}

/// No ring is larger: TCP's windows are not.
const LARGEST_RING: usize = 1 << 30;

fn check<S: Session>(
    stack: &Stack<'_>,
    listen: IpListenEndpoint,
    slots: usize,
    rings: usize,
    receive_len: usize,
    send_len: usize,
) -> Result<(), PoolError> {
    let (output, hold) = stack.scratch_lens();
    let needed = receive_len.saturating_add(send_len).saturating_mul(slots);
    if listen.port == 0 || slots == 0 {
        Err(PoolError::Empty)
    } else if receive_len < S::HOLD.max(1) || receive_len > LARGEST_RING {
        Err(PoolError::ReceiveRing { len: receive_len, needed: S::HOLD.max(1) })
    } else if send_len.min(output) < S::ROOM.max(1) {
        Err(PoolError::SendRing { len: send_len.min(output), needed: S::ROOM.max(1) })
    } else if hold < S::HOLD {
        Err(PoolError::Hold { len: hold, needed: S::HOLD })
    } else if rings < needed {
        Err(PoolError::Rings { len: rings, needed })
    } else if stack.free_sockets() < slots {
        Err(PoolError::Sockets { free: stack.free_sockets(), needed: slots })
    } else {
        Ok(())
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a pool needs a port other than 0, and at least one slot"),
            Self::ReceiveRing { len, needed } => {
                write!(
                    f,
                    "a receive ring of {len} bytes; the session needs {needed}, and TCP allows 2^30"
                )
            }
            Self::SendRing { len, needed } => {
                write!(
                    f,
                    "a send ring or output scratch of {len} bytes; the session needs {needed}"
                )
            }
            Self::Hold { len, needed } => {
                write!(f, "a hold scratch of {len} bytes; the session needs {needed}")
            }
            Self::Rings { len, needed } => {
                write!(f, "{len} bytes for rings; so many sockets need {needed}")
            }
            Self::Sockets { free, needed } => {
                write!(f, "the stack has room for {free} more sockets; the pool needs {needed}")
            }
        }
    }
}

impl core::error::Error for PoolError {}
