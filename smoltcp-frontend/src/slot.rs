//! One socket of a pool, from listening to listening again.
//!
//! ```text
//!   Free ─> Listening ─> Opening ─> Open ─> Closing ─> TimeWait
//!     ^                     │        │         │           │
//!     ├<── tuple gone ── Resetting <─┴─────────┤           │
//!     └<───────────────────────────────────────┴───────────┘
//! ```

use core::fmt;
use core::time::Duration;

use anywire_core::instant::Instant;
use anywire_core::service::StreamService;
use anywire_core::session::Reason;
use anywire_core::store::{OpenFile, Store, release};
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

use crate::drive::{Course, Means, Open, take};
use crate::endpoint::{Counts, Kit};
use crate::observer::{Connection, Kind};
use crate::pool::Settings;
use crate::sockets::Handle;

/// The memory of one socket of a pool, less its rings: `S` is the session's type, `F` what the stack's store has for an open file,
/// [`OpenIn`](anywire_core::store::OpenIn) it.
pub struct Slot<S, F> {
    handle: Option<Handle>,
    stage: Stage<S>,
    file: Option<F>,
    /// What the socket was like at the last step. Between two steps only the network touches it, so equal means untouched.
    seen: Option<Seen>,
    due: Option<Instant>,
}

#[allow(clippy::large_enum_variant, reason = "there is no allocator to box it with")]
enum Stage<S> {
    Free,
    Listening,
    /// The handshake has begun.
    Opening {
        since: Instant,
    },
    Open(Open<S>),
    /// The conversation is over; what is in the send ring, our FIN and the peer's are not.
    Closing(Closing),
    /// Aborted, and the RST may not have left: `listen` now would lose it.
    Resetting {
        since: Instant,
        /// Who waits for the socket, if it was aborted for that.
        heir: Option<IpEndpoint>,
    },
    /// After two visits the last ACK has left.
    TimeWait {
        since: Instant,
        visits: u8,
    },
}

struct Closing {
    /// When the state below was reached, or the peer last took some of what is owed.
    since: Instant,
    state: State,
    sending: usize,
    discarded: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    state: State,
    has_peer: bool,
    received: usize,
    sending: usize,
}

/// A peer that a reset cannot be sent to within this time is not there: its neighbour is asked for once a second.
const REACHABLE: Duration = Duration::from_secs(3);

/// What the slots of one pool have in common.
#[derive(Clone, Copy)]
pub(crate) struct Common<'c, S> {
    pub(crate) service: &'c S,
    pub(crate) settings: &'c Settings,
    pub(crate) listen: IpListenEndpoint,
    pub(crate) retiring: bool,
    pub(crate) aborting: bool,
}

/// What a step did that the pool counts.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    /// The socket is not what it was.
    pub(crate) changed: bool,
    pub(crate) opened: bool,
    pub(crate) came_to_nothing: bool,
}

impl<S, F> Slot<S, F> {
    /// A slot without a socket, for a pool to fill.
    pub const EMPTY: Self =
        Self { handle: None, stage: Stage::Free, file: None, seen: None, due: None };

    /// Makes it the slot of this socket.
    pub(crate) fn set(&mut self, handle: Handle) {
        *self = Self { handle: Some(handle), ..Self::EMPTY };
    }

    /// Its socket.
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.handle
    }

    /// Counts it where it is in its life.
    pub(crate) fn count(&self, counts: &mut Counts, retiring: bool) {
        *match self.stage {
            Stage::Free if retiring => &mut counts.retired,
            Stage::Free | Stage::Closing(_) | Stage::Resetting { .. } => &mut counts.closing,
            Stage::TimeWait { .. } => &mut counts.time_wait,
            Stage::Listening => &mut counts.listening,
            Stage::Opening { .. } => &mut counts.opening,
            Stage::Open(_) => &mut counts.open,
        } += 1;
    }

    /// When it is to be stepped though nothing comes.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Since when it has been in TIME-WAIT, if the peer has been told all.
    pub(crate) fn recyclable(&self) -> Option<Instant> {
        match self.stage {
            Stage::TimeWait { since, visits } if visits > 1 => Some(since),
            _ => None,
        }
    }

    /// Since when its peer has been silent in the handshake.
    pub(crate) fn half_open(&self, socket: &Socket<'_>) -> Option<Instant> {
        match self.stage {
            // What has just come may have ended it.
            Stage::Opening { since } if socket.state() == State::SynReceived => Some(since),
            _ => None,
        }
    }

    /// Since when its peer has acknowledged nothing, though the conversation is over and bytes or our FIN are on their way to it; with
    /// whether there are bytes.
    pub(crate) fn unacknowledged(&self, socket: &Socket<'_>) -> Option<(bool, Instant)> {
        let Stage::Closing(closing) = &self.stage else { return None };
        let (state, sending) = (socket.state(), socket.send_queue());
        // What has just come may have been an acknowledgement.
        let untouched = (state, sending) == (closing.state, closing.sending);
        let awaited = matches!(state, State::FinWait1 | State::Closing | State::LastAck);
        (untouched && awaited).then_some((sending > 0, closing.since))
    }

    /// Whether it was aborted for this peer, and its reset is still to leave.
    pub(crate) fn makes_way_for(&self, peer: IpEndpoint) -> bool {
        matches!(self.stage, Stage::Resetting { heir, .. } if heir == Some(peer))
    }

    /// Aborts what is left of a connection, for a peer that waits for the socket.
    pub(crate) fn make_way(&mut self, socket: &mut Socket<'_>, now: Instant, peer: IpEndpoint) {
        socket.abort();
        self.stage = Stage::Resetting { since: now, heir: Some(peer) };
        self.wake();
    }

    /// Listens again at once, whatever the socket remembers, and sends no reset.
    pub(crate) fn recycle(&mut self, socket: &mut Socket<'_>, listen: IpListenEndpoint) {
        socket.abort();
        let listens = socket.listen(listen).is_ok();
        self.stage = if listens { Stage::Listening } else { Stage::Free };
        self.wake();
    }

    /// Is to be stepped though nothing has touched it.
    pub(crate) fn wake(&mut self) {
        self.seen = None;
        self.due = Some(Instant::ZERO);
    }
}

impl<S, R, W> Slot<S, OpenFile<R, W>> {
    /// Does all that can be done before the network is looked at again. A slot that nothing has touched and whose deadline
    /// has not passed costs a comparison.
    pub(crate) fn step<V, T>(&mut self, common: &Common<'_, V>, kit: &mut Kit<'_, '_, T>) -> Tally
    where
        V: StreamService<Session = S>,
        S: anywire_core::session::Session,
        T: Store<Reader = R, Writer = W>,
    {
        let mut tally = Tally::default();
        let Some(handle) = self.handle else { return tally };
        let before = Seen::new(kit.sockets.get(handle));
        let due = self.due.is_some_and(|due| Some(due) <= kit.dry_at);
        if self.seen == Some(before) && !due {
            return tally;
        }
        let socket = kit.sockets.get_mut::<Socket<'_>>(handle);
        self.due = None;
        let mut means = Means {
            output: &mut *kit.output,
            hold: &mut *kit.hold,
            store: &mut *kit.store,
            file: &mut self.file,
            observer: &mut *kit.observer,
            limits: &common.settings.limits,
            now: kit.now,
            dry_at: kit.dry_at,
            sent: kit.sent,
        };
        // From Free to Free there are fewer turns than this.
        for _ in 0..8 {
            let (next, due) = turn(&mut self.stage, socket, common, &mut means, &mut tally);
            self.due = due;
            match next {
                Some(next) => self.stage = next,
                None => break,
            }
            tally.changed = true;
        }
        let after = Seen::new(socket);
        tally.changed |= after != before;
        self.seen = Some(after);
        tally
    }
}

/// What the stage leads to, or when to look again.
fn turn<V: StreamService, T: Store>(
    stage: &mut Stage<V::Session>,
    socket: &mut Socket<'_>,
    common: &Common<'_, V>,
    means: &mut Means<'_, T>,
    tally: &mut Tally,
) -> (Option<Stage<V::Session>>, Option<Instant>) {
    let now = means.now;
    let next = match stage {
        Stage::Free if common.retiring => return (None, None),
        Stage::Free => match socket.listen(common.listen) {
            Ok(()) => Stage::Listening,
            // Something is open that is not ours to close: the socket was used from outside.
            Err(_) => {
                socket.abort();
                Stage::Resetting { since: now, heir: None }
            }
        },
        Stage::Listening | Stage::Opening { .. } => match socket.state() {
            State::Listen if common.retiring => {
                socket.close();
                Stage::Free
            }
            // A reset in the handshake leads back here.
            State::Listen => {
                if !matches!(stage, Stage::Opening { .. }) {
                    return (None, None);
                }
                tally.came_to_nothing = true;
                Stage::Listening
            }
            State::SynReceived => match stage {
                Stage::Opening { since } => {
                    let deadline = *since + common.settings.handshake;
                    if deadline > now && !common.retiring {
                        return (None, Some(deadline));
                    }
                    tally.came_to_nothing = true;
                    socket.abort();
                    Stage::Resetting { since: now, heir: None }
                }
                _ => Stage::Opening { since: now },
            },
            State::Closed => {
                tally.came_to_nothing = true;
                gone(socket, now)
            }
            _ => match (socket.local_endpoint(), socket.remote_endpoint()) {
                (Some(local), Some(peer)) => {
                    let connection = Connection {
                        service: V::ABOUT.name,
                        kind: Kind::Stream,
                        local: local.into(),
                        peer: peer.into(),
                        since: now,
                    };
                    tally.opened = true;
                    Stage::Open(Open::new(common.service.open(), connection, means))
                }
                _ => return (None, None),
            },
        },
        Stage::Open(open) => {
            if common.aborting {
                open.abort(Reason::Stopped);
            } else if common.retiring {
                open.retire(now);
            }
            match open.drive(socket, means) {
                Course::Waiting(due) => return (None, due),
                course => {
                    open.tell_end(means.observer);
                    release(means.store, means.file);
                    if course == Course::Aborted {
                        socket.abort();
                        gone(socket, now)
                    } else if socket.state() == State::FinWait2 {
                        forget(socket, common.listen)
                    } else {
                        Stage::Closing(Closing {
                            since: now,
                            state: socket.state(),
                            sending: socket.send_queue(),
                            discarded: 0,
                        })
                    }
                }
            }
        }
        Stage::Closing(closing) => match socket.state() {
            State::Closed => gone(socket, now),
            State::TimeWait => Stage::TimeWait { since: now, visits: 0 },
            _ => {
                let deadline = closing.look(socket, common.settings, now);
                if !common.aborting && deadline.is_none_or(|deadline| deadline > now) {
                    return (None, deadline);
                }
                if socket.state() == State::FinWait2 && !common.aborting {
                    forget(socket, common.listen)
                } else {
                    socket.abort();
                    Stage::Resetting { since: now, heir: None }
                }
            }
        },
        Stage::Resetting { since, .. } => {
            let deadline = *since + REACHABLE;
            // A peer that cannot be reached, not even for a reset, does not hold the socket for ever.
            if socket.remote_endpoint().is_some() && deadline > now {
                return (None, Some(deadline));
            }
            Stage::Free
        }
        Stage::TimeWait { visits, .. } => {
            if socket.state() != State::Closed {
                *visits = visits.saturating_add(1);
                // Once more when the last ACK has left.
                return (None, (*visits == 1).then_some(Instant::ZERO));
            }
            Stage::Free
        }
    };
    (Some(next), None)
}

/// Where a closed socket is: its peer is known until the RST has left.
fn gone<S>(socket: &Socket<'_>, now: Instant) -> Stage<S> {
    match socket.remote_endpoint() {
        Some(_) => Stage::Resetting { since: now, heir: None },
        None => Stage::Free,
    }
}

/// Closes a connection of which nothing is missing but the peer's end, and sends no reset: the peer may not have read all
/// that its stack has acknowledged. If it sends more, the stack answers that with a reset, as any system does.
fn forget<S>(socket: &mut Socket<'_>, listen: IpListenEndpoint) -> Stage<S> {
    // What is a trap elsewhere is wanted here: listening again loses the reset.
    socket.abort();
    match socket.listen(listen) {
        Ok(()) => Stage::Listening,
        Err(_) => Stage::Free,
    }
}

impl Closing {
    /// Sees what the peer has taken, discards what it has sent so that its FIN can come, and says how long to wait.
    fn look(
        &mut self,
        socket: &mut Socket<'_>,
        settings: &Settings,
        now: Instant,
    ) -> Option<Instant> {
        let limits = &settings.limits;
        // The conversation has shut down, unless it was reset.
        socket.close();
        let (state, sending) = (socket.state(), socket.send_queue());
        if state != self.state || sending < self.sending {
            (self.since, self.state, self.sending) = (now, state, sending);
        }
        let queued = socket.recv_queue();
        if queued > 0 && self.discarded < limits.drain_len {
            take(socket, queued);
            self.discarded = self.discarded.saturating_add(queued as u64);
        }
        match state {
            State::FinWait2 => Some(self.since + limits.drain),
            _ if sending > 0 => limits.idle.map(|idle| self.since + idle),
            _ => Some(self.since + settings.close),
        }
    }
}

impl Seen {
    fn new(socket: &Socket<'_>) -> Self {
        Self {
            state: socket.state(),
            has_peer: socket.remote_endpoint().is_some(),
            received: socket.recv_queue(),
            sending: socket.send_queue(),
        }
    }
}

impl<S, F> fmt::Debug for Slot<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Free => "Free",
            Stage::Listening => "Listening",
            Stage::Opening { .. } => "Opening",
            Stage::Open(_) => "Open",
            Stage::Closing(_) => "Closing",
            Stage::Resetting { .. } => "Resetting",
            Stage::TimeWait { .. } => "TimeWait",
        };
        f.debug_struct("Slot")
            .field("stage", &stage)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}
