//! Keeps smoltcp from waiting for ever with data in hand.
//!
//! smoltcp 0.14 begins to probe a closed window only when a segment comes that closes it. An old one that says 0 may come behind a newer one
//! that has opened the window. When then what was sent in between gets lost, the timer of its retransmission finds the window
//! closed, and stops: nothing is sent, and nothing is asked, ever.
//!
//! A keep-alive is sent when no timer runs, and is answered with the window as it is. So those that have had something to send for some
//! time get one; of all that are well, a timer runs.

use core::time::Duration;

use anywire_core::instant::Instant;
use smoltcp::socket::{Socket, tcp};

use crate::sockets::Sockets;
use crate::time::span;

/// Sockets are looked at so often.
const EVERY: Duration = Duration::from_secs(10);

/// Until the next one. Nobody else would choose this: it tells ours from those that were asked for.
const KEEP_ALIVE: Duration = Duration::from_micros(61_000_001);

/// When sockets are looked at again.
#[derive(Debug)]
pub(crate) struct Unstick {
    at: Instant,
    /// There may be one to look at.
    armed: bool,
}

impl Unstick {
    pub(crate) const fn new() -> Self {
        Self { at: Instant::ZERO, armed: false }
    }

    /// A socket may have something to send that it did not have at the last look.
    pub(crate) fn arm(&mut self) {
        self.armed = true;
    }

    /// Looks at them, if it is time.
    pub(crate) fn look(&mut self, now: Instant, sockets: &mut Sockets<'_>) {
        if now < self.at {
            return;
        }
        (self.at, self.armed) = (now + EVERY, false);
        let ours = Some(span(KEEP_ALIVE));
        for socket in sockets.iter_mut() {
            let Some(socket) = tcp(socket) else { continue };
            self.armed |= socket.send_queue() > 0;
            match socket.send_queue() {
                0 if socket.keep_alive() == ours => socket.set_keep_alive(None),
                1.. if socket.keep_alive().is_none() => socket.set_keep_alive(ours),
                _ => {}
            }
        }
    }

    /// When it is time, if there may be one to look at.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.armed.then_some(self.at)
    }
}

fn tcp<'s, 'a>(socket: &'s mut Socket<'a>) -> Option<&'s mut tcp::Socket<'a>> {
    match socket {
        Socket::Tcp(socket) => Some(socket),
        #[allow(unreachable_patterns, reason = "smoltcp has more kinds with more features")]
        _ => None,
    }
}
