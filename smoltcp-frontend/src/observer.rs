//! Who is told what happens on a stack's connections.

use core::net::SocketAddr;

use anywire_core::date::Date;
use anywire_core::event::{Event, Host};
use anywire_core::instant::Instant;

/// A connection, or for datagrams a conversation of one, as whoever logs wants to name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The service's name.
    pub service: &'static str,
    /// What it runs on.
    pub kind: Kind,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub peer: SocketAddr,
    /// When it began.
    pub since: Instant,
}

/// What a service runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// Is told the events of every connection: [`Event::Connected`] first and [`Event::Ended`] last, once each (datagrams
/// have neither). Nothing here may block.
pub trait Observer {
    /// What happened, and where. Nothing by default.
    fn observe(&mut self, connection: &Connection, event: Event<'_>) {
        let _ = (connection, event);
    }

    /// Fills `buf` with bytes that nobody can guess, or says `false` if there are none. `false` by default.
    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        let _ = buf;
        false
    }

    /// What the clock on the wall says; `None`: there is none. `None` by default.
    fn date(&mut self) -> Option<Date> {
        None
    }
}

/// Listens to nothing and has nothing.
impl Observer for () {}

/// The observer, as the session of one connection sees it.
pub(crate) struct Told<'t> {
    pub(crate) observer: &'t mut dyn Observer,
    pub(crate) connection: Connection,
}

impl Host for Told<'_> {
    fn observe(&mut self, event: Event<'_>) {
        self.observer.observe(&self.connection, event);
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        self.observer.entropy(buf)
    }

    fn date(&mut self) -> Option<Date> {
        self.observer.date()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::net::{Ipv4Addr, SocketAddr};
    use std::vec::Vec;

    use super::*;

    #[derive(Default)]
    struct Everything(Vec<Connection>);

    const TODAY: Date = Date { unix: 0, offset: 3600 };

    impl Observer for Everything {
        fn observe(&mut self, connection: &Connection, event: Event<'_>) {
            assert_eq!(event, Event::Connected);
            self.0.push(*connection);
        }

        fn entropy(&mut self, buf: &mut [u8]) -> bool {
            buf.fill(7);
            true
        }

        fn date(&mut self) -> Option<Date> {
            Some(TODAY)
        }
    }

    #[test]
    fn a_session_has_what_the_observer_has() {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let since = Instant::ZERO;
        let connection =
            Connection { service: "x", kind: Kind::Stream, local: addr, peer: addr, since };
        let (mut everything, mut buf) = (Everything::default(), [0; 3]);
        let mut told = Told { observer: &mut everything, connection };
        told.observe(Event::Connected);
        assert!(told.entropy(&mut buf));
        assert_eq!((buf, told.date()), ([7; 3], Some(TODAY)));
        assert_eq!(everything.0, [connection]);

        let mut told = Told { observer: &mut (), connection };
        told.observe(Event::Connected);
        assert!(!told.entropy(&mut buf));
        assert_eq!((buf, told.date()), ([7; 3], None));
    }
}
