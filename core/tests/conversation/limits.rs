//! How long it waits, in which phase, and what it does then.

use core::time::Duration;

use anywire_core::conversation::{Limits, Want};
use anywire_core::event::End;
use anywire_core::request::{Answer, Request, Stop};
use anywire_core::session::{Next, Phase, Reason, Session};

use super::{LIMITS, Rig, ms, rig, take_all, wait};

#[test]
fn idle_between_messages_is_an_orderly_end() {
    let mut rig = rig(|io, _| {
        take_all(io);
        wait(Phase::Between)
    });
    rig.step(b"");
    rig.at(40).step(b"a message");
    assert_eq!(rig.deadline(), Some(140));
    assert_eq!(rig.at(139).expire().want(), Want::Input);
    assert_eq!(rig.at(140).expire().want(), Want::Shutdown);
    rig.shut();
    assert_eq!(rig.want(), Want::Drain);
    rig.conversation.peer_ended();
    rig.is_over(End::Idle);
}

#[test]
fn idle_inside_a_message_is_an_abort() {
    let mut rig = rig(|_, _| wait(Phase::Inside));
    rig.step(b"");
    assert_eq!(rig.deadline(), Some(100));
    rig.at(99).expire();
    assert_eq!((rig.want(), rig.ended()), (Want::Input, None));
    rig.at(100).expire().is_over(End::Aborted(Reason::Idle));
    assert_eq!(rig.want(), Want::Abort(Reason::Idle));
}

#[test]
fn more_bytes_inside_a_message_prolong_it_though_they_are_not_taken() {
    let mut rig = rig(|_, _| wait(Phase::Inside));
    rig.step(b"");
    rig.at(60).step(b"a");
    assert_eq!(rig.deadline(), Some(160));
    // Nothing came.
    rig.at(70).step(b"");
    assert_eq!(rig.deadline(), Some(160));
}

/// A client's limit: from our last byte, or the last thing that our side has come to know.
#[test]
fn an_answer_is_not_prolonged_by_dripping() {
    let limits = Limits { answer: Some(Duration::from_millis(50)), ..LIMITS };
    let mut rig = rig(|io, _| {
        let asks = io.input() == b"?";
        take_all(io);
        if asks {
            io.put(b"a question");
        }
        wait(Phase::Inside)
    });
    let due =
        |rig: &Rig<_>| rig.conversation.deadline(&limits, false).map(|at| at.as_micros() / 1000);
    rig.step(b"");
    assert_eq!(due(&rig), Some(50));
    rig.at(40).step(b"drip");
    assert_eq!((due(&rig), rig.deadline()), (Some(50), Some(140)));
    // We ask again.
    rig.at(45).step(b"?");
    rig.step(b"");
    assert_eq!(due(&rig), Some(95));
    rig.at(60);
    rig.conversation.wrote(ms(60));
    rig.at(90).step(b"drop");
    assert_eq!(due(&rig), Some(110));
    rig.conversation.shut(ms(100));
    assert_eq!(due(&rig), Some(150));
    rig.conversation.expire(ms(150), &limits, false);
    rig.is_over(End::Aborted(Reason::Idle));
}

#[test]
fn more_of_a_head_does_not_prolong_it() {
    let mut rig =
        rig(|io, _| wait(if io.input().is_empty() { Phase::Between } else { Phase::Head }));
    rig.step(b"");
    assert_eq!(rig.deadline(), Some(100));
    rig.at(50).step(b"n");
    assert_eq!(rig.deadline(), Some(60));
    rig.at(55).step(b"a");
    assert_eq!(rig.deadline(), Some(60));
    rig.at(59).step(b"m");
    rig.expire();
    assert_eq!(rig.want(), Want::Input);
    rig.at(60).expire().is_over(End::Aborted(Reason::HeadTimeout));
}

#[test]
fn a_head_counts_anew_when_the_one_before_it_is_taken() {
    let mut rig = rig(|io, _| {
        if io.input().len() >= 4 {
            io.take(4);
        }
        wait(Phase::Head)
    });
    rig.step(b"ab");
    rig.at(8).step(b"cdef");
    assert_eq!(rig.deadline(), Some(18));
    // And an answer that was put is no less of an end to it.
    let mut rig = super::rig(|io, _| {
        if io.input().len() == 3 && io.room() > 0 {
            io.put(b"?");
        }
        wait(Phase::Head)
    });
    rig.step(b"ab");
    rig.at(8).step(b"c");
    rig.room = 0;
    rig.step(b"");
    assert_eq!(rig.deadline(), Some(18));
}

#[test]
fn pending_output_is_an_abort_in_every_stage() {
    type Put = fn(&mut Option<Request<'static>>) -> Next;
    let stages: [Put; 5] = [
        |_| wait(Phase::Between),
        |_| wait(Phase::Head),
        |_| Next::Finish,
        |request| {
            *request = Some(Request::Send { len: 9 });
            Next::Ask
        },
        |request| {
            *request = Some(Request::Commit);
            Next::Ask
        },
    ];
    for (at, next) in stages.into_iter().enumerate() {
        let mut rig = rig(move |io, request| {
            io.put(b"reply");
            next(request)
        });
        rig.at(5).step(b"");
        assert_eq!(rig.deadline_with_output(), Some(105), "stage {at}");
        rig.conversation.expire(ms(104), &LIMITS, true);
        assert_eq!(rig.ended(), None, "stage {at}");
        // Some of it went out.
        rig.conversation.wrote(ms(50));
        assert_eq!(rig.deadline_with_output(), Some(150), "stage {at}");
        rig.conversation.expire(ms(150), &LIMITS, true);
        assert_eq!(rig.want(), Want::Abort(Reason::Unread), "stage {at}");
    }
}

#[test]
fn the_host_may_take_as_long_as_it_likes_and_the_peer_does_not_pay_for_it() {
    let mut rig = rig(|io, request| {
        if io.answer().is_some() {
            return wait(Phase::Between);
        }
        *request = Some(Request::Commit);
        Next::Ask
    });
    rig.step(b"");
    assert_eq!((rig.want(), rig.deadline()), (Want::Answer, None));
    rig.at(5000).expire();
    assert_eq!(rig.want(), Want::Answer);
    rig.answer(Answer::Committed);
    assert_eq!((rig.want(), rig.deadline()), (Want::Input, Some(5100)));
}

#[test]
fn the_sessions_own_deadline_wakes_it_and_not_before_its_time() {
    let mut rig = rig(|io, _| {
        if io.now() >= ms(7) {
            return Next::Finish;
        }
        Next::Wait(Phase::Inside, Some(ms(7)))
    });
    rig.step(b"");
    assert_eq!(rig.deadline(), Some(7));
    assert_eq!(rig.at(6).expire().want(), Want::Input);
    assert_eq!(rig.at(7).expire().want(), Want::Step);
    rig.step(b"");
    assert_eq!(rig.want(), Want::Shutdown);
}

#[test]
fn whoever_wakes_itself_again_and_again_is_still_idle() {
    let mut rig = rig(|io, _| {
        Next::Wait(Phase::Between, Some(io.now() + core::time::Duration::from_millis(30)))
    });
    rig.step(b"");
    for at in [30, 60, 90] {
        assert_eq!(rig.deadline(), Some(at));
        assert_eq!(rig.at(at).expire().want(), Want::Step);
        rig.step(b"");
    }
    assert_eq!(rig.deadline(), Some(100));
    assert_eq!(rig.at(100).expire().want(), Want::Shutdown);
}

#[test]
fn a_phase_that_changes_by_itself_begins_anew() {
    let mut rig = rig(|io, _| {
        let later = (io.now() < ms(30)).then_some(ms(30));
        Next::Wait(if later.is_some() { Phase::Between } else { Phase::Inside }, later)
    });
    rig.step(b"");
    assert_eq!(rig.at(30).expire().want(), Want::Step);
    rig.step(b"");
    assert_eq!(rig.deadline(), Some(130));
}

#[test]
fn a_session_that_is_due_is_stepped_before_a_limit_that_is_due_too() {
    let mut rig = rig(|io, _| {
        if io.now() >= ms(100) {
            return Next::Finish;
        }
        Next::Wait(Phase::Inside, Some(ms(100)))
    });
    rig.step(b"");
    assert_eq!(rig.at(100).expire().want(), Want::Step);
}

#[test]
fn a_transfer_that_stands_still_is_told_to_the_session() {
    let mut rig = rig(|io, request| match io.answer() {
        Some(Answer::Moved { len, stop }) => Next::Abort(Reason::Cut { moved: len, stop }),
        _ => {
            *request = Some(Request::Send { len: 9 });
            Next::Ask
        }
    });
    rig.step(b"");
    rig.at(60).moved(4);
    assert_eq!(rig.deadline(), Some(160));
    rig.at(70).moved(0);
    assert_eq!(rig.deadline(), Some(160), "nothing moved");
    assert_eq!(rig.at(159).expire().want(), Want::Send { left: 5 });
    assert_eq!(rig.at(160).expire().want(), Want::Step);
    rig.step(b"");
    rig.is_over(End::Aborted(Reason::Cut { moved: 4, stop: Stop::TimedOut }));
}

#[test]
fn a_peer_that_does_not_let_us_end_is_aborted() {
    let mut rig = rig(|_, _| Next::Finish);
    rig.at(5).step(b"");
    assert_eq!((rig.want(), rig.deadline()), (Want::Shutdown, Some(105)));
    rig.at(105).expire().is_over(End::Aborted(Reason::Idle));
}

#[test]
fn limits_that_are_off_are_off() {
    let never = Limits { idle: None, head: None, ..LIMITS };
    for phase in [Phase::Between, Phase::Head, Phase::Inside] {
        let mut rig = rig(move |_, _| wait(phase));
        rig.step(b"");
        for pending in [false, true] {
            assert_eq!(rig.conversation.deadline(&never, pending), None);
            rig.conversation.expire(ms(1 << 40), &never, pending);
        }
        assert_eq!(rig.want(), Want::Input);
    }
    // A head without a limit of its own is not idle either.
    let no_head = Limits { head: None, ..LIMITS };
    let mut rig = rig(|_, _| wait(Phase::Head));
    rig.step(b"");
    assert_eq!(rig.conversation.deadline(&no_head, false), None);
}

#[test]
fn a_session_that_looks_at_the_clock_does_not_prolong_its_limit() {
    let mut rig =
        rig(|io, _| Next::Wait(Phase::Inside, Some(io.now() + Duration::from_millis(30))));
    rig.step(b"a");
    for wake in [30, 60, 90] {
        assert_eq!(rig.deadline(), Some(wake));
        rig.at(wake).expire().step(b"");
    }
    assert_eq!(rig.deadline(), Some(100));
    rig.at(100).expire().is_over(End::Aborted(Reason::Idle));
}

#[test]
fn what_a_peer_owes_counts_only_where_it_is_waited_for() {
    fn expire<S: Session>(rig: &mut Rig<S>, owes: bool) {
        rig.conversation.expire_owing(ms(rig.now), &LIMITS, false, || owes);
    }
    let waiting = || rig(|_, _| wait(Phase::Between));
    for (owes, end) in [(false, None), (true, Some(End::Aborted(Reason::Unread)))] {
        let mut rig = waiting();
        rig.step(b"");
        expire(rig.at(99), owes);
        assert_eq!(rig.want(), Want::Input);
        expire(rig.at(100), owes);
        assert_eq!(rig.ended().map(|ended| ended.0), end);
        assert_eq!(rig.want() == Want::Shutdown, !owes);
    }
    // The host may take as long as it likes.
    let mut rig = rig(|_, request| {
        *request = Some(Request::Commit);
        Next::Ask
    });
    rig.step(b"");
    expire(rig.at(1000), true);
    assert_eq!(rig.want(), Want::Answer);
}
