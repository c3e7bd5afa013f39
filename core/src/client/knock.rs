//! knock's client: waits for the end.

use crate::exchange::Exchange;
use crate::session::{self, Next, Phase};

/// Says nothing, and finishes when the server has ended. What the server says meanwhile is discarded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session;

impl session::Session for Session {
    const HOLD: usize = 1024;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        io.take(io.input().len());
        if io.ended() { Next::Finish } else { Next::Wait(Phase::Inside, None) }
    }
}
