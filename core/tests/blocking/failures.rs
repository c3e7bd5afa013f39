//! A wire that fails, at each call in turn: it ends, it says so, and no file stays open.

use anywire_core::blocking::{Buffers, Plain, converse};
use anywire_core::checked::Checked;
use anywire_core::client;
use anywire_core::conversation::Limits;
use anywire_core::event::End;
use anywire_core::request::Stop;
use anywire_core::service::{echo, file, hello};
use anywire_core::session::{Reason, Session};
use anywire_core::store::NoStore;
use embedded_io::{ErrorKind, ErrorType, Read, Write};

use super::wire::{Broken, Scripted};
use super::{Files, User, hold, name};

/// Runs the conversation once as it should be, and then with each of its calls failing.
fn failing_at_each_call<S: Session>(make: impl Fn() -> S, pieces: &[&[u8]]) {
    let run = |mut wire: Scripted| {
        let mut store = Files::new();
        store.put(name("photo"), &[7; 50]).unwrap();
        let mut user = User { lines: vec![b"typed"], ..User::default() };
        let outcome = hold(Checked::new(make()), &mut wire, &mut store, &mut user, (8192, 4096));
        (outcome, wire, store)
    };
    let wire = || Scripted::sends(pieces).writes_at_most(20);
    let (outcome, whole, _) = run(wire());
    assert_eq!((outcome.end, outcome.error), (End::Finished, None));
    assert!(whole.calls() > 5);
    for call in 0..whole.calls() {
        let (outcome, wire, mut store) = run(wire().fails_at(call));
        assert_eq!(outcome.error, Some(Broken::default()), "call {call}");
        let in_a_body = matches!(outcome.end, End::Aborted(Reason::Cut { stop: Stop::Reset, .. }));
        // What fails while we drain comes after an orderly end.
        let finished = outcome.end == End::Finished && wire.shut;
        assert!(outcome.end == End::Reset || in_a_body || finished, "call {call}: {outcome:?}");
        // The peer must not take what is closed now for an end.
        assert_eq!(wire.aborted, !finished, "call {call}: {outcome:?}");
        // Readers and writers are gone: one place is the file's, and what it leaves is free.
        store.put(name("photo"), b"new").unwrap();
        assert_eq!(store.in_use(), store.len(), "call {call}");
        if !finished {
            assert_eq!(store.get(name("copy")), None, "call {call}: {outcome:?}");
        }
    }
}

#[test]
fn of_the_services() {
    failing_at_each_call(|| echo::Session, &[b"some", b"more"]);
    failing_at_each_call(hello::Session::default, &[b"one", b"two"]);
    failing_at_each_call(file::Session::default, &[b"photo\n", b"and more"]);
}

#[test]
fn of_the_clients() {
    failing_at_each_call(|| client::echo::Session::new(b"a text"), &[b"a ", b"text"]);
    failing_at_each_call(|| client::hello::Session::new(None), &[b"re", b"ply"]);
    failing_at_each_call(|| client::hello::Session::new(Some(b"text")), &[b"reply"]);
    let file = || client::file::Session::new(b"photo", name("copy"));
    failing_at_each_call(file, &[b"some", b"of", b"it"]);
}

#[test]
fn a_write_that_takes_nothing_is_a_failure() {
    struct Nothing;
    impl ErrorType for Nothing {
        type Error = Broken;
    }
    impl Read for Nothing {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, Broken> {
            buf.fill(b'x');
            Ok(buf.len())
        }
    }
    impl Write for Nothing {
        fn write(&mut self, _: &[u8]) -> Result<usize, Broken> {
            Ok(0)
        }
        fn flush(&mut self) -> Result<(), Broken> {
            Ok(())
        }
    }
    let mut wire = Plain(Nothing);
    let buffers = Buffers { input: &mut [0; 8], output: &mut [0; 8] };
    let limits = Limits::default();
    let outcome = converse(echo::Session, &mut wire, &mut NoStore, &mut (), buffers, &limits);
    assert_eq!(outcome.end, End::Reset);
}

#[test]
fn who_is_to_blame_for_a_failure_is_told_by_its_kind_and_by_the_wire() {
    for (kind, ours, end) in [
        (ErrorKind::ConnectionReset, false, End::Reset),
        (ErrorKind::Other, false, End::Reset),
        (ErrorKind::TimedOut, false, End::Vanished),
        (ErrorKind::Other, true, End::Aborted(Reason::Failed)),
        (ErrorKind::TimedOut, true, End::Aborted(Reason::Failed)),
    ] {
        let mut wire = Scripted::sends(&[b"some"]).fails_at(0).fails_with(kind, ours);
        let (mut store, mut user) = (Files::new(), User::default());
        let outcome = hold(echo::Session, &mut wire, &mut store, &mut user, (8, 8));
        assert_eq!((outcome.end, outcome.error), (end, Some(Broken(kind))), "{ours}");
    }
}
