//! typed: one message; the end says that it was whole, and is stored.

use std::collections::BTreeSet;

use anywire_core::event::End;
use anywire_core::frame::FrameError;
use anywire_core::request::{Refusal, Stop};
use anywire_core::schema::Schema;
use anywire_core::session::Reason;

use super::edges::{self, Edge, Stage};
use super::messages::{self, DATA, data, head, string};
use super::{Scenario, limited, never_writes, scenario};
use crate::samples;
use crate::world::{Close, World};

const TYPED: &str = "typed";

const CLOSE: &[(&str, &str)] = &[("schema", "close")];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(TYPED, "STRING", strings).tries(&[Edge::Lab]),
    scenario(TYPED, "STRING of 4097", too_long).tries(&[Edge::Longest]),
    scenario(TYPED, "every tag of DATA", every_tag),
    scenario(TYPED, "55,696 bytes", |world| stores(world, &data(&photo()), &photo()))
        .tries(&[Edge::HalfClose]),
    scenario(TYPED, "583,163 bytes", |world| stores(world, &data(&song()), &song())),
    scenario(TYPED, "nothing", nothing).tries(&[Edge::End(Stage::First)]),
    scenario(TYPED, "bytes behind the message", bytes_behind),
    scenario(TYPED, "many at once", many_at_once).tries(&[Edge::Many]),
    scenario(TYPED, "unknown tags", |world| unknown_tags(world, Schema::Sized, &[0, 7, 16, 255]))
        .tries(&[Edge::Refusal]),
    scenario(TYPED, "more than a file may have", too_large).tries(&[Edge::Refusal]),
    scenario(TYPED, "an end in a head", end_in_a_head).tries(&[Edge::End(Stage::Head)]),
    scenario(TYPED, "an end in a body", end_in_a_body)
        .tries(&[Edge::End(Stage::Body), Edge::Reset]),
    scenario(TYPED, "abort before the first byte", |world| edges::abort(world, b"", 0, next))
        .tries(&[Edge::Abort(Stage::First)]),
    scenario(TYPED, "abort within a head", |world| edges::abort(world, &[6, 1, 0], 0, next))
        .tries(&[Edge::Abort(Stage::Head)]),
    scenario(TYPED, "abort in the middle", abort).tries(&[Edge::Abort(Stage::Body)]),
    scenario(TYPED, "abort behind the end", abort_behind).tries(&[Edge::Abort(Stage::Behind)]),
    scenario(TYPED, "a peer that never ends", peer_never_ends).tries(&[Edge::Stall(Stage::Behind)]),
    limited(TYPED, "a peer that never writes", never_writes).tries(&[Edge::Stall(Stage::First)]),
    limited(TYPED, "half a head", half_a_head).tries(&[Edge::Stall(Stage::Head)]),
    limited(TYPED, "half a STRING", half_a_string),
    limited(TYPED, "half a body", half_a_body).tries(&[Edge::Stall(Stage::Body)]),
    scenario(TYPED, "close: STRING", strings).with(CLOSE),
    scenario(TYPED, "close: STRING of 4097", too_long).with(CLOSE),
    scenario(TYPED, "close: DATA", to_the_end).with(CLOSE),
    scenario(TYPED, "close: nothing", nothing).with(CLOSE),
    scenario(TYPED, "close: unknown tags", |world| {
        unknown_tags(world, Schema::Close, &[0, 3, 6, 16, 255]);
    })
    .with(CLOSE),
    scenario(TYPED, "close: more than a file may have", close_too_large).with(CLOSE),
    scenario(TYPED, "close: abort in the middle", abort).with(CLOSE),
    limited(TYPED, "close: a body that never ends", never_ends).with(CLOSE),
];

fn photo() -> Vec<u8> {
    samples::bytes(55_696)
}

fn song() -> Vec<u8> {
    samples::bytes(583_163)
}

/// The names that were not there at the start.
fn new_names(world: &mut World<'_>) -> BTreeSet<String> {
    let old = samples::FILES.map(|file| file.0);
    world.network().names().into_iter().filter(|name| !old.contains(&name.as_str())).collect()
}

/// 8 letters and digits, and `.bin`.
fn is_drawn(name: &str) -> bool {
    name.strip_suffix(".bin").is_some_and(|stem| {
        stem.len() == 8 && stem.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Sends a message and the end, and is answered with the end. Says which files are new.
fn accepted(world: &mut World<'_>, sent: &[u8]) -> Vec<String> {
    let before = new_names(world);
    let stream = world.open();
    assert_eq!(world.exchange(stream, sent), (Vec::new(), Close::Fin));
    assert_eq!(world.ended(), End::Finished);
    world.assert_nothing_unfinished();
    new_names(world).difference(&before).cloned().collect()
}

/// The message is stored, as one file with that body.
fn stores(world: &mut World<'_>, sent: &[u8], body: &[u8]) {
    let new = accepted(world, sent);
    assert!(matches!(&new[..], [name] if is_drawn(name)), "{new:?}");
    let stored = world.network().stored(&new[0]).unwrap();
    assert!(stored == body, "{} of {} bytes are stored, or others", stored.len(), body.len());
}

/// What is sent, and perhaps the end, are answered with a reset, and nothing is stored. Says what the server says of it.
fn fails(world: &mut World<'_>, sent: &[u8], ends: bool) -> End {
    let stream = world.open();
    if world.try_send(stream, sent).is_ok() && ends {
        world.network().shutdown(stream);
    }
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Rst));
    let end = world.ended();
    assert_eq!(new_names(world), BTreeSet::new());
    world.assert_nothing_unfinished();
    end
}

fn frame(error: FrameError) -> End {
    End::Aborted(Reason::Frame(error))
}

const fn cut(moved: u64, stop: Stop) -> End {
    End::Aborted(Reason::Cut { moved, stop })
}

fn strings(world: &mut World<'_>) {
    for text in [&b""[..], b"a text", b"\xff\0 of any bytes", &[b't'; 4096]] {
        assert_eq!(accepted(world, &string(text)), [""; 0]);
        // It need not be at its end.
        let stream = world.open();
        world.send(stream, &string(text));
        assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
        world.network().shutdown(stream);
        assert_eq!(world.ended(), End::Finished);
    }
}

fn too_long(world: &mut World<'_>) {
    for len in [4097, 65_535] {
        let error = FrameError::TooLong { name: "STRING", len, max: 4096 };
        assert_eq!(fails(world, &head(messages::STRING, len), false), frame(error));
    }
}

/// The sender's smallest tag or not: the receiver takes any.
fn every_tag(world: &mut World<'_>) {
    for (tag, size) in messages::SIZED {
        for len in [0, 1, 255, 256, 65_536] {
            if size == 8 || len < 1 << (8 * size) {
                let body = samples::bytes(len);
                stores(world, &[&head(tag, len as u64)[..], &body].concat(), &body);
            }
        }
    }
}

/// The server ends when it has stored a message that says how long it is, and does not wait for the peer's end.
fn bytes_behind(world: &mut World<'_>) {
    stores(world, &[data(b"the body"), data(b"another")].concat(), b"the body");
    assert_eq!(accepted(world, &[string(b"text"), data(b"body")].concat()), [""; 0]);
    let stream = world.open();
    world.send(stream, &data(&[7; 300]));
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
    let stored: Vec<_> = new_names(world).iter().map(|name| world.network().stored(name)).collect();
    assert!(stored.contains(&Some(vec![7; 300])) && stored.len() == 2);
    world.network().shutdown(stream);
    assert_eq!(world.ended(), End::Finished);
}

fn nothing(world: &mut World<'_>) {
    assert_eq!(accepted(world, b""), [""; 0]);
}

/// Each has a file of its own.
fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    let body = |stream: usize| vec![stream as u8; 300 + stream];
    for &stream in &streams {
        world.send(stream, &head(3, body(stream).len() as u64));
    }
    for &stream in streams.iter().rev() {
        world.send(stream, &body(stream));
    }
    for &stream in &streams {
        assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
        world.network().shutdown(stream);
    }
    for _ in &streams {
        assert_eq!(world.ended(), End::Finished);
    }
    let names = new_names(world);
    assert!(names.iter().all(|name| is_drawn(name)), "{names:?}");
    let stored: BTreeSet<_> =
        names.iter().map(|name| world.network().stored(name).unwrap()).collect();
    assert_eq!(stored, streams.iter().map(|&stream| body(stream)).collect());
}

fn unknown_tags(world: &mut World<'_>, schema: Schema, tags: &[u8]) {
    for &tag in tags {
        let error = FrameError::Tag { found: tag.into(), allowed: schema.table().rows };
        assert_eq!(fails(world, &[tag], false), frame(error));
    }
}

fn too_large(world: &mut World<'_>) {
    let max = samples::LONGEST as u64;
    for (tag, len) in [(4, max + 1), (5, u32::MAX.into()), (6, 1 << 63), (6, u64::MAX)] {
        let end = fails(world, &[&head(tag, len)[..], b"some of it"].concat(), false);
        assert_eq!(end, cut(0, Stop::Store(Refusal::TooLarge { max })));
    }
}

fn end_in_a_head(world: &mut World<'_>) {
    for tag in [messages::STRING, 2, 3, 4, 5, 6] {
        let whole = head(tag, 9);
        for len in 1..whole.len() {
            let error = FrameError::Ended { got: len as u64, want: whole.len() as u64 };
            assert_eq!(fails(world, &whole[..len], true), frame(error));
        }
    }
}

fn end_in_a_body(world: &mut World<'_>) {
    let text = string(b"a text");
    for len in [3, 8] {
        let error = FrameError::Ended { got: len as u64, want: 9 };
        assert_eq!(fails(world, &text[..len], true), frame(error));
    }
    for (len, moved) in [(1, 0), (300, 0), (300, 299), (55_696, 55_695)] {
        let sent = data(&samples::bytes(len));
        let end = fails(world, &sent[..sent.len() - len + moved], true);
        assert_eq!(end, cut(moved as u64, Stop::Ended));
    }
}

/// Of both schemas: what was not whole when the reset came is not there, and the server goes on.
fn abort(world: &mut World<'_>) {
    let stream = world.open();
    // A length to one of them, and a part of the body to the other.
    world.send(stream, &[&[DATA, 100][..], &[7; 50]].concat());
    world.pause(stream, std::time::Duration::from_millis(100));
    world.network().abort(stream);
    let text = string(b"still there?");
    let stream = world.open();
    assert_eq!(world.exchange(stream, &text), (Vec::new(), Close::Fin));
    // One that was reset before the server saw it is none.
    match world.ended() {
        End::Finished => {}
        End::Reset | End::Aborted(Reason::Cut { stop: Stop::Reset, .. }) => {
            assert_eq!(world.ended(), End::Finished);
        }
        end => panic!("{end:?}"),
    }
    assert_eq!(new_names(world), BTreeSet::new());
    world.assert_nothing_unfinished();
}

/// Who comes then is served.
fn next(world: &mut World<'_>) {
    let stream = world.open();
    assert_eq!(world.exchange(stream, &string(b"still there?")), (Vec::new(), Close::Fin));
}

/// What the end has proven stays, whatever comes behind it.
fn abort_behind(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, &data(&[7; 300]));
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
    world.network().abort(stream);
    let end = world.ended();
    assert!(matches!(end, End::Finished | End::Reset), "{end:?}");
    let names = new_names(world);
    let stored: Vec<_> = names.iter().map(|name| world.network().stored(name)).collect();
    assert_eq!(stored, [Some(vec![7; 300])]);
    next(world);
}

/// It is waited for, but not for ever.
fn peer_never_ends(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, &string(b"a text"));
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
    assert_eq!(world.ended(), End::Finished);
}

fn half_a_head(world: &mut World<'_>) {
    for sent in [&[messages::STRING][..], &[6, 1, 0]] {
        assert_eq!(fails(world, sent, false), End::Aborted(Reason::HeadTimeout));
    }
}

fn half_a_string(world: &mut World<'_>) {
    assert_eq!(fails(world, &string(b"a text")[..5], false), End::Aborted(Reason::Idle));
}

fn half_a_body(world: &mut World<'_>) {
    for moved in [0, 10] {
        let end = fails(world, &data(&[7; 100])[..2 + moved], false);
        assert_eq!(end, cut(moved as u64, Stop::TimedOut));
    }
}

/// The stream's end is the body's: of these every byte counts.
fn to_the_end(world: &mut World<'_>) {
    for body in [Vec::new(), vec![1], photo(), song()] {
        stores(world, &[&[DATA][..], &body].concat(), &body);
    }
}

fn close_too_large(world: &mut World<'_>) {
    let max = samples::LONGEST as u64;
    let sent = [&[DATA][..], &song(), b"x"].concat();
    assert_eq!(fails(world, &sent, true), cut(max, Stop::Store(Refusal::TooLarge { max })));
}

fn never_ends(world: &mut World<'_>) {
    assert_eq!(fails(world, &[DATA], false), cut(0, Stop::TimedOut));
    assert_eq!(fails(world, &[DATA, 1, 2, 3], false), cut(3, Stop::TimedOut));
}
