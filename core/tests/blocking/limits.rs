//! Time, on the wire's own clock.

use std::cell::Cell;
use std::time::Duration;

use anywire_core::blocking::Told;
use anywire_core::checked::Checked;
use anywire_core::event::End;
use anywire_core::exchange::Exchange;
use anywire_core::instant::Instant;
use anywire_core::request::Stop;
use anywire_core::service::{echo, file, hello};
use anywire_core::session::{Next, Phase, Reason, Session};

use super::wire::Scripted;
use super::{Files, User, hold, hold_plain, name};

const AMPLE: (usize, usize) = (8192, 8192);
const IDLE: u64 = 300_000;

#[test]
fn a_silent_peer_is_ended_in_good_order() {
    let mut wire = Scripted::silent().then(1000, b"x");
    let outcome = hold_plain(Checked::new(echo::Session), &mut wire, AMPLE);
    assert_eq!(outcome.end, End::Idle);
    assert!(wire.shut && !wire.aborted);
    // The limit counts from the last byte; then the peer's end is awaited for two seconds.
    assert_eq!((&wire.written[..], wire.millis()), (&b"x"[..], 1000 + IDLE + 2000));
}

#[test]
fn half_a_name_is_given_ten_seconds() {
    // Every byte is quick enough to keep a silence from ending the name.
    let wire = Scripted::silent();
    let mut wire = (0..1000).fold(wire, |wire, i| wire.then(50 + i * 90, b"x"));
    let outcome = hold(
        Checked::new(file::Session::default()),
        &mut wire,
        &mut Files::new(),
        &mut User::default(),
        AMPLE,
    );
    assert_eq!(outcome.end, End::Aborted(Reason::HeadTimeout));
    assert!(wire.aborted && !wire.shut);
    // The bytes that are there when the time comes are read first.
    assert!((10_050..10_140).contains(&wire.millis()), "{}", wire.millis());
}

#[test]
fn a_silence_ends_a_name() {
    let mut store = Files::new();
    store.put(name("photo"), b"body").unwrap();
    let mut wire = Scripted::silent().then(0, b"pho").then(90, b"to").then_ends(5000);
    let outcome = hold(
        Checked::new(file::Session::default()),
        &mut wire,
        &mut store,
        &mut User::default(),
        AMPLE,
    );
    assert_eq!((outcome.end, &wire.written[..]), (End::Finished, &b"body"[..]));
    // Found at 190, and then the two seconds of draining.
    assert_eq!(wire.millis(), 2190);
}

#[test]
fn a_reply_that_nobody_reads_is_an_abort() {
    let mut wire = Scripted::sends(&[b"one"]).full_at(10);
    let outcome = hold_plain(Checked::new(hello::Session::default()), &mut wire, AMPLE);
    assert_eq!(outcome.end, End::Aborted(Reason::Unread));
    assert_eq!((wire.written.len(), wire.millis(), wire.aborted), (10, IDLE, true));
}

#[test]
fn a_peer_that_reads_slowly_is_not_idle() {
    let mut store = Files::new();
    store.put(name("photo"), &[7; 46]).unwrap();
    let slow = |input: &[u8]| Scripted::sends(&[input]).writes_at_most(10).pauses(IDLE - 1);
    let mut wire = slow(b"one");
    assert_eq!(hold_plain(hello::Session::default(), &mut wire, AMPLE).end, End::Finished);
    assert_eq!((wire.written.len(), wire.millis()), (46, 4 * (IDLE - 1)));
    let mut wire = slow(b"photo\n");
    let mut user = User::default();
    let outcome = hold(file::Session::default(), &mut wire, &mut store, &mut user, AMPLE);
    assert_eq!((outcome.end, wire.written.len()), (End::Finished, 46));
}

#[test]
fn a_body_that_nobody_reads_is_an_abort_and_the_file_is_closed() {
    let mut store = Files::new();
    store.put(name("photo"), &[7; 1000]).unwrap();
    let mut wire = Scripted::sends(&[b"photo"]).full_at(100);
    let outcome = hold(
        Checked::new(file::Session::default()),
        &mut wire,
        &mut store,
        &mut User::default(),
        AMPLE,
    );
    assert_eq!(outcome.end, End::Aborted(Reason::Cut { moved: 100, stop: Stop::TimedOut }));
    assert_eq!((wire.millis(), wire.aborted), (IDLE, true));
    store.put(name("photo"), b"new").unwrap();
    assert_eq!(store.in_use(), 1, "nobody reads the old one");
}

#[test]
fn a_peer_that_never_stops_sending_is_drained_by_bytes() {
    let mut store = Files::new();
    store.put(name("photo"), b"body").unwrap();
    let flood = vec![0; 4 << 20];
    let mut wire = Scripted::silent().then(0, b"photo\n").then(0, &flood);
    let outcome = hold(
        Checked::new(file::Session::default()),
        &mut wire,
        &mut store,
        &mut User::default(),
        AMPLE,
    );
    assert_eq!((outcome.end, wire.millis()), (End::Finished, 0));
    assert!((3 << 20) - 8192 <= wire.unread.len() && wire.unread.len() <= 3 << 20);
}

#[test]
fn what_has_no_room_to_go_stays_on_the_wire() {
    let mut wire = Scripted::silent().then(0, &[7; 1000]).full_at(4);
    let outcome = hold_plain(Checked::new(echo::Session), &mut wire, (64, 4));
    assert_eq!(outcome.end, End::Aborted(Reason::Unread));
    // Four bytes are out, and four wait.
    assert_eq!((wire.written.len(), wire.unread.len()), (4, 992));
}

/// Finishes when it has seen four bytes, and takes none.
struct Uninterested;

impl Session for Uninterested {
    const HOLD: usize = 4;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        if io.input().len() < 4 { Next::Wait(Phase::Head, None) } else { Next::Finish }
    }
}

#[test]
fn draining_goes_on_though_all_of_the_buffer_is_held() {
    let mut wire = Scripted::sends(&[b"abcd", b"efgh"]);
    assert_eq!(hold_plain(Checked::new(Uninterested), &mut wire, (4, 1)).end, End::Finished);
    assert_eq!((wire.millis(), wire.unread.len()), (0, 0));
}

/// Ends 50 ms after its peer, and counts how often it is stepped.
struct Lingering<'a>(&'a Cell<u32>, Option<Instant>);

impl Session for Lingering<'_> {
    const HOLD: usize = 4;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        self.0.set(self.0.get() + 1);
        io.take(io.input().len());
        if !io.ended() {
            return Next::Wait(Phase::Inside, None);
        }
        let at = *self.1.get_or_insert(io.now() + Duration::from_millis(50));
        if at <= io.now() { Next::Finish } else { Next::Wait(Phase::Inside, Some(at)) }
    }
}

#[test]
fn behind_the_end_a_deadline_is_waited_for_and_not_spun_on() {
    let steps = Cell::new(0);
    let mut wire = Scripted::sends(&[b"a"]);
    let outcome = hold_plain(Lingering(&steps, None), &mut wire, (8, 8));
    assert_eq!((outcome.end, wire.millis(), steps.get()), (End::Finished, 50, 4));
}

#[test]
fn what_the_peer_has_not_acknowledged_is_unsent_when_it_is_idle() {
    let mut wire = Scripted::silent().then(0, b"x").owes();
    let outcome = hold_plain(Checked::new(echo::Session), &mut wire, AMPLE);
    assert_eq!((outcome.end, wire.millis()), (End::Aborted(Reason::Unread), IDLE));
    // It keeps no session from its own deadline.
    let mut wire = Scripted::sends(&[b"a"]).owes();
    let outcome = hold_plain(Lingering(&Cell::new(0), None), &mut wire, (8, 8));
    assert_eq!((outcome.end, wire.millis()), (End::Finished, 50));
}

#[test]
fn one_that_is_told_to_retire_ends_when_it_is_idle() {
    let mut wire = Scripted::silent().then(0, b"x").then_told(500, Told::Retire).then_ends(501);
    let outcome = hold_plain(Checked::new(echo::Session), &mut wire, AMPLE);
    assert_eq!((outcome.end, wire.millis(), wire.shut), (End::Stopped, 501, true));
    // Whoever was sending just now has more on its way.
    let wire = Scripted::silent().then(0, b"x").then_told(10, Told::Retire);
    let mut wire = wire.then(90, b"y").then(160, b"z");
    let outcome = hold_plain(Checked::new(echo::Session), &mut wire, AMPLE);
    assert_eq!((outcome.end, &wire.written[..]), (End::Stopped, &b"xyz"[..]));
    assert_eq!(wire.millis(), 260 + 2000);
}

#[test]
fn one_that_is_told_to_abort_is_reset_wherever_it_waits() {
    // For input, for room, and for its own deadline alone.
    let mut wire = Scripted::silent().then(0, b"x").then_told(500, Told::Abort);
    let outcome = hold_plain(Checked::new(echo::Session), &mut wire, AMPLE);
    assert_eq!((outcome.end, wire.millis()), (End::Aborted(Reason::Stopped), 500));
    assert!(wire.aborted && !wire.shut);

    let wire = Scripted::silent().then(0, &[7; 1000]).full_at(4);
    let mut wire = wire.then_told(500, Told::Retire).then_told(700, Told::Abort);
    let outcome = hold_plain(Checked::new(echo::Session), &mut wire, (64, 4));
    assert_eq!((outcome.end, wire.millis()), (End::Aborted(Reason::Stopped), 700));

    let mut wire = Scripted::sends(&[b"a"]).then_told(20, Told::Abort);
    let outcome = hold_plain(Lingering(&Cell::new(0), None), &mut wire, (8, 8));
    assert_eq!((outcome.end, wire.millis()), (End::Aborted(Reason::Stopped), 20));
}

#[test]
fn what_is_told_in_the_middle_of_a_body_costs_none_of_its_bytes() {
    let mut store = Files::new();
    store.put(name("photo"), &[7; 4000]).unwrap();
    let wire = Scripted::sends(&[b"photo\n"]).writes_at_most(100).pauses(10);
    let mut wire = wire.then_told(55, Told::Retire);
    let outcome = hold(
        Checked::new(file::Session::default()),
        &mut wire,
        &mut store,
        &mut User::default(),
        (8192, 1024),
    );
    assert_eq!((outcome.end, &wire.written[..]), (End::Finished, &[7; 4000][..]));
}
