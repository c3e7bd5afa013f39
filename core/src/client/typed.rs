//! typed's client: sends one message, and waits for the end that says that it was accepted.

use crate::client::upload::SOON;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{FrameError, HeadBytes, Tagged};
use crate::name::FileName;
use crate::request::{Answer, Request, Stop};
use crate::schema::{STRING, Schema};
use crate::session::{self, Next, Phase, Reason};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'o> {
    /// A text, as a STRING.
    Text(&'o [u8]),
    /// The file of that name in the store, as DATA.
    File(FileName<'o>),
}

/// Sends a message and shuts down its sending. It finishes when the server has accepted the message: when it ended in good order.
#[derive(Clone, Copy, Debug)]
pub struct Session<'o> {
    schema: Schema,
    message: Message<'o>,
    /// Bytes of the body that are out.
    sent: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Opening,
    Heading {
        len: u64,
    },
    /// The body is sent, save for its last byte.
    Body {
        len: u64,
    },
    /// The server's end accepts nothing if it comes before that byte: this is the last look.
    Looking {
        len: u64,
    },
    Last {
        len: u64,
    },
    Ending,
}

impl<'o> Session<'o> {
    /// A client for one message.
    pub fn new(schema: Schema, message: Message<'o>) -> Self {
        Self { schema, message, sent: 0, state: State::Start }
    }

    /// The head of a message with a body of `len` bytes: as short as can be.
    fn head(&self, len: u64) -> Result<HeadBytes, FrameError> {
        let table = self.schema.table();
        let row = match self.message {
            Message::Text(_) => Some(&STRING),
            Message::File(_) => self.schema.data().fitting(len),
        };
        let too_long = FrameError::TooLong { name: STRING.name, len, max: STRING.max };
        row.and_then(|row| row.head(&table, len)).ok_or(too_long)
    }

    /// Sends the body up to `until`: data by asking, a text as far as there is room. `None`: it is out.
    fn send(&mut self, io: &mut Exchange<'_>, until: u64) -> Option<Next> {
        self.sent = match self.message {
            Message::File(_) => match io.answer() {
                None if until > self.sent => return Some(Next::Ask),
                None | Some(Answer::Moved { stop: Stop::Complete, .. }) => until,
                Some(Answer::Moved { len, stop }) => {
                    let moved = self.sent.saturating_add(len);
                    return Some(Next::Abort(Reason::Cut { moved, stop }));
                }
                Some(Answer::Refused(why)) => return Some(Next::Abort(Reason::Refused(why))),
                Some(_) => return Some(Next::Abort(Reason::Failed)),
            },
            Message::Text(text) => {
                let left = text.get(self.sent as usize..until as usize).unwrap_or_default();
                self.sent + io.put(left) as u64
            }
        };
        (self.sent < until).then_some(Next::Wait(Phase::Inside, None))
    }
}

impl session::Session for Session<'_> {
    const HOLD: usize = 1;
    const ROOM: usize = Tagged::HEAD_MAX;
    // Of data to the end of the stream, our end says that it is whole.
    const END_PROVES: bool = true;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Start => match self.message {
                Message::Text(text) => {
                    self.state = State::Heading { len: text.len() as u64 };
                    self.step(io)
                }
                Message::File(_) => {
                    self.state = State::Opening;
                    Next::Ask
                }
            },
            State::Opening => match io.answer() {
                Some(Answer::Opened { len }) => {
                    if let Message::File(name) = self.message {
                        io.observe(Event::Opened { name: name.as_bytes(), len });
                    }
                    self.state = State::Heading { len };
                    Next::Progress
                }
                Some(Answer::Refused(why)) => Next::Abort(Reason::Refused(why)),
                _ => Next::Abort(Reason::Failed),
            },
            State::Heading { len } => {
                let head = match self.head(len) {
                    Ok(head) => head,
                    Err(error) => return Next::Abort(error.into()),
                };
                if !io.put_all(&[head.as_bytes()]) {
                    return Next::Wait(Phase::Inside, None);
                }
                self.state = State::Body { len };
                Next::Progress
            }
            State::Body { len } => {
                if let Some(next) = self.send(io, len.saturating_sub(1)) {
                    return next;
                }
                self.state = State::Looking { len };
                // Whatever it says is no answer.
                io.take(io.input().len());
                Next::Wait(Phase::Inside, Some(io.now() + SOON))
            }
            State::Looking { .. } if io.ended() => Next::Abort(Reason::NoAnswer),
            State::Looking { len } => {
                io.take(io.input().len());
                self.state = State::Last { len };
                self.step(io)
            }
            State::Last { len } => {
                if let Some(next) = self.send(io, len) {
                    return next;
                }
                io.shutdown();
                self.state = State::Ending;
                Next::Progress
            }
            State::Ending => {
                io.take(io.input().len());
                if io.ended() { Next::Finish } else { Next::Wait(Phase::Inside, None) }
            }
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        match (self.state, self.message) {
            (State::Opening, Message::File(name)) => Some(Request::Open { name }),
            (State::Body { len }, _) => Some(Request::Send { len: len.saturating_sub(1) }),
            (State::Last { .. }, _) => Some(Request::Send { len: 1 }),
            _ => None,
        }
    }
}
