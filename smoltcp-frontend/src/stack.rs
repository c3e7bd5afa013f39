//! The stack: one smoltcp interface, its sockets, and what is served on them.

use core::fmt;
use core::ops::DerefMut;

use anywire_core::instant::{Instant, earliest};
use anywire_core::store::Store;
use smoltcp::iface::{Interface, PollResult, SocketSet, SocketStorage};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::socket::AnySocket;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, IpAddress, IpProtocol,
    Ipv6Packet,
};

use crate::backlog::{Backlog, Parked};
use crate::duplicate_acks::DuplicateAcks;
use crate::endpoint::{Admission, Endpoint, Kit};
use crate::fin::{Piece, Split};
use crate::holes::Holes;
use crate::neighbours::{self, Neighbours};
use crate::observer::Observer;
use crate::one_frame::{Nowhere, OneFrame};
use crate::seek::Seek;
use crate::sockets::{Handle, Sockets};
use crate::syn::Syn;
use crate::time::{from_smoltcp, to_smoltcp};
use crate::unstick::Unstick;
use crate::watched::{Sent, Watched};

/// The memory of a stack.
#[derive(Debug)]
pub struct Memory<'a> {
    /// A place for each socket. Where there are more than 32, no more than 32 may be of another kind than TCP and UDP.
    pub sockets: &'a mut [SocketStorage<'a>],
    /// Room for the output of one step, shared by all connections: at least the largest `ROOM`. As long as the send rings is
    /// fastest.
    pub output: &'a mut [u8],
    /// Room to straighten input in where a ring wraps, shared by all connections: at least the largest `HOLD`.
    pub hold: &'a mut [u8],
    /// A place for each SYN that may wait for a socket; with none, a peer that finds no socket free must send again.
    pub backlog: &'a mut [Parked],
}

impl Memory<'_> {
    /// How many bytes a stack with so much memory takes in all, the [`Interface`] and the [`Stack`] too: to be added up with its pools' and
    /// datagram sockets' own, before there is any of it.
    ///
    /// ```
    /// use anywire_core::{ram::RamStore, service::echo, store::OpenIn};
    /// use anywire_smoltcp::{pool, stack, udp};
    ///
    /// type Slots<'p, 'a> = pool::Memory<'p, 'a, echo::Session, OpenIn<RamStore<4, 1024>>>;
    ///
    /// /// Echo: 8 connections with 2 KiB each way, and 4 datagrams of 4 KiB in all each way.
    /// const BYTES: usize = stack::Memory::size(8 + 1, 2048, 1024, 4)
    ///     + Slots::size(8, (2048, 2048))
    ///     + udp::Memory::size(4, 4096);
    /// const _: () = assert!(BYTES < 320 << 10, "it does not fit on the board");
    /// ```
    pub const fn size(sockets: usize, output: usize, hold: usize, backlog: usize) -> usize {
        size_of::<Interface>()
            + size_of::<Stack<'_>>()
            + sockets * size_of::<SocketStorage<'_>>()
            + output
            + hold
            + backlog * size_of::<Parked>()
    }
}

/// An interface, its sockets, and scratch for the sessions on them. It owns no device and no clock.
pub struct Stack<'a> {
    pub(crate) interface: &'a mut Interface,
    pub(crate) sockets: Sockets<'a>,
    output: &'a mut [u8],
    hold: &'a mut [u8],
    backlog: Backlog<'a>,
    neighbours: Neighbours,
    seek: Seek,
    duplicate_acks: DuplicateAcks,
    holes: Holes,
    /// The device had no room at the last poll.
    full: bool,
    unstick: Unstick,
    /// The last poll left something undone.
    more: bool,
    /// What the device said at the last poll.
    ip_mtu: usize,
    medium: Medium,
    /// Our address, where stations have some.
    hardware: Option<EthernetAddress>,
    traffic: Traffic,
    /// The port of the next connection that we make, if it is free.
    port: u16,
}

/// Where the ports of the connections that we make come from: as many as there are (RFC 6056, 3.2).
const EPHEMERAL: core::ops::RangeInclusive<u16> = 1024..=65535;

/// What a stack has done with frames, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames taken from the device.
    pub frames: u64,
    /// SYNs that found no socket free and were kept until one was.
    pub syns_parked: u64,
    /// SYNs that found no socket and no room to wait. Their peers send them again.
    pub syns_dropped: u64,
    /// SYNs of connections that there were already, or to an address that is not ours.
    pub syns_ignored: u64,
    /// Frames with a piece of an IPv6 datagram: those are not put together.
    pub fragments_ipv6: u64,
}

/// Frames taken from the device before sessions and senders have their turn.
const BURST: usize = 256;

/// How often a poll goes around before it returns, though there is more: whoever polls may have other things to do.
const ROUNDS: usize = 32;

impl<'a> Stack<'a> {
    /// A stack on `interface`, which has its addresses and routes already or gets them later.
    pub fn new(interface: &'a mut Interface, memory: Memory<'a>) -> Self {
        let Memory { sockets, output, hold, backlog } = memory;
        Self {
            interface,
            sockets: Sockets::new(sockets),
            output,
            hold,
            backlog: Backlog::new(backlog),
            neighbours: Neighbours::none(),
            seek: Seek::nobody(),
            duplicate_acks: DuplicateAcks::new(),
            holes: Holes::none(),
            full: false,
            unstick: Unstick::new(),
            more: false,
            ip_mtu: 0,
            medium: Medium::default(),
            hardware: None,
            traffic: Traffic::default(),
            port: *EPHEMERAL.start(),
        }
    }

    /// Takes what has come, steps what that has touched, and sends what there is to send.
    ///
    /// `clock` tells the time, more than once: a silence begins when its last byte is here, and that is after this call has begun.
    /// `endpoints` are always the same: those made for this stack. A list of `&mut dyn Endpoint<T>` or of boxes of them.
    pub fn poll<'e, D, P, T>(
        &mut self,
        clock: impl Fn() -> Instant,
        device: &mut D,
        endpoints: &mut [P],
        store: &mut T,
        observer: &mut dyn Observer,
    ) where
        D: Device + ?Sized,
        P: DerefMut<Target = dyn Endpoint<T> + 'e>,
        T: Store + 'e,
    {
        let now = clock();
        self.interface.poll_maintenance(to_smoltcp(now));
        self.backlog.expire(now);
        self.unstick.look(now, &mut self.sockets);
        let capabilities = device.capabilities();
        (self.ip_mtu, self.medium) = (capabilities.ip_mtu(), capabilities.medium);
        self.hardware = hardware(self.medium, self.interface);
        // What was touched after the last frame had left may have something to send.
        let mut touched = true;
        for round in 1..=ROUNDS {
            let before = clock();
            let taken = self.ingress(before, device, endpoints);
            // It stays so after the last round: there may be more.
            self.more = taken > 0 || touched;
            if !self.more {
                break;
            }
            let now = clock();
            // What has arrived beats a deadline that has passed, but a flood does not hold deadlines up for ever.
            let dry_at = (taken < BURST || round == ROUNDS).then_some(before);
            self.step(now, dry_at, false, endpoints, store, observer);
            self.replay(now, device, endpoints);
            let ended = self.egress(now, device);
            // A reset that has left frees its socket, as does a time that is over.
            touched = ended && self.step(now, dry_at, true, endpoints, store, observer);
        }
    }

    /// When to poll again though no frame comes; `None`: not before one does.
    pub fn poll_at<'e, P, T>(&mut self, now: Instant, endpoints: &[P]) -> Option<Instant>
    where
        P: core::ops::Deref<Target = dyn Endpoint<T> + 'e>,
        T: Store + 'e,
    {
        let at = self.sockets.poll_at(self.interface, now);
        // Pieces of a datagram may be left.
        let pieces = self.interface.poll_at(to_smoltcp(now), &SocketSet::new(&mut [][..]));
        let at = earliest(at, pieces.map(from_smoltcp));
        let due = endpoints.iter().fold(at, |due, endpoint| earliest(due, endpoint.deadline()));
        let due = earliest(due, self.unstick.due());
        earliest(due, self.more.then_some(now)).map(|due| due.max(now))
    }

    /// The interface: its addresses, its routes.
    pub fn interface(&mut self) -> &mut Interface {
        self.sockets.all_dirty();
        self.interface
    }

    /// What was done with frames, so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How many SYNs wait for a socket.
    pub fn waiting(&self) -> usize {
        self.backlog.len()
    }

    /// How many sockets there is room for.
    pub fn free_sockets(&self) -> usize {
        self.sockets.free()
    }

    /// Where to go on with the ports of connections that we make. A peer that still remembers a connection of an earlier run takes a new one
    /// from the same port for that: so begin with a random one or, where there is a clock that goes on between runs, with one that does too
    /// (RFC 6056).
    pub fn set_next_port(&mut self, port: u16) {
        self.port = port.max(*EPHEMERAL.start());
    }

    /// A port that no socket of ours uses.
    pub(crate) fn ephemeral_port(&mut self) -> u16 {
        loop {
            let port = self.port;
            self.port = port.checked_add(1).unwrap_or(*EPHEMERAL.start());
            // There are fewer sockets than ports: the memory for so many would be told in gigabytes.
            if !self.sockets.iter().any(|socket| uses(socket, port)) {
                return port;
            }
        }
    }

    /// The lengths of the output and hold scratch.
    pub(crate) fn scratch_lens(&self) -> (usize, usize) {
        (self.output.len(), self.hold.len())
    }

    /// Adds a socket, if there is room.
    pub(crate) fn add(&mut self, socket: impl AnySocket<'a>) -> Option<Handle> {
        self.sockets.add(socket)
    }

    /// The same socket, less what smoltcp remembers of it besides: that it waits for a neighbour, which holds up the next one that it
    /// is used for.
    pub(crate) fn renew(&mut self, handle: Handle) -> Handle {
        self.sockets.renew(handle)
    }

    /// The address that we would write to this one from. smoltcp has ::1 where there is no other of its kind, and no answer would come.
    pub(crate) fn source(&self, to: IpAddress) -> Option<IpAddress> {
        let source = self.interface.get_source_address(&to)?;
        self.interface.has_ip_addr(source).then_some(source)
    }

    /// Something is about to be sent there.
    pub(crate) fn want(&mut self, to: IpAddress) {
        self.seek.want(self.interface, to);
    }

    /// Takes a socket away.
    #[cfg(feature = "dhcp")]
    pub(crate) fn remove(&mut self, handle: Handle) -> smoltcp::socket::Socket<'a> {
        self.sockets.remove(handle)
    }

    /// Feeds a burst of frames to the interface, one by one, each after its port has made way if it asks for a connection.
    fn ingress<'e, D, P, T>(&mut self, now: Instant, device: &mut D, endpoints: &mut [P]) -> usize
    where
        D: Device + ?Sized,
        P: DerefMut<Target = dyn Endpoint<T> + 'e>,
        T: Store + 'e,
    {
        let at = to_smoltcp(now);
        let DeviceCapabilities { medium, checksum, .. } = device.capabilities();
        // Of what is not to be looked at, the device vouches for what it is.
        let verified = !checksum.tcp.rx();
        self.duplicate_acks.begin();
        for taken in 0..BURST {
            let Some((rx, tx)) = device.receive(at) else { return taken };
            self.traffic.frames += 1;
            let meta = rx.meta();
            rx.consume(|frame| {
                self.traffic.fragments_ipv6 += u64::from(is_ipv6_fragment(medium, frame));
                if let Some(syn) = Syn::parse(medium, frame) {
                    match self.admit(now, &syn, endpoints) {
                        Admission::NotMine | Admission::Pass => {}
                        Admission::Known => return self.traffic.syns_ignored += 1,
                        Admission::Full | Admission::Soon => {
                            let kept = self.backlog.park(frame, syn, now);
                            self.traffic.syns_parked += u64::from(kept);
                            self.traffic.syns_dropped += u64::from(!kept);
                            return;
                        }
                    }
                }
                if let Some(mut split) = Split::new(medium, frame, verified) {
                    while let Some(Piece { frame, last }) = split.next() {
                        if last {
                            return self.feed(now, frame, meta, tx);
                        }
                        // What answers the last also answers the others.
                        self.feed(now, frame, meta, Nowhere);
                    }
                    return;
                }
                let sockets = &self.sockets;
                match self.duplicate_acks.disguise(medium, frame, sockets, self.full, verified) {
                    Some(disguised) => self.feed(now, disguised.frame(), meta, tx),
                    None => {
                        self.feed(now, frame, meta, tx);
                        for _ in 0..self.holes.duplicates(medium, frame, self.ip_mtu) {
                            self.feed(now, frame, meta, Nowhere);
                        }
                    }
                }
            });
        }
        BURST
    }

    /// Asks the endpoints to make way.
    fn admit<'e, P, T>(&mut self, now: Instant, syn: &Syn, endpoints: &mut [P]) -> Admission
    where
        P: DerefMut<Target = dyn Endpoint<T> + 'e>,
        T: Store + 'e,
    {
        // smoltcp lets a listening socket answer a broadcast.
        if !self.interface.has_ip_addr(syn.local.addr) {
            return Admission::Known;
        }
        for endpoint in endpoints {
            match endpoint.admit(&mut self.sockets, syn, now) {
                Admission::NotMine => {}
                admission => return admission,
            }
        }
        Admission::NotMine
    }

    /// Lets those in that waited, as far as there are sockets now.
    fn replay<'e, D, P, T>(&mut self, now: Instant, device: &mut D, endpoints: &mut [P])
    where
        D: Device + ?Sized,
        P: DerefMut<Target = dyn Endpoint<T> + 'e>,
        T: Store + 'e,
    {
        let (mut at, mut full) = (0, None);
        while let Some((syn, _)) = self.backlog.get(at) {
            // Where one finds nothing, those behind need not look.
            if full == Some(syn.local) {
                at += 1;
                continue;
            }
            match self.admit(now, &syn, endpoints) {
                Admission::Full => full = Some(syn.local),
                Admission::Soon => at += 1,
                Admission::Known => self.backlog.remove(at),
                Admission::Pass | Admission::NotMine => {
                    let Some(tx) = device.transmit(to_smoltcp(now)) else { return };
                    let mut copy = [0; Parked::LEN];
                    let frame = self.backlog.get(at).map_or(&[][..], |(_, frame)| frame);
                    let len = frame.len();
                    if let Some(to) = copy.get_mut(..len) {
                        to.copy_from_slice(frame);
                    }
                    self.backlog.remove(at);
                    let frame = copy.get(..len).unwrap_or_default();
                    self.feed(now, frame, PacketMeta::default(), tx);
                }
            }
        }
    }

    /// Hands the interface one frame, and what it may answer with at once.
    fn feed(&mut self, now: Instant, frame: &[u8], meta: PacketMeta, tx: impl TxToken) {
        if let Some(ours) = self.hardware
            && let Some(neighbour) = self.neighbours.news(self.interface, ours, frame, now)
        {
            let mut introduction = [0; neighbours::FRAME_LEN];
            let len = neighbour.introduce(&mut introduction, ours);
            let introduction = introduction.get(..len).unwrap_or_default();
            self.hand(now, introduction, PacketMeta::default(), Nowhere);
        }
        self.hand(now, frame, meta, tx);
    }

    fn hand(&mut self, now: Instant, frame: &[u8], meta: PacketMeta, tx: impl TxToken) {
        let sockets = self.sockets.receiving(self.medium, frame);
        let mut device = OneFrame::new(frame, meta, tx);
        let _ = self.interface.poll_ingress_single(to_smoltcp(now), &mut device, sockets);
    }

    /// Steps what the network has touched.
    fn step<'e, P, T>(
        &mut self,
        now: Instant,
        dry_at: Option<Instant>,
        sent: bool,
        endpoints: &mut [P],
        store: &mut T,
        observer: &mut dyn Observer,
    ) -> bool
    where
        P: DerefMut<Target = dyn Endpoint<T> + 'e>,
        T: Store + 'e,
    {
        let sockets = &mut self.sockets;
        let mut kit = Kit {
            sockets,
            output: self.output,
            hold: self.hold,
            store,
            observer,
            interface: self.interface,
            ip_mtu: self.ip_mtu,
            now,
            dry_at,
            sent,
        };
        let stepped =
            endpoints.iter_mut().fold(false, |stepped, endpoint| endpoint.step(&mut kit) | stepped);
        self.sockets.stepped();
        stepped
    }

    /// Sends until there is nothing more to send, or no more room in the device; says whether that may have ended anything.
    fn egress<D: Device + ?Sized>(&mut self, now: Instant, device: &mut D) -> bool {
        let at = to_smoltcp(now);
        let mut ended = false;
        self.seek(now, device);
        self.full = device.transmit(at).is_none();
        for set in Sockets::SETS {
            if !self.sockets.wants(set, now) {
                continue;
            }
            let mut ended_here = false;
            loop {
                self.send_fragments(now, device);
                // In each round every socket sends one frame at most: one that is alone always finds room, or is not asked.
                self.full = device.transmit(at).is_none();
                if self.full {
                    if ended_here {
                        self.sockets.ended(set);
                    }
                    return true;
                }
                let mut watched = Watched::new(device);
                let sockets = self.sockets.set_mut(set);
                let result = self.interface.poll_egress(at, &mut watched, sockets);
                let Sent { more, ended: some } = watched.sent;
                ended_here |= some;
                if result != PollResult::None {
                    self.unstick.arm();
                }
                if !more {
                    break;
                }
            }
            ended |= self.sockets.sent(set, self.interface, now, ended_here);
        }
        self.send_fragments(now, device);
        ended
    }

    /// Asks for those neighbours that the interface will not ask for yet.
    fn seek<D: Device + ?Sized>(&mut self, now: Instant, device: &mut D) {
        while let Some(neighbour) = self.seek.next(now) {
            let Some(ours) = self.hardware else { continue };
            let mut question = [0; neighbours::FRAME_LEN];
            let len = neighbours::ask(&mut question, self.interface, ours, neighbour);
            let question = question.get(..len).unwrap_or_default();
            if let Some(tx) = device.transmit(to_smoltcp(now)).filter(|_| len > 0) {
                tx.consume(len, |frame| frame.copy_from_slice(question));
            }
        }
    }

    /// Sends the rest of a fragmented datagram. smoltcp has room for one, and another would overwrite it: so while there is one,
    /// no socket has its turn.
    fn send_fragments<D: Device + ?Sized>(&mut self, now: Instant, device: &mut D) {
        let mut none = SocketSet::new(&mut [][..]);
        // The longest datagram in the shortest frames of IPv4.
        for _ in 0..128 {
            // With no sockets only fragments can make the interface want to be polled.
            if self.interface.poll_at(to_smoltcp(now), &none).is_none() {
                return;
            }
            self.interface.poll_egress(to_smoltcp(now), device, &mut none);
        }
    }
}

impl fmt::Debug for Stack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("addresses", &self.interface.ip_addrs())
            .field("traffic", &self.traffic)
            .field("waiting", &self.backlog.len())
            .finish_non_exhaustive()
    }
}

/// Only stations on Ethernet have an address of their own, and smoltcp panics if it is asked for another's.
fn hardware(medium: Medium, interface: &Interface) -> Option<EthernetAddress> {
    match (medium == Medium::Ethernet).then(|| interface.hardware_addr())? {
        HardwareAddress::Ethernet(address) => Some(address),
        #[allow(unreachable_patterns, reason = "smoltcp has more media with more features")]
        _ => None,
    }
}

fn is_ipv6_fragment(medium: Medium, frame: &[u8]) -> bool {
    let packet = match medium {
        Medium::Ethernet => EthernetFrame::new_checked(frame)
            .ok()
            .filter(|frame| frame.ethertype() == EthernetProtocol::Ipv6)
            .and_then(|frame| Ipv6Packet::new_checked(frame.payload()).ok()),
        _ => Ipv6Packet::new_checked(frame).ok().filter(|packet| packet.version() == 6),
    };
    packet.is_some_and(|packet| packet.next_header() == IpProtocol::Ipv6Frag)
}

fn uses(socket: &smoltcp::socket::Socket<'_>, port: u16) -> bool {
    match socket {
        smoltcp::socket::Socket::Tcp(socket) => {
            socket.local_endpoint().is_some_and(|local| local.port == port)
                || socket.listen_endpoint().port == port
        }
        smoltcp::socket::Socket::Udp(socket) => socket.endpoint().port == port,
        #[allow(unreachable_patterns, reason = "smoltcp has more kinds with more features")]
        _ => false,
    }
}
