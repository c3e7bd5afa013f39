//! typed's client: sends one message, and waits for the end that says that it was accepted.

use crate::client::look::Look;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{FrameError, HeadBytes};
use crate::name::FileName;
use crate::request::{Answer, Request, Stop};
use crate::schema::{STRING, STRING_FRAME_MAX, Schema};
use crate::session::{self, Next, Phase, Reason};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'o> {
    /// A text, as a STRING.
    Text(&'o [u8]),
    /// The file of that name in the store, as DATA.
    File(FileName<'o>),
}

/// Sends a message and shuts down its sending. It finishes when the server has accepted the message: when it ended in good order, and
/// not before the message was whole.
///
/// A text is one write, and so is the body of a short file: the labs' servers receive once.
#[derive(Clone, Copy, Debug)]
pub struct Session<'o> {
    schema: Schema,
    message: Message<'o>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    /// Before a text goes out.
    Text(Look),
    Opening,
    /// Before the head goes out, where it is all.
    Heading {
        len: u64,
        look: Look,
    },
    /// The body from `sent` to `until` is on its way.
    Sending {
        len: u64,
        sent: u64,
        until: u64,
    },
    /// Before the rest of the body goes out: the server's end accepts nothing if it comes before that.
    Looking {
        len: u64,
        sent: u64,
        look: Look,
    },
    Ending,
}

/// The last piece of a body, in bytes: before it there is a look.
const TAIL: u64 = 1024;

impl<'o> Session<'o> {
    /// A client for one message.
    pub fn new(schema: Schema, message: Message<'o>) -> Self {
        Self { schema, message, state: State::Start }
    }

    /// The head of a message with a body of `len` bytes: as short as can be.
    fn head(&self, len: u64) -> Result<HeadBytes, FrameError> {
        let row = match self.message {
            Message::Text(_) => Some(&STRING),
            Message::File(_) => self.schema.data().fitting(len),
        };
        // Some DATA fits every length, so it is a text that does not.
        let too_long = FrameError::TooLong { name: STRING.name, len, max: STRING.max };
        row.and_then(|row| self.schema.table().encode(row.tag, len)).ok_or(too_long)
    }

    fn end(&mut self, io: &mut Exchange<'_>) -> Next {
        io.shutdown();
        self.state = State::Ending;
        Next::Progress
    }

    /// Goes on behind the first `sent` bytes of the body.
    fn go_on(&mut self, io: &mut Exchange<'_>, len: u64, sent: u64) -> Next {
        let front = len.saturating_sub(TAIL);
        if sent < front {
            self.state = State::Sending { len, sent, until: front };
            return Next::Ask;
        }
        self.state = State::Looking { len, sent, look: Look::default() };
        session::Session::step(self, io)
    }
}

impl session::Session for Session<'_> {
    const HOLD: usize = 1;
    const ROOM: usize = STRING_FRAME_MAX;
    // Of data to the end of the stream, our end says that it is whole.
    const END_PROVES: bool = true;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Start => match self.message {
                Message::Text(text) => {
                    if let Err(error) = self.head(text.len() as u64) {
                        return Next::Abort(error.into());
                    }
                    self.state = State::Text(Look::default());
                    self.step(io)
                }
                Message::File(_) => {
                    self.state = State::Opening;
                    Next::Ask
                }
            },
            State::Text(ref mut look) => {
                if let Some(next) = look.next(io) {
                    return next;
                }
                let Message::Text(text) = self.message else { return Next::Abort(Reason::Failed) };
                match self.head(text.len() as u64) {
                    Err(error) => Next::Abort(error.into()),
                    Ok(head) if io.put_all(&[head.as_bytes(), text]) => self.end(io),
                    Ok(_) => Next::Wait(Phase::Inside, None),
                }
            }
            State::Opening => match io.answer() {
                Some(Answer::Opened { len }) => {
                    if let Message::File(name) = self.message {
                        io.observe(Event::Opened { name: name.as_bytes(), len });
                    }
                    self.state = State::Heading { len, look: Look::default() };
                    Next::Progress
                }
                Some(Answer::Refused(why)) => Next::Abort(Reason::Refused(why)),
                _ => Next::Abort(Reason::Failed),
            },
            State::Heading { len, ref mut look } => {
                // Behind the last byte, which a head without a body has, the server may end.
                if len == 0
                    && let Some(next) = look.next(io)
                {
                    return next;
                }
                match self.head(len) {
                    Err(error) => Next::Abort(error.into()),
                    Ok(head) if !io.put_all(&[head.as_bytes()]) => Next::Wait(Phase::Inside, None),
                    Ok(_) if len == 0 => self.end(io),
                    Ok(_) => self.go_on(io, len, 0),
                }
            }
            State::Sending { len, sent, until } => match io.answer() {
                Some(Answer::Moved { stop: Stop::Complete, .. }) if until == len => self.end(io),
                Some(Answer::Moved { stop: Stop::Complete, .. }) => self.go_on(io, len, until),
                Some(Answer::Moved { len, stop }) => {
                    Next::Abort(Reason::Cut { moved: sent.saturating_add(len), stop })
                }
                Some(Answer::Refused(why)) => Next::Abort(Reason::Refused(why)),
                _ => Next::Abort(Reason::Failed),
            },
            State::Looking { len, sent, ref mut look } => {
                if let Some(next) = look.next(io) {
                    return next;
                }
                if sent == len {
                    return self.end(io);
                }
                self.state = State::Sending { len, sent, until: len };
                Next::Ask
            }
            // Its end is all that it has to say.
            State::Ending if !io.input().is_empty() => Next::Abort(Reason::WrongAnswer),
            State::Ending if io.ended() => Next::Finish,
            State::Ending => Next::Wait(Phase::Inside, None),
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        match (self.state, self.message) {
            (State::Opening, Message::File(name)) => Some(Request::Open { name }),
            (State::Sending { sent, until, .. }, _) => {
                Some(Request::Send { len: until.saturating_sub(sent) })
            }
            _ => None,
        }
    }
}
