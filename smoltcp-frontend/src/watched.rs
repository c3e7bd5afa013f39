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

#[cfg(test)]
mod tests {
    use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpRepr};

    use super::*;
    use crate::tests::packets::{SEGMENT, ends, packet};

    /// What is known when this packet was sent.
    fn look(packet: &[u8]) -> Sent {
        let mut sent = Sent::default();
        sent.look(Medium::Ip, packet);
        sent
    }

    #[test]
    fn a_short_segment_is_the_last_and_a_plain_one_ends_nothing() {
        for (local, peer) in ends() {
            let sent = |control, payload| {
                look(&packet(peer, local, &TcpRepr { control, payload, ..SEGMENT }))
            };
            let header = packet(peer, local, &SEGMENT).len();
            let long = [0; SHORT + 1];
            for control in [TcpControl::None, TcpControl::Psh] {
                assert_eq!(sent(control, b""), Sent { more: false, ended: false });
                let short = sent(control, &long[..SHORT - header]);
                assert_eq!(short, Sent { more: false, ended: false });
                let long = sent(control, &long[..SHORT + 1 - header]);
                assert_eq!(long, Sent { more: true, ended: false });
            }
            for control in [TcpControl::Syn, TcpControl::Fin, TcpControl::Rst] {
                assert_eq!(sent(control, b""), Sent { more: true, ended: true }, "{control:?}");
            }
        }
    }

    #[test]
    fn what_is_no_segment_may_be_anything() {
        let anything = Sent { more: true, ended: true };
        for (local, peer) in ends() {
            assert_eq!(look(&[]), anything);
            let mut datagram = packet(peer, local, &SEGMENT);
            let header = IpRepr::new(peer, local, IpProtocol::Udp, SEGMENT.header_len(), 64);
            header.emit(&mut datagram[..], &Default::default());
            assert_eq!(look(&datagram), anything);
        }
    }

    /// It is known of all that was sent together.
    #[test]
    fn one_that_ends_something_is_not_forgotten_behind_another() {
        let [(local, peer), _] = ends();
        let mut sent = Sent::default();
        for control in [TcpControl::Fin, TcpControl::None] {
            sent.look(Medium::Ip, &packet(peer, local, &TcpRepr { control, ..SEGMENT }));
        }
        assert_eq!(sent, Sent { more: true, ended: true });
    }
}
