//! upload: the client sends a name and is told `OK` or `ERR reason`, then a file, and so on.
//!
//! The next `OK`, or the end of the stream, proves that the file before it is stored. So whatever fails after `OK` is an abort.

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{FrameError, Tagged};
use crate::name::FileName;
use crate::request::{Answer, Refusal, Request, Stop};
use crate::schema::{SIZED, STRING_FRAME_MAX, Schema};
use crate::service::{About, StreamService};
use crate::session::{self, Next, Phase, Reason};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upload;

impl StreamService for Upload {
    type Session = Session;

    const ABOUT: About =
        About { name: "upload", port: 9003, summary: "you send names and files, it stores them" };
    const FILES: bool = true;

    fn open(&self) -> Session {
        Session::default()
    }
}

/// What comes before `OK`,
const NAME: Tagged = SIZED.only(0, 1);
/// and after it.
const DATA: Tagged = Schema::Sized.data();

/// One conversation: any number of files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Name,
    /// The name is at the front of the input.
    Creating,
    Accepted,
    Refused(Refusal),
    Data,
    Expecting {
        len: u64,
    },
    Receiving {
        len: u64,
    },
    Committing {
        len: u64,
    },
}

/// The longest answer, in bytes.
const ROOM: usize = 128;

impl session::Session for Session {
    const HOLD: usize = STRING_FRAME_MAX;
    const ROOM: usize = ROOM;
    const END_PROVES: bool = true;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Name => match NAME.frame(io.input(), io.ended()) {
                Ok(Some(frame)) => match FileName::new(frame.body) {
                    Ok(_) => {
                        self.state = State::Creating;
                        Next::Ask
                    }
                    Err(error) => self.refuse(io, error.into()),
                },
                Ok(None) if io.input().is_empty() && io.ended() => Next::Finish,
                Ok(None) if io.input().is_empty() => Next::Wait(Phase::Between, None),
                Ok(None) => Next::Wait(Phase::Head, None),
                Err(error) => Next::Abort(error.into()),
            },
            State::Creating => match io.answer() {
                Some(Answer::Created) => {
                    let name = name_in(io.input()).unwrap_or_default();
                    io.observe(Event::Created { name });
                    take_name(io);
                    self.state = State::Accepted;
                    Next::Progress
                }
                Some(Answer::Refused(why)) => self.refuse(io, why),
                _ => Next::Abort(Reason::Failed),
            },
            State::Accepted => {
                if !io.put_all(&[b"OK"]) {
                    return Next::Wait(Phase::Inside, None);
                }
                self.state = State::Data;
                Next::Progress
            }
            State::Refused(why) => {
                if !io.put_all(&[b"ERR ", why.as_str().as_bytes(), b"\n"]) {
                    return Next::Wait(Phase::Inside, None);
                }
                Next::Finish
            }
            State::Data => match DATA.head(io.input(), io.ended()) {
                Ok(Some(head)) => {
                    io.take(head.len);
                    // Every DATA of this schema has a length.
                    self.state = State::Expecting { len: head.body.unwrap_or(0) };
                    Next::Ask
                }
                Ok(None) if io.ended() => Next::Abort(FrameError::Ended { got: 0, want: 2 }.into()),
                Ok(None) if io.input().is_empty() => Next::Wait(Phase::Inside, None),
                Ok(None) => Next::Wait(Phase::Head, None),
                Err(error) => Next::Abort(error.into()),
            },
            State::Expecting { len } => match io.answer() {
                Some(Answer::Expected) => {
                    self.state = State::Receiving { len };
                    Next::Ask
                }
                other => not_stored(other, 0),
            },
            State::Receiving { len } => match io.answer() {
                Some(Answer::Moved { stop: Stop::Complete, .. }) => {
                    self.state = State::Committing { len };
                    Next::Ask
                }
                other => not_stored(other, 0),
            },
            State::Committing { len } => match io.answer() {
                Some(Answer::Committed) => {
                    io.observe(Event::Stored { len });
                    self.state = State::Name;
                    Next::Progress
                }
                other => not_stored(other, len),
            },
        }
    }

    fn request<'a>(&'a self, held: &'a [u8]) -> Option<Request<'a>> {
        match self.state {
            State::Creating => {
                let name = FileName::new(name_in(held)?).ok()?;
                Some(Request::Create { name, replace: true })
            }
            State::Expecting { len } => Some(Request::Expect { len }),
            State::Receiving { len } => Some(Request::Receive { len: Some(len) }),
            State::Committing { .. } => Some(Request::Commit),
            State::Name | State::Accepted | State::Refused(_) | State::Data => None,
        }
    }
}

impl Session {
    fn refuse(&mut self, io: &mut Exchange<'_>, why: Refusal) -> Next {
        io.observe(Event::Refused { name: name_in(io.input()).unwrap_or_default(), why });
        take_name(io);
        self.state = State::Refused(why);
        Next::Progress
    }
}

/// The name at the front of `input`.
fn name_in(input: &[u8]) -> Option<&[u8]> {
    NAME.frame(input, false).ok().flatten().map(|frame| frame.body)
}

fn take_name(io: &mut Exchange<'_>) {
    if let Ok(Some(frame)) = NAME.frame(io.input(), false) {
        io.take(frame.len);
    }
}

/// After `OK` there are no words for a failure. `moved` bytes of the file had come.
pub(super) fn not_stored(answer: Option<Answer<'_>>, moved: u64) -> Next {
    Next::Abort(match answer {
        Some(Answer::Moved { len, stop }) => Reason::Cut { moved: len, stop },
        Some(Answer::Refused(why)) => Reason::Cut { moved, stop: Stop::Store(why) },
        _ => Reason::Failed,
    })
}

impl From<FrameError> for Reason {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}
