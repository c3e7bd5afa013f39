//! The stack's observer, told on to the program's.

use std::sync::Arc;

use anywire_core::date::Date;
use anywire_core::event::Event;
use anywire_smoltcp::observer::{Connection, Kind, Observer};
use anywire_std::clock;
use anywire_std::engine::{self, Link, Protocol};

/// Tells the program what happens on the stack, and counts what has ended.
pub(crate) struct Told {
    pub(crate) observer: Arc<dyn engine::Observer>,
    /// Conversations that have ended.
    pub(crate) ended: u64,
}

impl Observer for Told {
    fn observe(&mut self, connection: &Connection, event: Event<'_>) {
        let Connection { service, kind, local, peer, since } = *connection;
        let protocol = match kind {
            Kind::Stream => Protocol::Tcp,
            Kind::Datagram => Protocol::Udp,
        };
        self.ended += u64::from(matches!(event, Event::Ended { .. }));
        self.observer.observe(&Link { service, protocol, local, peer, since }, event);
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        getrandom::fill(buf).is_ok()
    }

    fn date(&mut self) -> Option<Date> {
        Some(clock::date())
    }
}
