//! How it ends: in good order, drained, retired, reset, aborted; and what is counted.

use anywire_core::conversation::Want;
use anywire_core::event::End;
use anywire_core::request::{Answer, Request};
use anywire_core::session::{Next, Phase, Reason};

use super::{LIMITS, Rig, ms, rig, rig_that_answers, take_all, wait};

#[test]
fn in_good_order_our_end_goes_first_and_then_the_peers_is_awaited() {
    let mut rig = rig(|io, _| {
        io.put(b"bye");
        Next::Finish
    });
    rig.step(b"");
    assert_eq!((rig.want(), rig.conversation.is_over_once_shut()), (Want::Shutdown, false));
    assert_eq!((rig.shut().want(), rig.ended()), (Want::Drain, None));
    rig.conversation.peer_ended();
    assert_eq!((rig.want(), rig.ended()), (Want::Close, Some((End::Finished, 0, 3))));
}

#[test]
fn a_peer_that_has_ended_is_not_drained() {
    let mut rig = rig(|io, _| if io.ended() { Next::Finish } else { wait(Phase::Between) });
    rig.step(b"");
    rig.end();
    assert_eq!((rig.want(), rig.conversation.is_over_once_shut()), (Want::Shutdown, true));
    rig.shut().is_over(End::Finished);
}

fn draining(at: u64) -> Rig<impl anywire_core::session::Session> {
    let mut rig = rig(|_, _| Next::Finish);
    rig.step(b"");
    rig.at(at).shut();
    assert_eq!(rig.want(), Want::Drain);
    rig
}

#[test]
fn draining_is_limited_by_bytes() {
    let mut rig = draining(0);
    rig.conversation.discarded(7, &LIMITS);
    assert_eq!(rig.want(), Want::Drain);
    rig.conversation.discarded(1, &LIMITS);
    // Discarded bytes are nobody's.
    assert_eq!((rig.want(), rig.ended()), (Want::Close, Some((End::Finished, 0, 0))));
    let mut rig = draining(0);
    rig.conversation.discarded(7, &LIMITS);
    rig.conversation.discarded(u64::MAX, &LIMITS);
    rig.is_over(End::Finished);
}

#[test]
fn draining_is_limited_by_time_whatever_comes() {
    let mut rig = draining(10);
    assert_eq!((rig.deadline(), rig.deadline_with_output()), (Some(30), Some(30)));
    rig.at(29).conversation.discarded(1, &LIMITS);
    assert_eq!(rig.expire().want(), Want::Drain);
    rig.at(30).expire().is_over(End::Finished);
}

#[test]
fn a_reset_after_our_orderly_end_takes_nothing_back() {
    let mut rig = draining(0);
    rig.conversation.reset();
    assert_eq!(rig.want(), Want::Close);
    rig.is_over(End::Finished);
    rig.conversation.reset();
    rig.conversation.abort(Reason::Stopped);
    rig.is_over(End::Finished);
}

#[test]
fn an_abort_after_our_orderly_end_takes_nothing_back_either() {
    let mut rig = draining(0);
    rig.conversation.abort(Reason::Stopped);
    assert_eq!(rig.want(), Want::Close);
    rig.is_over(End::Finished);
}

#[test]
fn a_reset_anywhere_else_closes() {
    type Stage = fn(&mut Option<Request<'static>>) -> Next;
    let stages: [Stage; 3] = [
        |_| wait(Phase::Inside),
        |_| Next::Finish,
        |request| {
            *request = Some(Request::Commit);
            Next::Ask
        },
    ];
    for next in stages {
        let mut rig = rig(move |_, request| next(request));
        rig.step(b"");
        rig.conversation.reset();
        assert_eq!(rig.want(), Want::Close);
        rig.is_over(End::Reset);
    }
    let mut rig = rig(|_, _| Next::Finish);
    rig.conversation.reset();
    rig.is_over(End::Reset);
}

#[test]
fn an_abort_from_outside_is_sticky() {
    let mut rig = rig(|_, _| wait(Phase::Inside));
    rig.step(b"");
    rig.conversation.abort(Reason::Stopped);
    rig.conversation.abort(Reason::Failed);
    rig.conversation.reset();
    assert_eq!(rig.want(), Want::Abort(Reason::Stopped));
    rig.is_over(End::Aborted(Reason::Stopped));
    assert_eq!(rig.deadline(), None);
}

#[test]
fn an_idle_conversation_retires_at_once() {
    let mut rig = rig(|_, _| wait(Phase::Between));
    rig.step(b"");
    rig.at(100).retire();
    assert_eq!(rig.want(), Want::Shutdown);
    rig.shut().conversation.peer_ended();
    rig.is_over(End::Stopped);
}

#[test]
fn who_was_just_sending_is_not_idle_until_a_silence() {
    let mut rig = rig(|io, _| {
        take_all(io);
        wait(Phase::Between)
    });
    rig.step(b"a");
    rig.at(99).retire();
    assert_eq!((rig.want(), rig.deadline()), (Want::Input, Some(100)));
    rig.step(b"b");
    assert_eq!((rig.want(), rig.deadline()), (Want::Input, Some(199)));
    assert_eq!(rig.at(198).expire().want(), Want::Input);
    assert_eq!(rig.at(199).expire().want(), Want::Shutdown);
    rig.shut().conversation.peer_ended();
    rig.is_over(End::Stopped);
}

#[test]
fn a_busy_conversation_retires_when_it_becomes_idle() {
    for phase in [Phase::Head, Phase::Inside] {
        let mut rig = rig(move |io, _| {
            if io.input().len() < 4 {
                return wait(if io.input().is_empty() { Phase::Between } else { phase });
            }
            io.take(4);
            io.put(b"ok");
            Next::Progress
        });
        rig.step(b"ab");
        rig.retire();
        assert_eq!(rig.want(), Want::Input);
        // The reply that is owed goes out first.
        assert_eq!(rig.step(b"cd").put, 2);
        assert_eq!(rig.want(), Want::Step);
        rig.step(b"");
        assert_eq!(rig.at(100).expire().want(), Want::Shutdown);
        rig.shut().conversation.peer_ended();
        assert_eq!(rig.ended(), Some((End::Stopped, 4, 2)));
    }
}

#[test]
fn whoever_has_not_been_stepped_or_waits_for_an_answer_does_not_retire_yet() {
    let mut rig = rig(|io, request| {
        if io.answer().is_some() {
            return wait(Phase::Between);
        }
        *request = Some(Request::Commit);
        Next::Ask
    });
    rig.at(1000).retire();
    assert_eq!(rig.want(), Want::Step);
    rig.step(b"");
    assert_eq!(rig.want(), Want::Answer);
    rig.answer(Answer::Committed);
    assert_eq!(rig.at(1100).expire().want(), Want::Shutdown);
}

#[test]
fn an_end_that_would_be_an_answer_to_nothing_is_an_abort() {
    let mut rig = rig_that_answers(|_, _| wait(Phase::Between));
    rig.step(b"");
    rig.at(100).retire();
    rig.is_over(End::Aborted(Reason::Stopped));
    // One that says no more than that all before it is whole may come at any time between messages.
    let mut rig = super::rig(|_, _| wait(Phase::Between));
    rig.step(b"");
    rig.at(100).retire();
    assert_eq!(rig.want(), Want::Shutdown);
    rig.shut().conversation.peer_ended();
    rig.is_over(End::Stopped);
}

#[test]
fn every_byte_that_was_taken_or_put_or_moved_is_counted() {
    let mut asked = 0;
    let mut rig = rig(move |io, request| {
        let bodies = [Request::Receive { len: Some(5) }, Request::Send { len: 7 }];
        io.answer();
        if take_all(io) > 0 {
            io.put(b"reply");
        }
        match bodies.get(asked) {
            Some(&body) => {
                asked += 1;
                *request = Some(body);
                Next::Ask
            }
            None => Next::Finish,
        }
    });
    rig.step(b"name");
    rig.moved(2).moved(3).step(b"");
    rig.moved(7).step(b"");
    rig.shut();
    rig.conversation.discarded(3, &LIMITS);
    rig.conversation.peer_ended();
    assert_eq!(rig.ended(), Some((End::Finished, 4 + 5, 5 + 7)));
}

#[test]
fn before_its_time_nothing_expires() {
    let mut rig = rig(|_, _| wait(Phase::Inside));
    rig.step(b"");
    for at in 0..100 {
        rig.conversation.expire(ms(at), &LIMITS, false);
        rig.conversation.expire(ms(at), &LIMITS, true);
    }
    assert_eq!((rig.want(), rig.ended()), (Want::Input, None));
}
