//! knock: the end comes at once, and what the visitor sends is discarded.

use anywire_core::event::End;

use super::edges::{Edge, Stage};
use super::{Applies, Scenario, scenario};
use crate::network::{Awaited, Handle};
use crate::world::{Close, World};

const KNOCK: &str = "knock";

/// All speak before the first one listens. Others speak to a server that is still there.
const TIME_WAIT: Applies = Applies::No(
    "a server that has ended knows its visitor for 10 s, smoltcp's TIME-WAIT: words that are sent again later are reset, and the reset is seen before the end",
);

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(KNOCK, "a visitor who says nothing", silent).tries(&[Edge::Lab]),
    scenario(KNOCK, "a visitor who ends first", |world| visit(world, b""))
        .tries(&[Edge::HalfClose, Edge::End(Stage::First)]),
    scenario(KNOCK, "a visitor who talks", |world| visit(world, b"Is anybody there?\n")),
    scenario(KNOCK, "a visitor who talks after the end", talks_after),
    scenario(KNOCK, "500,000 bytes", |world| talks(world, 500_000)),
    scenario(KNOCK, "a visitor who never ends", never_ends).tries(&[Edge::Stall(Stage::Behind)]),
    scenario(KNOCK, "many at once", many_at_once).lossy(TIME_WAIT).tries(&[Edge::Many]),
    scenario(KNOCK, "abort at once", abort).tries(&[Edge::Abort(Stage::First)]),
    scenario(KNOCK, "abort behind the end", abort_behind).tries(&[Edge::Abort(Stage::Behind)]),
];

fn silent(world: &mut World<'_>) {
    let stream = world.open();
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
    world.network().shutdown(stream);
    assert_eq!(world.ended(), End::Finished);
}

fn visit(world: &mut World<'_>, said: &[u8]) {
    let stream = world.open();
    assert_eq!(world.exchange(stream, said), (Vec::new(), Close::Fin));
    assert_eq!(world.ended(), End::Finished);
}

fn talks_after(world: &mut World<'_>) {
    let stream = world.open();
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
    world.send(stream, b"Is anybody still there?\n");
    world.finish(stream);
}

/// More than any buffer between holds, and less than is put up with: no reset takes the end back.
fn talks(world: &mut World<'_>, len: usize) {
    let stream = world.open();
    say(world, stream, len);
    world.finish(stream);
}

fn say(world: &mut World<'_>, stream: Handle, len: usize) {
    let mut said = 0;
    while said < len {
        let piece = [7; 8192];
        let piece = &piece[..piece.len().min(len - said)];
        said += world.network().send(stream, piece).expect("the stream was reset");
        let patience = world.patience();
        let room = world.network().wait(stream, Awaited::Write, patience);
        assert!(room, "the server takes no more after {said} bytes");
    }
}

/// It is waited for, but not for ever.
fn never_ends(world: &mut World<'_>) {
    let stream = world.open();
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
    assert_eq!(world.ended(), End::Finished);
}

fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    for &stream in &streams {
        world.send(stream, b"knock, knock");
        world.network().shutdown(stream);
    }
    for &stream in &streams {
        assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
        assert_eq!(world.ended(), End::Finished);
    }
}

/// The visitor of that may have been one, or have been gone before.
fn abort(world: &mut World<'_>) {
    let stream = world.open();
    world.network().abort(stream);
    let stream = world.open();
    assert_eq!(world.exchange(stream, b"still there?"), (Vec::new(), Close::Fin));
    match world.ended() {
        End::Finished => {}
        End::Reset => assert_eq!(world.ended(), End::Finished),
        end => panic!("{end:?}"),
    }
}

/// The server has finished, and waits for its visitor's end: what it gets instead does not matter any more.
fn abort_behind(world: &mut World<'_>) {
    let stream = world.open();
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
    world.network().abort(stream);
    let end = world.ended();
    assert!(matches!(end, End::Finished | End::Reset), "{end:?}");
    visit(world, b"still there?");
}
