//! A body on its way into a file: what is held goes first, and what is behind it stays on the wire.

use anywire_core::checked::Checked;
use anywire_core::event::{End, Event};
use anywire_core::exchange::Exchange;
use anywire_core::name::FileName;
use anywire_core::request::{Answer, Refusal, Request, Stop};
use anywire_core::session::{Next, Phase, Reason, Session};
use anywire_core::store::Store;

use super::wire::Scripted;
use super::{Files, User, hold, name};

/// Takes a length of one byte, stores so many bytes as `body`, tells what is behind them, and finishes at the peer's end.
#[derive(Default)]
struct Upload {
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Length,
    Creating(u64),
    Receiving(u64),
    Committing,
    Rest,
}

impl Session for Upload {
    /// It holds more than it needs, so that some of the body is held when it asks for the rest.
    const HOLD: usize = 8;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match self.state {
            State::Length => match io.input().first() {
                Some(&len) if io.input().len() >= 4 || io.ended() => {
                    io.take(1);
                    self.state = State::Creating(len.into());
                    Next::Ask
                }
                _ if io.ended() => Next::Finish,
                _ => Next::Wait(Phase::Head, None),
            },
            State::Creating(len) => match io.answer() {
                Some(Answer::Created) => {
                    self.state = State::Receiving(len);
                    Next::Ask
                }
                _ => Next::Abort(Reason::Failed),
            },
            State::Receiving(_) => match io.answer() {
                Some(Answer::Moved { stop: Stop::Complete, .. }) => {
                    self.state = State::Committing;
                    Next::Ask
                }
                Some(Answer::Moved { len, stop }) => Next::Abort(Reason::Cut { moved: len, stop }),
                _ => Next::Abort(Reason::Failed),
            },
            State::Committing => match io.answer() {
                Some(Answer::Committed) => {
                    self.state = State::Rest;
                    Next::Progress
                }
                _ => Next::Abort(Reason::Failed),
            },
            State::Rest => {
                let rest = io.input();
                if !rest.is_empty() {
                    io.observe(Event::Data { bytes: rest });
                    io.take(rest.len());
                }
                if io.ended() { Next::Finish } else { Next::Wait(Phase::Between, None) }
            }
        }
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        match self.state {
            State::Creating(_) => Some(Request::Create { name: name("body"), replace: true }),
            State::Receiving(len) => Some(Request::Receive { len: Some(len) }),
            State::Committing => Some(Request::Commit),
            State::Length | State::Rest => None,
        }
    }
}

/// Uploads `stream`, cut in two there, and says how it ended, what was stored, and what was told behind it.
fn upload(stream: &[u8], cut: usize, input: usize) -> (End, Option<Vec<u8>>, String) {
    let (front, back) = stream.split_at(cut);
    let pieces: Vec<&[u8]> = [front, back].into_iter().filter(|piece| !piece.is_empty()).collect();
    let mut wire = Scripted::sends(&pieces);
    let (mut store, mut user) = (Files::new(), User::default());
    let session = Checked::new(Upload::default());
    let outcome = hold(session, &mut wire, &mut store, &mut user, (input, 1));
    let stored = store.get(name("body")).map(<[u8]>::to_vec);
    assert_eq!(store.in_use(), usize::from(stored.is_some()), "nothing half done is left");
    let told = user.told.iter().filter_map(|told| told.strip_prefix("data "));
    (outcome.end, stored, told.collect())
}

#[test]
fn a_body_is_stored_whole_and_what_follows_it_is_not_touched() {
    let body: Vec<u8> = (0..100).collect();
    let stream = [&[100], &body[..], b"behind"].concat();
    for cut in 0..=stream.len() {
        for input in [8, 9, 64, 4096] {
            let (end, stored, told) = upload(&stream, cut, input);
            assert_eq!((end, told.as_str()), (End::Finished, "behind"), "cut at {cut}");
            assert_eq!(stored.as_ref(), Some(&body), "cut at {cut}");
        }
    }
}

#[test]
fn a_body_that_was_held_whole_needs_no_read() {
    for cut in 0..=6 {
        assert_eq!(
            upload(b"\x02abcde", cut, 8),
            (End::Finished, Some(b"ab".to_vec()), "cde".into())
        );
    }
    assert_eq!(upload(b"\0abc", 4, 8), (End::Finished, Some(Vec::new()), "abc".into()));
}

#[test]
fn nothing_behind_a_body_is_read_with_it() {
    // The peer says something behind the body, and nobody wants to know.
    struct NoFurther(Upload);
    impl Session for NoFurther {
        const HOLD: usize = Upload::HOLD;
        fn step(&mut self, io: &mut Exchange<'_>) -> Next {
            match self.0.step(io) {
                Next::Wait(Phase::Between, _) => Next::Abort(Reason::Stopped),
                next => next,
            }
        }
        fn request<'a>(&'a self, held: &'a [u8]) -> Option<Request<'a>> {
            self.0.request(held)
        }
    }
    let stream = [&[50][..], &[7; 50], b"behind"].concat();
    let mut wire = Scripted::silent().then(0, &stream);
    let mut store = Files::new();
    let session = Checked::new(NoFurther(Upload::default()));
    let outcome = hold(session, &mut wire, &mut store, &mut User::default(), (4096, 16));
    assert_eq!(outcome.end, End::Aborted(Reason::Stopped));
    assert_eq!(wire.unread, b"behind");
}

#[test]
fn a_body_that_ends_early_stores_nothing() {
    for len in 1..20_u8 {
        let stream: Vec<u8> = std::iter::once(20).chain(0..len).collect();
        for cut in 0..=stream.len() {
            let (end, stored, _) = upload(&stream, cut, 8);
            let moved = u64::from(len);
            assert_eq!(end, End::Aborted(Reason::Cut { moved, stop: Stop::Ended }), "cut at {cut}");
            assert_eq!(stored, None);
        }
    }
    // Not one byte of it, and the end was seen before it was asked for.
    let (end, stored, _) = upload(b"\x05", 1, 8);
    assert_eq!(end, End::Aborted(Reason::Cut { moved: 0, stop: Stop::Ended }));
    assert_eq!(stored, None);
}

#[test]
fn the_end_of_the_stream_is_read_once() {
    // On a terminal the end of one line of input is not the end of the next.
    struct Once(Scripted, bool);
    impl embedded_io::ErrorType for Once {
        type Error = super::Broken;
    }
    impl embedded_io::Read for Once {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
            let len = self.0.read(buf)?;
            assert!(len > 0 || !std::mem::replace(&mut self.1, true), "read after the end");
            Ok(len)
        }
    }
    impl embedded_io::Write for Once {
        fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
            self.0.write(buf)
        }
        fn flush(&mut self) -> Result<(), Self::Error> {
            self.0.flush()
        }
    }
    impl anywire_core::blocking::Wire for Once {
        const ENDS: bool = true;
        fn now(&mut self) -> anywire_core::instant::Instant {
            self.0.now()
        }
        fn wait(
            &mut self,
            interest: anywire_core::blocking::Interest,
            deadline: Option<anywire_core::instant::Instant>,
        ) -> Result<anywire_core::blocking::Ready, Self::Error> {
            self.0.wait(interest, deadline)
        }
        fn shutdown(&mut self) -> Result<(), Self::Error> {
            self.0.shutdown()
        }
        fn abort(&mut self) {
            self.0.abort();
        }
    }
    let mut wire = Once(Scripted::sends(&[b"\x05"]), false);
    let buffers = anywire_core::blocking::Buffers { input: &mut [0; 8], output: &mut [0; 8] };
    let limits = anywire_core::conversation::Limits::default();
    let session = Checked::new(Upload::default());
    let mut store = Files::new();
    let outcome = super::converse(session, &mut wire, &mut store, &mut (), buffers, &limits);
    assert_eq!(outcome.end, End::Aborted(Reason::Cut { moved: 0, stop: Stop::Ended }));
}

#[test]
fn a_body_that_does_not_fit_is_an_abort_and_leaves_nothing() {
    let mut store = anywire_core::ram::RamStore::<2, 30>::new();
    let stream: Vec<u8> = std::iter::once(100).chain(0..100).collect();
    let mut wire = Scripted::sends(&[&stream]);
    let session = Checked::new(Upload::default());
    let outcome = hold(session, &mut wire, &mut store, &mut User::default(), (64, 16));
    let stop = Stop::Store(Refusal::TooLarge { max: 30 });
    assert_eq!(outcome.end, End::Aborted(Reason::Cut { moved: 30, stop }));
    assert_eq!((store.in_use(), wire.aborted), (0, true));
}

#[test]
fn a_store_that_takes_nothing_is_not_asked_for_ever() {
    struct Stubborn(Files);
    impl Store for Stubborn {
        type Reader = <Files as Store>::Reader;
        type Writer = <Files as Store>::Writer;
        fn open(&mut self, name: FileName<'_>) -> Result<(Self::Reader, u64), Refusal> {
            self.0.open(name)
        }
        fn read(&mut self, file: &mut Self::Reader, buf: &mut [u8]) -> Result<usize, Refusal> {
            self.0.read(file, buf)
        }
        fn close(&mut self, file: Self::Reader) {
            self.0.close(file);
        }
        fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<Self::Writer, Refusal> {
            self.0.create(name, replace)
        }
        fn write(&mut self, _: &mut Self::Writer, _: &[u8]) -> Result<usize, Refusal> {
            Ok(0)
        }
        fn commit(&mut self, file: Self::Writer) -> Result<(), Refusal> {
            self.0.commit(file)
        }
        fn abandon(&mut self, file: Self::Writer) {
            self.0.abandon(file);
        }
    }
    let mut store = Stubborn(Files::new());
    let mut wire = Scripted::sends(&[b"\x05abcde"]);
    let session = Checked::new(Upload::default());
    let outcome = hold(session, &mut wire, &mut store, &mut User::default(), (64, 16));
    let stop = Stop::Store(Refusal::Failed);
    assert_eq!(outcome.end, End::Aborted(Reason::Cut { moved: 0, stop }));
    assert_eq!(store.0.in_use(), 0);
}

#[test]
fn a_file_that_is_shorter_than_it_was_or_fails_is_an_abort() {
    /// Ten bytes when it is opened, four when it is read.
    struct Shrunk(Result<usize, Refusal>);
    impl Store for Shrunk {
        type Reader = usize;
        type Writer = ();
        fn open(&mut self, _: FileName<'_>) -> Result<(usize, u64), Refusal> {
            Ok((4, 10))
        }
        fn create(&mut self, _: FileName<'_>, _: bool) -> Result<(), Refusal> {
            Err(Refusal::Denied)
        }
        fn read(&mut self, left: &mut usize, _: &mut [u8]) -> Result<usize, Refusal> {
            if *left == 0 { self.0 } else { Ok(std::mem::take(left)) }
        }
        fn close(&mut self, _: usize) {}
        fn write(&mut self, (): &mut (), _: &[u8]) -> Result<usize, Refusal> {
            Err(Refusal::Denied)
        }
        fn commit(&mut self, (): ()) -> Result<(), Refusal> {
            Err(Refusal::Denied)
        }
        fn abandon(&mut self, (): ()) {}
    }
    let failed = Stop::Store(Refusal::Failed);
    for (read, stop) in [(Ok(0), Stop::FileShort), (Err(Refusal::Failed), failed)] {
        let mut wire = Scripted::sends(&[b"photo\n"]);
        let session = Checked::new(anywire_core::service::file::Session::default());
        let mut user = User::default();
        let outcome = hold(session, &mut wire, &mut Shrunk(read), &mut user, (1024, 64));
        assert_eq!(outcome.end, End::Aborted(Reason::Cut { moved: 4, stop }));
        assert_eq!((wire.written.len(), wire.aborted, wire.shut), (4, true, false));
    }
}
