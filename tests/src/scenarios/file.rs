//! file: a name goes out, the file comes back, and the end means that it is whole.

use std::time::Duration;

use anywire_core::event::End;
use anywire_core::name::NameError;
use anywire_core::request::Refusal;
use anywire_core::session::Reason;

use super::edges::{self, Edge, Stage};
use super::{Applies, Scenario, limited, never_writes, scenario};
use crate::network::{Awaited, Handle};
use crate::samples;
use crate::world::{Close, World};

const FILE: &str = "file";

pub(super) const SCENARIOS: &[Scenario] = &[
    named_file("0 bytes", |world| fetch(world, 0)),
    named_file("1 byte", |world| fetch(world, 1)),
    named_file("55,696 bytes", |world| fetch(world, 2)).tries(&[Edge::Lab]),
    named_file("583,163 bytes", |world| fetch(world, 3)).tries(&[Edge::HalfClose]),
    named_file("a name ended by CR LF", |world| named(world, b"photo.jpg\r\n")),
    named_file("a name ended by silence", |world| named(world, b"photo.jpg")),
    named_file("bytes behind the name", |world| named(world, b"photo.jpg\nand more")),
    named_file("absent", |world| refused(world, b"absent.bin", Refusal::NotFound))
        .tries(&[Edge::Refusal]),
    named_file("no name", |world| refused(world, b"", NameError::Empty.into()))
        .tries(&[Edge::End(Stage::First)]),
    named_file("an empty name", |world| refused(world, b"\n", NameError::Empty.into())),
    named_file("a path", |world| refused(world, b"/etc/passwd", NameError::Separator.into()))
        .tries(&[Edge::Reset]),
    named_file("a way out", |world| refused(world, b"../x", NameError::Separator.into())),
    named_file("a hidden file", |world| refused(world, b".hidden", NameError::LeadingDot.into())),
    named_file("a name with NUL", |world| refused(world, b"a\0b", NameError::Control.into())),
    named_file("a name that is not UTF-8", |world| {
        refused(world, b"a\xffb", NameError::NotUtf8 { at: 1 }.into());
    }),
    named_file("a name of 256 bytes", |world| {
        refused(world, &[b'n'; 256], NameError::TooLong { len: 256 }.into());
    })
    .tries(&[Edge::Longest]),
    named_file("a link, a folder", not_files),
    named_file("many at once", many_at_once).tries(&[Edge::Many]),
    named_file("abort before the first byte", |world| edges::abort(world, b"", 0, next))
        .tries(&[Edge::Abort(Stage::First)]),
    named_file("abort within the name", abort_in_the_name).tries(&[Edge::Abort(Stage::Head)]),
    named_file("abort in the middle", abort_in_the_middle).tries(&[Edge::Abort(Stage::Answer)]),
    named_file("abort behind the end", abort_behind).tries(&[Edge::Abort(Stage::Behind)]),
    named_file("a peer that never ends", peer_never_ends).tries(&[Edge::Stall(Stage::Behind)]),
    limited(FILE, "a peer that never writes", never_writes).tries(&[Edge::Stall(Stage::First)]),
    limited(FILE, "half a name", half_a_name)
        .lossy(Applies::No(
            "a retransmission is a silence, and ends the name before its time is up",
        ))
        .tries(&[Edge::Stall(Stage::Head)]),
    limited(FILE, "a peer that never reads", never_reads)
        .lossy(NAME)
        .tries(&[Edge::Stall(Stage::Answer)]),
];

/// A name is sent in one piece by whoever sends one, ours and the labs'.
const NAME: Applies =
    Applies::Whole("a retransmission is a silence, and ends a name that is sent in pieces");

/// A scenario that sends a name.
const fn named_file(name: &'static str, run: fn(&mut World<'_>)) -> Scenario {
    scenario(FILE, name, run).lossy(NAME)
}

/// Our client's way: the name, then the end.
fn fetch(world: &mut World<'_>, which: usize) {
    let (name, len) = samples::FILES[which];
    let stream = world.open();
    let (got, close) = world.exchange(stream, name.as_bytes());
    assert!(got == samples::bytes(len), "{} of {len} bytes came, or others", got.len());
    assert_eq!(close, Close::Fin);
    assert_eq!(world.ended(), End::Finished);
}

/// The lab's way: the name, and the stream stays open.
fn named(world: &mut World<'_>, line: &[u8]) {
    let stream = world.open();
    world.send(stream, line);
    let (got, close) = world.receive_all(stream);
    assert!(got == samples::bytes(55_696), "{} bytes came, or others", got.len());
    assert_eq!(close, Close::Fin);
    world.network().shutdown(stream);
    assert_eq!(world.ended(), End::Finished);
}

/// A reset, and not a byte: never an end, which would say that the file is empty.
fn refused(world: &mut World<'_>, name: &[u8], why: Refusal) {
    let stream = world.open();
    let (got, close) = world.exchange(stream, name);
    assert_eq!((got.len(), close), (0, Close::Rst));
    assert_eq!(world.ended(), End::Aborted(Reason::Refused(why)));
}

/// What is in the folder, and is not a file of it. A store without links has no such names at all.
fn not_files(world: &mut World<'_>) {
    for name in samples::NOT_FILES {
        let stream = world.open();
        let (got, close) = world.exchange(stream, name.as_bytes());
        assert_eq!((got.len(), close), (0, Close::Rst), "{name}");
        let end = world.ended();
        let whys = [Refusal::NotAFile, Refusal::NotFound];
        assert!(whys.iter().any(|&why| end == End::Aborted(Reason::Refused(why))), "{end:?}");
    }
}

fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    for &stream in &streams {
        // With its newline: on a busy machine there are silences between bytes.
        world.send(stream, b"photo.jpg\n");
        world.network().shutdown(stream);
    }
    for &stream in &streams {
        let (got, close) = world.receive_all(stream);
        assert_eq!(world.ended(), End::Finished);
        assert_eq!(close, Close::Fin);
        assert!(got == samples::bytes(55_696), "{} bytes came, or others", got.len());
    }
}

fn abort_in_the_middle(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"song.mp3\n");
    world.receive(stream, 1);
    world.network().abort(stream);
    // The whole file may have gone into the buffers between, and the reset come after the end.
    let end = world.ended();
    assert!(
        matches!(end, End::Aborted(Reason::Cut { .. }) | End::Reset | End::Finished),
        "{end:?}"
    );
    fetch(world, 2);
}

/// Who comes then is served.
fn next(world: &mut World<'_>) {
    let stream = world.open();
    let (got, close) = world.exchange(stream, b"one.bin");
    assert_eq!((got, close), (samples::bytes(1), Close::Fin));
}

/// On a busy machine a silence may have ended the name before.
fn abort_in_the_name(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"pho");
    world.network().abort(stream);
    next(world);
    match world.ended() {
        End::Finished => {}
        End::Reset | End::Aborted(Reason::Refused(Refusal::NotFound)) => {
            assert_eq!(world.ended(), End::Finished);
        }
        end => panic!("{end:?}"),
    }
}

/// Sends a name with its newline, and receives the file to its end.
fn receives(world: &mut World<'_>) -> Handle {
    let stream = world.open();
    world.send(stream, b"photo.jpg\n");
    let (got, close) = world.receive_all(stream);
    assert!(got == samples::bytes(55_696), "{} bytes came, or others", got.len());
    assert_eq!(close, Close::Fin);
    stream
}

/// The file was whole, whatever comes behind it.
fn abort_behind(world: &mut World<'_>) {
    let stream = receives(world);
    world.network().abort(stream);
    let end = world.ended();
    assert!(matches!(end, End::Finished | End::Reset), "{end:?}");
    next(world);
}

/// It is waited for, but not for ever.
fn peer_never_ends(world: &mut World<'_>) {
    receives(world);
    assert_eq!(world.ended(), End::Finished);
}

/// A name that goes on, too slowly. Silence would end it: on a busy machine it may, and then that was no trial.
fn half_a_name(world: &mut World<'_>) {
    // On a busy machine many of them are.
    for _ in 0..50 {
        let stream = world.open();
        while world.try_send(stream, b"n").is_ok() {
            // It waits for the reset that must come; a name that may take for ever would be too long in the end.
            world.network().wait(stream, Awaited::Read, Duration::from_millis(30));
            if world.network().receive(stream, &mut [0; 1]).is_err() {
                break;
            }
        }
        match world.ended() {
            End::Aborted(Reason::HeadTimeout) => return,
            end => assert_eq!(end, End::Aborted(Reason::Refused(Refusal::NotFound))),
        }
    }
    panic!("no name was sent without a silence");
}

/// What fits into the buffers is sent; the rest waits, in vain, and the peer sees no end.
fn never_reads(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"song.mp3\n");
    let expected = match world.ended() {
        // The buffers took all of it.
        End::Finished => Close::Fin,
        End::Aborted(Reason::Cut { .. }) => Close::Rst,
        end => panic!("{end:?}"),
    };
    assert_eq!(world.receive_all(stream).1, expected);
}
