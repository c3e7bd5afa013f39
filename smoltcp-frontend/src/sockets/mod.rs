//! A stack's sockets, in many sets.
//!
//! An interface goes through all the sockets of the set that it is given, one by one: for each frame, each time it sends, and to say when it is
//! to be polled again. So many sockets are spread over many small sets: a segment goes to the set of its connection, and only sets that
//! something has happened to send. All but TCP is in the first one, as long as there is room; beyond that a datagram goes to the set of its port.

mod place;

use core::array;
use core::ops::Range;

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
    /// The numbers of the sets.
    pub(crate) const SETS: Range<usize> = 0..SETS;

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

    /// Whether a set may have something to send.
    pub(crate) fn wants(&self, set: usize, now: Instant) -> bool {
        let due = self.dues.get(set).copied().flatten();
        self.dirty & bit(set) != 0 || due.is_some_and(|due| due <= now)
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

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use smoltcp::socket::udp;

    use super::*;
    use crate::sim::{self, Packet, Side, Wire};

    /// A socket for a connection, with no room for anything.
    pub(super) fn stream() -> tcp::Socket<'static> {
        let ring = || tcp::SocketBuffer::new(&mut [][..]);
        tcp::Socket::new(ring(), ring())
    }

    /// A socket for datagrams, with no room for any.
    pub(super) fn datagrams() -> udp::Socket<'static> {
        let room = || udp::PacketBuffer::new(&mut [][..], &mut [][..]);
        udp::Socket::new(room(), room())
    }

    /// Has every set send what it has; says which did.
    fn send(sockets: &mut Sockets<'_>, interface: &mut Interface) -> Vec<usize> {
        let mut sets: Vec<_> = Sockets::SETS.collect();
        sets.retain(|&set| sockets.wants(set, Instant::ZERO));
        for &set in &sets {
            assert!(!sockets.sent(set, interface, Instant::ZERO, false));
        }
        sets
    }

    #[test]
    fn only_what_something_has_happened_to_sends_and_is_stepped() {
        let (mut to_b, mut to_a) = ([Packet::EMPTY; 1], [Packet::EMPTY; 1]);
        let mut interface = sim::interface(&mut Wire::new(&mut to_b, &mut to_a), Side::A);
        // 32 in the first set, two in each of the 63 others.
        let mut storage: Vec<_> = (0..32 + 126).map(|_| SocketStorage::EMPTY).collect();
        let mut sockets = Sockets::new(&mut storage);
        assert_eq!(send(&mut sockets, &mut interface), [], "there is none yet");

        let last = sockets.add(stream()).unwrap();
        let first = sockets.add(datagrams()).unwrap();
        assert_eq!((last.set, first.set), (63, 0));
        assert_eq!(sockets.spilled, 0, "there is no socket of UDP behind the first set");
        assert_eq!(send(&mut sockets, &mut interface), [0, 63]);
        assert_eq!(send(&mut sockets, &mut interface), []);

        sockets.get_mut::<tcp::Socket<'_>>(last).listen(1).unwrap();
        assert_eq!(sockets.poll_at(&mut interface, Instant::ZERO), None);
        assert_eq!(send(&mut sockets, &mut interface), [63]);
        let last = sockets.renew(last);
        assert_eq!(send(&mut sockets, &mut interface), [63]);
        sockets.all_dirty();
        assert_eq!(send(&mut sockets, &mut interface), (0..SETS).collect::<Vec<_>>());

        assert!(!sockets.fed(first) && !sockets.fed(last));
        // Not a packet, and for nobody.
        sockets.receiving(Medium::Ip, b"");
        assert!(sockets.fed(first) && !sockets.fed(last));
        sockets.ended(63);
        assert!(sockets.fed(first) && sockets.fed(last));
        sockets.stepped();
        assert!(!sockets.fed(first) && !sockets.fed(last));
        assert!(sockets.sent(63, &mut interface, Instant::ZERO, true));
        assert!(!sockets.fed(first) && sockets.fed(last));
    }

    /// One that connects wants to send at once, and then again after a while; a set that nothing has happened to is not asked anew.
    #[test]
    fn when_to_send_again_is_known_of_each_set() {
        let (mut to_b, mut to_a) = ([Packet::EMPTY; 1], [Packet::EMPTY; 1]);
        let mut interface = sim::interface(&mut Wire::new(&mut to_b, &mut to_a), Side::A);
        let mut storage: Vec<_> = (0..32 + 63).map(|_| SocketStorage::EMPTY).collect();
        let mut sockets = Sockets::new(&mut storage);
        let one = sockets.add(stream()).unwrap();
        send(&mut sockets, &mut interface);
        let peer = (smoltcp::wire::IpAddress::v4(10, 0, 0, 2), 9900);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(one);
        socket.connect(interface.context(), peer, 5000).unwrap();
        let now = Instant::ZERO;
        assert_eq!(sockets.poll_at(&mut interface, now), Some(now));
        let wanting = |sockets: &Sockets<'_>| {
            Sockets::SETS.filter(|&set| sockets.wants(set, now)).collect::<Vec<_>>()
        };
        assert_eq!(wanting(&sockets), [one.set]);
        sockets.sent(one.set, &mut interface, now, false);
        // It has not been sent, and the set is due.
        assert_eq!(wanting(&sockets), [one.set]);
        assert!(sockets.sent(one.set, &mut interface, now, false), "a time is over");
        sockets.get_mut::<tcp::Socket<'_>>(one).abort();
        sockets.set_mut(one.set).remove(one.inner);
        sockets.sent(one.set, &mut interface, now, false);
        assert_eq!(sockets.poll_at(&mut interface, now), None);

        // What was said of a set counts until something happens to it.
        sockets.dues[7] = Some(now);
        assert_eq!(sockets.poll_at(&mut interface, now), Some(now));
        sockets.all_dirty();
        assert_eq!(sockets.poll_at(&mut interface, now), None);
    }

    #[test]
    #[cfg(feature = "dhcp")]
    fn a_socket_that_is_taken_away_leaves_room_for_another() {
        let mut storage = [const { SocketStorage::EMPTY }; 2];
        let mut sockets = Sockets::new(&mut storage);
        let one = sockets.add(stream()).unwrap();
        sockets.add(datagrams()).unwrap();
        assert!(sockets.add(stream()).is_none());
        assert_eq!(std::format!("{sockets:?}"), "Sockets { free: 0, .. }");
        assert!(matches!(sockets.remove(one), Socket::Tcp(_)));
        assert_eq!(sockets.free(), 1);
        assert!(sockets.add(stream()).is_some());
    }
}
