//! A clock that goes back, which no driver's should: nothing panics, nothing ends before its limit by the time that
//! it was told of last, and what has ended stays so.

use anywire_core::conversation::Want;
use anywire_core::event::End;
use anywire_core::request::{Request, Stop};
use anywire_core::session::{Next, Phase, Reason};
use proptest::prelude::*;

use super::{LIMITS, ms, rig, take_all, wait};

#[test]
fn a_limit_counts_from_the_last_time_that_was_told() {
    let mut rig = rig(|io, _| {
        take_all(io);
        wait(Phase::Between)
    });
    rig.at(1000).step(b"a");
    assert_eq!(rig.deadline(), Some(1100));
    // Back, but nothing has moved: the limit is where it was, further off.
    rig.now = 500;
    assert_eq!(rig.expire().want(), Want::Input);
    assert_eq!(rig.deadline(), Some(1100));
    // What moves then counts from then.
    rig.step(b"b");
    assert_eq!(rig.deadline(), Some(600));
    assert_eq!(rig.at(599).expire().want(), Want::Input);
    assert_eq!(rig.at(600).expire().want(), Want::Shutdown);
    // To before the shutdown, and on: the drain is as long as ever.
    rig.now = 0;
    rig.shut();
    assert_eq!((rig.want(), rig.deadline()), (Want::Drain, Some(20)));
    rig.at(19).expire();
    assert_eq!(rig.want(), Want::Drain);
    rig.at(20).expire().is_over(End::Idle);
}

#[test]
fn a_head_that_has_begun_is_cut_off_no_earlier_and_at_its_limit() {
    let mut rig = rig(|_, _| wait(Phase::Head));
    rig.at(50).step(b"a");
    assert_eq!(rig.deadline(), Some(60));
    rig.now = 0;
    rig.step(b"b");
    assert_eq!(rig.deadline(), Some(60));
    rig.at(59).expire();
    assert_eq!(rig.ended(), None);
    rig.at(60).expire().is_over(End::Aborted(Reason::HeadTimeout));
}

#[test]
fn a_server_that_stops_waits_for_a_silence_of_its_own_time() {
    let mut rig = rig(|io, _| {
        take_all(io);
        wait(Phase::Between)
    });
    rig.at(1000).step(b"a");
    rig.now = 0;
    rig.retire();
    assert_eq!(rig.want(), Want::Input);
    rig.step(b"b");
    // The idle limit and the silence are both 100 ms.
    assert_eq!(rig.at(99).expire().want(), Want::Input);
    rig.at(100).expire();
    assert_eq!(rig.want(), Want::Shutdown);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Whatever is done at whatever times: an end by a limit comes only where the deadline that was told has passed, and is the
    /// last thing that changes.
    #[test]
    fn no_order_of_times_panics_or_ends_before_the_deadline(
        steps in prop::collection::vec((0..8_u8, prop_oneof![0..300_u64, Just(u64::MAX / 1000)]), 1..60),
        phases in prop::collection::vec(0..5_u8, 1..8),
    ) {
        let mut at = 0;
        let mut rig = rig(move |io, request| {
            at += 1;
            let left = io.answer().is_some();
            match phases[at % phases.len()] {
                _ if io.ended() => { take_all(io); Next::Finish }
                0 => wait(Phase::Head),
                1 => { take_all(io); wait(Phase::Inside) }
                2 if !left => { *request = Some(Request::Receive { len: Some(9) }); Next::Ask }
                // A deadline of its own, later than now.
                3 => Next::Wait(Phase::Between, Some(io.now() + core::time::Duration::from_millis(5))),
                _ => { take_all(io); wait(Phase::Between) }
            }
        });
        for (step, now) in steps {
            rig.now = now;
            let ended = rig.ended();
            match step {
                // Bytes that a session may hold.
                0 if rig.held.len() < 8 && matches!(rig.want(), Want::Input | Want::Step) => { rig.step(b"xy"); }
                1 if rig.want() == Want::Step => { rig.step(b""); }
                2 => { rig.moved(2); }
                3 if rig.want() == Want::Shutdown => { rig.shut(); }
                4 => rig.retire(),
                5 => rig.conversation.wrote(ms(now)),
                6 if matches!(rig.want(), Want::Receive { .. }) => rig.conversation.stopped(Stop::Ended),
                _ => {
                    let due = rig.conversation.deadline(&LIMITS, false);
                    let want = rig.want();
                    rig.expire();
                    if due.is_none_or(|due| due > ms(now)) {
                        prop_assert_eq!(want, rig.want());
                    } else if rig.want() == want && rig.ended().is_none() {
                        // It must not spin: what was due is done, or is not due any more.
                        let due = rig.conversation.deadline(&LIMITS, false);
                        prop_assert!(due.is_none_or(|due| due > ms(now)), "{:?} {:?}", want, due);
                    }
                }
            }
            if ended.is_some() {
                prop_assert_eq!(ended, rig.ended());
            }
        }
    }
}
