//! logdate: date, and each request is kept in a log before it is answered.

use crate::date::{Rfc3339, Zone};
use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{Found, Watch};
use crate::request::{Answer, Request};
use crate::service::date::{ANSWER, FRAMING, UTC};
use crate::service::{About, Setting, SettingError, StreamService};
use crate::session::{self, Next, Phase, Reason};

/// The service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogDate {
    /// Which offset is told, and logged.
    pub zone: Zone,
}

impl StreamService for LogDate {
    type Session = Session;

    const ABOUT: About = About {
        name: "logdate",
        port: 6016,
        summary: "tells the date and the time, and keeps a log",
    };
    const LOG: bool = true;
    const SETTINGS: &'static [Setting] = &[UTC];

    fn set(&mut self, name: &str, _: &'static str) -> Result<(), SettingError> {
        if name != UTC.name {
            return Err(SettingError::Unknown);
        }
        self.zone = Zone::Utc;
        Ok(())
    }

    fn open(&self) -> Session {
        Session { zone: self.zone, state: State::Asked(Watch::default()) }
    }
}

/// One conversation.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    zone: Zone,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Asked(Watch),
    /// The request is the first `len` bytes of the input.
    Logging {
        len: usize,
        time: Rfc3339,
    },
    Answering {
        time: Rfc3339,
    },
}

impl session::Session for Session {
    const HOLD: usize = FRAMING.max;
    const ROOM: usize = ANSWER;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Asked(ref mut watch) => {
                match FRAMING.find(watch, io.input(), io.ended(), io.now()) {
                    Found::Message(message) => {
                        let len = message.len;
                        let Some(date) = io.date() else { return Next::Abort(Reason::NoClock) };
                        self.state = State::Logging { len, time: date.rfc3339(self.zone) };
                        Next::Ask
                    }
                    Found::Skip(len) => {
                        io.take(len);
                        Next::Progress
                    }
                    Found::More { quiet_at } => Next::Wait(Phase::Between, quiet_at),
                    Found::End => Next::Finish,
                }
            }
            State::Logging { len, time } => match io.answer() {
                Some(Answer::Logged) => {
                    io.observe(Event::Message { text: io.input().get(..len).unwrap_or_default() });
                    io.take(len);
                    self.state = State::Answering { time };
                    Next::Progress
                }
                // There is no answer that is not in the log.
                Some(Answer::Refused(why)) => {
                    io.observe(Event::Refused {
                        name: io.input().get(..len).unwrap_or_default(),
                        why,
                    });
                    Next::Abort(Reason::Refused(why))
                }
                _ => Next::Abort(Reason::Failed),
            },
            State::Answering { time } => {
                if !io.put_all(&[time.as_bytes(), b"\n"]) {
                    return Next::Wait(Phase::Inside, None);
                }
                self.state = State::Asked(Watch::default());
                Next::Progress
            }
        }
    }

    fn request<'a>(&'a self, held: &'a [u8]) -> Option<Request<'a>> {
        match &self.state {
            State::Logging { len, time } => {
                Some(Request::Log { time: time.as_bytes(), text: held.get(..*len)? })
            }
            State::Asked(_) | State::Answering { .. } => None,
        }
    }
}
