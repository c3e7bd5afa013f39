//! Bodies: how they are counted, told, and stopped.

use anywire_core::conversation::Want;
use anywire_core::event::End;
use anywire_core::request::{Answer, Refusal, Request, Stop};
use anywire_core::session::{Next, Reason};

use super::{Rig, Scripted, rig};

/// Asks for `request`, and aborts with what it is told of it.
fn transfer(
    request: Request<'static>,
) -> Rig<
    Scripted<
        impl FnMut(&mut anywire_core::exchange::Exchange<'_>, &mut Option<Request<'static>>) -> Next,
    >,
> {
    let mut rig = rig(move |io, wanted| match io.answer() {
        Some(Answer::Moved { len, stop }) => Next::Abort(Reason::Cut { moved: len, stop }),
        Some(other) => panic!("{other:?}"),
        None => {
            *wanted = Some(request);
            Next::Ask
        }
    });
    rig.step(b"");
    rig
}

const fn cut(moved: u64, stop: Stop) -> End {
    End::Aborted(Reason::Cut { moved, stop })
}

#[test]
fn a_body_of_nothing_is_complete_at_once() {
    for request in [Request::Send { len: 0 }, Request::Receive { len: Some(0) }] {
        let mut rig = transfer(request);
        assert_eq!(rig.want(), Want::Step);
        rig.step(b"");
        rig.is_over(cut(0, Stop::Complete));
        assert_eq!(rig.told.0, ["Moved { len: 0, stop: Complete }"]);
    }
}

#[test]
fn a_body_is_complete_when_all_of_it_was_moved() {
    let mut rig = transfer(Request::Send { len: 10 });
    assert_eq!(rig.want(), Want::Send { left: 10 });
    assert_eq!(rig.moved(3).want(), Want::Send { left: 7 });
    assert_eq!(rig.moved(7).want(), Want::Step);
    rig.step(b"");
    assert_eq!(rig.ended(), Some((cut(10, Stop::Complete), 0, 10)));
    assert_eq!(
        rig.told.0,
        [
            "Moving { sending: true, len: 3, moved: 3, of: Some(10) }",
            "Moving { sending: true, len: 7, moved: 10, of: Some(10) }",
            "Moved { len: 10, stop: Complete }",
        ]
    );
}

#[test]
fn a_body_of_unknown_length_goes_on_to_the_end_of_the_stream() {
    let mut rig = transfer(Request::Receive { len: None });
    assert_eq!(rig.moved(5).want(), Want::Receive { left: None });
    assert_eq!(rig.moved(u64::from(u32::MAX)).want(), Want::Receive { left: None });
    rig.conversation.stopped(Stop::Ended);
    rig.step(b"");
    let all = u64::from(u32::MAX) + 5;
    assert_eq!(rig.ended(), Some((cut(all, Stop::Ended), all, 0)));
    assert_eq!(rig.told.0[0], "Moving { sending: false, len: 5, moved: 5, of: None }");
}

#[test]
fn nothing_moved_is_not_told() {
    let mut rig = transfer(Request::Receive { len: Some(4) });
    assert_eq!(rig.moved(0).want(), Want::Receive { left: Some(4) });
    assert!(rig.told.0.is_empty());
}

#[test]
fn what_stops_a_body_is_told_with_what_was_moved() {
    for stop in [Stop::FileShort, Stop::Ended, Stop::Store(Refusal::Full)] {
        let mut rig = transfer(Request::Receive { len: Some(9) });
        rig.moved(2).conversation.stopped(stop);
        rig.step(b"");
        assert_eq!(rig.ended(), Some((cut(2, stop), 2, 0)));
    }
}

#[test]
fn a_reset_in_a_body_is_told_to_the_session() {
    let mut rig = transfer(Request::Send { len: 9 });
    rig.moved(2).conversation.reset();
    assert_eq!((rig.want(), rig.ended()), (Want::Step, None));
    rig.step(b"");
    rig.is_over(cut(2, Stop::Reset));
}

#[test]
fn that_the_peer_has_vanished_is_told_to_the_session_too() {
    let mut rig = transfer(Request::Receive { len: Some(9) });
    rig.moved(2).conversation.vanished();
    assert_eq!((rig.want(), rig.ended()), (Want::Step, None));
    rig.step(b"");
    rig.is_over(cut(2, Stop::Vanished));
}

#[test]
fn a_reset_behind_a_body_closes() {
    let mut rig = transfer(Request::Send { len: 9 });
    rig.moved(9).conversation.reset();
    rig.is_over(End::Reset);
}

#[test]
fn outside_a_body_nothing_is_moved_or_stopped() {
    let mut rig = rig(|_, _| super::wait(anywire_core::session::Phase::Inside));
    rig.step(b"");
    rig.moved(5).conversation.stopped(Stop::Complete);
    assert_eq!(rig.want(), Want::Input);
    rig.conversation.abort(Reason::Stopped);
    assert_eq!(rig.ended(), Some((End::Aborted(Reason::Stopped), 0, 0)));
}
