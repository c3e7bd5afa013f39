//! A device: as little as will do.

use core::hint::black_box;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Receives what the compiler cannot know, and sends to nowhere.
pub(crate) struct Frames {
    frames: &'static [u8],
    sent: [u8; 1514],
}

impl Frames {
    pub(crate) fn new(frames: &'static [u8]) -> Self {
        Self { frames, sent: [0; 1514] }
    }
}

impl Device for Frames {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sent<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sent<'_>)> {
        let (frame, rest) = black_box(self.frames).split_at_checked(64)?;
        self.frames = rest;
        Some((Received(frame), Sent(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sent<'_>> {
        black_box(Some(Sent(&mut self.sent)))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A frame that has come.
pub(crate) struct Received(&'static [u8]);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for one that goes.
pub(crate) struct Sent<'a>(&'a mut [u8; 1514]);

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let frame = self.0.get_mut(..len).unwrap_or_default();
        black_box(f(frame))
    }
}
