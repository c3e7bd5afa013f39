//! The bad wire in front of a device: what reaches the stack, and what reaches the wire.

use core::num::NonZeroU32;

use anywire_core::instant::Instant;
use smoltcp::phy::{Device, RxToken, TxToken};

use super::wire::frame;
use super::*;
use crate::chance::Chance;
use crate::faults::{self, Faults, Hits};

/// So many frames are sent through the faults, and as many received, one each millisecond: those that came through, of each.
fn pass(settings: faults::Settings, count: u16) -> ([Vec<Vec<u8>>; 2], [Hits; 2]) {
    let mut memory = [vec![Packet::EMPTY; 1000], vec![Packet::EMPTY; 1000]];
    let [to_b, to_a] = &mut memory;
    let mut wire = Wire::new(to_b, to_a);
    let (mut sent, mut received, mut hits) = (Vec::new(), Vec::new(), [Hits::default(); 2]);
    let mut faults = Faults::new(wire.end(Side::A), settings, 7, vec![0; 2 * 1000]);
    for number in 0..count {
        let at = crate::time::to_smoltcp(Instant::ZERO + MS * u32::from(number));
        let frame = frame(100 + usize::from(number % 100), number);
        let token = faults.transmit(at).unwrap();
        token.consume(frame.len(), |room| room.copy_from_slice(&frame));
        hits = faults.hits();
    }
    drop(faults);
    let end = crate::time::to_smoltcp(Instant::from_micros(u64::MAX));
    let mut far = wire.end(Side::B);
    while let Some((token, _)) = far.receive(end) {
        token.consume(|frame| sent.push(frame.to_vec()));
    }
    for number in 0..count {
        let frame = frame(100 + usize::from(number % 100), number);
        let token = far.transmit(smoltcp::time::Instant::ZERO).unwrap();
        token.consume(frame.len(), |room| room.copy_from_slice(&frame));
    }
    let mut faults = Faults::new(wire.end(Side::A), settings, 7, vec![0; 2 * 1000]);
    for number in 0..count {
        let at = crate::time::to_smoltcp(Instant::ZERO + MS * u32::from(number));
        let (token, _) = faults.receive(at).unwrap();
        token.consume(|frame| received.push(frame.to_vec()));
    }
    received.retain(|frame| !frame.is_empty());
    ([received, sent], [faults.hits()[0], hits[1]])
}

fn all(count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|number| frame(100 + usize::from(number % 100), number)).collect()
}

#[test]
fn without_faults_every_frame_passes_as_it_is() {
    let (passed, hits) = pass(faults::Settings::default(), 300);
    assert_eq!(passed, [all(300), all(300)]);
    assert_eq!(hits, [Hits::default(); 2]);
}

#[test]
fn frames_are_dropped_both_ways() {
    let settings = faults::Settings { drop: Chance::percent(20), ..faults::Settings::default() };
    let (passed, hits) = pass(settings, 500);
    for (passed, hits) in passed.iter().zip(hits) {
        assert_eq!((passed.len() as u64 + hits.dropped, hits.corrupted), (500, 0));
        assert!((60..140).contains(&hits.dropped), "{hits:?}");
        assert!(passed.iter().all(|frame| all(500).contains(frame)));
    }
    assert!(passed[0] != passed[1], "each direction has its own luck");
}

/// smoltcp's own breaks what is received only.
#[test]
fn frames_are_corrupted_both_ways() {
    let settings = faults::Settings { corrupt: Chance::percent(20), ..faults::Settings::default() };
    let (passed, hits) = pass(settings, 500);
    for (passed, hits) in passed.iter().zip(hits) {
        assert_eq!((passed.len(), hits.dropped), (500, 0));
        let wrong = passed.iter().zip(all(500)).filter(|(passed, sent)| *passed != sent);
        assert_eq!(wrong.count() as u64, hits.corrupted);
        assert!((60..140).contains(&hits.corrupted), "{hits:?}");
    }
}

#[test]
fn what_is_too_long_or_too_much_is_dropped() {
    let settings = faults::Settings { max_len: Some(149), ..faults::Settings::default() };
    let (passed, hits) = pass(settings, 100);
    assert_eq!(passed, [all(50), all(50)]);
    assert_eq!(hits.map(|hits| hits.dropped), [50, 50]);

    // A frame each millisecond: 10 in an interval.
    let settings = faults::Settings {
        max_received: NonZeroU32::new(3),
        max_sent: NonZeroU32::new(7),
        interval: MS * 10,
        ..faults::Settings::default()
    };
    let (passed, _) = pass(settings, 100);
    assert_eq!(passed.map(|passed| passed.len()), [30, 70]);
}

#[test]
fn what_has_no_packet_to_break_is_lost() {
    let mut memory = [vec![Packet::EMPTY; 4], vec![Packet::EMPTY; 4]];
    let [to_b, to_a] = &mut memory;
    let mut wire = Wire::new(to_b, to_a);
    let mut arp = frame(60, 7);
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let start = smoltcp::time::Instant::ZERO;
    let mut end = wire.end(Side::B);
    let token = end.transmit(start).unwrap();
    token.consume(60, |room| room.copy_from_slice(&arp));
    let settings = faults::Settings { corrupt: Chance::ALWAYS, ..faults::Settings::default() };
    let end = wire.end(Side::A);
    let mtu = end.capabilities().max_transmission_unit;
    let mut faults = Faults::new(end, settings, 7, vec![0; 2 * 1000]);
    assert_eq!(faults.capabilities().max_transmission_unit, mtu);
    let (received, sent) = faults.receive(start).unwrap();
    assert_eq!(received.consume(<[u8]>::len), 0);
    sent.consume(60, |room| room.copy_from_slice(&arp));
    let lost = Hits { dropped: 1, ..Hits::default() };
    assert_eq!(faults.hits(), [lost; 2]);
    drop(faults);
    assert_eq!(wire.counters(Side::A).sent, 0);
}
