//! message's client: lines, each with its reply.

use core::time::Duration;

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{Found, Overflow, UntilQuiet, Watch};
use crate::instant::Instant;
use crate::request::{Answer, Request};
use crate::session::{self, Next, Phase, Reason};

/// Asks for a line, sends it, tells the reply as [`Event::Message`], and asks again. It finishes when there are no more lines, or when the
/// server has ended behind a reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Start,
    Asking,
    /// `given_up` is when no more of the reply is waited for: a silence after some of it, or after our end.
    Reading {
        watch: Watch,
        given_up: Option<Instant>,
    },
}

/// A reply has no end of its own but a silence. A longer one is told in pieces.
const REPLY: UntilQuiet =
    UntilQuiet { max: 8192, quiet: Some(QUIET), newline: false, overflow: Overflow::Split };

const QUIET: Duration = Duration::from_millis(200);

impl Session {
    /// The longest line, in bytes: the service takes no more of one.
    pub const LINE: usize = 4096;
}

impl session::Session for Session {
    const HOLD: usize = REPLY.max;
    const ROOM: usize = Self::LINE + 1;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Start => {
                self.state = State::Asking;
                Next::Ask
            }
            State::Asking => {
                let given_up = match io.answer() {
                    Some(Answer::Line(Some(line))) => {
                        // All of it fits: ROOM is free after an ask.
                        io.put_all(&[line, b"\n"]);
                        None
                    }
                    // Every line has its reply: what still comes is shown, but not waited for.
                    Some(Answer::Line(None)) => {
                        io.shutdown();
                        Some(io.now() + QUIET)
                    }
                    Some(Answer::Refused(refusal)) => return Next::Abort(Reason::Refused(refusal)),
                    _ => return Next::Abort(Reason::Failed),
                };
                self.state = State::Reading { watch: Watch::default(), given_up };
                Next::Progress
            }
            State::Reading { ref mut watch, ref mut given_up } => {
                match REPLY.find(watch, io.input(), io.ended(), io.now()) {
                    Found::Message(message) => {
                        io.observe(Event::Message { text: message.text });
                        io.take(message.len);
                        watch.next(&message);
                        *given_up = Some(io.now() + QUIET);
                        if message.len < REPLY.max && !io.ended() {
                            // Silence ended it.
                            return self.replied(io);
                        }
                        Next::Progress
                    }
                    Found::Skip(len) => {
                        io.take(len);
                        Next::Progress
                    }
                    Found::More { quiet_at: None } if given_up.is_some_and(|at| at <= io.now()) => {
                        self.replied(io)
                    }
                    Found::More { quiet_at } => Next::Wait(Phase::Inside, quiet_at.or(*given_up)),
                    Found::End if given_up.is_some() => Next::Finish,
                    Found::End => Next::Abort(Reason::NoAnswer),
                }
            }
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        match self.state {
            State::Asking => {
                Some(Request::Line { prompt: "Enter your message to server: ", max: Self::LINE })
            }
            _ => None,
        }
    }
}

impl Session {
    /// The reply is over: the next line, if there can be one.
    fn replied(&mut self, io: &Exchange<'_>) -> Next {
        if io.is_shut() {
            return Next::Finish;
        }
        self.state = State::Asking;
        Next::Ask
    }
}
