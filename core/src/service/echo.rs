//! echo: every byte comes back, in order; every datagram comes back, whole.

use core::net::SocketAddr;

use crate::datagram::DatagramService;
use crate::event::{Event, Host};
use crate::exchange::Exchange;
use crate::service::{About, StreamService};
use crate::session::{self, Next, Phase};

/// The service. On streams it knows no messages: what arrives goes back as it arrives, at full speed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

const ABOUT: About =
    About { name: "echo", port: 9900, summary: "every byte, or datagram, comes back" };

impl StreamService for Echo {
    type Session = Session;
    const ABOUT: About = ABOUT;

    fn open(&self) -> Session {
        Session
    }
}

/// One stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session;

impl session::Session for Session {
    const HOLD: usize = 0;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        let input = io.input();
        let len = io.put(input);
        if len > 0 {
            io.take(len);
            io.observe(Event::Data { bytes: input.get(..len).unwrap_or_default() });
        }
        if io.ended() && io.input().is_empty() {
            return Next::Finish;
        }
        Next::Wait(Phase::Between, None)
    }
}

impl DatagramService for Echo {
    const ABOUT: About = ABOUT;
    const SCRATCH: usize = 0;

    fn answer<'a>(
        &mut self,
        datagram: &'a [u8],
        _scratch: &'a mut [u8],
        _peer: SocketAddr,
        host: &mut dyn Host,
    ) -> Option<&'a [u8]> {
        host.observe(Event::Data { bytes: datagram });
        Some(datagram)
    }
}
