//! typed: one message, of a type that its tag says: a text is told, data is stored under a name drawn at random.
//!
//! The end of the stream says that the message was whole, and is stored; so whatever fails is an abort.

use crate::event::Event;
use crate::exchange::Exchange;
use crate::name::FileName;
use crate::request::{Answer, Refusal, Request, Stop};
use crate::schema::{STRING, STRING_FRAME_MAX, Schema};
use crate::service::upload::not_stored;
use crate::service::{About, Setting, SettingError, StreamService};
use crate::session::{self, Next, Phase, Reason};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Typed {
    /// What the tags mean.
    pub schema: Schema,
}

impl StreamService for Typed {
    type Session = Session;

    const ABOUT: About =
        About { name: "typed", port: 9002, summary: "you send a text or data with its type" };
    const FILES: bool = true;
    const SETTINGS: &'static [Setting] = &[Setting {
        name: "schema",
        values: "sized|close",
        default: "sized",
        help: "Whether data has its length before it, or ends with the stream",
    }];

    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        match name {
            "schema" => {
                self.schema = Schema::named(value).ok_or(SettingError::Value("sized or close"))?;
                Ok(())
            }
            _ => Err(SettingError::Unknown),
        }
    }

    fn open(&self) -> Session {
        Session { schema: self.schema, name: [0; NAME_LEN], state: State::Head }
    }
}

/// 8 letters and digits, and the extension.
const NAME_LEN: usize = 8 + EXTENSION.len();
const EXTENSION: &[u8] = b".bin";

/// One conversation: one message.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    schema: Schema,
    name: [u8; NAME_LEN],
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// For data of `len` bytes, if that is known; the name has been drawn so often.
    Creating {
        len: Option<u64>,
        draws: u8,
    },
    Expecting {
        len: u64,
    },
    Receiving {
        len: Option<u64>,
    },
    Committing {
        len: u64,
    },
}

/// There are 62^8 names: whoever meets one that is taken so often has no entropy.
const DRAWS: u8 = 16;

impl session::Session for Session {
    const HOLD: usize = STRING_FRAME_MAX;
    const END_PROVES: bool = true;
    const END_ANSWERS: bool = true;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Head => self.head(io),
            State::Creating { len, draws } => match (io.answer(), len) {
                (Some(Answer::Created), len) => {
                    io.observe(Event::Created { name: &self.name });
                    self.state = match len {
                        Some(len) => State::Expecting { len },
                        None => State::Receiving { len: None },
                    };
                    Next::Ask
                }
                (Some(Answer::Refused(Refusal::Exists)), len) if draws < DRAWS => {
                    self.draw(io, len, draws)
                }
                (Some(Answer::Refused(why)), _) => {
                    io.observe(Event::Refused { name: &self.name, why });
                    Next::Abort(Reason::Refused(why))
                }
                _ => Next::Abort(Reason::Failed),
            },
            State::Expecting { len } => match io.answer() {
                Some(Answer::Expected) => {
                    self.state = State::Receiving { len: Some(len) };
                    Next::Ask
                }
                other => not_stored(other, 0),
            },
            State::Receiving { len } => match io.answer() {
                Some(Answer::Moved { len: moved, stop })
                    if stop == len.map_or(Stop::Ended, |_| Stop::Complete) =>
                {
                    self.state = State::Committing { len: moved };
                    Next::Ask
                }
                other => not_stored(other, 0),
            },
            State::Committing { len } => match io.answer() {
                Some(Answer::Committed) => {
                    io.observe(Event::Stored { len });
                    Next::Finish
                }
                other => not_stored(other, len),
            },
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        match self.state {
            State::Head => None,
            State::Creating { .. } => {
                let name = FileName::new(&self.name).ok()?;
                Some(Request::Create { name, replace: false })
            }
            State::Expecting { len } => Some(Request::Expect { len }),
            State::Receiving { len } => Some(Request::Receive { len }),
            State::Committing { .. } => Some(Request::Commit),
        }
    }
}

impl Session {
    fn head(&mut self, io: &mut Exchange<'_>) -> Next {
        let table = self.schema.table();
        match table.head(io.input(), io.ended()) {
            Ok(Some(head)) if head.row.tag == STRING.tag => {
                match table.frame(io.input(), io.ended()) {
                    Ok(Some(frame)) => {
                        io.observe(Event::Noted { text: frame.body });
                        io.take(frame.len);
                        Next::Finish
                    }
                    Ok(None) => Next::Wait(Phase::Inside, None),
                    Err(error) => Next::Abort(error.into()),
                }
            }
            Ok(Some(head)) => {
                io.take(head.len);
                self.draw(io, head.body, 0)
            }
            Ok(None) if io.input().is_empty() && io.ended() => Next::Finish,
            Ok(None) if io.input().is_empty() => Next::Wait(Phase::Between, None),
            Ok(None) => Next::Wait(Phase::Head, None),
            Err(error) => Next::Abort(error.into()),
        }
    }

    /// Draws a name, and asks for a file of that name.
    fn draw(&mut self, io: &mut Exchange<'_>, len: Option<u64>, draws: u8) -> Next {
        const LETTERS: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = [0; 8];
        if !io.entropy(&mut random) {
            return Next::Abort(Reason::NoEntropy);
        }
        // 62^8 is so small a part of 2^64 that one name is hardly likelier than another.
        let mut rest = u64::from_le_bytes(random);
        for letter in self.name.iter_mut().take(NAME_LEN - EXTENSION.len()) {
            *letter = LETTERS.get((rest % 62) as usize).copied().unwrap_or(b'A');
            rest /= 62;
        }
        if let Some(extension) = self.name.last_chunk_mut::<{ EXTENSION.len() }>() {
            extension.copy_from_slice(EXTENSION);
        }
        self.state = State::Creating { len, draws: draws + 1 };
        Next::Ask
    }
}
