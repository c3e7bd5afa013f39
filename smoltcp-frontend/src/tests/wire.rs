//! The simulated wire by itself: what goes in at one end, and when and how it comes out at the other.

use core::num::NonZeroU64;

use anywire_core::instant::Instant;
use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::wire::{EthernetProtocol, IpAddress, IpProtocol, IpRepr, Ipv4Packet};

use anywire_core::service::echo::Echo;
use anywire_core::service::file;

use super::*;
use crate::chance::Chance;
use crate::sim::{Counters, Link};

const PERCENT_20: Chance = Chance::percent(20);

/// What has arrived: when, and how.
type Arrivals = Vec<(Instant, Vec<u8>)>;

/// An Ethernet frame of `len` bytes with an IPv4 packet in it, and a number.
pub(super) fn frame(len: usize, number: u16) -> Vec<u8> {
    let mut frame = vec![0; len];
    frame[12..14].copy_from_slice(&u16::from(EthernetProtocol::Ipv4).to_be_bytes());
    let [from, to] = [1, 2].map(|last| IpAddress::v4(10, 0, 0, last));
    let ip = IpRepr::new(from, to, IpProtocol::Unknown(253), len - 34, 64);
    ip.emit(&mut frame[14..], &smoltcp::phy::ChecksumCapabilities::default());
    frame[34..36].copy_from_slice(&number.to_be_bytes());
    frame
}

/// The number of such a frame.
fn number(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[34], frame[35]])
}

/// Sends frames from A at the given times, and takes what comes out at B when it does.
fn carry(link: Link, seed: u64, frames: &[(Instant, Vec<u8>)]) -> (Arrivals, Counters, u64) {
    let mut memory = [vec![Packet::EMPTY; 600], vec![]];
    let [to_b, to_a] = &mut memory;
    let mut wire = Wire::new(to_b, to_a);
    wire.set_seed(seed);
    *wire.link(Side::A) = link;
    let mut arrivals = Vec::new();
    let mut arrive = |wire: &mut Wire<'_>, until: Instant| {
        while let Some(due) = wire.due().filter(|&due| due <= until) {
            let mut end = wire.end(Side::B);
            let (token, _) = end.receive(crate::time::to_smoltcp(due)).unwrap();
            token.consume(|frame| arrivals.push((due, frame.to_vec())));
        }
    };
    for (at, frame) in frames {
        arrive(&mut wire, *at);
        let mut end = wire.end(Side::A);
        let token = end.transmit(crate::time::to_smoltcp(*at)).unwrap();
        token.consume(frame.len(), |room| room.copy_from_slice(frame));
    }
    arrive(&mut wire, Instant::from_micros(u64::MAX));
    let counters = wire.counters(Side::A);
    (arrivals, counters, wire.trace())
}

/// A frame every so often.
fn every(span: Duration, count: u16) -> Vec<(Instant, Vec<u8>)> {
    (0..count).map(|at| (Instant::ZERO + span * u32::from(at), frame(100, at))).collect()
}

fn numbers(arrivals: &Arrivals) -> Vec<u16> {
    arrivals.iter().map(|(_, frame)| number(frame)).collect()
}

#[test]
fn a_wire_that_nothing_is_wrong_with_keeps_all_and_their_order() {
    let sent = every(MS, 100);
    let (arrivals, counters, _) = carry(Link::default(), 7, &sent);
    assert_eq!(arrivals, sent);
    assert_eq!(counters, Counters { sent: 100, ..Counters::default() });
}

#[test]
fn a_wire_takes_nothing_over_from_an_earlier_one_on_its_memory() {
    let (mut to_b, mut to_a) = ([Packet::EMPTY; 4], []);
    for turn in 0..10 {
        let mut wire = Wire::new(&mut to_b, &mut to_a);
        assert_eq!(wire.due(), None);
        let mut end = wire.end(Side::A);
        let token = end.transmit(crate::time::to_smoltcp(Instant::ZERO)).unwrap();
        token.consume(100, |room| room.copy_from_slice(&frame(100, turn)));
        let mut end = wire.end(Side::B);
        let (token, _) = end.receive(crate::time::to_smoltcp(Instant::ZERO)).unwrap();
        assert_eq!(token.consume(number), turn);
        // This one nobody takes.
        let mut end = wire.end(Side::A);
        let token = end.transmit(crate::time::to_smoltcp(Instant::ZERO)).unwrap();
        token.consume(100, |room| room.copy_from_slice(&frame(100, 1000)));
    }
}

#[test]
fn loss_takes_its_share_and_the_rest_is_whole() {
    let link = Link { loss: PERCENT_20, ..Link::default() };
    let (arrivals, counters, _) = carry(link, 7, &every(MS, 500));
    assert_eq!(counters.lost as usize, 500 - arrivals.len());
    assert!((60..140).contains(&counters.lost), "{counters:?}");
    assert!(arrivals.iter().all(|(_, got)| *got == frame(100, number(got))));
    assert!(numbers(&arrivals).is_sorted());
}

#[test]
fn jitter_makes_frames_late_and_nobody_is_overtaken() {
    let link = Link { delay: MS * 20, jitter: MS * 10, ..Link::default() };
    let sent = every(MS, 200);
    let (arrivals, ..) = carry(link, 7, &sent);
    assert_eq!(numbers(&arrivals), (0..200).collect::<Vec<_>>());
    let late = |at: usize| arrivals[at].0.saturating_since(sent[at].0);
    let all: Vec<_> = (0..200).map(late).collect();
    let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
    assert!(*least >= MS * 20 && *most <= MS * 30 && *most - *least > MS * 5, "{least:?} {most:?}");
}

#[test]
fn who_is_held_up_is_overtaken_by_those_behind() {
    let link = Link { delay: MS, reorder: PERCENT_20, lag: MS * 5, ..Link::default() };
    let (arrivals, counters, _) = carry(link, 7, &every(MS, 200));
    let order = numbers(&arrivals);
    assert!(!order.is_sorted());
    // Those that were not held up are in order, and all are there.
    assert!((20..60).contains(&counters.reordered), "{counters:?}");
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..200).collect::<Vec<_>>());
    assert!(order.iter().zip(&sorted).all(|(a, b)| a.abs_diff(*b) <= 5), "by 5 ms at most");
}

#[test]
fn a_frame_that_comes_twice_is_the_same_both_times() {
    let link = Link { duplicate: PERCENT_20, lag: MS * 5, ..Link::default() };
    let (arrivals, counters, _) = carry(link, 7, &every(MS, 200));
    assert_eq!(arrivals.len() as u64, 200 + counters.duplicated);
    assert!((20..60).contains(&counters.duplicated), "{counters:?}");
    assert!(arrivals.iter().all(|(_, got)| *got == frame(100, number(got))));
}

#[test]
fn one_bit_is_wrong_behind_the_ethernet_header_and_arp_is_lost() {
    let link = Link { corrupt: Chance::ALWAYS, ..Link::default() };
    let mut sent = every(MS, 200);
    let mut arp = frame(60, 0);
    arp[12..14].copy_from_slice(&u16::from(EthernetProtocol::Arp).to_be_bytes());
    sent.push((Instant::ZERO + SECOND, arp));
    let (arrivals, counters, _) = carry(link, 7, &sent);
    assert_eq!((arrivals.len(), counters.corrupted, counters.lost), (200, 200, 1));
    let mut places = std::collections::BTreeSet::new();
    for ((_, sent), (_, got)) in sent.iter().zip(&arrivals) {
        let wrong: Vec<_> = (0..100).filter(|&at| sent[at] != got[at]).collect();
        let [at] = wrong[..] else { panic!("{wrong:?}") };
        assert!(at >= 14 && (sent[at] ^ got[at]).is_power_of_two());
        // Of the header every one is seen, whatever it was.
        let header = Ipv4Packet::new_checked(&got[14..]);
        assert!(at >= 34 || !header.is_ok_and(|header| header.verify_checksum()), "{at}");
        places.insert(at);
    }
    assert!(places.len() > 50, "anywhere: {places:?}");
}

/// A quarter of its room is for answers.
#[test]
fn a_wire_that_is_full_takes_nothing_and_loses_only_answers() {
    let (mut to_b, mut to_a) = (vec![Packet::EMPTY; 8], vec![Packet::EMPTY; 8]);
    let mut wire = Wire::new(&mut to_b, &mut to_a);
    let now = crate::time::to_smoltcp(Instant::ZERO);
    let send = |wire: &mut Wire<'_>, side| match wire.end(side).transmit(now) {
        Some(token) => token.consume(60, |_| true),
        None => false,
    };
    let answer = |wire: &mut Wire<'_>, side| {
        let mut end = wire.end(side);
        let (token, answer) = end.receive(now).unwrap();
        token.consume(|frame| assert_eq!(frame.len(), 60));
        answer.consume(60, |_| ());
    };
    for _ in 0..6 {
        assert!(send(&mut wire, Side::A) && send(&mut wire, Side::B));
    }
    assert!(!send(&mut wire, Side::A));
    for (sent, full) in [(7, 0), (8, 0), (9, 1), (10, 2)] {
        answer(&mut wire, Side::A);
        let counters = wire.counters(Side::A);
        assert_eq!(counters, Counters { sent, full, ..Counters::default() });
    }
    for _ in 0..3 {
        assert!(!send(&mut wire, Side::A));
        let mut end = wire.end(Side::B);
        let (token, _) = end.receive(now).unwrap();
        token.consume(|_| ());
    }
    assert!(send(&mut wire, Side::A));
}

#[test]
fn a_copy_for_which_there_is_no_room_is_none() {
    let (mut to_b, mut to_a) = (vec![Packet::EMPTY; 3], vec![Packet::EMPTY; 0]);
    let mut wire = Wire::new(&mut to_b, &mut to_a);
    wire.link(Side::A).duplicate = Chance::ALWAYS;
    let now = crate::time::to_smoltcp(Instant::ZERO);
    for sent in 1..=2 {
        wire.end(Side::A).transmit(now).unwrap().consume(60, |_| ());
        let counters = Counters { sent, duplicated: 1, ..Counters::default() };
        assert_eq!(wire.counters(Side::A), counters);
    }
    let end = crate::time::to_smoltcp(Instant::from_micros(u64::MAX));
    for _ in 0..3 {
        wire.end(Side::B).receive(end).unwrap().0.consume(|_| ());
    }
    assert_eq!(wire.due(), None);
}

#[test]
fn a_rate_makes_frames_wait_for_each_other() {
    // 1000 bytes in 8 ms.
    let rate = NonZeroU64::new(1_000_000);
    let link = Link { rate, delay: MS, ..Link::default() };
    let sent: Vec<_> = (0..10).map(|at| (Instant::ZERO, frame(1000, at))).collect();
    let (arrivals, ..) = carry(link, 7, &sent);
    let times: Vec<_> = arrivals.iter().map(|(at, _)| at.as_micros()).collect();
    assert_eq!(times, (1..=10).map(|n| n * 8000 + 1000).collect::<Vec<_>>());
}

#[test]
fn a_path_that_has_become_narrow_loses_what_is_too_long() {
    let link = Link { mtu: 600, ..Link::default() };
    let sent = [(Instant::ZERO, frame(600, 0)), (Instant::ZERO, frame(601, 1))];
    let (arrivals, counters, _) = carry(link, 7, &sent);
    assert_eq!((numbers(&arrivals), counters.too_long), (vec![0], 1));
}

#[test]
fn the_trace_tells_seeds_apart_and_nothing_else() {
    let link = Link { loss: PERCENT_20, jitter: MS, corrupt: PERCENT_20, ..Link::default() };
    let sent = every(MS, 100);
    let (first, again, other) =
        (carry(link, 7, &sent), carry(link, 7, &sent), carry(link, 8, &sent));
    assert!(first == again);
    assert!(first.0 != other.0 && first.2 != other.2);
    // The last frame's fate counts, though nobody answers it.
    let last = |seed| carry(link, seed, &sent[..1]).2;
    assert!((0..20).any(|seed| last(seed) != last(20)));
}

#[test]
fn each_direction_has_its_own_link_and_its_own_luck() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 1, (2048, 2048), Settings::default())]
    });
    sim.file("f", &pattern(30_000));
    *sim.net.wire.link(Side::B) = Link { delay: MS * 3, ..Link::default() };
    *sim.net.wire.link(Side::A) = Link { loss: PERCENT_20, ..Link::default() };
    let before = [Side::A, Side::B].map(|side| sim.net.wire.counters(side));
    let at = sim.connect(<file::File as StreamService>::ABOUT.port);
    sim.send(at, b"f\n");
    assert_eq!(sim.read_all(at), Ok(pattern(30_000)));
    let after = [Side::A, Side::B].map(|side| sim.net.wire.counters(side));
    assert!(after[0].lost > before[0].lost);
    assert_eq!(after[1].lost, before[1].lost);
}

/// With an MTU of its own each way, set before the interfaces are made.
#[test]
fn a_stack_sends_no_longer_frames_than_its_link_takes() {
    let mut sim = Sim::on(
        0,
        |wire| {
            wire.link(Side::A).mtu = 400;
            wire.link(Side::B).mtu = 1000;
        },
        |stack| vec![pool(stack, Watched(Echo), 1, (8192, 8192), Settings::default())],
    );
    let longest = Rc::new(RefCell::new([0; 2]));
    let seen = longest.clone();
    let tap = move |_: Instant, side: Side, frame: &[u8]| {
        let of = &mut seen.borrow_mut()[usize::from(side == Side::B)];
        *of = frame.len().max(*of);
    };
    sim.net.wire.watch(Box::leak(Box::new(tap)));
    let at = sim.connect(<Echo as StreamService>::ABOUT.port);
    sim.send(at, &pattern(5000));
    assert_eq!(sim.read_exact(at, 5000), pattern(5000));
    // A receiver says what fits on its own link, and no sender goes beyond either.
    assert_eq!(*longest.borrow(), [400, 400]);
    assert_eq!(sim.net.wire.counters(Side::A).too_long, 0);
}
