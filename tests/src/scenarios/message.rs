//! message: each line, or what comes before a silence, comes back with a word before it.
//!
//! Messages end with their newline or the stream wherever they can, and are of one byte where they cannot: one byte is one message,
//! however it is cut. What else a busy machine can spoil is [tried again](World::try_times).

use std::time::Duration;

use anywire_core::event::End;

use super::edges::{self, Edge, Stage};
use super::{Applies, BOTH_FULL, Scenario, limited, never_writes, scenario};
use crate::world::{Close, World};

const MESSAGE: &str = "message";

/// What is dropped of a message that is too long ends at a silence.
const SILENCE_ENDS_IT: Applies =
    Applies::No("a retransmission is a silence, and ends what is dropped");
const FIRST: Applies =
    Applies::No("a retransmission is a silence, and ends the first message anywhere");

const OTHERWISE: &[(&str, &str)] = &[("reply-prefix", "I have received: ")];
const ONCE: &[(&str, &str)] = &[("close-after-reply", "true")];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(MESSAGE, "lines", |world| answers(world, b"one\ntwo\n", &["one", "two"]))
        .tries(&[Edge::Lab]),
    scenario(MESSAGE, "CR LF", |world| answers(world, b"one\r\nt\rwo\r\r\n", &["one", "t\rwo\r"])),
    scenario(MESSAGE, "empty lines", |world| answers(world, b"\n\r\n\nx\n", &["", "", "", "x"])),
    scenario(MESSAGE, "the end instead of a newline", |world| {
        answers(world, b"one\ntwo", &["one", "two"]);
    })
    .tries(&[Edge::HalfClose, Edge::End(Stage::Body)]),
    scenario(MESSAGE, "nothing", |world| answers(world, b"", &[]))
        .tries(&[Edge::End(Stage::First)]),
    scenario(MESSAGE, "every byte value", every_byte),
    scenario(MESSAGE, "one silence, one message", silences).tries(&[Edge::Stall(Stage::Body)]),
    scenario(MESSAGE, "a pause that is no silence", short_pauses),
    scenario(MESSAGE, "LF after CR and a silence", late_newline),
    scenario(MESSAGE, "4095, 4096, 4097, 10,000 bytes", too_long)
        .lossy(SILENCE_ENDS_IT)
        .tries(&[Edge::Longest]),
    scenario(MESSAGE, "too long, and then a silence", too_long_then_silence).lossy(SILENCE_ENDS_IT),
    scenario(MESSAGE, "a peer that reads with pauses", reads_with_pauses).lossy(BOTH_FULL),
    scenario(MESSAGE, "many at once", many_at_once).tries(&[Edge::Many]),
    scenario(MESSAGE, "abort before the first byte", |world| edges::abort(world, b"", 0, next))
        .tries(&[Edge::Abort(Stage::First)]),
    scenario(MESSAGE, "abort within a message", |world| edges::abort(world, b"half", 0, next))
        .tries(&[Edge::Abort(Stage::Body)]),
    scenario(MESSAGE, "abort before the reply", abort),
    scenario(MESSAGE, "abort within the answer", |world| edges::abort(world, b"x", 5, next))
        .tries(&[Edge::Abort(Stage::Answer)]),
    scenario(MESSAGE, "abort behind an answer", |world| edges::abort(world, b"x", 10, next))
        .tries(&[Edge::Abort(Stage::Behind)]),
    scenario(MESSAGE, "another prefix", prefix).with(OTHERWISE),
    scenario(MESSAGE, "one answer and the end", once).with(ONCE).lossy(FIRST),
    scenario(MESSAGE, "half-close without a message", |world| answers(world, b"", &[])).with(ONCE),
    limited(MESSAGE, "a peer that never writes", never_writes).tries(&[Edge::Stall(Stage::First)]),
    limited(MESSAGE, "silence between messages", idle).tries(&[Edge::Stall(Stage::Behind)]),
    limited(MESSAGE, "a peer that never reads", never_reads)
        .tries(&[Edge::Stall(Stage::Answer), Edge::Reset]),
];

fn reply(message: &[u8]) -> Vec<u8> {
    [b"Message: ", message].concat()
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// What came back, and what belongs there, to be compared and shown.
fn outcome(world: &mut World<'_>, got: (Vec<u8>, Close), messages: &[Vec<u8>]) -> [Outcome; 2] {
    let expected: Vec<u8> = messages.iter().flat_map(|message| reply(message)).collect();
    let text = |bytes: &[u8]| world.comparable(bytes, "Message: ");
    let (got_text, expected) = (text(&got.0), text(&expected));
    [(got_text, got.1, world.ended()), (expected, Close::Fin, End::Finished)]
}

type Outcome = (String, Close, End);

/// `sent`, then the end: each message is answered, then comes the end.
fn answers(world: &mut World<'_>, sent: &[u8], messages: &[&str]) {
    let messages: Vec<_> = messages.iter().map(|message| message.as_bytes().to_vec()).collect();
    answered(world, sent, &messages);
}

fn answered(world: &mut World<'_>, sent: &[u8], messages: &[Vec<u8>]) {
    world.try_times(|world| {
        let stream = world.open();
        let got = world.exchange(stream, sent);
        outcome(world, got, messages).into()
    });
}

fn every_byte(world: &mut World<'_>) {
    let all: Vec<u8> = (0..=255).collect();
    let (before, after) = all.split_at(10);
    answered(world, &all, &[before.into(), after[1..].into()]);
}

/// Each is answered before the next is sent: it was silence that has ended it.
fn silences(world: &mut World<'_>) {
    let stream = world.open();
    for letter in [b"A", b"B", b"\r", b"C"] {
        world.send(stream, letter);
        let expected = reply(letter);
        assert_eq!(text(&world.receive(stream, expected.len())), text(&expected));
        // More of it is nothing.
        world.pause(stream, Duration::from_millis(120));
    }
    world.finish(stream);
    world.try_times(|world| {
        let stream = world.open();
        world.send(stream, b"of some length");
        world.pause(stream, Duration::from_secs(10));
        let got = world.exchange(stream, b"and more\n");
        outcome(world, got, &[b"of some length".into(), b"and more".into()]).into()
    });
}

/// In all far longer than a silence.
fn short_pauses(world: &mut World<'_>) {
    world.try_times(|world| {
        let stream = world.open();
        for part in ["it ", "goes ", "on ", "and ", "on ", "and ", "on"] {
            world.send(stream, part.as_bytes());
            world.pause(stream, Duration::from_millis(20));
        }
        let got = world.exchange(stream, b"\n");
        outcome(world, got, &[b"it goes on and on and on".into()]).into()
    });
}

/// While answers keep the server from reading, nobody is silent: no line falls apart.
fn reads_with_pauses(world: &mut World<'_>) {
    world.try_times(|world| {
        let stream = world.open();
        let line = |number: usize| format!("{number:997}").into_bytes();
        let send = |number: usize| [line(number), b"\n".into()].concat();
        let (lines, got) = world.pause_reading(stream, send);
        let expected: Vec<u8> = (0..lines).flat_map(|number| reply(&line(number))).collect();
        let text = |bytes: &[u8]| world.comparable(bytes, "Message: ");
        let same = (text(&got.0) == text(&expected), got.1, world.ended());
        (same, (true, Close::Fin, End::Finished))
    });
}

/// The LF belongs to the CR, and is no empty line; but only the first.
fn late_newline(world: &mut World<'_>) {
    for (later, more) in [(&b"\nB\n"[..], &["B"][..]), (b"\n\nB\n", &["", "B"]), (b"B\n", &["B"])] {
        world.try_times(|world| {
            let stream = world.open();
            world.send(stream, b"A\r");
            world.pause(stream, Duration::from_secs(10));
            let got = world.exchange(stream, later);
            let more = more.iter().map(|message| message.as_bytes().to_vec());
            let messages: Vec<_> = std::iter::once(b"A\r".to_vec()).chain(more).collect();
            outcome(world, got, &messages).into()
        });
    }
}

/// What does not fit is dropped, up to the line's end.
fn too_long(world: &mut World<'_>) {
    for len in [4095, 4096, 4097, 10_000] {
        let line = vec![b'l'; len];
        let kept = line[..len.min(4096)].to_vec();
        answered(world, &[&line[..], b"\nnext\n"].concat(), &[kept.clone(), b"next".into()]);
        answered(world, &line, &[kept]);
    }
}

/// Or up to a silence.
fn too_long_then_silence(world: &mut World<'_>) {
    for len in [4096, 5000] {
        world.try_times(|world| {
            let stream = world.open();
            world.send(stream, &vec![b'l'; len]);
            let mut kept = world.receive(stream, "Message: ".len() + 4096);
            world.pause(stream, Duration::from_millis(200));
            let (rest, close) = world.exchange(stream, b"next\n");
            kept.extend(rest);
            outcome(world, (kept, close), &[vec![b'l'; 4096], b"next".into()]).into()
        });
    }
}

fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    let letter = |stream: usize| [b'A' + (stream % 26) as u8];
    for round in 0..2 {
        for &stream in &streams {
            world.send(stream, &letter(stream + round));
        }
        for &stream in streams.iter().rev() {
            let expected = reply(&letter(stream + round));
            assert_eq!(text(&world.receive(stream, expected.len())), text(&expected));
        }
    }
    for &stream in &streams {
        world.finish(stream);
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
    assert_eq!(world.exchange(stream, b"A"), (reply(b"A"), Close::Fin));
}

fn prefix(world: &mut World<'_>) {
    let stream = world.open();
    let (got, close) = world.exchange(stream, b"A");
    assert_eq!((text(&got).as_str(), close), ("I have received: A", Close::Fin));
    assert_eq!(world.ended(), End::Finished);
}

/// The peer need not end, and what it says behind that is discarded.
fn once(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"A");
    assert_eq!(world.receive_all(stream), (reply(b"A"), Close::Fin));
    world.send(stream, b"two\nthree\n");
    world.finish(stream);
    answers(world, b"one\ntwo\nthree\n", &["one"]);
}

fn idle(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"A");
    world.goes_idle(stream, &reply(b"A"));
}

fn never_reads(world: &mut World<'_>) {
    let stream = world.open();
    let line = [&[b'l'; 999][..], b"\n"].concat();
    world.never_read(stream, &line.repeat(60));
}
