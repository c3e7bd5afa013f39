//! A stack's sockets, in many sets.
//!
//! An interface goes through all the sockets of the set that it is given, one by one: for each frame, each time it sends, and to say when it is
//! to be polled again. So many sockets are spread over many small sets: a segment goes to the set of its connection, and only sets that
//! something has happened to send. All but TCP is in the first one, as long as there is room; beyond that a datagram goes to the set of its port.

mod place;

use core::array;

use anywire_core::instant::{Instant, earliest};
use smoltcp::iface::{Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::Medium;
use smoltcp::socket::{AnySocket, Socket, tcp};

use self::place::Memory;
use crate::time::{from_smoltcp, to_smoltcp};

/// The sockets of a stack.
pub struct Sockets<'a> {
    sets: [SocketSet<'a>; SETS],
    /// Places left in each.
    free: [usize; SETS],
    /// Sets that have got a frame since their sockets were stepped, a bit for each.
    fed: u64,
    /// Sets that may have something to send.
    dirty: u64,
    /// When the others are to be asked again.
    dues: [Option<Instant>; SETS],
    /// Where frames went.
    memory: Memory,
    /// There is more than one set.
    many: bool,
    /// Sets behind the first one that have sockets of UDP.
    spilled: u64,
}

/// A socket of a [`Sockets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    set: usize,
    inner: SocketHandle,
}

/// As many as there are bits.
const SETS: usize = 64;

/// So many sockets, and all that are none of TCP, are in the first set.
const FIRST: usize = 32;

const ALL: u64 = u64::MAX;

const fn bit(set: usize) -> u64 {
    1 << (set % SETS)
}

impl<'a> Sockets<'a> {
    pub(crate) fn new(storage: &'a mut [SocketStorage<'a>]) -> Self {
        let many = storage.len() > FIRST;
        let (first, mut rest) = storage.split_at_mut(storage.len().min(FIRST));
        let len = rest.len().div_ceil(SETS - 1);
        let mut first = Some(first);
        let mut free = [0; SETS];
        let sets = array::from_fn(|set| {
            let storage = first.take().unwrap_or_else(|| {
                let all = core::mem::take(&mut rest);
                let (storage, others) = all.split_at_mut(len.min(all.len()));
                rest = others;
                storage
            });
            if let Some(free) = free.get_mut(set) {
                *free = storage.len();
            }
            SocketSet::new(storage)
        });
        Self {
            sets,
            free,
            fed: 0,
            dirty: 0,
            dues: [None; SETS],
            memory: Memory::new(),
            many,
            spilled: 0,
        }
    }

    /// Adds a socket, if there is room for one of its kind.
    pub(crate) fn add(&mut self, socket: impl AnySocket<'a>) -> Option<Handle> {
        let socket = socket.upcast();
        let has_room = |&set: &usize| self.free.get(set).is_some_and(|&free| free > 0);
        let set = match socket {
            Socket::Tcp(_) => (0..SETS).rev().find(has_room)?,
            Socket::Udp(_) => (0..SETS).find(has_room)?,
            #[allow(unreachable_patterns, reason = "smoltcp has more kinds with more features")]
            _ => Some(0).filter(has_room)?,
        };
        *self.free.get_mut(set)? -= 1;
        self.dirty |= bit(set);
        if set > 0 && matches!(socket, Socket::Udp(_)) {
            self.spilled |= bit(set);
        }
        Some(Handle { set, inner: self.sets.get_mut(set)?.add(socket) })
    }

    /// Takes a socket away.
    #[cfg(feature = "dhcp")]
    pub(crate) fn remove(&mut self, handle: Handle) -> Socket<'a> {
        if let Some(free) = self.free.get_mut(handle.set) {
            *free += 1;
        }
        self.set_mut(handle.set).remove(handle.inner)
    }

    /// The same socket, less what smoltcp remembers of it besides.
    pub(crate) fn renew(&mut self, handle: Handle) -> Handle {
        self.dirty |= bit(handle.set);
        let set = self.set_mut(handle.set);
        let socket = set.remove(handle.inner);
        Handle { set: handle.set, inner: set.add(socket) }
    }

    /// How many places there are left.
    pub(crate) fn free(&self) -> usize {
        self.free.iter().sum()
    }

    /// A socket, to look at.
    ///
    /// # Panics
    ///
    /// If it is of another kind, or of another stack.
    pub fn get<T: AnySocket<'a>>(&self, handle: Handle) -> &T {
        // There are as many sets as a handle can name.
        self.sets[handle.set % SETS].get(handle.inner)
    }

    /// A socket, to be changed: what it has to send then, is sent.
    ///
    /// # Panics
    ///
    /// If it is of another kind, or of another stack.
    pub fn get_mut<T: AnySocket<'a>>(&mut self, handle: Handle) -> &mut T {
        self.dirty |= bit(handle.set);
        self.set_mut(handle.set).get_mut(handle.inner)
    }

    /// Whether the socket may have got something since all were stepped.
    pub(crate) fn fed(&self, handle: Handle) -> bool {
        self.fed & bit(handle.set) != 0
    }

    /// All were stepped.
    pub(crate) fn stepped(&mut self) {
        self.fed = 0;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Socket<'a>> {
        self.sets.iter().flat_map(|set| set.iter().map(|(_, socket)| socket))
    }

    /// All of them, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Socket<'a>> {
        self.dirty = ALL;
        self.sets.iter_mut().flat_map(|set| set.iter_mut().map(|(_, socket)| socket))
    }

    /// The interface is not what it was: any socket may want to send.
    pub(crate) fn all_dirty(&mut self) {
        self.dirty = ALL;
    }

    /// The set that a frame is for.
    pub(crate) fn receiving(&mut self, medium: Medium, frame: &[u8]) -> &mut SocketSet<'a> {
        let set = if self.many { self.place(medium, frame) } else { 0 };
        self.fed |= bit(set);
        self.dirty |= bit(set);
        self.set_mut(set)
    }

    /// A set that may have something to send, at or after `from`.
    pub(crate) fn sending(&mut self, from: usize, now: Instant) -> Option<usize> {
        (from..SETS).find(|&set| {
            let due = self.dues.get(set).copied().flatten();
            self.dirty & bit(set) != 0 || due.is_some_and(|due| due <= now)
        })
    }

    pub(crate) fn set_mut(&mut self, set: usize) -> &mut SocketSet<'a> {
        &mut self.sets[set % SETS]
    }

    /// A set has sent what may have ended something: its sockets are to be stepped for that.
    pub(crate) fn ended(&mut self, set: usize) {
        self.fed |= bit(set);
    }

    /// A set has sent all that it had; says whether its sockets are to be stepped for that: since it `ended` anything, or since a time was over.
    pub(crate) fn sent(
        &mut self,
        set: usize,
        interface: &mut Interface,
        now: Instant,
        ended: bool,
    ) -> bool {
        self.dirty &= !bit(set);
        let due = interface.poll_at(to_smoltcp(now), self.set_mut(set)).map(from_smoltcp);
        let Some(was_due) = self.dues.get_mut(set) else { return false };
        let over = was_due.is_some_and(|due| due <= now);
        *was_due = due;
        if ended || over {
            self.ended(set);
        }
        ended || over
    }

    /// When one of them is to be asked again.
    pub(crate) fn poll_at(&self, interface: &mut Interface, now: Instant) -> Option<Instant> {
        let sets = self.sets.iter().zip(self.dues).enumerate();
        sets.fold(None, |earlier, (set, (sockets, due))| {
            let due = if self.dirty & bit(set) == 0 {
                due
            } else {
                interface.poll_at(to_smoltcp(now), sockets).map(from_smoltcp)
            };
            earliest(earlier, due)
        })
    }
}

impl core::fmt::Debug for Sockets<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sockets").field("free", &self.free()).finish_non_exhaustive()
    }
}

pub(crate) fn tcp<'s, 'a>(socket: &'s Socket<'a>) -> Option<&'s tcp::Socket<'a>> {
    match socket {
        Socket::Tcp(socket) => Some(socket),
        #[allow(unreachable_patterns, reason = "smoltcp has more kinds with more features")]
        _ => None,
    }
}
