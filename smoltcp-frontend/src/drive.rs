//! One conversation over one TCP socket: input lent from the receive ring, output through scratch into the send ring,
//! bodies straight between the rings and the store.
//!
//! What is in the send ring is out, as what a system call took is out elsewhere: so there is never output that waits, and
//! the contract's "output first" holds by itself. What the ring does not have room for, the session is not asked to put.

use anywire_core::conversation::{Conversation, Lent, Limits, Want};
use anywire_core::event::Event;
use anywire_core::instant::{Instant, earliest};
use anywire_core::request::{Refusal, Stop};
use anywire_core::session::{Breach, Reason, Session};
use anywire_core::store::{OpenFile, OpenIn, Store, carry_out};
use smoltcp::socket::tcp::{Socket, State};

use crate::observer::{Connection, Observer, Told};

/// A conversation, and what must be remembered of its socket from one look to the next.
#[derive(Debug)]
pub(crate) struct Open<S> {
    conversation: Conversation<S>,
    connection: Connection,
    /// What the last step left of the input it was offered.
    untaken: usize,
    /// What the last step left of the room it was offered.
    room: usize,
    /// The peer's FIN has come. Sticky: what the socket says later may be a reset.
    fin: bool,
    /// and the session was told.
    end_offered: bool,
    /// We have shut down sending.
    shut: bool,
    /// The length of the send ring when last looked at: less means that the peer took some.
    sending: usize,
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It waits for the network, or for this moment.
    Waiting(Option<Instant>),
    /// It is over in good order: what is in the send ring is still owed.
    Closed,
    /// It is over, and the peer is to see a reset if it has not reset the connection itself.
    Aborted,
}

/// What is lent for a drive.
pub(crate) struct Means<'m, T: Store> {
    pub(crate) output: &'m mut [u8],
    pub(crate) hold: &'m mut [u8],
    pub(crate) store: &'m mut T,
    /// The connection's open file.
    pub(crate) file: &'m mut Option<OpenIn<T>>,
    pub(crate) observer: &'m mut dyn Observer,
    pub(crate) limits: &'m Limits,
    pub(crate) now: Instant,
    /// Up to when a deadline that has passed counts.
    pub(crate) dry_at: Option<Instant>,
    /// Nothing has arrived since the last drive: the stack has sent.
    pub(crate) sent: bool,
}

/// A session may go on so often before others have their turn: more than any honest one needs between two looks at the network.
const TURNS: usize = 256;

impl<S: Session> Open<S> {
    pub(crate) fn new(
        session: S,
        connection: Connection,
        means: &mut Means<'_, impl Store>,
    ) -> Self {
        means.observer.observe(&connection, Event::Connected);
        Self {
            conversation: Conversation::new(session, means.now),
            connection,
            untaken: 0,
            room: 0,
            fin: false,
            end_offered: false,
            shut: false,
            sending: 0,
        }
    }

    pub(crate) fn retire(&mut self, now: Instant) {
        self.conversation.retire(now);
    }

    pub(crate) fn abort(&mut self, reason: Reason) {
        self.conversation.abort(reason);
    }

    /// Does all that can be done before the network is looked at again.
    pub(crate) fn drive<T: Store>(
        &mut self,
        socket: &mut Socket<'_>,
        means: &mut Means<'_, T>,
    ) -> Course {
        self.look(socket, means);
        for _ in 0..TURNS {
            let went_on = match self.conversation.want() {
                Want::Step => {
                    self.step(socket, means, false);
                    true
                }
                Want::Input => {
                    let news = self.news(socket, means);
                    if news {
                        self.step(socket, means, false);
                    }
                    news
                }
                Want::Answer => {
                    self.step(socket, means, true);
                    true
                }
                Want::Send { left } => self.send(socket, means, left),
                Want::Receive { left } => self.receive(socket, means, left),
                Want::Shutdown => self.shutdown(socket, means.now),
                Want::Drain => self.drain(socket, means.limits),
                Want::Close => return Course::Closed,
                Want::Abort(_) => return Course::Aborted,
            };
            if !went_on {
                // All that has arrived is read: only now may a deadline that has passed count.
                let due = self.due(socket, means.limits);
                match means.dry_at {
                    Some(dry_at) if due.is_some_and(|due| due <= dry_at) => {
                        self.expire(socket, means.limits, dry_at);
                    }
                    _ => {
                        self.sending = socket.send_queue();
                        return Course::Waiting(due);
                    }
                }
            }
        }
        self.sending = socket.send_queue();
        Course::Waiting(Some(means.now))
    }

    /// How it ended: the last event.
    pub(crate) fn tell_end(&self, observer: &mut dyn Observer) {
        if let Some(ended) = self.conversation.ended() {
            observer.observe(&self.connection, ended);
        }
    }

    /// Sees what the network has done since the last look.
    ///
    /// smoltcp leaves a socket in CLOSED after a reset, and also after an orderly close; data and a FIN that came before a
    /// reset are still in the ring. Only an end that was seen before, and answered by ours, makes CLOSED an orderly one: even
    /// when FIN and RST come within one poll, the reset wins.
    fn look<T: Store>(&mut self, socket: &Socket<'_>, means: &Means<'_, T>) {
        let sending = socket.send_queue();
        if sending < self.sending {
            self.conversation.wrote(means.now);
        }
        self.sending = sending;
        if socket.state() == State::Closed {
            if !(self.fin && self.shut && sending == 0) {
                // Keep-alive gives up, too, by a reset, which has left now, or for which the peer is still known.
                if means.sent || socket.remote_endpoint().is_some() {
                    self.conversation.vanished();
                } else {
                    self.conversation.reset();
                }
            }
        } else {
            self.fin |= has_fin(socket.state());
        }
    }

    /// Whether a waiting session would see anything new: input, the end, or room.
    fn news<T: Store>(&self, socket: &Socket<'_>, means: &Means<'_, T>) -> bool {
        let queued = socket.recv_queue();
        let room = room(socket).min(means.output.len());
        let offer = queued.min(self.most(room, means.output.len()));
        offer > self.untaken
            || (self.fin && !self.end_offered && offer == queued)
            || room > self.room
    }

    /// The most input to offer: as much as every driver does.
    fn most(&self, room: usize, output: usize) -> usize {
        match S::HOLD {
            // It takes what it has room for, and after its end, which needs no room, what a step can.
            0 if self.shut => output,
            0 => room,
            hold => hold,
        }
    }

    /// Steps, with an answer if one is wanted.
    fn step<T: Store>(&mut self, socket: &mut Socket<'_>, means: &mut Means<'_, T>, ask: bool) {
        let answer = ask.then(|| {
            let held = lend(socket, means.hold, self.untaken);
            match self.conversation.request(held) {
                Some(request) => {
                    carry_out(means.store, means.file, Some(self.connection.peer), request)
                }
                None => anywire_core::request::Answer::Refused(Refusal::Unsupported),
            }
        });
        let queued = socket.recv_queue();
        let room = room(socket).min(means.output.len());
        let offer = queued.min(self.most(room, means.output.len()));
        // What one with HOLD 0 takes need not be contiguous: it leaves nothing.
        let hold = if S::HOLD == 0 { &mut [][..] } else { &mut *means.hold };
        let input = lend(socket, hold, offer);
        let len = input.len();
        let ended = self.fin && len == queued;
        let output = means.output.get_mut(..room).unwrap_or_default();
        let mut told = Told { observer: means.observer, connection: self.connection };
        let lent = Lent { input, ended, output, now: means.now, answer };
        let used = self.conversation.step(lent, &mut told);
        self.untaken = len.saturating_sub(used.taken);
        self.room = room.saturating_sub(used.put);
        self.end_offered |= ended;
        take(socket, used.taken);
        if used.put > 0 {
            let put = means.output.get(..used.put).unwrap_or_default();
            // There was room for it, or the peer has reset the connection: then nobody misses it.
            let sent = socket.send_slice(put).unwrap_or(0);
            debug_assert!(sent == used.put, "room is what the ring has free");
        }
        self.conversation.settle(means.now);
    }

    /// Ends our side of the stream, as soon as that is [not too early](early_end).
    fn shutdown(&mut self, socket: &mut Socket<'_>, now: Instant) -> bool {
        if early_end(socket) {
            return false;
        }
        socket.close();
        self.shut = true;
        self.conversation.shut(now);
        true
    }

    /// Moves the next piece of the open file into the send ring.
    fn send<T: Store>(
        &mut self,
        socket: &mut Socket<'_>,
        means: &mut Means<'_, T>,
        left: u64,
    ) -> bool {
        let Some(OpenFile::Reading(file)) = means.file else {
            self.conversation.abort(Reason::Broken(Breach::NoFile));
            return true;
        };
        if !socket.can_send() {
            return false;
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let read = socket.send(|ring| {
            let most = ring.len().min(left);
            let room = ring.get_mut(..most).unwrap_or_default();
            match means.store.read(file, room) {
                Ok(n) => (n.min(most), Ok(n.min(most))),
                Err(refusal) => (0, Err(refusal)),
            }
        });
        let mut told = Told { observer: means.observer, connection: self.connection };
        match read {
            Ok(Ok(0)) => self.conversation.stopped(Stop::FileShort),
            Ok(Ok(n)) => self.conversation.moved(n as u64, means.now, &mut told),
            Ok(Err(refusal)) => self.conversation.stopped(Stop::Store(refusal)),
            // can_send() has seen that the connection can.
            Err(_) => return false,
        }
        true
    }

    /// Moves the next piece of the receive ring into the created file.
    fn receive<T: Store>(
        &mut self,
        socket: &mut Socket<'_>,
        means: &mut Means<'_, T>,
        left: Option<u64>,
    ) -> bool {
        let Some(OpenFile::Writing(file)) = means.file else {
            self.conversation.abort(Reason::Broken(Breach::NoFile));
            return true;
        };
        if !socket.can_recv() {
            if self.fin {
                self.conversation.stopped(Stop::Ended);
            }
            return self.fin;
        }
        let left = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let written = socket.recv(|ring| {
            let most = ring.len().min(left);
            match means.store.write(file, ring.get(..most).unwrap_or_default()) {
                Ok(n) => (n.min(most), Ok(n.min(most))),
                Err(refusal) => (0, Err(refusal)),
            }
        });
        let mut told = Told { observer: means.observer, connection: self.connection };
        match written {
            Ok(Ok(0)) => self.conversation.stopped(Stop::Store(Refusal::Failed)),
            Ok(Ok(n)) => {
                self.untaken = self.untaken.saturating_sub(n);
                self.conversation.moved(n as u64, means.now, &mut told);
            }
            Ok(Err(refusal)) => self.conversation.stopped(Stop::Store(refusal)),
            // can_recv() has seen that there is something.
            Err(_) => return false,
        }
        true
    }

    /// Discards what has come.
    fn drain(&mut self, socket: &mut Socket<'_>, limits: &Limits) -> bool {
        let queued = socket.recv_queue();
        if queued > 0 {
            take(socket, queued);
            self.conversation.discarded(queued as u64, limits);
        } else if self.fin {
            self.conversation.peer_ended();
        } else {
            return false;
        }
        true
    }

    /// When something must happen though nothing moves. Unacknowledged output counts against the idle limit, but does not keep a
    /// session from its own deadline.
    fn due(&self, socket: &Socket<'_>, limits: &Limits) -> Option<Instant> {
        let due = self.conversation.deadline(limits, false);
        if self.owes(socket) {
            earliest(due, self.conversation.deadline(limits, true))
        } else {
            due
        }
    }

    fn expire(&mut self, socket: &Socket<'_>, limits: &Limits, dry_at: Instant) {
        if self.owes(socket) {
            self.conversation.expire(dry_at, limits, true);
        }
        self.conversation.expire(dry_at, limits, false);
    }

    /// Whether replies are not out yet. Bodies are not replies: of theirs the session is told.
    fn owes(&self, socket: &Socket<'_>) -> bool {
        let moving = matches!(self.conversation.want(), Want::Send { .. } | Want::Receive { .. });
        socket.send_queue() > 0 && !moving
    }
}

/// Whether our end must wait until the send ring is empty, because the peer's side has ended already: in LAST-ACK smoltcp 0.14 drops what
/// acknowledges nothing new, and with it the window update of a peer whose window was full. The rest of the ring would then wait for
/// a window probe, a second later or, while the peer reads little at a time, much later.
pub(crate) fn early_end(socket: &Socket<'_>) -> bool {
    socket.state() == State::CloseWait && socket.send_queue() > 0
}

/// Whether the peer has ended its side of the stream: a state that only its FIN leads to.
pub(crate) fn has_fin(state: State) -> bool {
    matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
}

/// What the send ring has free.
fn room(socket: &Socket<'_>) -> usize {
    if socket.may_send() { socket.send_capacity().saturating_sub(socket.send_queue()) } else { 0 }
}

/// The first `offer` bytes of the receive ring: where they lie, or, if the ring wraps inside them and there is room to,
/// straightened in `hold`.
fn lend<'l>(socket: &'l mut Socket<'_>, hold: &'l mut [u8], offer: usize) -> &'l [u8] {
    let contiguous = socket.peek(offer).map_or(0, <[u8]>::len);
    if contiguous < offer
        && let Some(straight) = hold.get_mut(..offer)
    {
        let len = socket.peek_slice(straight).unwrap_or(0);
        return straight.get(..len).unwrap_or_default();
    }
    socket.peek(contiguous).unwrap_or_default()
}

/// Takes `n` bytes from the receive ring, in as many pieces as they lie.
pub(crate) fn take(socket: &mut Socket<'_>, mut n: usize) {
    while n > 0 {
        let piece = |ring: &mut [u8]| (ring.len().min(n), ring.len().min(n));
        match socket.recv(piece) {
            Ok(taken) if taken > 0 => n -= taken,
            _ => return,
        }
    }
}
