//! Where a conversation of upload's can end, stop or break: at each stage.

use std::time::Duration;

use anywire_core::event::End;
use anywire_core::frame::FrameError;
use anywire_core::request::Stop;
use anywire_core::session::Reason;

use super::super::messages::{self, data, head, string};
use super::{assert_names, assert_stored, cut, end, fails, frame, name};
use crate::samples;
use crate::world::{Close, World};

/// Who comes then is served.
pub(super) fn next(world: &mut World<'_>) {
    let stream = world.open();
    name(world, stream, "after.bin");
    world.send(stream, &data(b"still there"));
    world.network().shutdown(stream);
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
}

/// The server goes on after a connection of which it may say that it was reset, or nothing.
fn goes_on(world: &mut World<'_>) {
    next(world);
    let mut ends = vec![world.ended()];
    if ends != [End::Finished] {
        ends.push(world.ended());
    }
    assert_eq!(ends.last(), Some(&End::Finished));
    if let Some(first) = ends.first().filter(|_| ends.len() > 1) {
        let cut = matches!(first, End::Aborted(Reason::Cut { stop: Stop::Reset, .. }));
        assert!(*first == End::Reset || cut, "{first:?}");
    }
    assert_stored(world, "after.bin", b"still there");
    world.assert_nothing_unfinished();
}

pub(super) fn end_in_a_name(world: &mut World<'_>) {
    let whole = string(b"new.bin");
    for (len, want) in [(1, 3), (2, 3), (3, 10), (9, 10)] {
        let error = FrameError::Ended { got: len as u64, want };
        assert_eq!(fails(world, false, &whole[..len], true), frame(error));
    }
}

pub(super) fn end_behind_ok(world: &mut World<'_>) {
    let end = fails(world, true, b"", true);
    assert_eq!(end, End::Aborted(Reason::Frame(FrameError::Ended { got: 0, want: 2 })));
}

pub(super) fn end_in_a_head(world: &mut World<'_>) {
    for (tag, size) in messages::SIZED {
        for len in 1..=size {
            let error = FrameError::Ended { got: len as u64, want: size as u64 + 1 };
            assert_eq!(fails(world, true, &head(tag, 9)[..len], true), frame(error));
        }
    }
}

pub(super) fn end_in_a_body(world: &mut World<'_>) {
    for (len, moved) in [(1, 0), (300, 0), (300, 1), (300, 299), (55_696, 55_695)] {
        let sent = data(&samples::bytes(len));
        let end = fails(world, true, &sent[..sent.len() - len + moved], true);
        assert_eq!(end, cut(moved as u64, Stop::Ended));
    }
    // So a file that was whole before is there.
    let stream = world.open();
    name(world, stream, "whole");
    world.send(stream, &data(b"all of it"));
    name(world, stream, "half");
    world.send(stream, &data(b"some")[..3]);
    world.network().shutdown(stream);
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Rst));
    assert_eq!(world.ended(), cut(1, Stop::Ended));
    assert_stored(world, "whole", b"all of it");
    assert_names(world, &["whole"]);
}

pub(super) fn abort_in_a_name(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, &string(b"new.bin")[..5]);
    world.pause(stream, Duration::from_millis(50));
    world.network().abort(stream);
    goes_on(world);
    assert_names(world, &["after.bin"]);
}

pub(super) fn abort_behind_ok(world: &mut World<'_>) {
    let stream = world.open();
    name(world, stream, "new.bin");
    world.network().abort(stream);
    assert_eq!(world.ended(), End::Reset);
    assert_names(world, &[]);
    goes_on(world);
    assert_names(world, &["after.bin"]);
}

pub(super) fn abort_in_a_body(world: &mut World<'_>) {
    let stream = world.open();
    name(world, stream, "photo.jpg");
    let sent = data(&[7; 20_000]);
    world.send(stream, &sent[..10_000]);
    world.network().abort(stream);
    // The reset may be seen before the body is.
    match world.ended() {
        End::Reset => {}
        End::Aborted(Reason::Cut { moved, stop: Stop::Reset }) => assert!(moved <= 10_000),
        end => panic!("{end:?}"),
    }
    assert_stored(world, "photo.jpg", &samples::bytes(55_696));
    goes_on(world);
    assert_names(world, &["after.bin"]);
}

/// Whether it was stored nobody has said; but never half of it.
pub(super) fn abort_behind_a_body(world: &mut World<'_>) {
    let stream = world.open();
    name(world, stream, "new.bin");
    world.send(stream, &data(&[7; 5000]));
    world.network().abort(stream);
    match world.ended() {
        End::Reset | End::Aborted(Reason::Cut { stop: Stop::Reset, .. }) => {}
        end => panic!("{end:?}"),
    }
    goes_on(world);
    match world.network().stored("new.bin") {
        None => {}
        Some(stored) => assert_eq!(stored, [7; 5000]),
    }
}

pub(super) fn silence_between_pairs(world: &mut World<'_>) {
    let stream = world.open();
    name(world, stream, "new.bin");
    world.send(stream, &data(b"whole"));
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
    assert_stored(world, "new.bin", b"whole");
    world.network().shutdown(stream);
    assert_eq!(world.ended(), End::Idle);
}

pub(super) fn half_a_name(world: &mut World<'_>) {
    for len in [1, 5] {
        let end = fails(world, false, &string(b"new.bin")[..len], false);
        assert_eq!(end, End::Aborted(Reason::HeadTimeout));
    }
}

pub(super) fn silence_behind_ok(world: &mut World<'_>) {
    assert_eq!(fails(world, true, b"", false), End::Aborted(Reason::Idle));
}

pub(super) fn half_a_head(world: &mut World<'_>) {
    let end = fails(world, true, &head(6, 9)[..5], false);
    assert_eq!(end, End::Aborted(Reason::HeadTimeout));
}

pub(super) fn half_a_body(world: &mut World<'_>) {
    for moved in [0, 10] {
        let end = fails(world, true, &data(&[7; 100])[..2 + moved], false);
        assert_eq!(end, cut(moved as u64, Stop::TimedOut));
    }
}

/// In all longer than may be waited for once.
pub(super) fn slow_body(world: &mut World<'_>) {
    let stream = world.open();
    name(world, stream, "new.bin");
    for piece in data(&[7; 50]).chunks(13) {
        world.send(stream, piece);
        world.pause(stream, Duration::from_millis(300));
    }
    end(world, stream);
    assert_stored(world, "new.bin", &[7; 50]);
}
