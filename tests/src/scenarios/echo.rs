//! echo: every byte comes back, in order.

use anywire_core::event::End;
use anywire_core::session::Reason;

use super::edges::{Edge, Stage, abort};
use super::{Scenario, limited, never_writes, scenario};
use crate::samples;
use crate::world::{Close, World};

const ECHO: &str = "echo";

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(ECHO, "the lab's conversation", lab).tries(&[Edge::Lab]),
    scenario(ECHO, "nothing", |world| come_back(world, 0)).tries(&[Edge::End(Stage::First)]),
    scenario(ECHO, "1 byte", |world| come_back(world, 1)),
    scenario(ECHO, "MSS-1", |world| {
        let mss = world.network().mss();
        come_back(world, mss - 1);
    }),
    scenario(ECHO, "MSS", |world| {
        let mss = world.network().mss();
        come_back(world, mss);
    }),
    scenario(ECHO, "MSS+1", |world| {
        let mss = world.network().mss();
        come_back(world, mss + 1);
    }),
    scenario(ECHO, "64 KiB", |world| come_back(world, 64 << 10)).tries(&[Edge::HalfClose]),
    scenario(ECHO, "5 MB", |world| come_back(world, 5_000_000)),
    scenario(ECHO, "many at once", many_at_once).tries(&[Edge::Many]),
    scenario(ECHO, "abort at once", abort_at_once).tries(&[Edge::Abort(Stage::First)]),
    scenario(ECHO, "abort within the answer", |world| abort(world, &samples::bytes(8000), 1, next))
        .tries(&[Edge::Abort(Stage::Answer)]),
    scenario(ECHO, "abort behind an answer", |world| abort(world, b"x", 1, next))
        .tries(&[Edge::Abort(Stage::Behind)]),
    limited(ECHO, "a peer that never writes", never_writes).tries(&[Edge::Stall(Stage::First)]),
    limited(ECHO, "silence behind an answer", |world| {
        let stream = world.open();
        world.send(stream, b"x");
        world.goes_idle(stream, b"x");
    })
    .tries(&[Edge::Stall(Stage::Behind)]),
    limited(ECHO, "a peer that never reads", never_reads)
        .tries(&[Edge::Stall(Stage::Answer), Edge::Reset]),
];

/// `len` bytes, then the end: they come back, then the end.
fn come_back(world: &mut World<'_>, len: usize) {
    let stream = world.open();
    let sent = samples::bytes(len);
    let (got, close) = world.exchange(stream, &sent);
    assert!(got == sent, "{} of {len} bytes came back, or others", got.len());
    assert_eq!(close, Close::Fin);
    assert_eq!(world.ended(), End::Finished);
}

fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    for round in 0..2 {
        for &stream in &streams {
            world.send(stream, format!("{round} of {stream}").as_bytes());
        }
        for &stream in streams.iter().rev() {
            let expected = format!("{round} of {stream}");
            assert_eq!(world.receive(stream, expected.len()), expected.as_bytes());
        }
    }
    for &stream in &streams {
        world.finish(stream);
    }
}

fn abort_at_once(world: &mut World<'_>) {
    let stream = world.open();
    world.network().abort(stream);
    // A connection that was gone before it was accepted is no connection.
    come_back_after(world);
}

fn lab(world: &mut World<'_>) {
    let stream = world.open();
    let text = b"Test message. This will be echoed";
    world.send(stream, text);
    assert_eq!(world.receive(stream, text.len()), text);
    world.finish(stream);
}

/// Who comes then is served.
fn next(world: &mut World<'_>) {
    let stream = world.open();
    let (got, close) = world.exchange(stream, b"still there?");
    assert_eq!((got.as_slice(), close), (&b"still there?"[..], Close::Fin));
}

/// The server goes on after a connection that may or may not have been one.
fn come_back_after(world: &mut World<'_>) {
    next(world);
    if world.ended() != End::Finished {
        assert_eq!(world.ended(), End::Finished);
    }
}

/// It is read from until the buffers are full, and no further; others keep their pace; in the end it is aborted.
fn never_reads(world: &mut World<'_>) {
    let greedy = world.open();
    let mut sent = 0;
    let piece = samples::bytes(64 << 10);
    world.push(greedy, &piece, &mut sent);
    let other = world.open();
    for _ in 0..20 {
        world.send(other, b"ping");
        assert_eq!(world.receive(other, 4), b"ping");
    }
    world.network().shutdown(other);
    assert_eq!(world.receive_all(other), (Vec::new(), Close::Fin));
    world.push_until_reset(greedy, &piece, &mut sent);
    let mut ends = [world.ended(), world.ended()];
    ends.sort_by_key(|end| *end == End::Finished);
    assert_eq!(ends, [End::Aborted(Reason::Unread), End::Finished]);
}
