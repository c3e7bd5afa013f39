//! Keeps smoltcp from forgetting what it has sent.
//!
//! smoltcp 0.14 answers the third duplicate ACK with a fast retransmission, and stops the timer of the slow one. Then it may send nothing,
//! ever, and the connection stalls:
//!
//! - when all that is unacknowledged is a FIN, it has no data to send fast. It takes no rare accident: a receiver that is smoltcp too drops
//!   the FIN of a segment that comes too early, and says so with duplicate ACKs;
//! - when the device has no room, it believes that it has sent.
//!
//! An ACK that changes the window is no duplicate. So in these two cases each segment without data has another window: any, for a socket that
//! will send no data any more, and one a few bytes smaller for one that will.

use smoltcp::iface::SocketSet;
use smoltcp::phy::Medium;
use smoltcp::socket::Socket;
use smoltcp::socket::tcp::{self, State};
use smoltcp::wire::{IpEndpoint, TcpPacket};

use crate::syn::Segment;

/// Longer frames are not looked at: with all the options there can be, one without data has 114 bytes.
const LONGEST: usize = 128;

/// Counts the segments that were given another window.
#[derive(Debug)]
pub(crate) struct DuplicateAcks(u16);

/// A frame as smoltcp is to have it.
pub(crate) struct Disguised {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Disguised {
    pub(crate) fn frame(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl DuplicateAcks {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    /// The frame with another window, if it may do harm as it is. `full`: the device has had no room lately.
    pub(crate) fn disguise(
        &mut self,
        medium: Medium,
        frame: &[u8],
        sockets: &SocketSet<'_>,
        full: bool,
    ) -> Option<Disguised> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..frame.len())?.copy_from_slice(frame);
        let Segment { local, peer, at } = Segment::find(medium, frame)?;
        let segment = TcpPacket::new_checked(frame.get(at.clone())?).ok()?;
        let plain = segment.ack() && !segment.syn() && !segment.rst();
        if !plain || !segment.payload().is_empty() {
            return None;
        }
        let ends =
            (IpEndpoint::new(local, segment.dst_port()), IpEndpoint::new(peer, segment.src_port()));
        let is_for = |socket: &&tcp::Socket<'_>| {
            (socket.local_endpoint(), socket.remote_endpoint()) == (Some(ends.0), Some(ends.1))
        };
        let mut sockets = sockets.iter().filter_map(|(_, socket)| tcp(socket));
        let lone_fin = |socket: &tcp::Socket<'_>| {
            matches!(socket.state(), State::FinWait1 | State::Closing) && socket.send_queue() == 0
        };
        let socket = sockets.find(|socket| {
            (lone_fin(socket) || (full && socket.send_queue() > 0)) && is_for(socket)
        })?;
        self.0 = self.0.wrapping_add(1);
        let window = if lone_fin(socket) {
            self.0
        } else {
            // A window that is so small is left alone: 0 would be another story.
            segment.window_len().checked_sub(self.0 % 8).filter(|&window| window > 8)?
        };
        // One that is broken stays broken.
        if !segment.verify_checksum(&peer, &local) {
            return None;
        }
        let mut segment = TcpPacket::new_unchecked(bytes.get_mut(at)?);
        segment.set_window_len(window);
        segment.fill_checksum(&peer, &local);
        Some(Disguised { bytes, len: frame.len() })
    }
}

fn tcp<'s, 'a>(socket: &'s Socket<'a>) -> Option<&'s tcp::Socket<'a>> {
    match socket {
        Socket::Tcp(socket) => Some(socket),
        #[allow(unreachable_patterns, reason = "smoltcp has more kinds with more features")]
        _ => None,
    }
}
