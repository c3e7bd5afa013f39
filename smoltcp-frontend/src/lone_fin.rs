//! Keeps smoltcp from forgetting a FIN.
//!
//! smoltcp 0.14 answers the third duplicate ACK with a fast retransmission, and stops the timer of the slow one. When all that is
//! unacknowledged is a FIN it has no data to send fast, so it sends nothing, ever: the connection stalls. It takes no rare accident: a
//! receiver that is smoltcp too drops the FIN of a segment that comes too early, and says so with duplicate ACKs.
//!
//! An ACK that changes the window is no duplicate. Of a socket that will send no data any more nobody cares for the window: so each
//! segment without data that reaches it has another.

use smoltcp::iface::SocketSet;
use smoltcp::phy::Medium;
use smoltcp::socket::Socket;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpEndpoint, TcpPacket};

use crate::syn::Segment;

/// Longer frames are not looked at: with all the options there can be, one without data has 114 bytes.
const LONGEST: usize = 128;

/// The window of the last segment that was given another.
#[derive(Debug)]
pub(crate) struct LoneFin(u16);

/// A frame as smoltcp is to have it.
pub(crate) struct Disarmed {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Disarmed {
    pub(crate) fn frame(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl LoneFin {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    /// The frame with another window, if it may do harm as it is.
    pub(crate) fn disarm(
        &mut self,
        medium: Medium,
        frame: &[u8],
        sockets: &SocketSet<'_>,
    ) -> Option<Disarmed> {
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
        let waits = sockets.iter().any(|(_, socket)| awaits_ack_of_fin(socket, ends));
        // One that is broken stays broken.
        if !waits || !segment.verify_checksum(&peer, &local) {
            return None;
        }
        self.0 = self.0.wrapping_add(1);
        let mut segment = TcpPacket::new_unchecked(bytes.get_mut(at)?);
        segment.set_window_len(self.0);
        segment.fill_checksum(&peer, &local);
        Some(Disarmed { bytes, len: frame.len() })
    }
}

/// Whether it is the socket between these two ends, and has nothing unacknowledged but its FIN.
fn awaits_ack_of_fin(socket: &Socket<'_>, (local, peer): (IpEndpoint, IpEndpoint)) -> bool {
    match socket {
        Socket::Tcp(socket) => {
            matches!(socket.state(), State::FinWait1 | State::Closing)
                && socket.send_queue() == 0
                && socket.local_endpoint() == Some(local)
                && socket.remote_endpoint() == Some(peer)
        }
        #[allow(unreachable_patterns, reason = "smoltcp has more kinds with more features")]
        _ => false,
    }
}
