//! knock: notes that somebody came, and ends at once. What the visitor sends is discarded.

use crate::exchange::Exchange;
use crate::service::{About, StreamService};
use crate::session::{self, Next};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Knock;

impl StreamService for Knock {
    type Session = Session;

    const ABOUT: About =
        About { name: "knock", port: 9000, summary: "notes that you came, and ends" };

    fn open(&self) -> Session {
        Session
    }
}

/// One conversation. That somebody came is the driver's to tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session;

impl session::Session for Session {
    const HOLD: usize = 0;

    fn step(&mut self, _: &mut Exchange<'_>) -> Next {
        Next::Finish
    }
}
