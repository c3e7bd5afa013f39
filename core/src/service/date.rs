//! date: whatever is asked, the answer is the date and the time.

use core::time::Duration;

use crate::date::Zone;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{Found, Overflow, UntilQuiet, Watch};
use crate::service::{About, Setting, SettingError, StreamService};
use crate::session::{self, Next, Phase, Reason};

/// The service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Date {
    /// Which offset is told.
    pub zone: Zone,
}

/// The setting that both services of dates have.
pub(super) const UTC: Setting =
    Setting { name: "utc", values: "", default: "", help: "Tell UTC, not the local time" };

impl StreamService for Date {
    type Session = Session;

    const ABOUT: About = About { name: "date", port: 6015, summary: "tells the date and the time" };
    const SETTINGS: &'static [Setting] = &[UTC];

    fn set(&mut self, name: &str, _: &'static str) -> Result<(), SettingError> {
        if name != UTC.name {
            return Err(SettingError::Unknown);
        }
        self.zone = Zone::Utc;
        Ok(())
    }

    fn open(&self) -> Session {
        Session { zone: self.zone, watch: Watch::default() }
    }
}

/// What one receive returned is a question, as in the lab.
pub(super) const FRAMING: UntilQuiet = UntilQuiet {
    max: 1024,
    quiet: Some(Duration::ZERO),
    newline: false,
    overflow: Overflow::Split,
};

/// The longest answer, in bytes.
pub(super) const ANSWER: usize = crate::date::Rfc3339::LEN + 1;

/// One conversation.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    zone: Zone,
    watch: Watch,
}

impl session::Session for Session {
    const HOLD: usize = FRAMING.max;
    const ROOM: usize = ANSWER;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match FRAMING.find(&mut self.watch, io.input(), io.ended(), io.now()) {
            Found::Message(message) => {
                let Some(date) = io.date() else { return Next::Abort(Reason::NoClock) };
                if !io.put_all(&[date.rfc3339(self.zone).as_bytes(), b"\n"]) {
                    return Next::Wait(Phase::Inside, None);
                }
                io.take(message.len);
                self.watch.next(&message);
                io.observe(Event::Message { text: message.text });
                Next::Progress
            }
            Found::Skip(len) => {
                io.take(len);
                Next::Progress
            }
            Found::More { quiet_at } => Next::Wait(Phase::Between, quiet_at),
            Found::End => Next::Finish,
        }
    }
}
