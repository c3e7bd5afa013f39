//! The last look before our end.

use core::time::Duration;

use crate::exchange::Exchange;
use crate::instant::Instant;
use crate::session::{Next, Phase, Reason};

/// Whether the server has ended before us, where its end is an answer only if it comes after ours. What it says meanwhile is no answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// Until when it lasts, once it has begun.
    until: Option<Instant>,
}

impl Look {
    /// A deadline that has passed when the driver has looked whether anything has come.
    const SOON: Duration = Duration::from_micros(1);

    /// What to do for it. `None`: it is over, and the server had not ended.
    pub(super) fn next(&mut self, io: &mut Exchange<'_>) -> Option<Next> {
        io.take(io.input().len());
        if io.ended() {
            return Some(Next::Abort(Reason::NoAnswer));
        }
        if !io.keeps_time() {
            return None;
        }
        let soon = io.now() + Self::SOON;
        let until = match self.until {
            Some(until) if until <= io.now() => return None,
            Some(until) => until,
            None => {
                // What was put goes out first, and then we are here again, and nobody has looked.
                self.until = (io.put_len() == 0).then_some(soon);
                soon
            }
        };
        Some(Next::Wait(Phase::Inside, Some(until)))
    }
}
