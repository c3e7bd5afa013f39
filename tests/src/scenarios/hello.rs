//! hello: each message comes back between the words of the lab.

use anywire_core::event::End;

use super::edges::{self, Edge, Stage};
use super::{Scenario, limited, never_writes, scenario};
use crate::world::{Close, World};

const HELLO: &str = "hello";

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(HELLO, "the lab's conversation", lab).tries(&[Edge::Lab]),
    scenario(HELLO, "every byte value", every_byte).tries(&[Edge::HalfClose]),
    scenario(HELLO, "1024 bytes", |world| come_back(world, &[b'm'; 1024])),
    scenario(HELLO, "1025 bytes", |world| come_back(world, &[b'm'; 1025])).tries(&[Edge::Longest]),
    scenario(HELLO, "nothing", |world| come_back(world, b"")).tries(&[Edge::End(Stage::First)]),
    scenario(HELLO, "three messages in turn", three),
    scenario(HELLO, "many at once", many_at_once).tries(&[Edge::Many]),
    scenario(HELLO, "abort before the first byte", |world| edges::abort(world, b"", 0, next))
        .tries(&[Edge::Abort(Stage::First)]),
    scenario(HELLO, "abort before the reply", abort).tries(&[Edge::Abort(Stage::Body)]),
    scenario(HELLO, "abort within the answer", |world| edges::abort(world, b"A", 5, next))
        .tries(&[Edge::Abort(Stage::Answer)]),
    scenario(HELLO, "abort behind an answer", |world| edges::abort(world, b"A", 44, next))
        .tries(&[Edge::Abort(Stage::Behind)]),
    limited(HELLO, "a peer that never writes", never_writes).tries(&[Edge::Stall(Stage::First)]),
    limited(HELLO, "silence between messages", |world| {
        let stream = world.open();
        world.send(stream, b"A");
        world.goes_idle(stream, &[BEFORE, b"A", AFTER].concat());
    })
    .tries(&[Edge::Stall(Stage::Behind)]),
    limited(HELLO, "a peer that never reads", |world| {
        let stream = world.open();
        world.never_read(stream, &[b'm'; 64 << 10]);
    })
    .tries(&[Edge::Stall(Stage::Answer), Edge::Reset]),
];

const BEFORE: &[u8] = b"I got \"";
const AFTER: &[u8] = b"\" from you and I am sending it back.";

/// What was said, however it was split into messages; `None` if this is not a row of replies.
fn said(mut replies: &[u8]) -> Option<Vec<u8>> {
    let mut said = Vec::new();
    while !replies.is_empty() {
        let rest = replies.strip_prefix(BEFORE)?;
        let end = rest.windows(AFTER.len()).position(|window| window == AFTER)?;
        assert!((1..=1024).contains(&end), "a message has 1 to 1024 bytes, not {end}");
        said.extend_from_slice(&rest[..end]);
        replies = &rest[end + AFTER.len()..];
    }
    Some(said)
}

/// `text`, then the end: it is said back, in as many replies as there were messages, then the end.
fn come_back(world: &mut World<'_>, text: &[u8]) {
    let stream = world.open();
    let (got, close) = world.exchange(stream, text);
    assert_eq!(said(&got).as_deref(), Some(text), "{}", got.escape_ascii());
    assert_eq!(close, Close::Fin);
    assert_eq!(world.ended(), End::Finished);
}

fn lab(world: &mut World<'_>) {
    let stream = world.open();
    // One byte is one message, however it is cut.
    world.send(stream, b"A");
    let expected = b"I got \"A\" from you and I am sending it back.";
    assert_eq!(world.receive(stream, expected.len()), expected);
    world.finish(stream);
}

fn every_byte(world: &mut World<'_>) {
    let all: Vec<u8> = (0..=255).collect();
    come_back(world, &all);
}

fn three(world: &mut World<'_>) {
    let stream = world.open();
    for text in ["one", "two", "three"] {
        world.send(stream, text.as_bytes());
        let mut got = Vec::new();
        while said(&got).as_deref() != Some(text.as_bytes()) {
            got.extend(world.receive(stream, 1));
        }
    }
    world.finish(stream);
}

fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    for &stream in &streams {
        world.send(stream, b"A");
    }
    for &stream in &streams {
        world.network().shutdown(stream);
        let (got, close) = world.receive_all(stream);
        assert_eq!((said(&got).as_deref(), close), (Some(&b"A"[..]), Close::Fin));
    }
    for _ in &streams {
        assert_eq!(world.ended(), End::Finished);
    }
}

fn abort(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"x");
    world.network().abort(stream);
    next(world);
}

/// Who comes then is served.
fn next(world: &mut World<'_>) {
    let stream = world.open();
    let (got, close) = world.exchange(stream, b"still there?");
    assert_eq!(said(&got).as_deref(), Some(&b"still there?"[..]));
    assert_eq!(close, Close::Fin);
}
