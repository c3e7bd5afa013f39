//! typed's client: sends one message, and waits for the end that says that it was accepted.

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::FrameError;
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
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Opening,
    Heading {
        len: u64,
    },
    /// So many bytes of the text have been put.
    Text {
        put: usize,
    },
    Sending {
        len: u64,
    },
    Ending,
}

impl<'o> Session<'o> {
    /// A client for one message.
    pub fn new(schema: Schema, message: Message<'o>) -> Self {
        Self { schema, message, state: State::Start }
    }

    /// The head of a message with a body of `len` bytes: as short as can be.
    fn head(&self, len: u64) -> Result<crate::frame::HeadBytes, FrameError> {
        let table = self.schema.table();
        let row = match self.message {
            Message::Text(_) => Some(&STRING),
            Message::File(_) => self.schema.data().fitting(len),
        };
        let too_long = FrameError::TooLong { name: STRING.name, len, max: STRING.max };
        row.and_then(|row| row.head(&table, len)).ok_or(too_long)
    }

    fn end(&mut self, io: &mut Exchange<'_>) -> Next {
        io.shutdown();
        self.state = State::Ending;
        Next::Progress
    }
}

impl session::Session for Session<'_> {
    const HOLD: usize = 1;
    const ROOM: usize = crate::frame::Tagged::HEAD_MAX;
    // Of data to the end of the stream, our end says that it is whole.
    const END_PROVES: bool = true;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Start => match self.message {
                Message::Text(text) => {
                    self.state = State::Heading { len: text.len() as u64 };
                    Next::Progress
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
                match self.message {
                    Message::Text(_) => {
                        self.state = State::Text { put: 0 };
                        Next::Progress
                    }
                    Message::File(_) => {
                        self.state = State::Sending { len };
                        Next::Ask
                    }
                }
            }
            State::Text { ref mut put } => {
                let Message::Text(text) = self.message else {
                    return Next::Abort(Reason::Failed);
                };
                let left = text.get(*put..).unwrap_or_default();
                let len = io.put(left);
                *put += len;
                if len < left.len() {
                    return Next::Wait(Phase::Inside, None);
                }
                self.end(io)
            }
            State::Sending { .. } => match io.answer() {
                Some(Answer::Moved { stop: Stop::Complete, .. }) => self.end(io),
                Some(Answer::Moved { len, stop }) => Next::Abort(Reason::Cut { moved: len, stop }),
                Some(Answer::Refused(why)) => Next::Abort(Reason::Refused(why)),
                _ => Next::Abort(Reason::Failed),
            },
            State::Ending => {
                io.take(io.input().len());
                if io.ended() { Next::Finish } else { Next::Wait(Phase::Inside, None) }
            }
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        match (self.state, self.message) {
            (State::Opening, Message::File(name)) => Some(Request::Open { name }),
            (State::Sending { len }, _) => Some(Request::Send { len }),
            _ => None,
        }
    }
}
