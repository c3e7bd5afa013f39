//! file: the client sends a name, and is sent the file.
//!
//! The end of the stream is the end of the file, so it must mean just that: no such file, a name that is not
//! allowed, or a file that came up short is an abort, and never an end.

use core::time::Duration;

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{Found, Overflow, UntilQuiet, Watch};
use crate::name::FileName;
use crate::request::{Answer, Refusal, Request, Stop};
use crate::service::{About, StreamService};
use crate::session::{self, Next, Phase, Reason};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct File;

impl StreamService for File {
    type Session = Session;

    const ABOUT: About =
        About { name: "file", port: 6565, summary: "you send a name, it sends the file" };
    const FILES: bool = true;

    fn open(&self) -> Session {
        Session::default()
    }
}

/// What is longer than a name may be is cut here, and refused as too long.
const FRAMING: UntilQuiet = UntilQuiet {
    max: 1024,
    quiet: Some(Duration::from_millis(100)),
    newline: true,
    overflow: Overflow::Split,
};

/// One conversation: one file.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Name(Watch),
    /// The name is the first `text` bytes of the input; with what ended it it has `len`.
    Opening {
        text: usize,
        len: usize,
    },
    Sending {
        len: u64,
    },
}

impl Default for Session {
    fn default() -> Self {
        Self { state: State::Name(Watch::default()) }
    }
}

impl session::Session for Session {
    const HOLD: usize = FRAMING.max;
    const END_PROVES: bool = true;
    const END_ANSWERS: bool = true;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Name(ref mut watch) => {
                match FRAMING.find(watch, io.input(), io.ended(), io.now()) {
                    Found::Message(message) => match FileName::new(message.text) {
                        Ok(_) => {
                            self.state =
                                State::Opening { text: message.text.len(), len: message.len };
                            Next::Ask
                        }
                        Err(error) => refuse(io, message.text, message.len, error.into()),
                    },
                    Found::Skip(len) => {
                        io.take(len);
                        Next::Progress
                    }
                    Found::More { quiet_at } if io.input().is_empty() => {
                        Next::Wait(Phase::Between, quiet_at)
                    }
                    Found::More { quiet_at } => Next::Wait(Phase::Head, quiet_at),
                    // No name is no file: an end would say that it is empty.
                    Found::End => refuse(io, b"", 0, crate::name::NameError::Empty.into()),
                }
            }
            State::Opening { text, len } => {
                let name = io.input().get(..text).unwrap_or_default();
                match io.answer() {
                    Some(Answer::Opened { len: size }) => {
                        io.take(len);
                        io.observe(Event::Opened { name, len: size });
                        self.state = State::Sending { len: size };
                        Next::Ask
                    }
                    Some(Answer::Refused(refusal)) => refuse(io, name, len, refusal),
                    _ => Next::Abort(Reason::Failed),
                }
            }
            State::Sending { .. } => match io.answer() {
                Some(Answer::Moved { stop: Stop::Complete, .. }) => Next::Finish,
                Some(Answer::Moved { len, stop }) => Next::Abort(Reason::Cut { moved: len, stop }),
                Some(Answer::Refused(refusal)) => Next::Abort(Reason::Refused(refusal)),
                _ => Next::Abort(Reason::Failed),
            },
        }
    }

    fn request<'a>(&'a self, held: &'a [u8]) -> Option<Request<'a>> {
        match self.state {
            State::Name(_) => None,
            State::Opening { text, .. } => {
                Some(Request::Open { name: FileName::new(held.get(..text)?).ok()? })
            }
            State::Sending { len } => Some(Request::Send { len }),
        }
    }
}

/// Refuses a name, which is `len` bytes of the input.
fn refuse(io: &mut Exchange<'_>, name: &[u8], len: usize, why: Refusal) -> Next {
    io.take(len);
    io.observe(Event::Refused { name, why });
    Next::Abort(Reason::Refused(why))
}
