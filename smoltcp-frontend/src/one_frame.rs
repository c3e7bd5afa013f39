//! A device for an interface that is fed frame by frame.

use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};

/// A device that receives one frame, and can answer it with one.
pub(crate) struct OneFrame<'f, Tx> {
    frame: Frame<'f>,
    tx: Option<Tx>,
}

#[derive(Clone, Copy)]
pub(crate) struct Frame<'f> {
    bytes: &'f [u8],
    meta: PacketMeta,
}

impl<'f, Tx> OneFrame<'f, Tx> {
    pub(crate) fn new(bytes: &'f [u8], meta: PacketMeta, tx: Tx) -> Self {
        Self { frame: Frame { bytes, meta }, tx: Some(tx) }
    }
}

impl<'f, Tx: TxToken> Device for OneFrame<'f, Tx> {
    type RxToken<'t>
        = Frame<'f>
    where
        Self: 't;
    type TxToken<'t>
        = Tx
    where
        Self: 't;

    fn receive(
        &mut self,
        _: smoltcp::time::Instant,
    ) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        Some((self.frame, self.tx.take()?))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Self::TxToken<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        // The interface has asked the real device.
        DeviceCapabilities::default()
    }
}

impl RxToken for Frame<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.bytes)
    }

    fn meta(&self) -> PacketMeta {
        self.meta
    }
}

/// Nobody answers an introduction, nor the first half of a segment.
pub(crate) struct Nowhere;

impl TxToken for Nowhere {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f([0; 128].get_mut(..len).unwrap_or_default())
    }
}
