//! fixed's client: whole messages, each of which must come back as it was.

use crate::event::Event;
use crate::exchange::Exchange;
use crate::request::{Answer, Request};
use crate::service::fixed::Fixed;
use crate::session::{self, Next, Phase, Reason};

/// Asks for a message, sends it, compares what comes back, tells it as [`Event::Message`], and asks again. It finishes when there are no
/// more, and the server has ended.
///
/// A message is asked for as a [`Request::Line`] of any bytes; a shorter one is padded with zeros.
#[derive(Debug)]
pub struct Session<'o> {
    /// The message that is on its way.
    message: &'o mut [u8],
    /// How many have come back.
    returned: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Asking,
    Reading { at: usize },
    Ending,
}

impl<'o> Session<'o> {
    /// A client for messages as long as `room`, in which each is kept until it has come back: 1 to [`Fixed::LEN_MAX`] bytes, or the
    /// first so many of them. With none there are no messages.
    pub fn new(room: &'o mut [u8]) -> Self {
        let len = room.len().min(Fixed::LEN_MAX);
        let message = room.get_mut(..len).unwrap_or_default();
        Self { message, returned: 0, state: State::Start }
    }

    fn end(&mut self, io: &mut Exchange<'_>) -> Next {
        io.shutdown();
        self.state = State::Ending;
        Next::Progress
    }

    /// Puts a message whole, and keeps it.
    fn send(&mut self, io: &mut Exchange<'_>, given: &[u8]) {
        let len = given.len().min(self.message.len());
        self.message.fill(0);
        if let (Some(to), Some(from)) = (self.message.get_mut(..len), given.get(..len)) {
            to.copy_from_slice(from);
        }
        // All of it fits: ROOM is free after an ask.
        io.put(self.message);
        self.state = State::Reading { at: 0 };
    }
}

impl session::Session for Session<'_> {
    const HOLD: usize = 16 << 10;
    const ROOM: usize = Fixed::LEN_MAX;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Start if self.message.is_empty() => self.end(io),
            State::Start => {
                self.state = State::Asking;
                Next::Ask
            }
            State::Asking => match io.answer() {
                Some(Answer::Line(Some(given))) => {
                    self.send(io, given);
                    Next::Progress
                }
                Some(Answer::Line(None)) => self.end(io),
                Some(Answer::Refused(refusal)) => Next::Abort(Reason::Refused(refusal)),
                _ => Next::Abort(Reason::Failed),
            },
            State::Reading { at } => {
                let expected = self.message.get(at..).unwrap_or_default();
                let input = io.input();
                if let Some(other) = expected.iter().zip(input).position(|(sent, got)| sent != got)
                {
                    let (message, at) = (self.returned + 1, (at + other) as u64);
                    return Next::Abort(Reason::Differs { message, at });
                }
                let len = expected.len().min(input.len());
                io.take(len);
                let at = at + len;
                if at == self.message.len() {
                    io.observe(Event::Message { text: self.message });
                    self.returned += 1;
                    self.state = State::Asking;
                    return Next::Ask;
                }
                if io.ended() {
                    let (got, want) = (at as u64, self.message.len() as u64);
                    return Next::Abort(Reason::EndedEarly { got, want });
                }
                self.state = State::Reading { at };
                Next::Wait(Phase::Inside, None)
            }
            // More than was sent is not what was sent.
            State::Ending if !io.input().is_empty() => Next::Abort(Reason::WrongAnswer),
            State::Ending if io.ended() => Next::Finish,
            State::Ending => Next::Wait(Phase::Inside, None),
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        match self.state {
            State::Asking => Some(Request::Line { prompt: "", max: self.message.len() }),
            _ => None,
        }
    }
}
