//! hello's client: sends one message, and shows the reply.

use core::time::Duration;

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{Found, Overflow, UntilQuiet, Watch};
use crate::instant::Instant;
use crate::request::{Answer, Request};
use crate::session::{self, Next, Phase, Reason};

/// Sends `text`, or a line that it asks for, shuts down its sending, and tells each reply as [`Event::Message`].
#[derive(Clone, Copy, Debug)]
pub struct Session<'o> {
    text: Option<&'o [u8]>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Asking,
    Sending {
        sent: usize,
    },
    /// `given_up` is when no more replies are waited for: a silence after the last one.
    Reading {
        watch: Watch,
        given_up: Option<Instant>,
    },
}

/// The reply ends with the stream. A server that leaves it open is given so long to go on.
const REPLY: UntilQuiet = UntilQuiet {
    max: 4096,
    quiet: Some(Duration::from_millis(200)),
    newline: false,
    overflow: Overflow::Split,
};

/// The longest line that is asked for, in bytes.
const LINE: usize = 4096;

impl<'o> Session<'o> {
    /// A client that sends `text`, or asks what to send.
    pub fn new(text: Option<&'o [u8]>) -> Self {
        Self { text, state: State::Start }
    }

    fn read(&mut self, io: &mut Exchange<'_>) -> Next {
        io.shutdown();
        self.state = State::Reading { watch: Watch::default(), given_up: None };
        Next::Progress
    }
}

impl session::Session for Session<'_> {
    const HOLD: usize = REPLY.max;
    const ROOM: usize = LINE;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Start if self.text.is_some() => {
                self.state = State::Sending { sent: 0 };
                self.step(io)
            }
            State::Start => {
                self.state = State::Asking;
                Next::Ask
            }
            State::Asking => match io.answer() {
                Some(Answer::Line(line)) => {
                    // All of it fits: ROOM is free after an ask.
                    io.put(line.unwrap_or_default());
                    self.read(io)
                }
                Some(Answer::Refused(refusal)) => Next::Abort(Reason::Refused(refusal)),
                _ => Next::Abort(Reason::Failed),
            },
            State::Sending { ref mut sent } => {
                let left = self.text.and_then(|text| text.get(*sent..)).unwrap_or_default();
                let len = io.put(left);
                *sent += len;
                if len == left.len() { self.read(io) } else { Next::Wait(Phase::Inside, None) }
            }
            State::Reading { ref mut watch, ref mut given_up } => {
                match REPLY.find(watch, io.input(), io.ended(), io.now()) {
                    Found::Message(message) => {
                        io.observe(Event::Message { text: message.text });
                        io.take(message.len);
                        watch.next(&message);
                        *given_up = REPLY.quiet.map(|quiet| io.now() + quiet);
                        if io.input().is_empty() && !io.ended() && message.len < REPLY.max {
                            // Silence ended it.
                            return Next::Finish;
                        }
                        Next::Progress
                    }
                    Found::Skip(len) => {
                        io.take(len);
                        Next::Progress
                    }
                    Found::More { quiet_at: None } if given_up.is_some_and(|at| at <= io.now()) => {
                        Next::Finish
                    }
                    Found::More { quiet_at } => Next::Wait(Phase::Inside, quiet_at.or(*given_up)),
                    Found::End if given_up.is_some() => Next::Finish,
                    Found::End => Next::Abort(Reason::NoAnswer),
                }
            }
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        Some(Request::Line { prompt: "Enter your message to server: ", max: LINE })
    }
}
