//! The clock of two stations on a wire: how often each has its turn, and when.

use anywire_core::instant::Instant;
use smoltcp::phy::{Device, RxToken, TxToken};

use super::*;
use crate::sim::Station;

/// A station that does nothing but say when it wants to be polled, and what it was polled at; as long as it is restless, that is at once.
#[derive(Default)]
struct Idler {
    polls: Vec<Instant>,
    /// It is restless for so many polls.
    restless: usize,
    /// In so many of them it sends a frame.
    frames: usize,
    /// Then it wants to be polled at this time, if that is not over.
    next: Option<Instant>,
}

impl Station for Idler {
    fn poll<D: Device>(&mut self, now: Instant, device: &mut D) {
        self.polls.push(now);
        let at = crate::time::to_smoltcp(now);
        while let Some((token, _)) = device.receive(at) {
            token.consume(|_| ());
        }
        if self.polls.len() <= self.frames
            && let Some(token) = device.transmit(at)
        {
            token.consume(60, |_| ());
        }
    }

    fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        let restless = self.polls.len() < self.restless;
        if restless { Some(now) } else { self.next.filter(|&next| next > now) }
    }
}

fn at(ms: u32) -> Instant {
    Instant::ZERO + MS * ms
}

/// Runs for 10 ms with one that does nothing on the other end: when each of its polls was, and the time in the end.
fn polls(a: Idler) -> (Vec<Instant>, Instant) {
    let (mut to_b, mut to_a) = (vec![Packet::EMPTY; 64], vec![Packet::EMPTY; 64]);
    let mut net = Net::new(a, Idler::default(), Wire::new(&mut to_b, &mut to_a));
    assert!(!net.run_until(MS * 10, |_| false));
    assert_eq!(net.a.polls, net.b.polls);
    let now = net.now();
    (net.a.polls, now)
}

#[test]
fn who_wants_nothing_is_polled_at_the_beginning_and_at_the_end() {
    assert_eq!(polls(Idler::default()), (vec![at(0), at(10)], at(10)));
}

#[test]
fn who_wants_to_be_polled_is_polled_then_and_not_before() {
    for (next, expected) in
        [(3, vec![at(0), at(3), at(10)]), (10, vec![at(0), at(10)]), (11, vec![at(0), at(10)])]
    {
        let idler = Idler { next: Some(at(next)), ..Idler::default() };
        assert_eq!(polls(idler), (expected, at(10)), "{next}");
    }
}

/// In no time at all, as nothing says that time has passed, and once more when it is at rest.
#[test]
fn who_is_restless_for_a_while_is_polled_until_it_is_not() {
    for restless in 2..=5 {
        for next in [vec![], vec![at(5)]] {
            let expected = [vec![at(0); restless + 1], next.clone(), vec![at(10)]].concat();
            let idler = Idler { restless, next: next.first().copied(), ..Idler::default() };
            assert_eq!(polls(idler), (expected, at(10)), "{restless} {next:?}");
        }
    }
}

#[test]
fn who_is_never_at_rest_does_not_stop_the_clock() {
    // Each time once, and four times to find out.
    let expected: Vec<_> = (0..=10).flat_map(|ms| [at(ms); 5]).collect();
    let idler = Idler { restless: usize::MAX, ..Idler::default() };
    assert_eq!(polls(idler), (expected, at(10)));
}

/// As long as there are frames it is not patience that is needed.
#[test]
fn who_sends_is_polled_as_long_as_it_sends() {
    let idler = Idler { restless: 20, frames: 20, ..Idler::default() };
    assert_eq!(polls(idler), ([vec![at(0); 20 + 1], vec![at(10)]].concat(), at(10)));
    let idler = Idler { restless: usize::MAX, frames: 20, ..Idler::default() };
    let expected = [vec![at(0); 24], (1..=10).flat_map(|ms| [at(ms); 5]).collect()].concat();
    assert_eq!(polls(idler), (expected, at(10)));
}

/// What it did is on the wire when the run is over.
#[test]
fn who_says_that_it_is_done_has_what_it_did_polled_once_more() {
    let (mut to_b, mut to_a) = (vec![Packet::EMPTY; 4], vec![Packet::EMPTY; 4]);
    let wire = Wire::new(&mut to_b, &mut to_a);
    let mut net = Net::new(Idler::default(), Idler::default(), wire);
    assert!(net.run_until(MS * 10, |_| true));
    assert_eq!((net.a.polls, net.b.polls), (vec![at(0); 2], vec![at(0); 2]));
}
