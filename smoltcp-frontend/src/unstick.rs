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

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use smoltcp::iface::{Interface, SocketStorage};

    use super::*;
    use crate::sim::{self, Packet, Side, Wire};
    use crate::sockets::Handle;
    use crate::time::to_smoltcp;

    const PORT: u16 = 7;
    const ASKED_FOR: Option<Duration> = Some(Duration::from_secs(5));

    /// Both ends send and receive for a tenth of a second: acknowledgements wait a little.
    fn settle(
        wire: &mut Wire<'_>,
        now: Instant,
        ends: [(Side, &mut Interface, &mut Sockets<'_>); 2],
    ) {
        let mut ends = ends;
        for turn in 0..10 {
            let now = now + Duration::from_millis(10) * turn;
            for (side, interface, sockets) in &mut ends {
                interface.poll(to_smoltcp(now), &mut wire.end(*side), sockets.set_mut(0));
            }
        }
    }

    fn keep_alive(sockets: &Sockets<'_>, handle: Handle) -> Option<Duration> {
        let socket = sockets.get::<tcp::Socket<'_>>(handle);
        socket.keep_alive().map(|interval| Duration::from_micros(interval.total_micros()))
    }

    #[test]
    fn who_has_something_to_send_gets_a_keep_alive_until_it_is_sent() {
        let (mut a, mut b) = ([Packet::EMPTY; 16], [Packet::EMPTY; 16]);
        let mut wire = Wire::new(&mut a, &mut b);
        let mut ours = sim::interface(&mut wire, Side::A);
        let mut theirs = sim::interface(&mut wire, Side::B);
        let (mut a, mut b) = ([SocketStorage::EMPTY; 3], [SocketStorage::EMPTY; 3]);
        let (mut sockets, mut peers) = (Sockets::new(&mut a), Sockets::new(&mut b));
        let socket = || {
            let ring = || tcp::SocketBuffer::new(vec![0; 64].leak());
            tcp::Socket::new(ring(), ring())
        };
        let handles: Vec<_> = (0..3).map(|_| sockets.add(socket()).unwrap()).collect();
        for (at, &handle) in (0..).zip(&handles) {
            sockets.get_mut::<tcp::Socket<'_>>(handle).listen(PORT).unwrap();
            let peer = peers.add(socket()).unwrap();
            let peer = peers.get_mut::<tcp::Socket<'_>>(peer);
            peer.connect(theirs.context(), sim::address(Side::A, PORT), 50_000 + at).unwrap();
        }
        let mut now = Instant::ZERO;
        settle(
            &mut wire,
            now,
            [(Side::A, &mut ours, &mut sockets), (Side::B, &mut theirs, &mut peers)],
        );

        let [idle, stuck, asked] = handles[..] else { unreachable!() };
        sockets.get_mut::<tcp::Socket<'_>>(asked).set_keep_alive(ASKED_FOR.map(span));
        for handle in [stuck, asked] {
            sockets.get_mut::<tcp::Socket<'_>>(handle).send_slice(b"x").unwrap();
        }
        let all = |sockets: &Sockets<'_>| [idle, stuck, asked].map(|one| keep_alive(sockets, one));
        let mut unstick = Unstick::new();
        unstick.look(now, &mut sockets);
        assert_eq!(all(&sockets), [None, Some(KEEP_ALIVE), ASKED_FOR]);
        assert_eq!(unstick.due(), Some(now + EVERY));

        // Not before it is time.
        sockets.get_mut::<tcp::Socket<'_>>(stuck).set_keep_alive(None);
        unstick.look(now + (EVERY - Duration::from_micros(1)), &mut sockets);
        assert_eq!(all(&sockets), [None, None, ASKED_FOR]);
        now = now + EVERY;
        unstick.look(now, &mut sockets);
        assert_eq!(all(&sockets), [None, Some(KEEP_ALIVE), ASKED_FOR]);

        settle(
            &mut wire,
            now,
            [(Side::A, &mut ours, &mut sockets), (Side::B, &mut theirs, &mut peers)],
        );
        now = now + EVERY;
        unstick.look(now, &mut sockets);
        assert_eq!(all(&sockets), [None, None, ASKED_FOR]);
        assert_eq!(unstick.due(), None, "there is nothing to look at");
    }
}
