//! A store that fails, at each call in turn: before `OK` it is an `ERR`, after it an abort; what was there stays, and nothing half done.

use anywire_core::checked::Checked;
use anywire_core::event::End;
use anywire_core::name::FileName;
use anywire_core::ram::{RamReader, RamStore, RamWriter};
use anywire_core::request::{Refusal, Stop};
use anywire_core::service::{typed, upload};
use anywire_core::session::{Reason, Session};
use anywire_core::store::Store;

use super::wire::Scripted;
use super::{User, hold, name};

/// Carries out every call but one.
struct Failing {
    store: RamStore<4, 64>,
    fail_at: usize,
    with: Refusal,
    /// What was called.
    calls: Vec<Call>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Create,
    Expect,
    Write,
    Commit,
}

impl Failing {
    /// With `photo` in it.
    fn new(fail_at: usize, with: Refusal) -> Self {
        let mut store = RamStore::new();
        store.put(name("photo"), b"older").unwrap();
        Self { store, fail_at, with, calls: Vec::new() }
    }

    fn call(&mut self, call: Call) -> Result<(), Refusal> {
        self.calls.push(call);
        if self.calls.len() - 1 == self.fail_at { Err(self.with) } else { Ok(()) }
    }

    /// The call that failed, if there were so many.
    fn failed(&self) -> Option<Call> {
        self.calls.get(self.fail_at).copied()
    }

    /// How often that was carried out.
    fn done(&self, what: Call) -> usize {
        let calls = self.calls.iter().enumerate();
        calls.filter(|&(at, &call)| call == what && at != self.fail_at).count()
    }
}

impl Store for Failing {
    type Reader = RamReader;
    type Writer = RamWriter;

    fn open(&mut self, name: FileName<'_>) -> Result<(RamReader, u64), Refusal> {
        self.store.open(name)
    }

    fn read(&mut self, file: &mut RamReader, buf: &mut [u8]) -> Result<usize, Refusal> {
        self.store.read(file, buf)
    }

    fn close(&mut self, file: RamReader) {
        self.store.close(file);
    }

    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<RamWriter, Refusal> {
        self.call(Call::Create)?;
        self.store.create(name, replace)
    }

    fn expect(&mut self, file: &mut RamWriter, len: u64) -> Result<(), Refusal> {
        self.call(Call::Expect)?;
        self.store.expect(file, len)
    }

    fn write(&mut self, file: &mut RamWriter, bytes: &[u8]) -> Result<usize, Refusal> {
        self.call(Call::Write)?;
        // Not all at once, as a disk may.
        let len = bytes.len().min(20);
        self.store.write(file, &bytes[..len])
    }

    fn commit(&mut self, file: RamWriter) -> Result<(), Refusal> {
        match self.call(Call::Commit) {
            Ok(()) => self.store.commit(file),
            Err(refusal) => {
                self.store.abandon(file);
                Err(refusal)
            }
        }
    }

    fn abandon(&mut self, file: RamWriter) {
        self.store.abandon(file);
    }
}

const REFUSALS: [Refusal; 8] = [
    Refusal::Full,
    Refusal::Denied,
    Refusal::Failed,
    Refusal::TooLarge { max: 7 },
    Refusal::Exists,
    Refusal::NotFound,
    Refusal::NotAFile,
    Refusal::Unsupported,
];

/// Holds the conversation once for each call that the store may fail at, and once more, when there is no such call.
fn failing_at_each_call<S: Session>(
    make: impl Fn() -> S,
    pieces: &[&[u8]],
    check: impl Fn(&Failing, &Scripted, End),
) {
    for with in REFUSALS {
        for fail_at in 0.. {
            let mut store = Failing::new(fail_at, with);
            let mut wire = Scripted::sends(pieces);
            let session = Checked::new(make());
            let outcome = hold(session, &mut wire, &mut store, &mut User::default(), (8192, 4096));
            assert_eq!(outcome.error, None);
            assert_eq!((wire.shut, wire.aborted), (outcome.end == End::Finished, !wire.shut));
            check(&store, &wire, outcome.end);
            assert_eq!(store.store.in_use(), store.store.len(), "a place leaks: {:?}", store.calls);
            let failed = store.failed();
            works(&mut store);
            if failed.is_none() {
                break;
            }
        }
    }
}

/// The next conversation stores what it is sent.
fn works(store: &mut Failing) {
    store.fail_at = usize::MAX;
    store.calls.clear();
    let mut wire = Scripted::sends(&[b"\x01\x04\0next\x02\x05there"]);
    let session = Checked::new(upload::Session::default());
    let outcome = hold(session, &mut wire, store, &mut User::default(), (8192, 4096));
    assert_eq!((outcome.end, &wire.written[..]), (End::Finished, &b"OK"[..]));
    assert_eq!(store.store.get(name("next")), Some(&b"there"[..]));
}

const PHOTO: &[u8] = b"the newer version of the photo";
const OTHER: &[u8] = b"and another file";

#[test]
fn upload_refuses_before_ok_and_aborts_after_it() {
    let photo = [b"\x02\x1e", PHOTO].concat();
    let other = [b"\x03\x10\0", OTHER].concat();
    let (front, back) = photo.split_at(12);
    let pieces = [b"\x01\x05\0photo", front, back, b"\x01\x05\0other", &other];
    let check = |store: &Failing, wire: &Scripted, end: End| {
        let said = String::from_utf8(wire.written.clone()).unwrap();
        let oks = "OK".repeat(store.done(Call::Create));
        match store.failed() {
            None => assert_eq!((end, said.as_str()), (End::Finished, "OKOK")),
            Some(Call::Create) => {
                assert_eq!(end, End::Finished);
                assert_eq!(said, format!("{oks}ERR {}\n", store.with.as_str()));
            }
            Some(call) => {
                let End::Aborted(Reason::Cut { moved, stop }) = end else { panic!("{end:?}") };
                assert_eq!((stop, said), (Stop::Store(store.with), oks));
                let len = if store.done(Call::Create) == 1 { PHOTO } else { OTHER }.len() as u64;
                match call {
                    Call::Create | Call::Expect => assert_eq!(moved, 0),
                    Call::Write => assert!(moved < len),
                    Call::Commit => assert_eq!(moved, len),
                }
            }
        }
        let stored = [("photo", PHOTO, Some(&b"older"[..])), ("other", OTHER, None)];
        for (at, (file, new, old)) in stored.into_iter().enumerate() {
            let expected = if at < store.done(Call::Commit) { Some(new) } else { old };
            assert_eq!(store.store.get(name(file)), expected, "{:?}", store.calls);
        }
    };
    failing_at_each_call(upload::Session::default, &pieces, check);
}

#[test]
fn typed_aborts_and_stores_nothing() {
    use anywire_core::schema::Schema;
    use anywire_core::service::StreamService;
    let photo = [b"\x02\x1e", PHOTO].concat();
    let to_the_end = [b"\x02", PHOTO].concat();
    for (schema, sent) in [(Schema::Sized, photo), (Schema::Close, to_the_end)] {
        let (front, back) = sent.split_at(12);
        let check = |store: &Failing, wire: &Scripted, end: End| {
            assert!(wire.written.is_empty());
            let stored = store.store.len() - 1;
            match store.failed() {
                None => assert_eq!((end, stored), (End::Finished, 1)),
                // It takes another name.
                Some(Call::Create) if store.with == Refusal::Exists => {
                    assert_eq!((end, stored, store.done(Call::Create)), (End::Finished, 1, 1));
                }
                Some(Call::Create) => {
                    let refused = End::Aborted(Reason::Refused(store.with));
                    assert_eq!((end, stored), (refused, 0));
                }
                Some(call) => {
                    let End::Aborted(Reason::Cut { moved, stop }) = end else { panic!("{end:?}") };
                    assert_eq!((stop, stored), (Stop::Store(store.with), 0));
                    assert_eq!(moved == PHOTO.len() as u64, call == Call::Commit);
                }
            }
            assert_eq!(store.store.get(name("photo")), Some(&b"older"[..]));
        };
        failing_at_each_call(|| typed::Typed { schema }.open(), &[front, back], check);
    }
}

/// Somebody has every name there is.
#[test]
fn typed_does_not_draw_names_for_ever() {
    struct Taken(usize);
    impl Store for Taken {
        type Reader = ();
        type Writer = ();
        fn open(&mut self, _: FileName<'_>) -> Result<((), u64), Refusal> {
            Err(Refusal::NotFound)
        }
        fn read(&mut self, (): &mut (), _: &mut [u8]) -> Result<usize, Refusal> {
            Ok(0)
        }
        fn close(&mut self, (): ()) {}
        fn create(&mut self, _: FileName<'_>, replace: bool) -> Result<(), Refusal> {
            assert!(!replace);
            self.0 += 1;
            Err(Refusal::Exists)
        }
        fn write(&mut self, (): &mut (), bytes: &[u8]) -> Result<usize, Refusal> {
            Ok(bytes.len())
        }
        fn commit(&mut self, (): ()) -> Result<(), Refusal> {
            Ok(())
        }
        fn abandon(&mut self, (): ()) {}
    }
    use anywire_core::service::StreamService;
    let (mut wire, mut store) = (Scripted::sends(&[b"\x02\x01x"]), Taken(0));
    let session = Checked::new(typed::Typed::default().open());
    let outcome = hold(session, &mut wire, &mut store, &mut User::default(), (8192, 4096));
    assert_eq!(outcome.end, End::Aborted(Reason::Refused(Refusal::Exists)));
    assert!((2..=100).contains(&store.0), "{} draws", store.0);
}
