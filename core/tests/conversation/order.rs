//! In which order things are wanted.

use anywire_core::conversation::Want;
use anywire_core::event::End;
use anywire_core::name::FileName;
use anywire_core::request::{Answer, Refusal, Request, Stop};
use anywire_core::session::{Breach, Next, Phase, Reason, Session};

use super::{Rig, ms, rig, take_all, wait};

fn name() -> FileName<'static> {
    FileName::new(b"f").unwrap()
}

#[test]
fn it_begins_with_a_step_and_then_wants_input() {
    let mut rig = rig(|_, _| wait(Phase::Between));
    assert_eq!((rig.want(), rig.deadline(), rig.ended()), (Want::Step, None, None));
    rig.step(b"");
    assert_eq!((rig.want(), rig.ended()), (Want::Input, None));
}

#[test]
fn after_output_it_is_stepped_again_before_it_reads() {
    let mut left = 3;
    let mut rig = rig(move |io, _| {
        if left > 0 && io.room() > 0 {
            io.put(b"x");
            left -= 1;
        }
        wait(Phase::Between)
    });
    rig.room = 1;
    for _ in 0..3 {
        assert_eq!(rig.step(b"").put, 1);
        assert_eq!(rig.want(), Want::Step);
    }
    rig.step(b"");
    assert_eq!((rig.want(), &rig.output[..]), (Want::Input, &b"xxx"[..]));
}

#[test]
fn all_progress_is_in_one_step() {
    let mut rig = rig(|io, _| {
        if io.input().is_empty() {
            return wait(Phase::Between);
        }
        io.put(b"!");
        io.take(1);
        Next::Progress
    });
    let used = rig.step(b"abc");
    assert_eq!((used.taken, used.put, &rig.output[..]), (3, 3, &b"!!!"[..]));
}

#[test]
fn an_ask_wants_an_answer_and_goes_on_with_it() {
    let mut rig = rig(|io, request| match io.answer() {
        Some(Answer::Opened { len: 7 }) => Next::Finish,
        Some(other) => panic!("{other:?}"),
        None => {
            *request = Some(Request::Open { name: name() });
            Next::Ask
        }
    });
    rig.step(b"");
    assert_eq!(rig.want(), Want::Answer);
    assert_eq!(rig.conversation.request(b""), Some(Request::Open { name: name() }));
    rig.answer(Answer::Opened { len: 7 });
    assert_eq!(rig.want(), Want::Shutdown);
}

#[test]
fn a_shutdown_comes_before_the_transfer_and_before_the_ask_behind_it() {
    for request in [Request::Receive { len: None }, Request::Send { len: 5 }, Request::Commit] {
        let mut asked = false;
        let mut rig = rig(move |io, wanted| {
            if asked {
                return Next::Abort(Reason::Refused(Refusal::Failed));
            }
            asked = true;
            io.put(b"name");
            io.shutdown();
            *wanted = Some(request);
            Next::Ask
        });
        rig.step(b"");
        assert_eq!(rig.want(), Want::Shutdown);
        rig.shut();
        assert_eq!(
            rig.want(),
            match request {
                Request::Receive { len } => Want::Receive { left: len },
                Request::Send { len } => Want::Send { left: len },
                _ => Want::Answer,
            }
        );
    }
}

#[test]
fn a_half_close_leaves_the_other_half_open_and_is_wanted_once() {
    let mut rig = rig(|io, _| {
        if take_all(io) > 0 {
            return Next::Finish;
        }
        if !io.is_shut() {
            io.shutdown();
        }
        wait(Phase::Inside)
    });
    rig.step(b"");
    assert_eq!(rig.want(), Want::Shutdown);
    rig.shut();
    assert_eq!(rig.want(), Want::Input);
    rig.step(b"reply");
    // Our end is out already: the peer's is all that is missing.
    assert_eq!(rig.want(), Want::Drain);
    rig.conversation.peer_ended();
    rig.is_over(End::Finished);
}

#[test]
fn the_session_knows_in_every_later_step_that_it_has_shut_down() {
    let mut first = true;
    let mut rig = rig(move |io, _| {
        if first {
            io.shutdown();
            first = false;
        } else {
            assert!(io.is_shut());
            assert_eq!(io.room(), 0);
        }
        take_all(io);
        wait(Phase::Inside)
    });
    rig.step(b"");
    rig.shut().step(b"a");
    rig.step(b"b");
    assert_eq!(rig.want(), Want::Input);
}

#[test]
fn an_abort_waits_for_nothing() {
    let reason = Reason::Refused(Refusal::NotFound);
    let mut rig = rig(move |io, _| {
        io.put(b"never mind");
        io.shutdown();
        Next::Abort(reason)
    });
    rig.step(b"");
    assert_eq!(rig.want(), Want::Abort(reason));
    rig.is_over(End::Aborted(reason));
}

#[test]
fn a_broken_session_is_aborted_and_named() {
    let mut rig = rig(|_, _| Next::Progress);
    rig.step(b"");
    assert_eq!(rig.want(), Want::Abort(Reason::Broken(Breach::NoProgress)));
}

#[test]
fn the_end_of_the_peer_is_not_taken_back() {
    let mut offered = Vec::new();
    let mut rig = rig(|io, _| {
        offered.push(io.ended());
        // The end alone is no reason to finish, if there is something to wait for.
        Next::Wait(Phase::Inside, Some(io.now() + core::time::Duration::from_secs(1)))
    });
    rig.step(b"");
    rig.end();
    rig.step(b"");
    drop(rig);
    assert_eq!(offered, [false, true, true]);
}

#[test]
fn the_end_of_the_peer_that_a_transfer_met_is_offered_with_its_answer() {
    let mut rig = rig(|io, request| match io.answer() {
        Some(Answer::Moved { len: 2, stop: Stop::Ended }) => {
            assert!(io.ended());
            Next::Finish
        }
        Some(other) => panic!("{other:?}"),
        None => {
            *request = Some(Request::Receive { len: Some(9) });
            Next::Ask
        }
    });
    rig.step(b"");
    rig.moved(2);
    rig.conversation.stopped(Stop::Ended);
    assert_eq!(rig.want(), Want::Step);
    rig.step(b"");
    assert_eq!(rig.want(), Want::Shutdown);
    // Both ends are there: nothing is left to drain.
    rig.shut().is_over(End::Finished);
}

#[test]
fn a_deadline_does_not_pass_while_output_keeps_the_driver_from_reading() {
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let told = std::rc::Rc::clone(&seen);
    let mut put = false;
    let mut rig = rig(move |io, _| {
        told.borrow_mut().push((io.now(), io.input().len()));
        take_all(io);
        if !put {
            io.put(b"reply");
            put = true;
        }
        let silence = ms(50);
        Next::Wait(Phase::Inside, Some(if io.now() < silence { silence } else { ms(9000) }))
    });
    rig.step(b"a");
    // The reply takes three seconds to go out; what came meanwhile has not been read yet.
    rig.at(3000);
    assert_eq!(rig.want(), Want::Step);
    rig.step(b"");
    assert_eq!(rig.want(), Want::Input);
    rig.step(b"b");
    let just_before = anywire_core::instant::Instant::from_micros(49_999);
    assert_eq!(*seen.borrow(), [(ms(0), 1), (just_before, 0), (ms(3000), 1)]);
}

/// Puts what it takes, and waits until `wake`.
fn echo(wake: Option<u64>) -> Rig<impl Session> {
    rig(move |io, _| {
        let len = io.put(io.input());
        io.take(len);
        Next::Wait(Phase::Between, wake.map(ms))
    })
}

#[test]
fn whoever_had_room_enough_is_not_stepped_for_more() {
    let mut rig = echo(None);
    for input in [&b"ab"[..], b"cd"] {
        assert_eq!(rig.step(input).put, 2);
        // It may not be out.
        assert_eq!(rig.want(), Want::Step);
        rig.conversation.settle(ms(0));
        assert_eq!(rig.want(), Want::Input);
    }
    assert_eq!(rig.output, b"abcd");
}

#[test]
fn whoever_may_wait_for_room_or_for_the_time_is_stepped_once_its_output_is_out() {
    let mut short = echo(None);
    short.room = 3;
    assert_eq!(short.step(b"abcd").put, 3);
    let mut timed = echo(Some(50));
    assert_eq!(timed.step(b"ab").put, 2);
    short.conversation.settle(ms(0));
    timed.conversation.settle(ms(0));
    assert_eq!((short.want(), timed.want()), (Want::Step, Want::Step));
    assert_eq!(short.step(b"").put, 1);
    // Nor does it take anything else for a session that waits.
    let mut asking = rig(|io, request| {
        take_all(io);
        *request = Some(Request::Commit);
        Next::Ask
    });
    asking.step(b"a");
    asking.conversation.settle(ms(0));
    assert_eq!(asking.want(), Want::Answer);
}
