//! What stands between a stack and its device hands on what it does not change.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

use super::wire::frame;
use super::*;
use crate::chance::Chance;
use crate::faults::{self, Faults, Hits};
use crate::one_frame::OneFrame;
use crate::watched::Watched;

/// Frames on this device have this mark, and it keeps what it sends, with the marks.
#[derive(Default)]
struct Marked {
    sent: Vec<(u32, Vec<u8>)>,
}

const MARK: u32 = 7;
const MTU: usize = 1234;

fn mark() -> PacketMeta {
    let mut meta = PacketMeta::default();
    meta.id = MARK;
    meta
}

struct Come;

struct Going<'t> {
    mark: u32,
    sent: &'t mut Vec<(u32, Vec<u8>)>,
}

impl Device for Marked {
    type RxToken<'t> = Come;
    type TxToken<'t> = Going<'t>;

    fn receive(&mut self, now: Instant) -> Option<(Come, Going<'_>)> {
        Some((Come, self.transmit(now)?))
    }

    fn transmit(&mut self, _: Instant) -> Option<Going<'_>> {
        Some(Going { mark: 0, sent: &mut self.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

impl RxToken for Come {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&frame(60, 1))
    }

    fn meta(&self) -> PacketMeta {
        mark()
    }
}

impl TxToken for Going<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let done = f(&mut frame);
        self.sent.push((self.mark, frame));
        done
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.mark = meta.id;
    }
}

fn send(mut token: impl TxToken, frame: &[u8]) {
    token.set_meta(mark());
    token.consume(frame.len(), |room| room.copy_from_slice(frame));
}

#[test]
fn a_bad_wire_hands_on_marks_both_ways_and_what_the_device_can_do() {
    let mut faults = Faults::new(Marked::default(), faults::Settings::default(), 7, vec![0; 200]);
    assert_eq!(faults.capabilities().max_transmission_unit, MTU);
    let (received, answer) = faults.receive(Instant::ZERO).unwrap();
    assert_eq!(received.meta(), mark());
    send(answer, &frame(60, 1));
    send(faults.transmit(Instant::ZERO).unwrap(), &frame(60, 2));
    assert_eq!(faults.device().sent, [(MARK, frame(60, 1)), (MARK, frame(60, 2))]);
}

/// 100 bytes each way.
#[test]
fn a_bad_wire_breaks_no_longer_frame_than_half_of_its_memory_takes() {
    for (len, corrupted) in [(100, 1), (101, 0)] {
        let settings = faults::Settings { corrupt: Chance::ALWAYS, ..faults::Settings::default() };
        for answers in [false, true] {
            let mut faults = Faults::new(Marked::default(), settings, 7, vec![0; 200]);
            let token = match answers {
                true => faults.receive(Instant::ZERO).unwrap().1,
                false => faults.transmit(Instant::ZERO).unwrap(),
            };
            send(token, &frame(len, 1));
            assert_eq!(faults.hits()[1], Hits { corrupted, dropped: 0 }, "{len}");
            assert_eq!(faults.device().sent.len(), 1);
        }
    }
}

#[test]
fn a_watched_device_hands_on_marks_and_what_it_can_do() {
    let mut device = Marked::default();
    let mut watched = Watched::new(&mut device);
    assert_eq!(watched.capabilities().max_transmission_unit, MTU);
    assert!(watched.receive(Instant::ZERO).is_none(), "while it sends, nothing is received");
    send(watched.transmit(Instant::ZERO).unwrap(), &frame(60, 1));
    assert_eq!(device.sent, [(MARK, frame(60, 1))]);
}

#[test]
fn a_frame_that_is_fed_alone_keeps_its_mark() {
    let mut device = Marked::default();
    let token = device.transmit(Instant::ZERO).unwrap();
    let mut one = OneFrame::new(b"frame", mark(), token);
    assert!(one.transmit(Instant::ZERO).is_none(), "there is room for an answer only");
    let (received, answer) = one.receive(Instant::ZERO).unwrap();
    assert_eq!(received.meta(), mark());
    received.consume(|frame| assert_eq!(frame, b"frame"));
    send(answer, b"answer");
    assert!(one.receive(Instant::ZERO).is_none(), "there was one");
    assert_eq!(device.sent, [(MARK, b"answer".to_vec())]);
}
