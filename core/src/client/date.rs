//! The client of date and of logdate: asks what time it is, and tells the answer.

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{Found, Overflow, UntilQuiet, Watch};
use crate::session::{self, Next, Phase, Reason};

/// Sends [`QUESTION`](Self::QUESTION), shuts down its sending, and tells what comes to the end, or to the newline, as [`Event::Message`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    sent: usize,
    watch: Watch,
}

/// Whatever is longer is no date.
const ANSWER: UntilQuiet =
    UntilQuiet { max: 1024, quiet: None, newline: true, overflow: Overflow::Split };

impl Session {
    /// What is asked. To the services any question is as good.
    pub const QUESTION: &'static [u8] = b"What time is it?";
}

impl session::Session for Session {
    const HOLD: usize = ANSWER.max;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        let left = Self::QUESTION.get(self.sent..).unwrap_or_default();
        if !left.is_empty() {
            self.sent += io.put(left);
            if self.sent < Self::QUESTION.len() {
                return Next::Wait(Phase::Inside, None);
            }
            io.shutdown();
            return Next::Progress;
        }
        match ANSWER.find(&mut self.watch, io.input(), io.ended(), io.now()) {
            // Cut, and not ended.
            Found::Message(message) if message.text.len() == ANSWER.max => {
                Next::Abort(Reason::WrongAnswer)
            }
            Found::Message(message) => {
                io.observe(Event::Message { text: message.text });
                io.take(message.len);
                Next::Finish
            }
            Found::Skip(len) => {
                io.take(len);
                Next::Progress
            }
            Found::More { quiet_at } => Next::Wait(Phase::Inside, quiet_at),
            Found::End => Next::Abort(Reason::NoAnswer),
        }
    }
}
