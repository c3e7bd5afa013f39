//! fixed: messages of one length come back, and a part of one is none.

use anywire_core::event::End;
use anywire_core::session::Reason;

use super::edges::{self, Edge, Stage};
use super::{Scenario, limited, scenario};
use crate::samples;
use crate::world::{Close, World};

const FIXED: &str = "fixed";

/// The lab's.
const LEN: usize = 1234;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(FIXED, "nothing", |world| come_back(world, 0)).tries(&[Edge::End(Stage::First)]),
    scenario(FIXED, "one message", |world| come_back(world, LEN)).tries(&[Edge::Lab]),
    scenario(FIXED, "three messages", |world| come_back(world, 3 * LEN)).tries(&[Edge::HalfClose]),
    scenario(FIXED, "500 messages", |world| come_back(world, 500 * LEN)),
    scenario(FIXED, "three in turn", in_turn),
    scenario(FIXED, "an end inside a message", |world| {
        ends_early(world, LEN, &[1, LEN - 1, LEN + 1, 3 * LEN - 1]);
    })
    .tries(&[Edge::End(Stage::Body), Edge::Reset]),
    scenario(FIXED, "abort before the first byte", |world| edges::abort(world, b"", 0, next))
        .tries(&[Edge::Abort(Stage::First)]),
    scenario(FIXED, "abort within a message", |world| edges::abort(world, &[7; 100], 100, next))
        .tries(&[Edge::Abort(Stage::Body)]),
    scenario(FIXED, "abort behind an answer", |world| edges::abort(world, &[7; LEN], LEN, next))
        .tries(&[Edge::Abort(Stage::Behind)]),
    scenario(FIXED, "length 1", |world| come_back(world, 300)).with(&[("length", "1")]),
    scenario(FIXED, "length 7", |world| {
        come_back(world, 7);
        come_back(world, 7007);
        ends_early(world, 7, &[1, 6, 8, 7006]);
    })
    .with(&[("length", "7")]),
    scenario(FIXED, "many at once", many_at_once).with(&[("length", "70")]).tries(&[Edge::Many]),
    scenario(FIXED, "length 65,536", |world| {
        come_back(world, 2 * 65_536);
        ends_early(world, 65_536, &[65_537]);
    })
    .with(&[("length", "65536")])
    .tries(&[Edge::Longest]),
    limited(FIXED, "a peer that never writes", |world| idle(world, 0))
        .tries(&[Edge::Stall(Stage::First)]),
    limited(FIXED, "silence between messages", |world| idle(world, LEN))
        .tries(&[Edge::Stall(Stage::Behind)]),
    limited(FIXED, "silence inside a message", idle_inside).tries(&[Edge::Stall(Stage::Body)]),
    limited(FIXED, "a peer that never reads", never_reads).tries(&[Edge::Stall(Stage::Answer)]),
];

/// Whole messages, then the end: they come back, then the end.
fn come_back(world: &mut World<'_>, len: usize) {
    let stream = world.open();
    let sent = samples::bytes(len);
    let (got, close) = world.exchange(stream, &sent);
    assert!(got == sent, "{} of {len} bytes came back, or others", got.len());
    assert_eq!(close, Close::Fin);
    assert_eq!(world.ended(), End::Finished);
}

/// As much of a message as came may come back; then a reset.
fn ends_early(world: &mut World<'_>, message: usize, lens: &[usize]) {
    for &len in lens {
        let stream = world.open();
        let sent = samples::bytes(len);
        let (got, close) = world.exchange(stream, &sent);
        assert!(sent.starts_with(&got), "{} of {len} bytes came back, or others", got.len());
        assert_eq!(close, Close::Rst, "{len} bytes");
        let (got, want) = ((len % message) as u64, message as u64);
        assert_eq!(world.ended(), End::Aborted(Reason::EndedEarly { got, want }));
    }
}

/// Nothing waits for the end, or for more.
fn in_turn(world: &mut World<'_>) {
    let stream = world.open();
    for byte in [b'a', b'b', b'c'] {
        let sent = [byte; LEN];
        world.send(stream, &sent);
        assert!(world.receive(stream, LEN) == sent);
    }
    world.finish(stream);
}

fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    const LEN: usize = 70;
    for part in [0..40, 40..LEN] {
        for &stream in &streams {
            world.send(stream, &[stream as u8; LEN][part.clone()]);
        }
    }
    for &stream in streams.iter().rev() {
        assert!(world.receive(stream, LEN) == [stream as u8; LEN]);
    }
    for &stream in &streams {
        world.finish(stream);
    }
}

/// Who comes then is served.
fn next(world: &mut World<'_>) {
    let stream = world.open();
    let sent = samples::bytes(LEN);
    assert_eq!(world.exchange(stream, &sent), (sent, Close::Fin));
}

fn idle(world: &mut World<'_>, len: usize) {
    let stream = world.open();
    let sent = samples::bytes(len);
    world.send(stream, &sent);
    let (got, close) = world.receive_all(stream);
    assert!(got == sent, "{} of {len} bytes came back, or others", got.len());
    assert_eq!(close, Close::Fin);
    world.network().shutdown(stream);
    assert_eq!(world.ended(), End::Idle);
}

fn idle_inside(world: &mut World<'_>) {
    for len in [1, LEN - 1, LEN + 1] {
        let stream = world.open();
        let sent = samples::bytes(len);
        world.send(stream, &sent);
        assert!(world.receive(stream, len) == sent);
        assert_eq!(world.receive_all(stream), (Vec::new(), Close::Rst), "{len} bytes");
        assert_eq!(world.ended(), End::Aborted(Reason::Idle));
    }
}

fn never_reads(world: &mut World<'_>) {
    let stream = world.open();
    world.never_read(stream, &samples::bytes(64 << 10));
}
