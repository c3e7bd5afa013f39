//! A device that is looked at while the interface sends: what it has sent says whether sockets must be asked again.
//!
//! The interface asks all its sockets, each for one frame, and so again until none has any. To ask a thousand costs more than most answers
//! take. But a socket that sends a short TCP segment has no more to send, and one without SYN, FIN and RST does not end what its socket is at.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::TcpPacket;

use crate::syn::Segment;

/// Frames of a full segment are longer, unless the peer has asked for very short ones.
const SHORT: usize = 536;

/// A device, and what was sent on it.
pub(crate) struct Watched<'d, D: ?Sized> {
    pub(crate) device: &'d mut D,
    pub(crate) sent: Sent,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// There may be more where it came from. Who looks only at this may stop too early, but hears of it from `poll_at`.
    pub(crate) more: bool,
    /// It may have ended something.
    pub(crate) ended: bool,
}

impl Sent {
    fn look(&mut self, medium: Medium, frame: &[u8]) {
        let segment = Segment::find(medium, frame)
            .and_then(|segment| TcpPacket::new_checked(frame.get(segment.at)?).ok());
        let plain =
            segment.is_some_and(|segment| !segment.syn() && !segment.fin() && !segment.rst());
        self.more |= !plain || frame.len() > SHORT;
        self.ended |= !plain;
    }
}

impl<'d, D: Device + ?Sized> Watched<'d, D> {
    pub(crate) fn new(device: &'d mut D) -> Self {
        Self { device, sent: Sent::default() }
    }
}

impl<D: Device + ?Sized> Device for Watched<'_, D> {
    type RxToken<'t>
        = Nothing
    where
        Self: 't;
    type TxToken<'t>
        = Transmit<'t, D::TxToken<'t>>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Nothing, Self::TxToken<'_>)> {
        None
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let medium = self.device.capabilities().medium;
        Some(Transmit { token: self.device.transmit(now)?, medium, sent: &mut self.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// No frame: here nothing is received.
pub(crate) enum Nothing {}

impl RxToken for Nothing {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, _: F) -> R {
        match self {}
    }
}

/// Room for a frame.
pub(crate) struct Transmit<'t, T> {
    token: T,
    medium: Medium,
    sent: &'t mut Sent,
}

impl<T: TxToken> TxToken for Transmit<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { token, medium, sent } = self;
        token.consume(len, |frame| {
            let done = f(frame);
            sent.look(medium, frame);
            done
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}
