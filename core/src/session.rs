//! The contract between a protocol and whatever carries its bytes.
//!
//! Everything that happens on a stream connection, on the server's side or on the client's, is a
//! [`Session`]: a pure step from input, output room, time and answers to what it wants next. It owns no socket, no
//! buffer and no clock. What moves the bytes is a driver; [`Conversation`](crate::conversation::Conversation) is what all drivers
//! have in common.
//!
//! # The contract
//!
//! [`Checked`](crate::checked::Checked) asserts it on both sides, under any driver.
//!
//! 1. **Input.** Untaken bytes are offered again, contiguous, and never fewer than before. Outside a
//!    transfer a driver that lends a shared buffer reads at most `HOLD - held` bytes for a session with `HOLD` > 0, and at most the
//!    room for one with `HOLD` 0, which takes min(input, room). Inside [`Request::Receive`] it reads at most what
//!    remains of the body. So what is held is bounded, and what follows a body stays in the transport. A session that waits
//!    has, with `ROOM` free, left less than `HOLD` bytes; with `HOLD` 0, none.
//! 2. **Output** goes out before an ask, a transfer or a finish is carried out; while output is pending
//!    the driver does not read. An abort may discard it: no reply put before an abort is promised. A session that waits with `ROOM` free, and
//!    without a deadline, may not be stepped before there is more input, or the end.
//! 3. **Answers.** An answer is taken in the step that brings it, even with no room. There is one open file at a time:
//!    [`Request::Send`] needs one from `Open`; `Expect`, `Receive` and `Commit` one from `Create`; `Open`, `Create` and `Commit` give up
//!    the one before. `ended` is offered only
//!    together with the last input; after it, with `ROOM` free, `Wait(_, None)` is broken.
//! 4. **Deadlines.** A deadline returned is later than now. At a deadline the driver reads first, then
//!    steps: bytes that have arrived beat a deadline that has passed.
//! 5. **The end.** Nothing is put after [`Exchange::shutdown`], and no step follows [`Next::Finish`] or [`Next::Abort`]. A driver handed a
//!    broken session reports it and aborts; it never spins.

use core::fmt;

use crate::exchange::{Exchange, Mark};
use crate::frame::FrameError;
use crate::instant::Instant;
use crate::request::{Refusal, Request, Stop};

/// One side of one conversation on a stream: see the [module](self) for the contract.
///
/// Sessions use `get` and the like on input, never an index: no input can make one panic.
pub trait Session {
    /// The most input, in bytes, that it may leave untaken between steps.
    const HOLD: usize;

    /// The largest reply, in bytes, that it puts all or nothing. A driver lends at least so much.
    const ROOM: usize = 1;

    /// Whether an orderly end from this side proves to the peer that what it got is complete. If so, a driver that
    /// can arranges that the peer sees a reset, not an end, should the process die.
    const END_PROVES: bool = false;

    /// Whether an orderly end is itself the answer that the peer waits for: an empty file, say, or "accepted". A server that
    /// stops must not give it unasked: it aborts such a conversation, even between messages.
    const END_ANSWERS: bool = false;

    /// Does what can be done with what `io` offers, and says what is wanted next.
    fn step(&mut self, io: &mut Exchange<'_>) -> Next;

    /// What was asked for. Has meaning only after [`Next::Ask`]; `held` is the untaken input, as the asking step left
    /// it, so that a request can borrow a name from there.
    fn request<'a>(&'a self, held: &'a [u8]) -> Option<Request<'a>> {
        let _ = held;
        None
    }
}

/// What a session wants after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More input, or more room, or the deadline, a silence say. What counts against the idle and the head limits is
    /// the phase; the limits are the driver's.
    Wait(Phase, Option<Instant>),
    /// Another step: this one took, put, or consumed the answer.
    Progress,
    /// Carry out [`Session::request`], and step with the answer.
    Ask,
    /// Send what was put, then end in good order (FIN).
    Finish,
    /// Reset the connection (RST): there is no telling the peer in its own words.
    Abort(Reason),
}

/// Where in the conversation a session waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Phase {
    /// Between messages: the connection can be ended here, and nothing is lost.
    Between,
    /// Inside a head or a name.
    Head,
    /// Inside a message or a body, or waiting for an answer that is owed.
    Inside,
}

/// Why a connection was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Reason {
    /// What was asked for could not be had.
    Refused(Refusal),
    /// A body stopped after `moved` bytes.
    Cut {
        /// Bytes moved.
        moved: u64,
        /// Why not more.
        stop: Stop,
    },
    /// The stream ended after `got` of `want` bytes.
    EndedEarly {
        /// Bytes that came.
        got: u64,
        /// Bytes that should have come.
        want: u64,
    },
    /// What came is no message of this protocol.
    Frame(FrameError),
    /// The stream ended without an answer.
    NoAnswer,
    /// The peer said something that is no answer here.
    WrongAnswer,
    /// What should have come back as it was sent did not.
    Differs {
        /// Which message it was, counted from 1.
        message: u64,
        /// The offset of the first byte in it that is another.
        at: u64,
    },
    /// The host has nothing that cannot be guessed.
    NoEntropy,
    /// The host has no clock on the wall.
    NoClock,
    /// Nothing moved for too long, in the middle of something.
    Idle,
    /// The peer took nothing of what was on its way to it for too long.
    Unread,
    /// A head or a name took too long to arrive.
    HeadTimeout,
    /// The server stops, and could wait no longer.
    Stopped,
    /// The driver could not go on: the transport or the host failed.
    Failed,
    /// The session or its driver broke the contract: a bug in the program.
    Broken(Breach),
}

/// Which rule of the contract was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Breach {
    /// Session: took more than it was offered.
    TookTooMuch,
    /// Session: put after it had shut down.
    PutAfterShutdown,
    /// Session: said `Progress` and had done nothing.
    NoProgress,
    /// Session: waits, and has `HOLD` bytes untaken and `ROOM` free; with `HOLD` 0, any input and room.
    Stalled,
    /// Session: waits for ever although the stream has ended.
    WaitsAfterEnd,
    /// Session: returned a deadline that is not later than now.
    PastDeadline,
    /// Session: did not take the answer in the step that brought it.
    AnswerIgnored,
    /// Session: asked, and has no request; or asked for a longer line than it can put.
    NoRequest,
    /// Session: asked for something of a file that it has not opened, or not for that.
    NoFile,
    /// Driver: offered fewer untaken bytes than before, or others.
    InputLost,
    /// Driver: its output buffer is smaller than `ROOM`, or its input buffer than `HOLD`.
    BufferTooSmall,
    /// Driver: gave an answer that nobody asked for, or no answer.
    WrongAnswer,
    /// Driver: took back the end of the stream, or offered input after it.
    EndedTwice,
    /// Driver: stepped after `Finish` or `Abort`.
    SteppedAfterEnd,
    /// Driver: its clock went backwards.
    ClockWentBack,
}

/// What [`advance`] stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// [`Next::Wait`].
    Wait(Phase, Option<Instant>),
    /// [`Next::Ask`], and there is a request.
    Ask,
    /// [`Next::Finish`].
    Finish,
    /// [`Next::Abort`], or the contract was broken.
    Abort(Reason),
}

/// Steps until the session must wait: the one loop that every driver uses.
///
/// It ends, whatever the session does: each `Progress` must have used up some input, room, or the answer.
/// A broken session comes back as [`Reason::Broken`].
pub fn advance<S: Session>(session: &mut S, io: &mut Exchange<'_>) -> Halt {
    loop {
        let before = io.mark();
        let next = session.step(io);
        if let Some(breach) = breach::<S>(io, before, next) {
            return Halt::Abort(Reason::Broken(breach));
        }
        match next {
            Next::Progress => {}
            Next::Wait(phase, deadline) => return Halt::Wait(phase, deadline),
            Next::Ask => {
                return match session.request(io.input()) {
                    Some(Request::Line { max, .. }) if max > S::ROOM => {
                        Halt::Abort(Reason::Broken(Breach::NoRequest))
                    }
                    Some(_) => Halt::Ask,
                    None => Halt::Abort(Reason::Broken(Breach::NoRequest)),
                };
            }
            Next::Finish => return Halt::Finish,
            Next::Abort(reason) => return Halt::Abort(reason),
        }
    }
}

/// What of the contract can be seen from one step alone; [`Checked`](crate::checked::Checked) remembers more.
fn breach<S: Session>(io: &Exchange<'_>, before: Mark, next: Next) -> Option<Breach> {
    if let Some(breach) = io.breach() {
        return Some(breach);
    }
    if io.answer_left() && !matches!(next, Next::Abort(_)) {
        return Some(Breach::AnswerIgnored);
    }
    match next {
        Next::Progress if io.mark() == before => Some(Breach::NoProgress),
        Next::Wait(_, deadline) => {
            let left = io.input().len();
            let room = io.is_shut() || io.room() >= S::ROOM;
            if deadline.is_some_and(|deadline| deadline <= io.now()) {
                Some(Breach::PastDeadline)
            } else if room && left > 0 && left >= S::HOLD {
                Some(Breach::Stalled)
            } else if room && io.ended() && deadline.is_none() {
                Some(Breach::WaitsAfterEnd)
            } else {
                None
            }
        }
        _ => None,
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Cut { moved, stop } => write!(f, "{stop}, after {moved} bytes"),
            Self::EndedEarly { got, want } => {
                let missing = want.saturating_sub(*got);
                write!(f, "the stream ended after {got} of {want} bytes: {missing} are missing")
            }
            Self::Frame(error) => error.fmt(f),
            Self::WrongAnswer => f.write_str("what came is no answer"),
            Self::Differs { message, at } => {
                write!(f, "message {message} came back with another byte at offset {at}")
            }
            Self::NoEntropy => f.write_str("the host has no entropy"),
            Self::NoClock => f.write_str("the host has no clock"),
            Self::NoAnswer => f.write_str("the stream ended without an answer"),
            Self::Idle => f.write_str("nothing moved for too long"),
            Self::Unread => f.write_str("the peer took nothing for too long"),
            Self::HeadTimeout => f.write_str("a head or a name took too long"),
            Self::Stopped => f.write_str("the server stops"),
            Self::Failed => f.write_str("the transport or the host failed"),
            Self::Broken(breach) => write!(f, "a bug, please report it: {breach:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Answer;

    /// Does in each step what the script says.
    struct Scripted<F>(F);

    impl<F: FnMut(&mut Exchange<'_>) -> Next> Session for Scripted<F> {
        const HOLD: usize = 4;
        fn step(&mut self, io: &mut Exchange<'_>) -> Next {
            (self.0)(io)
        }
    }

    fn halt(input: &[u8], ended: bool, script: impl FnMut(&mut Exchange<'_>) -> Next) -> Halt {
        let mut output = [0; 8];
        let mut host = ();
        let now = Instant::from_micros(10);
        let mut io = Exchange::new(input, ended, &mut output, now, None, &mut host);
        advance(&mut Scripted(script), &mut io)
    }

    fn broken(breach: Breach) -> Halt {
        Halt::Abort(Reason::Broken(breach))
    }

    const WAIT: Next = Next::Wait(Phase::Between, None);

    #[test]
    fn progress_without_progress_is_not_spun_on() {
        assert_eq!(halt(b"a", false, |_| Next::Progress), broken(Breach::NoProgress));
        let take_one = |io: &mut Exchange<'_>| {
            io.take(io.input().len().min(1));
            Next::Progress
        };
        assert_eq!(halt(b"abc", false, take_one), broken(Breach::NoProgress));
    }

    #[test]
    fn a_session_that_has_all_it_can_get_must_take_some() {
        assert_eq!(halt(b"abc", false, |_| WAIT), Halt::Wait(Phase::Between, None));
        assert_eq!(halt(b"abcd", false, |_| WAIT), broken(Breach::Stalled));
        let fill_up = |io: &mut Exchange<'_>| {
            io.put(&[0; 8]);
            WAIT
        };
        assert_eq!(halt(b"abcd", false, fill_up), Halt::Wait(Phase::Between, None));
        let leave_enough_for_more = |io: &mut Exchange<'_>| {
            io.take(1);
            WAIT
        };
        assert_eq!(halt(b"abcde", false, leave_enough_for_more), broken(Breach::Stalled));
    }

    #[test]
    fn waiting_for_ever_after_the_end_is_broken() {
        assert_eq!(halt(b"", true, |_| WAIT), broken(Breach::WaitsAfterEnd));
        let soon = Next::Wait(Phase::Between, Some(Instant::from_micros(11)));
        assert!(matches!(halt(b"", true, |_| soon), Halt::Wait(..)));
    }

    #[test]
    fn a_deadline_lies_ahead() {
        let now = Next::Wait(Phase::Between, Some(Instant::from_micros(10)));
        assert_eq!(halt(b"", false, |_| now), broken(Breach::PastDeadline));
    }

    #[test]
    fn taking_too_much_and_putting_after_shutdown_are_seen() {
        let greedy = |io: &mut Exchange<'_>| {
            io.take(2);
            WAIT
        };
        assert_eq!(halt(b"a", false, greedy), broken(Breach::TookTooMuch));
        let talkative = |io: &mut Exchange<'_>| {
            io.shutdown();
            io.put(b"x");
            WAIT
        };
        assert_eq!(halt(b"", false, talkative), broken(Breach::PutAfterShutdown));
    }

    #[test]
    fn asking_for_nothing_is_broken() {
        assert_eq!(halt(b"", false, |_| Next::Ask), broken(Breach::NoRequest));
    }

    #[test]
    fn a_line_is_no_longer_than_the_room() {
        struct Asking(usize);
        impl Session for Asking {
            const HOLD: usize = 1;
            const ROOM: usize = 8;
            fn step(&mut self, _: &mut Exchange<'_>) -> Next {
                Next::Ask
            }
            fn request<'a>(&'a self, _: &'a [u8]) -> Option<Request<'a>> {
                Some(Request::Line { prompt: "", max: self.0 })
            }
        }
        let (mut host, mut output) = ((), [0; 8]);
        let mut io = Exchange::new(b"", false, &mut output, Instant::ZERO, None, &mut host);
        assert_eq!(advance(&mut Asking(8), &mut io), Halt::Ask);
        assert_eq!(advance(&mut Asking(9), &mut io), broken(Breach::NoRequest));
    }

    #[test]
    fn an_answer_is_taken_in_the_step_that_brings_it() {
        let mut host = ();
        let mut io =
            Exchange::new(b"", false, &mut [], Instant::ZERO, Some(Answer::Created), &mut host);
        let halt = advance(&mut Scripted(|_: &mut Exchange<'_>| WAIT), &mut io);
        assert_eq!(halt, broken(Breach::AnswerIgnored));
    }
}
