//! file's client: sends a name, and stores what comes until the end of the stream.

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::UntilEnd;
use crate::name::FileName;
use crate::request::{Answer, Request};
use crate::session::{self, Next, Phase, Reason};

/// Fetches the file `name`, and keeps it as `save_as` only if the stream ended in good order.
#[derive(Clone, Copy, Debug)]
pub struct Session<'o> {
    name: &'o [u8],
    save_as: FileName<'o>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Creating,
    Sending { sent: usize },
    Receiving,
    Committing { len: u64 },
}

impl<'o> Session<'o> {
    /// A client for one file. The name is sent as it is: what it may be is for the server to say.
    pub fn new(name: &'o [u8], save_as: FileName<'o>) -> Self {
        Self { name, save_as, state: State::Start }
    }
}

impl session::Session for Session<'_> {
    const HOLD: usize = 1;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            // First what can fail here, then what troubles the server.
            State::Start => {
                self.state = State::Creating;
                Next::Ask
            }
            State::Creating => match io.answer() {
                Some(Answer::Created) => {
                    self.state = State::Sending { sent: 0 };
                    Next::Progress
                }
                other => failed(other),
            },
            State::Sending { ref mut sent } => {
                let left = self.name.get(*sent..).unwrap_or_default();
                let len = io.put(left);
                *sent += len;
                if len < left.len() {
                    return Next::Wait(Phase::Inside, None);
                }
                io.shutdown();
                self.state = State::Receiving;
                Next::Ask
            }
            State::Receiving => match io.answer() {
                Some(Answer::Moved { len, stop }) if UntilEnd.is_whole(stop) => {
                    self.state = State::Committing { len };
                    Next::Ask
                }
                other => failed(other),
            },
            State::Committing { len } => match io.answer() {
                Some(Answer::Committed) => {
                    io.observe(Event::Stored { len });
                    Next::Finish
                }
                other => failed(other),
            },
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        match self.state {
            State::Start | State::Sending { .. } => None,
            State::Creating => Some(Request::Create { name: self.save_as, replace: true }),
            State::Receiving => Some(UntilEnd.request()),
            State::Committing { .. } => Some(Request::Commit),
        }
    }
}

fn failed(answer: Option<Answer<'_>>) -> Next {
    Next::Abort(match answer {
        Some(Answer::Refused(refusal)) => Reason::Refused(refusal),
        Some(Answer::Moved { len, stop }) => Reason::Cut { moved: len, stop },
        _ => Reason::Failed,
    })
}
