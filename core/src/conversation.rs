//! The life of one conversation, from the first step to the close: what all drivers have in common.
//!
//! Like the sessions it does no I/O. A driver calls [`want`](Conversation::want), does that, reports what came of
//! it, and asks again, until there is nothing to do but wait for the transport or for
//! [`deadline`](Conversation::deadline). One order holds everywhere: **output that was put goes out before what is
//! wanted is carried out**; only [`Want::Abort`] may discard it.
//!
//! ```text
//!            input, room, deadline, answer
//!                 ┌────────────┐
//!   new ──> Ready ─> step ──> Waiting ─ idle, stopped ─┐
//!             ^       │  └──> Finishing <──────────────┘
//!    answer,  │       │           └ output out, Shutdown ─> Draining ─> Closed
//!    all moved│       └──> Asking, Moving
//!             └───────────────┘             (an abort or a reset: from anywhere to Closed)
//! ```

use core::time::Duration;

use crate::event::{End, Event, Host};
use crate::exchange::Exchange;
use crate::instant::{Instant, earliest};
use crate::request::{Answer, Request, Stop};
use crate::session::{Halt, Phase, Reason, Session, advance};

/// How long and how much a driver puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A connection that is silent so long is ended between messages, and aborted inside one or with output
    /// unsent. `None`: never.
    pub idle: Option<Duration>,
    /// A head or a name must be whole after so long. `None`: never.
    pub head: Option<Duration>,
    /// What a session waits for inside a message must be there so long after our last byte, however steadily the peer sends: a client's
    /// limit for an answer. Bodies are moved for as long as they move. `None`: never, as servers want it.
    pub answer: Option<Duration>,
    /// After our end of the stream the peer's is awaited so long,
    pub drain: Duration,
    /// and so many bytes of input are read and discarded.
    pub drain_len: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Some(Duration::from_secs(300)),
            head: Some(Duration::from_secs(10)),
            answer: None,
            drain: Duration::from_secs(2),
            drain_len: 1 << 20,
        }
    }
}

/// Silence after which a conversation between messages is idle when the server stops. Whoever was sending just now has more on its way.
const QUIET: Duration = Duration::from_millis(100);

/// What is to be done next, once all output is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// [`step`](Conversation::step) at once, with the untaken input and no more.
    Step,
    /// Input: at most `HOLD` bytes with those held already, or at most the room if `HOLD` is 0. Then
    /// [`step`](Conversation::step).
    Input,
    /// Carry out [`request`](Conversation::request), and [`step`](Conversation::step) with the answer.
    Answer,
    /// Move up to `left` bytes from the open file to the wire, and report with [`moved`](Conversation::moved) or
    /// [`stopped`](Conversation::stopped).
    Send {
        /// Bytes to go; never 0.
        left: u64,
    },
    /// Move up to `left` bytes from the wire into the created file, the untaken input first, and report with
    /// [`moved`](Conversation::moved) or [`stopped`](Conversation::stopped).
    Receive {
        /// Bytes to go, never 0; `None`: all up to the end of the stream.
        left: Option<u64>,
    },
    /// Shut down sending (FIN), and say [`shut`](Conversation::shut).
    Shutdown,
    /// Read some input, discard it, and report with [`discarded`](Conversation::discarded) or
    /// [`peer_ended`](Conversation::peer_ended).
    Drain,
    /// Close: all is said, or [the connection is broken](Conversation::is_broken). The end is to be told with [`Event::Ended`], from
    /// [`ended`](Conversation::ended).
    Close,
    /// Reset the connection (RST) and close, without waiting for output.
    Abort(Reason),
}

/// What a driver lends for a step.
#[derive(Debug)]
pub struct Lent<'a> {
    /// The untaken input, and what came behind it.
    pub input: &'a [u8],
    /// Whether the stream ends behind `input`.
    pub ended: bool,
    /// Room for output.
    pub output: &'a mut [u8],
    /// The time.
    pub now: Instant,
    /// The answer, if the want was [`Want::Answer`].
    pub answer: Option<Answer<'a>>,
}

/// What a step used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Bytes of input taken: the rest is offered again.
    pub taken: usize,
    /// Bytes of output put: to be written.
    pub put: usize,
}

/// One session and where it stands: see the [module](self).
#[derive(Debug)]
pub struct Conversation<S> {
    session: S,
    stage: Stage,
    phase: Phase,
    /// The session's own deadline.
    wake: Option<Instant>,
    /// The session put something with its last step: until that was out nobody read. So its deadline has not passed for it yet.
    blind: bool,
    /// When the limits began to count: the last byte moved, or the head's beginning.
    since: Instant,
    /// When we last said something, or came to know something that the peer did not say.
    spoke: Instant,
    received: u64,
    sent: u64,
    /// Bytes that the last step left untaken.
    untaken: usize,
    shutdown: Shutdown,
    peer_ended: bool,
    retiring: bool,
    timeless: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shutdown {
    No,
    Wanted,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    /// Ready, though it had room enough, and waits for input alone.
    Settled,
    Waiting,
    Asking,
    Moving {
        sending: bool,
        left: Option<u64>,
        moved: u64,
    },
    Moved {
        moved: u64,
        stop: Stop,
    },
    Finishing(End),
    Draining {
        end: End,
        discarded: u64,
    },
    Closed(End),
}

impl<S: Session> Conversation<S> {
    /// A conversation that begins `now`.
    pub fn new(session: S, now: Instant) -> Self {
        Self {
            session,
            stage: Stage::Ready,
            phase: Phase::Between,
            wake: None,
            blind: false,
            since: now,
            spoke: now,
            received: 0,
            sent: 0,
            untaken: 0,
            shutdown: Shutdown::No,
            peer_ended: false,
            retiring: false,
            timeless: false,
        }
    }

    /// The same, over a transport that cannot wait: the session is told that its deadlines are not kept.
    pub fn without_time(self) -> Self {
        Self { timeless: true, ..self }
    }

    /// What is to be done next, once all output is out.
    pub fn want(&self) -> Want {
        match self.stage {
            Stage::Closed(End::Aborted(reason)) => return Want::Abort(reason),
            Stage::Closed(_) => return Want::Close,
            _ if self.shutdown == Shutdown::Wanted => return Want::Shutdown,
            _ => {}
        }
        match self.stage {
            Stage::Ready | Stage::Settled | Stage::Moved { .. } => Want::Step,
            Stage::Waiting => Want::Input,
            Stage::Asking => Want::Answer,
            Stage::Moving { sending: true, left, .. } => Want::Send { left: left.unwrap_or(0) },
            Stage::Moving { sending: false, left, .. } => Want::Receive { left },
            // Finishing wants the shutdown first, and shut() goes on from there.
            Stage::Finishing(_) => Want::Shutdown,
            Stage::Draining { .. } => Want::Drain,
            Stage::Closed(_) => Want::Close,
        }
    }

    /// Steps the session as far as it goes.
    pub fn step(&mut self, lent: Lent<'_>, host: &mut dyn Host) -> Used {
        let Lent { input, ended, output, now, answer } = lent;
        self.peer_ended |= ended;
        let answer = match self.stage {
            Stage::Moved { moved, stop } => {
                host.observe(Event::Moved { len: moved, stop });
                Some(Answer::Moved { len: moved, stop })
            }
            _ => answer,
        };
        let answered = answer.is_some();
        let more = input.len() > self.untaken;
        let seen = match self.wake {
            Some(wake) if self.blind && wake <= now => {
                Instant::from_micros(wake.as_micros().saturating_sub(1))
            }
            _ => now,
        };
        self.blind = false;
        let mut io = Exchange::new(input, self.peer_ended, output, seen, answer, host)
            .after_shutdown(self.shutdown != Shutdown::No)
            .without_time(self.timeless);
        let halt = advance(&mut self.session, &mut io);
        let used = Used { taken: io.taken(), put: io.put_len() };
        if io.is_shut() && self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Wanted;
        }
        let untaken = io.input();
        let roomy = io.room() >= S::ROOM;
        self.untaken = untaken.len();
        self.received += used.taken as u64;
        self.sent += used.put as u64;
        self.wake = None;
        if used.put > 0 || answered {
            self.spoke = now;
        }
        self.stage = match halt {
            Halt::Wait(phase, wake) => {
                // A head counts from its first byte: more of it does not prolong it. What is taken is a head no longer.
                let same_head = phase == Phase::Head && self.phase == Phase::Head;
                let moved = used.taken > 0 || used.put > 0 || (more && !same_head);
                // Nor does the peer pay for the time that the host took to answer.
                if moved || answered || phase != self.phase {
                    self.since = now;
                }
                self.phase = phase;
                self.wake = wake;
                // What was put makes room once it is out, and the session may have been waiting for that.
                self.blind = used.put > 0;
                match self.blind {
                    true if roomy && wake.is_none() => Stage::Settled,
                    true => Stage::Ready,
                    false => Stage::Waiting,
                }
            }
            Halt::Ask => {
                self.since = now;
                match self.session.request(untaken) {
                    Some(Request::Send { len }) => Stage::moving(true, Some(len), 0),
                    Some(Request::Receive { len }) => Stage::moving(false, len, 0),
                    _ => Stage::Asking,
                }
            }
            Halt::Finish => {
                self.since = now;
                self.finish(End::Finished)
            }
            Halt::Abort(reason) => Stage::Closed(End::Aborted(reason)),
        };
        self.retire_if_idle(now);
        used
    }

    /// What was asked for, after [`Want::Answer`]. `held` is the untaken input.
    pub fn request<'a>(&'a self, held: &'a [u8]) -> Option<Request<'a>> {
        self.session.request(held)
    }

    /// `len` bytes of a body were moved.
    pub fn moved(&mut self, len: u64, now: Instant, host: &mut dyn Host) {
        if let Stage::Moving { sending, left, moved: before } = self.stage {
            let moved = before.saturating_add(len);
            if len > 0 {
                (self.since, self.spoke) = (now, now);
                let of = left.map(|left| left.saturating_add(before));
                host.observe(Event::Moving { sending, len, moved, of });
            }
            let counted = if sending { &mut self.sent } else { &mut self.received };
            *counted = counted.saturating_add(len);
            let left = left.map(|left| left.saturating_sub(len));
            self.stage = Stage::moving(sending, left, moved);
        }
    }

    /// A body stopped before it was complete; one to the end of the stream is complete with [`Stop::Ended`].
    pub fn stopped(&mut self, stop: Stop) {
        if let Stage::Moving { moved, .. } = self.stage {
            self.peer_ended |= stop == Stop::Ended;
            self.stage = Stage::Moved { moved, stop };
        }
    }

    /// Our side of the stream was shut down.
    pub fn shut(&mut self, now: Instant) {
        self.shutdown = Shutdown::Done;
        self.spoke = now;
        if let Stage::Finishing(end) = self.stage {
            self.since = now;
            self.stage = self.finish(end);
        }
    }

    /// Whether nothing is left but our end of the stream, for the peer has ended it, too: then closing it does for
    /// [`Want::Shutdown`].
    pub fn is_over_once_shut(&self) -> bool {
        self.peer_ended && matches!(self.stage, Stage::Finishing(_))
    }

    /// `len` bytes that came after the last message were discarded.
    pub fn discarded(&mut self, len: u64, limits: &Limits) {
        if let Stage::Draining { end, discarded } = self.stage {
            let discarded = discarded.saturating_add(len);
            self.stage = if discarded >= limits.drain_len {
                Stage::Closed(end)
            } else {
                Stage::Draining { end, discarded }
            };
        }
    }

    /// The peer ended the stream while we were draining it.
    pub fn peer_ended(&mut self) {
        self.peer_ended = true;
        if let Stage::Draining { end, .. } = self.stage {
            self.stage = Stage::Closed(end);
        }
    }

    /// The peer reset the connection, or it broke. In a transfer the session is told, so that it can say how far
    /// it got; anywhere else there is nobody to talk to.
    ///
    /// After our orderly end a reset takes nothing back: the peer closed with our last bytes unread or its own unsent.
    pub fn reset(&mut self) {
        self.broke(Stop::Reset, End::Reset);
    }

    /// The connection broke because nothing was heard of the peer any more. Otherwise like [`reset`](Self::reset).
    pub fn vanished(&mut self) {
        self.broke(Stop::Vanished, End::Vanished);
    }

    fn broke(&mut self, stop: Stop, end: End) {
        match self.stage {
            Stage::Moving { .. } => self.stopped(stop),
            Stage::Draining { end, .. } => self.stage = Stage::Closed(end),
            Stage::Closed(_) => {}
            _ => self.stage = Stage::Closed(end),
        }
    }

    /// Ends the conversation from outside, with a reset. One that has ended in good order already only stops waiting for the
    /// peer's end.
    pub fn abort(&mut self, reason: Reason) {
        match self.stage {
            Stage::Closed(_) => {}
            Stage::Draining { end, .. } => self.stage = Stage::Closed(end),
            _ => self.stage = Stage::Closed(End::Aborted(reason)),
        }
    }

    /// The server stops: ends the conversation as soon as it is between messages and silent, now if it has been for 100 ms.
    ///
    /// Where the end [answers](Session::END_ANSWERS) the peer, it would be an answer to nothing: that is aborted.
    pub fn retire(&mut self, now: Instant) {
        self.retiring = true;
        self.retire_if_idle(now);
    }

    /// Output went out.
    pub fn wrote(&mut self, now: Instant) {
        (self.since, self.spoke) = (now, now);
    }

    /// All that was put is out. A session that had [`ROOM`](Session::ROOM) left, and has no deadline, waits for input alone: it need not be
    /// stepped for that, and [`want`](Self::want) says so. Drivers that do not call this step such a session once more.
    pub fn settle(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Settled) {
            self.blind = false;
            self.stage = Stage::Waiting;
            self.retire_if_idle(now);
        }
    }

    /// When something must happen though nothing moves; `pending`: some output is not out yet.
    pub fn deadline(&self, limits: &Limits, pending: bool) -> Option<Instant> {
        let idle = limits.idle.map(|idle| self.since + idle);
        match self.stage {
            Stage::Closed(_) => None,
            Stage::Draining { .. } => Some(self.since + limits.drain),
            _ if pending => idle,
            // The host may take as long as it likes.
            Stage::Ready | Stage::Settled | Stage::Asking | Stage::Moved { .. } => None,
            Stage::Waiting => {
                let quiet = self.retires_at();
                earliest(earliest(self.wake, quiet), self.limit(limits))
            }
            Stage::Moving { .. } | Stage::Finishing(_) => idle,
        }
    }

    /// Does what is due at [`deadline`](Self::deadline). Does nothing before it. The driver reads first: bytes
    /// that have arrived beat a deadline that has passed.
    pub fn expire(&mut self, now: Instant, limits: &Limits, pending: bool) {
        if self.deadline(limits, pending).is_none_or(|deadline| deadline > now) {
            return;
        }
        self.stage = match self.stage {
            Stage::Draining { end, .. } => Stage::Closed(end),
            _ if pending => Stage::Closed(End::Aborted(Reason::Unread)),
            Stage::Waiting if self.wake.is_some_and(|wake| wake <= now) => Stage::Ready,
            Stage::Waiting if self.retires_at().is_some_and(|at| at <= now) => {
                return self.retire_if_idle(now);
            }
            Stage::Waiting => match self.phase {
                Phase::Between => self.finish(End::Idle),
                Phase::Head => Stage::Closed(End::Aborted(Reason::HeadTimeout)),
                Phase::Inside => Stage::Closed(End::Aborted(Reason::Idle)),
            },
            Stage::Moving { moved, .. } => Stage::Moved { moved, stop: Stop::TimedOut },
            _ => Stage::Closed(End::Aborted(Reason::Idle)),
        };
    }

    /// The same over a transport that has taken output, and may not have brought it to the peer yet; whether it `owes` any is asked only
    /// where that matters. It counts against the idle limit as what is pending does, but keeps no session from its own deadline.
    pub fn expire_owing(
        &mut self,
        now: Instant,
        limits: &Limits,
        pending: bool,
        owes: impl FnOnce() -> bool,
    ) {
        let idle = self.deadline(limits, true).is_some_and(|idle| idle <= now);
        if idle && !pending && self.want() == Want::Input && owes() {
            self.expire(now, limits, true);
        }
        self.expire(now, limits, pending);
    }

    /// How it ended, once it has: the last event.
    pub fn ended(&self) -> Option<Event<'static>> {
        match self.stage {
            Stage::Closed(end) => {
                Some(Event::Ended { end, received: self.received, sent: self.sent })
            }
            _ => None,
        }
    }

    /// Whether it ended because the connection broke. What failed may have failed on our side alone: the socket is closed with a reset then, as
    /// after an abort, or the peer would take an end of stream for an answer.
    pub fn is_broken(&self) -> bool {
        matches!(self.stage, Stage::Closed(End::Reset | End::Vanished))
    }

    /// The session itself.
    pub fn session(&self) -> &S {
        &self.session
    }

    /// The limit that counts in this phase.
    fn limit(&self, limits: &Limits) -> Option<Instant> {
        let (limit, answer) = match self.phase {
            Phase::Between => (limits.idle, None),
            Phase::Head => (limits.head, limits.answer),
            Phase::Inside => (limits.idle, limits.answer),
        };
        let answer = answer.map(|answer| self.spoke + answer);
        earliest(limit.map(|limit| self.since + limit), answer)
    }

    /// When a conversation that is to retire has been silent for long enough, if it is between messages.
    fn retires_at(&self) -> Option<Instant> {
        let idle = self.phase == Phase::Between && matches!(self.stage, Stage::Waiting);
        (self.retiring && idle).then(|| self.since + QUIET)
    }

    fn retire_if_idle(&mut self, now: Instant) {
        if self.retires_at().is_some_and(|at| at <= now) {
            self.stage = if S::END_ANSWERS {
                Stage::Closed(End::Aborted(Reason::Stopped))
            } else {
                self.finish(End::Stopped)
            };
        }
    }

    /// One step on towards an orderly end: our end of the stream, then the peer's.
    fn finish(&mut self, end: End) -> Stage {
        match self.shutdown {
            Shutdown::Done if self.peer_ended => Stage::Closed(end),
            Shutdown::Done => Stage::Draining { end, discarded: 0 },
            Shutdown::No | Shutdown::Wanted => {
                self.shutdown = Shutdown::Wanted;
                Stage::Finishing(end)
            }
        }
    }
}

impl Stage {
    fn moving(sending: bool, left: Option<u64>, moved: u64) -> Self {
        match left {
            Some(0) => Self::Moved { moved, stop: Stop::Complete },
            left => Self::Moving { sending, left, moved },
        }
    }
}
