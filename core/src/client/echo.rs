//! echo's client: sends a text and shows what comes back, 16 bytes at a time, as the lab's does.

use crate::event::Event;
use crate::exchange::Exchange;
use crate::session::{self, Next, Phase, Reason};

/// Sends `text`, and ends when as many bytes have come back.
#[derive(Clone, Copy, Debug)]
pub struct Session<'o> {
    text: &'o [u8],
    sent: usize,
    received: usize,
}

/// What the lab's client receives at once: a part, told as [`Event::Data`].
const PART: usize = 16;

/// At most so many bytes are on their way: whoever sends without end and does not read meets a server that does the same.
const WINDOW: usize = 4096;

impl<'o> Session<'o> {
    /// A client for one text.
    pub fn new(text: &'o [u8]) -> Self {
        Self { text, sent: 0, received: 0 }
    }
}

impl session::Session for Session<'_> {
    const HOLD: usize = PART;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        let to_come = self.text.len() - self.received;
        let part = io.input().get(..PART.min(to_come)).filter(|part| !part.is_empty());
        if let Some(part) = part {
            io.observe(Event::Data { bytes: part });
            io.take(part.len());
            self.received += part.len();
            return Next::Progress;
        }
        if to_come == 0 {
            return Next::Finish;
        }
        if io.ended() {
            return Next::Abort(Reason::EndedEarly {
                got: (self.received + io.input().len()) as u64,
                want: self.text.len() as u64,
            });
        }
        let window = self.text.len().min(self.received.saturating_add(WINDOW));
        self.sent += io.put(self.text.get(self.sent..window).unwrap_or_default());
        Next::Wait(Phase::Inside, None)
    }
}
