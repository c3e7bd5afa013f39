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

use smoltcp::phy::Medium;
use smoltcp::socket::tcp::{self, State};
use smoltcp::wire::{IpEndpoint, TcpPacket};

use crate::sockets::{Sockets, tcp};
use crate::syn::Segment;

/// Longer frames are not looked at: over IPv6 with all of TCP's options one without data has 114 bytes. Whoever puts much more in front of it, as
/// long hop-by-hop options, may stall a connection of its own.
const LONGEST: usize = 128;

/// Finds such segments.
#[derive(Debug)]
pub(crate) struct DuplicateAcks {
    /// Counts those that were given another window.
    count: u16,
    /// Whether there may be a socket that they do harm to, if that was looked at in this burst. A burst makes no new ones.
    any: Option<bool>,
}

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
        Self { count: 0, any: None }
    }

    /// A burst of frames begins: sockets are not what they were.
    pub(crate) fn begin(&mut self) {
        self.any = None;
    }

    /// The frame with another window, if it may do harm as it is. `full`: the device has had no room lately; `verified`: checksums
    /// need not be looked at.
    pub(crate) fn disguise(
        &mut self,
        medium: Medium,
        frame: &[u8],
        sockets: &Sockets<'_>,
        full: bool,
        verified: bool,
    ) -> Option<Disguised> {
        if frame.len() > LONGEST {
            return None;
        }
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
        let sockets = || sockets.iter().filter_map(tcp);
        let has_fin =
            |socket: &tcp::Socket<'_>| matches!(socket.state(), State::FinWait1 | State::Closing);
        let any = self.any.get_or_insert_with(|| full || sockets().any(has_fin));
        if !*any {
            return None;
        }
        let lone_fin = |socket: &tcp::Socket<'_>| has_fin(socket) && socket.send_queue() == 0;
        let socket = sockets().find(|socket| {
            (lone_fin(socket) || (full && socket.send_queue() > 0)) && is_for(socket)
        })?;
        self.count = self.count.wrapping_add(1);
        let window = if lone_fin(socket) {
            self.count
        } else {
            // A window that is so small is left alone: 0 would be another story.
            segment.window_len().checked_sub(self.count % 8).filter(|&window| window > 8)?
        };
        // One that is broken stays broken.
        if !(verified || segment.verify_checksum(&peer, &local)) {
            return None;
        }
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..frame.len())?.copy_from_slice(frame);
        let mut segment = TcpPacket::new_unchecked(bytes.get_mut(at)?);
        segment.set_window_len(window);
        segment.fill_checksum(&peer, &local);
        Some(Disguised { bytes, len: frame.len() })
    }
}
