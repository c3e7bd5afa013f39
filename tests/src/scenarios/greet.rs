//! greet: each message comes back with a name behind it, and what telnet negotiates is none.

use std::time::Duration;

use anywire_core::event::End;
use anywire_core::session::Reason;

use super::edges::{self, Edge, Stage};
use super::{BOTH_FULL, Scenario, limited, scenario};
use crate::world::{Close, World};

const GREET: &str = "greet";

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(GREET, "lines", |world| says(world, b"Hello\r\nWorld\n", &[b"Hello", b"World"])),
    scenario(GREET, "empty lines", |world| says(world, b"\r\n\nx\n", &[b"", b"", b"x"])),
    scenario(GREET, "the end instead of a newline", |world| says(world, b"a\nb", &[b"a", b"b"]))
        .tries(&[Edge::HalfClose, Edge::End(Stage::Body)]),
    scenario(GREET, "nothing", |world| says(world, b"", &[])).tries(&[Edge::End(Stage::First)]),
    scenario(GREET, "what telnet says at the start", telnet).tries(&[Edge::Lab]),
    scenario(GREET, "options cut everywhere", cut_everywhere),
    scenario(GREET, "IAC IAC", |world| {
        says(world, b"a\xff\xffb\n\xff\xff\n", &[b"a\xff\xffb", b"\xff\xff"]);
    }),
    scenario(GREET, "options alone", options_alone),
    scenario(GREET, "an end inside an option", |world| {
        for sent in [&b"\xff"[..], b"\xff\xfb", b"\xff\xfa\x18", b"\xff\xfa\x18\xff"] {
            says(world, sent, &[]);
        }
        says(world, b"x\xff\xfd", &[b"x"]);
    })
    .tries(&[Edge::End(Stage::Head)]),
    scenario(GREET, "1024 bytes without the options", long).tries(&[Edge::Longest]),
    scenario(GREET, "1024 bytes of IAC IAC", |world| {
        let sent = [255; 2 * 1024];
        says(world, &[&sent[..], b"x\n"].concat(), &[&sent, b"x"]);
    }),
    scenario(GREET, "one silence, one message", silences).tries(&[Edge::Stall(Stage::Body)]),
    scenario(GREET, "a pause that is no silence", short_pauses),
    scenario(GREET, "options keep a message open", trickle),
    scenario(GREET, "a peer that reads with pauses", reads_with_pauses).lossy(BOTH_FULL),
    scenario(GREET, "three at once", three_at_once),
    scenario(GREET, "many at once", many_at_once).tries(&[Edge::Many]),
    scenario(GREET, "abort before the first byte", |world| edges::abort(world, b"", 0, next))
        .tries(&[Edge::Abort(Stage::First)]),
    scenario(GREET, "abort within an option", |world| edges::abort(world, b"\xff\xfb", 0, next))
        .tries(&[Edge::Abort(Stage::Head)]),
    scenario(GREET, "abort before the reply", abort).tries(&[Edge::Abort(Stage::Body)]),
    scenario(GREET, "abort within the answer", |world| edges::abort(world, b"x", 3, next))
        .tries(&[Edge::Abort(Stage::Answer)]),
    scenario(GREET, "abort behind an answer", |world| edges::abort(world, b"x", 7, next))
        .tries(&[Edge::Abort(Stage::Behind)]),
    scenario(GREET, "another name", |world| {
        let stream = world.open();
        assert_eq!(world.exchange(stream, b"x"), (b"x Jane Doe\r\n".into(), Close::Fin));
        assert_eq!(world.ended(), End::Finished);
    })
    .with(&[("name", "Jane Doe")]),
    limited(GREET, "a peer that never writes", |world| idle(world, b"", b""))
        .tries(&[Edge::Stall(Stage::First)]),
    limited(GREET, "silence between messages", |world| idle(world, b"x", b"x Ali\r\n"))
        .tries(&[Edge::Stall(Stage::Behind)]),
    limited(GREET, "silence after options", |world| idle(world, OPTIONS, b"")),
    limited(GREET, "silence inside an option", idle_inside)
        .tries(&[Edge::Stall(Stage::Head), Edge::Reset]),
    limited(GREET, "a peer that never reads", never_reads).tries(&[Edge::Stall(Stage::Answer)]),
];

/// WILL ECHO, DO SUPPRESS-GO-AHEAD, TERMINAL-TYPE with IAC IAC inside, and NOP.
const OPTIONS: &[u8] = b"\xff\xfb\x01\xff\xfd\x03\xff\xfa\x18\x00x\xff\xffy\xff\xf0\xff\xf1";

fn replies(messages: &[&[u8]]) -> Vec<u8> {
    messages.iter().flat_map(|message| [message, &b" Ali\r\n"[..]].concat()).collect()
}

type Outcome = (String, Close, End);

/// What came back, and what belongs there, to be compared and shown.
fn outcome(world: &mut World<'_>, got: (Vec<u8>, Close), messages: &[&[u8]]) -> [Outcome; 2] {
    let text = |bytes: &[u8]| world.comparable(bytes, " Ali\r\n");
    let (got_text, expected) = (text(&got.0), text(&replies(messages)));
    [(got_text, got.1, world.ended()), (expected, Close::Fin, End::Finished)]
}

/// `sent`, then the end: each message is answered, then comes the end.
fn says(world: &mut World<'_>, sent: &[u8], messages: &[&[u8]]) {
    world.try_times(|world| {
        let stream = world.open();
        let got = world.exchange(stream, sent);
        outcome(world, got, messages).into()
    });
}

/// As Linux's and PuTTY's do, and nothing of it is answered.
fn telnet(world: &mut World<'_>) {
    let linux = b"\xff\xfd\x03\xff\xfb\x18\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x21\xff\xfb\x22\xff\xfb\x27\xff\xfd\x05";
    let putty =
        b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03";
    for said in [&linux[..], putty, OPTIONS] {
        says(world, &[said, b"Hello\r\n"].concat(), &[b"Hello"]);
        says(world, &[b"Hel", said, b"lo\r", said, b"\n"].concat(), &[b"Hello"]);
    }
}

/// Wherever the stream is cut in two, and the halves come apart.
fn cut_everywhere(world: &mut World<'_>) {
    let sent = [b"a", OPTIONS, b"b\xff\xffc\r\n"].concat();
    for at in 1..sent.len() {
        world.try_times(|world| {
            let stream = world.open();
            world.send(stream, &sent[..at]);
            world.pause(stream, Duration::from_millis(5));
            let got = world.exchange(stream, &sent[at..]);
            outcome(world, got, &[b"ab\xff\xffc"]).into()
        });
    }
}

/// They are no message, and nothing is answered: neither at the end nor after a silence.
fn options_alone(world: &mut World<'_>) {
    says(world, OPTIONS, &[]);
    let stream = world.open();
    world.send(stream, OPTIONS);
    world.pause(stream, Duration::from_millis(500));
    assert_eq!(world.exchange(stream, b"x"), (replies(&[b"x"]), Close::Fin));
    assert_eq!(world.ended(), End::Finished);
}

/// 1024 is the most that a message has; what is left out is not counted.
fn long(world: &mut World<'_>) {
    let letters = |len| vec![b'l'; len];
    let sent: Vec<u8> =
        letters(1024).into_iter().flat_map(|byte| [&[byte], OPTIONS].concat()).collect();
    says(world, &sent, &[&letters(1024)]);
    // A newline behind it is a line of its own.
    says(world, &[&sent[..], b"\n"].concat(), &[&letters(1024), b""]);
    says(world, &[&sent[..], b"xyz\n"].concat(), &[&letters(1024), b"xyz"]);
    says(world, &[OPTIONS, &letters(1023), b"\n"].concat(), &[&letters(1023)]);
}

/// Each is answered before the next is sent: it was silence that has ended it, and options are silent.
fn silences(world: &mut World<'_>) {
    let stream = world.open();
    for sent in [&b"A"[..], b"B\xff\xf1", b"\xff\xf1C", b"\xff\xff"] {
        let data: Vec<_> = match sent {
            b"\xff\xff" => sent.into(),
            _ => sent.iter().copied().filter(u8::is_ascii).collect(),
        };
        world.send(stream, sent);
        let expected = replies(&[&data]);
        let got = world.receive(stream, expected.len());
        assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string());
        // More of it is nothing.
        world.pause(stream, Duration::from_millis(300));
    }
    world.finish(stream);
}

/// In all longer than a silence.
fn short_pauses(world: &mut World<'_>) {
    world.try_times(|world| {
        let stream = world.open();
        for part in ["it ", "goes ", "on ", "and ", "on"] {
            world.send(stream, part.as_bytes());
            world.pause(stream, Duration::from_millis(80));
        }
        let got = world.exchange(stream, b"\n");
        outcome(world, got, &[b"it goes on and on"]).into()
    });
}

/// Whoever negotiates is not silent.
fn trickle(world: &mut World<'_>) {
    world.try_times(|world| {
        let stream = world.open();
        world.send(stream, b"a");
        for _ in 0..6 {
            world.pause(stream, Duration::from_millis(80));
            world.send(stream, b"\xff\xf1");
        }
        let got = world.exchange(stream, b"b\r\n");
        outcome(world, got, &[b"ab"]).into()
    });
}

/// While answers keep the server from reading, nobody is silent: no line falls apart.
fn reads_with_pauses(world: &mut World<'_>) {
    world.try_times(|world| {
        let stream = world.open();
        let line = |number: usize| format!("{number:499}").into_bytes();
        let send = |number: usize| [OPTIONS, &line(number), b"\r\n"].concat();
        let (lines, got) = world.pause_reading(stream, send);
        let expected: Vec<_> = (0..lines).map(line).collect();
        let expected = replies(&expected.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let text = |bytes: &[u8]| world.comparable(bytes, " Ali\r\n");
        let same = (text(&got.0) == text(&expected), got.1, world.ended());
        (same, (true, Close::Fin, End::Finished))
    });
}

/// The lab's: they take turns, and nobody hears what another says.
fn three_at_once(world: &mut World<'_>) {
    let streams = [(); 3].map(|()| world.open());
    for _ in 0..2 {
        for stream in streams {
            // Half an option each, while the others talk.
            world.send(stream, b"\xff\xfb");
        }
        for (stream, who) in streams.into_iter().zip([b'1', b'2', b'3']) {
            world.send(stream, &[1, who]);
            let expected = replies(&[&[who]]);
            assert_eq!(world.receive(stream, expected.len()), expected);
        }
    }
    for stream in streams {
        world.finish(stream);
    }
}

fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    let letter = |stream: usize| [b'A' + (stream % 26) as u8];
    for &stream in &streams {
        world.send(stream, &[&letter(stream)[..], OPTIONS].concat());
    }
    for &stream in streams.iter().rev() {
        let expected = replies(&[&letter(stream)]);
        assert_eq!(world.receive(stream, expected.len()), expected);
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
    assert_eq!(world.exchange(stream, b"x"), (replies(&[b"x"]), Close::Fin));
}

fn idle(world: &mut World<'_>, sent: &[u8], expected: &[u8]) {
    let stream = world.open();
    world.send(stream, sent);
    world.goes_idle(stream, expected);
}

fn idle_inside(world: &mut World<'_>) {
    for sent in [&b"\xff"[..], b"\xff\xfd", b"\xff\xfa\x18"] {
        let stream = world.open();
        world.send(stream, sent);
        assert_eq!(world.receive_all(stream), (Vec::new(), Close::Rst));
        assert_eq!(world.ended(), End::Aborted(Reason::Idle));
    }
}

fn never_reads(world: &mut World<'_>) {
    let stream = world.open();
    let line = [&[b'l'; 499][..], b"\n"].concat();
    world.never_read(stream, &line.repeat(120));
}
