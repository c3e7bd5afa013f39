//! upload: a name goes out, `OK` comes back, a file goes out; the next `OK`, or the end, proves that it is stored.

mod ends;

use std::time::Duration;

use anywire_core::event::End;
use anywire_core::frame::FrameError;
use anywire_core::request::{Refusal, Stop};
use anywire_core::schema::{SIZED, Schema};
use anywire_core::session::Reason;

use super::edges::{self, Edge, Stage};
use super::messages::{self, data, head, string};
use super::{Scenario, limited, scenario};
use crate::network::Handle;
use crate::samples;
use crate::world::{Close, World};

const UPLOAD: &str = "upload";

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(UPLOAD, "0 bytes", |world| one(world, 0)),
    scenario(UPLOAD, "1 byte", |world| one(world, 1)),
    scenario(UPLOAD, "55,696 bytes", |world| one(world, 55_696)).tries(&[Edge::Lab]),
    scenario(UPLOAD, "583,163 bytes", |world| one(world, 583_163)),
    scenario(UPLOAD, "several on one connection", several),
    scenario(UPLOAD, "pairs in one send", pipelined).tries(&[Edge::HalfClose]),
    scenario(UPLOAD, "every tag of DATA", every_tag),
    scenario(UPLOAD, "nothing", nothing).tries(&[Edge::End(Stage::First)]),
    scenario(UPLOAD, "a file replaced", replaced),
    scenario(UPLOAD, "one name twice at once", twice_at_once),
    scenario(UPLOAD, "many at once", many_at_once).tries(&[Edge::Many]),
    scenario(UPLOAD, "names that are refused", refused_names).tries(&[Edge::Refusal]),
    scenario(UPLOAD, "a link, a folder", not_files),
    scenario(UPLOAD, "a refusal behind a file", refused_later),
    scenario(UPLOAD, "STRING of 4096 and 4097", long_strings).tries(&[Edge::Longest]),
    scenario(UPLOAD, "a name where DATA belongs", string_after_ok),
    scenario(UPLOAD, "DATA where a name belongs", data_before_a_name),
    scenario(UPLOAD, "unknown tags", unknown_tags),
    scenario(UPLOAD, "more than a file may have", too_large).tries(&[Edge::Reset]),
    scenario(UPLOAD, "an end in a name", ends::end_in_a_name),
    scenario(UPLOAD, "an end behind OK", ends::end_behind_ok),
    scenario(UPLOAD, "an end in a data head", ends::end_in_a_head).tries(&[Edge::End(Stage::Head)]),
    scenario(UPLOAD, "an end in a body", ends::end_in_a_body).tries(&[Edge::End(Stage::Body)]),
    scenario(UPLOAD, "abort before the first byte", |world| {
        edges::abort(world, b"", 0, ends::next);
    })
    .tries(&[Edge::Abort(Stage::First)]),
    scenario(UPLOAD, "abort in a name", ends::abort_in_a_name).tries(&[Edge::Abort(Stage::Head)]),
    scenario(UPLOAD, "abort behind OK", ends::abort_behind_ok),
    scenario(UPLOAD, "abort in a body", ends::abort_in_a_body).tries(&[Edge::Abort(Stage::Body)]),
    scenario(UPLOAD, "abort behind a body", ends::abort_behind_a_body)
        .tries(&[Edge::Abort(Stage::Behind)]),
    limited(UPLOAD, "a peer that never writes", super::never_writes)
        .tries(&[Edge::Stall(Stage::First)]),
    limited(UPLOAD, "silence between pairs", ends::silence_between_pairs)
        .tries(&[Edge::Stall(Stage::Behind)]),
    limited(UPLOAD, "half a name", ends::half_a_name),
    limited(UPLOAD, "silence behind OK", ends::silence_behind_ok),
    limited(UPLOAD, "half a data head", ends::half_a_head).tries(&[Edge::Stall(Stage::Head)]),
    limited(UPLOAD, "half a body", ends::half_a_body).tries(&[Edge::Stall(Stage::Body)]),
    limited(UPLOAD, "a slow body", ends::slow_body),
];

/// Sends a name that must be accepted.
fn name(world: &mut World<'_>, stream: Handle, name: &str) {
    world.send(stream, &string(name.as_bytes()));
    assert_eq!(world.receive(stream, 2).escape_ascii().to_string(), "OK");
}

/// Ends in good order, and is answered so.
fn end(world: &mut World<'_>, stream: Handle) {
    world.finish(stream);
    world.assert_nothing_unfinished();
}

#[track_caller]
fn assert_stored(world: &mut World<'_>, name: &str, body: &[u8]) {
    let stored = world.network().stored(name);
    assert!(stored.is_some(), "{name} is not there");
    let stored = stored.unwrap_or_default();
    assert!(stored == body, "{name} has {} of {} bytes, or others", stored.len(), body.len());
}

/// The names that were there before, and `more`.
#[track_caller]
fn assert_names(world: &mut World<'_>, more: &[&str]) {
    let mut expected: Vec<_> = samples::FILES.iter().map(|file| file.0).collect();
    expected.extend(more);
    expected.sort_unstable();
    assert_eq!(world.network().names(), expected);
}

/// A connection that comes to nothing: `sent`, after `OK` if there is to be one, and then perhaps the end, are answered with a
/// reset, and nothing is stored. Says what the server says of it.
fn fails(world: &mut World<'_>, accepted: bool, sent: &[u8], ends: bool) -> End {
    let stream = world.open();
    if accepted {
        name(world, stream, "new.bin");
    }
    if world.try_send(stream, sent).is_ok() && ends {
        world.network().shutdown(stream);
    }
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Rst));
    let end = world.ended();
    assert_names(world, &[]);
    world.assert_nothing_unfinished();
    end
}

fn frame(error: FrameError) -> End {
    End::Aborted(Reason::Frame(error))
}

const fn cut(moved: u64, stop: Stop) -> End {
    End::Aborted(Reason::Cut { moved, stop })
}

fn one(world: &mut World<'_>, len: usize) {
    let body = samples::bytes(len);
    let stream = world.open();
    name(world, stream, "new.bin");
    assert_names(world, &[]);
    world.send(stream, &data(&body));
    end(world, stream);
    assert_stored(world, "new.bin", &body);
    assert_names(world, &["new.bin"]);
}

/// Each `OK` proves the file before it.
fn several(world: &mut World<'_>) {
    let stream = world.open();
    let files = [("a b.txt", 300), ("Übung 1.txt", 0), ("c", 5000), ("d", 1)];
    let mut before: Option<(&str, usize)> = None;
    for (file, len) in files {
        name(world, stream, file);
        if let Some((file, len)) = before {
            assert_stored(world, file, &samples::bytes(len));
        }
        world.send(stream, &data(&samples::bytes(len)));
        before = Some((file, len));
    }
    end(world, stream);
    for (file, len) in files {
        assert_stored(world, file, &samples::bytes(len));
    }
    assert_names(world, &files.map(|file| file.0));
}

/// A peer that does not wait for `OK`: where a message ends is not where a segment does.
fn pipelined(world: &mut World<'_>) {
    let stream = world.open();
    let files = [("one", 10), ("two", 0), ("three", 20_000), ("four", 255)];
    let pair =
        |(file, len): (&str, usize)| [string(file.as_bytes()), data(&samples::bytes(len))].concat();
    let (got, close) = world.exchange(stream, &files.map(pair).concat());
    assert_eq!((got.escape_ascii().to_string().as_str(), close), ("OKOKOKOK", Close::Fin));
    assert_eq!(world.ended(), End::Finished);
    for (file, len) in files {
        assert_stored(world, file, &samples::bytes(len));
    }
}

/// The sender's smallest tag or not: the receiver takes any.
fn every_tag(world: &mut World<'_>) {
    let stream = world.open();
    let mut sent = Vec::new();
    for (tag, size) in messages::SIZED {
        for len in [0, 1, 255, 256, 65_535, 65_536] {
            if size < 8 && len >= 1 << (8 * size) {
                continue;
            }
            let file = format!("{tag}-{len}");
            let body = samples::bytes(len);
            name(world, stream, &file);
            world.send(stream, &[&head(tag, len as u64)[..], &body].concat());
            sent.push((file, body));
        }
    }
    end(world, stream);
    for (file, body) in &sent {
        assert_stored(world, file, body);
    }
    assert_eq!(world.network().names().len(), samples::FILES.len() + sent.len());
}

fn nothing(world: &mut World<'_>) {
    let stream = world.open();
    end(world, stream);
    assert_names(world, &[]);
}

/// The older version is there until the new one is whole.
fn replaced(world: &mut World<'_>) {
    let old = samples::bytes(55_696);
    let stream = world.open();
    name(world, stream, "photo.jpg");
    assert_stored(world, "photo.jpg", &old);
    let new = data(&[7; 3000]);
    let (front, back) = new.split_at(1500);
    world.send(stream, front);
    world.pause(stream, Duration::from_millis(50));
    assert_stored(world, "photo.jpg", &old);
    world.send(stream, back);
    end(world, stream);
    assert_stored(world, "photo.jpg", &[7; 3000]);
    assert_names(world, &[]);
}

/// The last to be whole wins, whoever was first to begin; who fails is nobody.
fn twice_at_once(world: &mut World<'_>) {
    let [first, second, third] = [(); 3].map(|()| world.open());
    for stream in [first, second, third] {
        name(world, stream, "one.bin");
    }
    let [a, b, c] = [b'a', b'b', b'c'].map(|byte| data(&[byte; 1000]));
    world.send(first, &a[..500]);
    world.send(third, &c[..500]);
    world.send(second, &b);
    name(world, second, "next.bin");
    assert_stored(world, "one.bin", &[b'b'; 1000]);
    world.send(first, &a[500..]);
    name(world, first, "next.bin");
    assert_stored(world, "one.bin", &[b'a'; 1000]);
    world.network().shutdown(third);
    assert_eq!(world.receive_all(third), (Vec::new(), Close::Rst));
    assert_stored(world, "one.bin", &[b'a'; 1000]);
    assert_names(world, &[]);
    assert!(matches!(world.ended(), End::Aborted(Reason::Cut { stop: Stop::Ended, .. })));
    for stream in [first, second] {
        world.send(stream, &data(b""));
        world.finish(stream);
    }
    assert_names(world, &["next.bin"]);
    world.assert_nothing_unfinished();
}

fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    let body = |stream: Handle| vec![stream as u8; 300 + stream];
    for &stream in &streams {
        world.send(stream, &string(format!("many {stream}").as_bytes()));
    }
    for &stream in &streams {
        assert_eq!(world.receive(stream, 2), b"OK");
        let body = body(stream);
        world.send(stream, &[&head(3, body.len() as u64), &body[..150]].concat());
    }
    assert_names(world, &[]);
    for &stream in streams.iter().rev() {
        world.send(stream, &body(stream)[150..]);
        world.network().shutdown(stream);
    }
    for &stream in &streams {
        assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
        assert_stored(world, &format!("many {stream}"), &body(stream));
    }
    for _ in &streams {
        assert_eq!(world.ended(), End::Finished);
    }
    assert_eq!(world.network().names().len(), samples::FILES.len() + streams.len());
    world.assert_nothing_unfinished();
}

/// `ERR`, why, a newline, the end; and what comes behind is discarded.
fn refused(world: &mut World<'_>, name: &[u8], words: &str) {
    let stream = world.open();
    let sent = [string(name), data(b"the file")].concat();
    let (got, close) = world.exchange(stream, &sent);
    assert_eq!(String::from_utf8_lossy(&got), format!("ERR {words}\n"), "{}", name.escape_ascii());
    assert_eq!(close, Close::Fin, "{}", name.escape_ascii());
    assert_eq!(world.ended(), End::Finished);
    assert_names(world, &[]);
    world.assert_nothing_unfinished();
}

fn refused_names(world: &mut World<'_>) {
    let cases: [(&[u8], &str); 15] = [
        (b"", "a name is needed"),
        (&[b'n'; 256], "a name has at most 255 bytes"),
        (b"ab\xff", "a name is UTF-8"),
        (b"/etc/passwd", "a name has no / or \\ in it"),
        (b"../x", "a name has no / or \\ in it"),
        (b"..\\x", "a name has no / or \\ in it"),
        (b"a\0b", "a name has no control characters in it"),
        (b"a\nb", "a name has no control characters in it"),
        ("a\u{85}b".as_bytes(), "a name has no control characters in it"),
        (b".hidden", "a name does not start with a dot"),
        (b"..", "a name does not start with a dot"),
        (b"a:b", "a name has none of : * ? \" < > | in it"),
        (b"a.", "a name does not end with a dot or a space"),
        (b"a ", "a name does not end with a dot or a space"),
        (b"con.txt", "the name is a device's on Windows"),
    ];
    for (name, words) in cases {
        refused(world, name, words);
    }
    // And the longest of those that are not.
    let longest = "n".repeat(255);
    let stream = world.open();
    name(world, stream, &longest);
    world.send(stream, &data(b"x"));
    end(world, stream);
    assert_stored(world, &longest, b"x");
}

fn not_files(world: &mut World<'_>) {
    for name in samples::NOT_FILES {
        refused(world, name.as_bytes(), "not a regular file");
    }
}

/// `ERR` proves what was before it, as `OK` does.
fn refused_later(world: &mut World<'_>) {
    let stream = world.open();
    name(world, stream, "first");
    world.send(stream, &[data(b"whole"), string(b"a/b")].concat());
    let (got, close) = world.receive_all(stream);
    assert_eq!(String::from_utf8_lossy(&got), "ERR a name has no / or \\ in it\n");
    assert_eq!(close, Close::Fin);
    assert_stored(world, "first", b"whole");
    world.network().shutdown(stream);
    assert_eq!(world.ended(), End::Finished);
    assert_names(world, &["first"]);
}

fn long_strings(world: &mut World<'_>) {
    refused(world, &[b'n'; 4096], "a name has at most 255 bytes");
    for len in [4097, 65_535] {
        let error = FrameError::TooLong { name: "STRING", len, max: 4096 };
        assert_eq!(fails(world, false, &head(messages::STRING, len), false), frame(error));
    }
}

fn string_after_ok(world: &mut World<'_>) {
    let error = FrameError::Tag { found: 1, allowed: Schema::Sized.data().rows };
    assert_eq!(fails(world, true, &string(b"another"), false), frame(error));
}

fn data_before_a_name(world: &mut World<'_>) {
    for (tag, _) in messages::SIZED {
        let error = FrameError::Tag { found: tag.into(), allowed: SIZED.only(0, 1).rows };
        let sent = [&head(tag, 3)[..], b"abc"].concat();
        assert_eq!(fails(world, false, &sent, false), frame(error));
    }
}

fn unknown_tags(world: &mut World<'_>) {
    for tag in [0, 7, 16, 255] {
        let found = tag.into();
        let error = FrameError::Tag { found, allowed: SIZED.only(0, 1).rows };
        assert_eq!(fails(world, false, &[tag], false), frame(error));
        let error = FrameError::Tag { found, allowed: Schema::Sized.data().rows };
        assert_eq!(fails(world, true, &[tag], false), frame(error));
    }
}

/// At once, and not when so much has come.
fn too_large(world: &mut World<'_>) {
    let max = samples::LONGEST as u64;
    for (tag, len) in [(4, max + 1), (5, u32::MAX.into()), (6, 1 << 63), (6, u64::MAX)] {
        for body in [&b""[..], b"some of it"] {
            let end = fails(world, true, &[&head(tag, len), body].concat(), false);
            assert_eq!(end, cut(0, Stop::Store(Refusal::TooLarge { max })));
        }
    }
}
