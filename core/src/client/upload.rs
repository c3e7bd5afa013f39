//! upload's client: sends files under their names, as many as its user names.
//!
//! A file is told as [`Event::Stored`] only when the server has proven it: by the next `OK`, or by its end after ours.

use crate::client::look::Look;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::Tagged;
use crate::name::FileName;
use crate::request::{Answer, Request, Stop};
use crate::schema::{SIZED, STRING, Schema};
use crate::session::{self, Next, Phase, Reason};

/// Asks for names, line by line, opens the file of each name and sends it. It ends when there are no more names, or when the server
/// has [declined](Event::Declined) one: what comes after that needs another connection.
///
/// A file that cannot be opened is told as [`Event::Refused`], and the next name asked for. When the connection fails, what was told
/// as [`Event::Opened`] last was not stored, and neither was the one before, if that was not told as stored.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    name: [u8; FileName::MAX],
    /// Invariant: at most `FileName::MAX`.
    name_len: usize,
    /// The length of a file that was sent, and of which the server has not said that it is stored.
    unproven: Option<u64>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Naming,
    Opening,
    /// The name is to be sent of a file of `len` bytes.
    Asking {
        len: u64,
    },
    Waiting {
        len: u64,
    },
    /// Its head is to be sent.
    Heading {
        len: u64,
    },
    Sending {
        len: u64,
    },
    /// The server's end is no proof if it comes before ours.
    Looking(Look),
    Ending,
}

const DATA: Tagged = Schema::Sized.data();

/// The longest line that is asked for, in bytes: one more than a name may have, so that too long a one is seen.
const LINE: usize = FileName::MAX + 1;

/// The longest answer of a server, in bytes, that is shown whole.
const ANSWER: usize = 1024;

impl Session {
    /// A client that has not asked for anything yet.
    pub fn new() -> Self {
        Self { name: [0; FileName::MAX], name_len: 0, unproven: None, state: State::Start }
    }

    fn name(&self) -> &[u8] {
        self.name.get(..self.name_len).unwrap_or_default()
    }

    fn next_name(&mut self) -> Next {
        self.state = State::Naming;
        Next::Ask
    }

    /// Takes a line for a name, and asks for its file.
    fn named(&mut self, io: &mut Exchange<'_>, line: &[u8]) -> Next {
        let name = match FileName::new(line) {
            Ok(name) => name.as_bytes(),
            Err(error) => {
                io.observe(Event::Refused { name: line, why: error.into() });
                return self.next_name();
            }
        };
        self.name_len = name.len();
        // There is room for every name.
        if let Some(to) = self.name.get_mut(..name.len()) {
            to.copy_from_slice(name);
        }
        self.state = State::Opening;
        Next::Ask
    }

    /// What the server says to a name.
    fn answered(&mut self, io: &mut Exchange<'_>, len: u64) -> Next {
        const OK: &[u8] = b"OK";
        const ERR: &[u8] = b"ERR ";
        let input = io.input();
        if input.starts_with(OK) {
            io.take(OK.len());
            self.prove(io);
            self.state = State::Heading { len };
            return Next::Progress;
        }
        let Some(words) = input.strip_prefix(ERR) else {
            return if !(OK.starts_with(input) || ERR.starts_with(input)) {
                io.observe(Event::Message { text: input });
                Next::Abort(Reason::WrongAnswer)
            } else if io.ended() {
                Next::Abort(Reason::NoAnswer)
            } else {
                Next::Wait(Phase::Inside, None)
            };
        };
        let newline = words.iter().position(|&byte| byte == b'\n');
        if newline.is_none() && !io.ended() && input.len() < ANSWER {
            // More of it does not prolong it.
            return Next::Wait(Phase::Head, None);
        }
        let line = ERR.len() + newline.map_or(words.len(), |newline| newline + 1);
        let words = words.get(..newline.unwrap_or(words.len())).unwrap_or_default();
        io.observe(Event::Declined { words });
        io.take(line);
        io.shutdown();
        if self.unproven.is_none() {
            // Whatever it says now is of no interest.
            return Next::Finish;
        }
        self.state = State::Ending;
        Next::Progress
    }

    fn prove(&mut self, io: &mut Exchange<'_>) {
        if let Some(len) = self.unproven.take() {
            io.observe(Event::Stored { len });
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl session::Session for Session {
    const HOLD: usize = ANSWER;
    const ROOM: usize = Tagged::HEAD_MAX + LINE;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Start => self.next_name(),
            State::Naming => match io.answer() {
                Some(Answer::Line(Some(line))) => self.named(io, line),
                Some(Answer::Line(None)) => {
                    self.state = State::Looking(Look::default());
                    Next::Progress
                }
                Some(Answer::Refused(why)) => Next::Abort(Reason::Refused(why)),
                _ => Next::Abort(Reason::Failed),
            },
            State::Opening => match io.answer() {
                Some(Answer::Opened { len }) => {
                    io.observe(Event::Opened { name: self.name(), len });
                    self.state = State::Asking { len };
                    Next::Progress
                }
                Some(Answer::Refused(why)) => {
                    io.observe(Event::Refused { name: self.name(), why });
                    self.next_name()
                }
                _ => Next::Abort(Reason::Failed),
            },
            State::Asking { len } => {
                // A name always fits into a STRING.
                let head = SIZED.encode(STRING.tag, self.name_len as u64);
                let head = head.as_ref().map_or(&[][..], |head| head.as_bytes());
                if !io.put_all(&[head, self.name()]) {
                    return Next::Wait(Phase::Inside, None);
                }
                self.state = State::Waiting { len };
                Next::Progress
            }
            State::Waiting { len } => self.answered(io, len),
            State::Heading { len } => {
                // Some DATA fits every length.
                let head = DATA.fitting(len).and_then(|row| DATA.encode(row.tag, len));
                let head = head.as_ref().map_or(&[][..], |head| head.as_bytes());
                if !io.put_all(&[head]) {
                    return Next::Wait(Phase::Inside, None);
                }
                self.state = State::Sending { len };
                Next::Ask
            }
            State::Sending { len } => match io.answer() {
                Some(Answer::Moved { stop: Stop::Complete, .. }) => {
                    self.unproven = Some(len);
                    self.next_name()
                }
                Some(Answer::Moved { len, stop }) => Next::Abort(Reason::Cut { moved: len, stop }),
                Some(Answer::Refused(why)) => Next::Abort(Reason::Refused(why)),
                _ => Next::Abort(Reason::Failed),
            },
            State::Looking(ref mut look) => {
                if let Some(next) = look.next(io) {
                    return next;
                }
                io.shutdown();
                self.state = State::Ending;
                Next::Progress
            }
            // Its end is all that it has to say.
            State::Ending if !io.input().is_empty() => Next::Abort(Reason::WrongAnswer),
            State::Ending if io.ended() => {
                self.prove(io);
                Next::Finish
            }
            State::Ending => Next::Wait(Phase::Inside, None),
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        match self.state {
            State::Naming => {
                Some(Request::Line { prompt: "Enter the name of the file: ", max: LINE })
            }
            State::Opening => Some(Request::Open { name: FileName::new(self.name()).ok()? }),
            State::Sending { len } => Some(Request::Send { len }),
            _ => None,
        }
    }
}
