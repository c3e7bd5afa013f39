//! greet's client: lines, each with its answer, over telnet.

use core::time::Duration;

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{IAC, Telnet};
use crate::instant::Instant;
use crate::request::{Answer, Request};
use crate::session::{self, Next, Phase, Reason};

/// Asks for a line, sends it, tells the answer as [`Event::Message`], and asks again. It finishes when there are no more lines, or when the
/// server has ended behind an answer.
///
/// What of an answer is telnet's is left out; a byte 255 is sent as telnet wants it, and so comes back as it was.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    state: State,
    telnet: Telnet,
    answer: [u8; ANSWER],
    /// Invariant: at most `ANSWER`.
    len: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Asking,
    Reading,
    /// Until then what still comes is shown.
    Ending {
        until: Instant,
    },
}

/// The longest answer, in bytes.
const ANSWER: usize = 2048;

/// After our end nothing is owed to us any more: so long something may come all the same.
const QUIET: Duration = Duration::from_millis(200);

impl Session {
    /// The longest line, in bytes. One more, and the service would make two messages of it, with an answer each.
    pub const LINE: usize = 1023;

    /// A client for as many lines as there are.
    pub fn new() -> Self {
        Self { state: State::Start, telnet: Telnet::default(), answer: [0; ANSWER], len: 0 }
    }

    /// Takes input up to the end of an answer, and tells that. Says whether there was one.
    fn take(&mut self, io: &mut Exchange<'_>) -> Result<bool, Reason> {
        for &byte in io.input() {
            io.take(1);
            match self.telnet.data(byte) {
                Some(b'\n') => {
                    self.tell(io);
                    return Ok(true);
                }
                Some(data) => {
                    *self.answer.get_mut(self.len).ok_or(Reason::WrongAnswer)? = data;
                    self.len += 1;
                }
                None => {}
            }
        }
        let last = io.ended() && self.len > 0;
        if last {
            self.tell(io);
        }
        Ok(last)
    }

    fn tell(&mut self, io: &mut Exchange<'_>) {
        let line = self.answer.get(..self.len).unwrap_or_default();
        io.observe(Event::Message { text: line.strip_suffix(b"\r").unwrap_or(line) });
        self.len = 0;
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl session::Session for Session {
    const HOLD: usize = ANSWER;
    const ROOM: usize = 2 * Self::LINE + 1;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Start => {
                self.state = State::Asking;
                Next::Ask
            }
            State::Asking => match io.answer() {
                Some(Answer::Line(Some(line))) => {
                    // All of it fits: ROOM is free after an ask.
                    for part in line.split_inclusive(|&byte| byte == IAC) {
                        io.put(part);
                        if part.ends_with(&[IAC]) {
                            io.put(&[IAC]);
                        }
                    }
                    io.put(b"\n");
                    self.state = State::Reading;
                    Next::Progress
                }
                // Every line has its answer: what still comes is shown, but not waited for.
                Some(Answer::Line(None)) => {
                    io.shutdown();
                    self.state = State::Ending { until: io.now() + QUIET };
                    Next::Progress
                }
                Some(Answer::Refused(refusal)) => Next::Abort(Reason::Refused(refusal)),
                _ => Next::Abort(Reason::Failed),
            },
            State::Reading => match self.take(io) {
                Ok(true) if io.ended() => {
                    self.state = State::Ending { until: io.now() };
                    self.step(io)
                }
                Ok(true) => {
                    self.state = State::Asking;
                    Next::Ask
                }
                Ok(false) if io.ended() => Next::Abort(Reason::NoAnswer),
                Ok(false) => Next::Wait(Phase::Inside, None),
                Err(reason) => Next::Abort(reason),
            },
            State::Ending { until } => loop {
                match self.take(io) {
                    Ok(true) => {}
                    Ok(false) if io.ended() || until <= io.now() => return Next::Finish,
                    Ok(false) => return Next::Wait(Phase::Inside, Some(until)),
                    Err(reason) => return Next::Abort(reason),
                }
            },
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
