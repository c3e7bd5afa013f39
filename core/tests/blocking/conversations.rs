//! The services and the clients there are, from the first byte to the last.

use anywire_core::blocking::{Buffers, Interest, Plain, Ready, Wire, converse};
use anywire_core::checked::Checked;
use anywire_core::conversation::Limits;
use anywire_core::event::End;
use anywire_core::instant::Instant;
use anywire_core::request::Refusal;
use anywire_core::schema::Schema;
use anywire_core::service::{echo, file, hello};
use anywire_core::session::{Breach, Reason, Session};
use anywire_core::store::{NoStore, Store};
use anywire_core::{client, session};
use embedded_io::{ErrorType, Read, Write};

use super::wire::Scripted;
use super::{Files, User, hold, hold_plain, name};

/// More than any session holds or puts.
const AMPLE: (usize, usize) = (8192, 8192);

#[test]
fn echo_in_buffers_of_any_length() {
    let text: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for len in [1, 2, 3, 64, 5000] {
        for write_max in [1, 7, 5000] {
            let mut wire = Scripted::sends(&[&text, b"and more"]).writes_at_most(write_max);
            let session = Checked::new(echo::Session);
            let outcome = hold_plain(session, &mut wire, (len, len));
            assert_eq!((outcome.end, outcome.error), (End::Finished, None));
            assert_eq!(wire.written, [&text[..], b"and more"].concat());
            assert!(wire.shut && !wire.aborted);
        }
    }
}

#[test]
fn hello_answers_each_receive() {
    let mut wire = Scripted::sends(&[b"one", b"two"]).writes_at_most(5);
    let mut user = User::default();
    let session = Checked::new(hello::Session::default());
    let outcome = hold(session, &mut wire, &mut NoStore, &mut user, (1024, 1067));
    assert_eq!(outcome.end, End::Finished);
    assert_eq!(
        wire.written.escape_ascii().to_string().replace("\\\"", "'"),
        "I got 'one' from you and I am sending it back.\
         I got 'two' from you and I am sending it back."
    );
    assert_eq!(user.told[..3], ["Connected", "message one", "message two"]);
    assert_eq!(user.told.len(), 4);
}

#[test]
fn a_file_is_sent_and_its_end_means_that_it_is_whole() {
    let body: Vec<u8> = (0..=255).cycle().take(3000).collect();
    for (output, write_max) in [(1, 1), (10, 3), (4096, 1000), (4096, 5000)] {
        let mut store = Files::new();
        store.put(name("photo"), &body).unwrap();
        let mut wire =
            Scripted::sends(&[b"photo\nand what nobody reads"]).writes_at_most(write_max);
        let session = Checked::new(file::Session::default());
        let outcome = hold(session, &mut wire, &mut store, &mut User::default(), (1024, output));
        assert_eq!(outcome.end, End::Finished);
        assert_eq!(wire.written, body);
        assert!(wire.shut && !wire.aborted);
        // Whoever dies in between must not look finished.
        assert_eq!(wire.armed, [true, false]);
        assert_eq!(store.in_use(), 1);
        let (file, _) = store.open(name("photo")).unwrap();
        store.close(file);
    }
}

#[test]
fn a_file_that_is_not_there_is_a_reset() {
    let refused = |refusal| End::Aborted(Reason::Refused(refusal));
    let mut wire = Scripted::sends(&[b"photo"]);
    let session = Checked::new(file::Session::default());
    let outcome = hold(session, &mut wire, &mut Files::new(), &mut User::default(), AMPLE);
    assert_eq!(outcome.end, refused(Refusal::NotFound));
    assert!(wire.aborted && !wire.shut && wire.written.is_empty());
    assert_eq!(wire.armed, [true], "disarmed only for an orderly end");

    let mut wire = Scripted::sends(&[b"photo"]);
    assert_eq!(
        hold_plain(file::Session::default(), &mut wire, AMPLE).end,
        refused(Refusal::Unsupported)
    );
}

#[test]
fn a_file_is_fetched() {
    for input in [1, 7, 4096] {
        let mut store = Files::new();
        let mut wire = Scripted::silent().then(0, b"all of").then(30, b" it").then_ends(60);
        let session = Checked::new(client::file::Session::new(b"their name", name("mine")));
        let outcome = hold(session, &mut wire, &mut store, &mut User::default(), (input, 4));
        assert_eq!(outcome.end, End::Finished);
        assert_eq!(store.get(name("mine")), Some(&b"all of it"[..]));
        assert_eq!((&wire.written[..], wire.shut), (&b"their name"[..], true));
        assert_eq!(store.in_use(), 1);
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let mut store = Files::new();
    store.put(name("empty"), b"").unwrap();
    let mut wire = Scripted::sends(&[b"empty\n"]);
    let outcome =
        hold(file::Session::default(), &mut wire, &mut store, &mut User::default(), AMPLE);
    assert_eq!((outcome.end, wire.shut, wire.written.len()), (End::Finished, true, 0));

    let mut wire = Scripted::sends(&[]);
    let session = client::file::Session::new(b"empty", name("copy"));
    hold(session, &mut wire, &mut store, &mut User::default(), AMPLE);
    assert_eq!(store.get(name("copy")), Some(&b""[..]));
}

#[test]
fn a_user_is_asked_for_a_line() {
    let mut wire = Scripted::sends(&[b"reply"]);
    let mut user = User { lines: vec![b"what I typed"], ..User::default() };
    let session = Checked::new(client::hello::Session::new(None));
    let outcome = hold(session, &mut wire, &mut NoStore, &mut user, (8192, 4096));
    assert_eq!(outcome.end, End::Finished);
    assert_eq!(wire.written, b"what I typed");
    assert_eq!(user.prompts, ["Enter your message to server: "]);
    assert_eq!(user.told[1], "message reply");
}

#[test]
fn a_user_who_has_nothing_to_say_says_nothing() {
    let mut wire = Scripted::sends(&[]);
    let session = Checked::new(client::hello::Session::new(None));
    let outcome = hold_plain(session, &mut wire, AMPLE);
    assert_eq!(outcome.end, End::Aborted(Reason::NoAnswer));
    assert!(wire.written.is_empty() && wire.shut && wire.aborted);
}

#[test]
fn a_line_is_no_longer_than_its_session_can_put() {
    const LONG: [u8; 6000] = [b'x'; 6000];
    let mut wire = Scripted::sends(&[b"reply"]);
    let mut user = User { lines: vec![&LONG], ..User::default() };
    let session = Checked::new(client::hello::Session::new(None));
    hold(session, &mut wire, &mut NoStore, &mut user, AMPLE);
    assert_eq!(wire.written, LONG[..4096]);
}

#[test]
fn echos_client_hears_its_own_words() {
    let mut wire = Scripted::silent().then(0, b"Test message").then(5, b". This ends; this not");
    let mut user = User::default();
    let session = Checked::new(client::echo::Session::new(b"Test message. This ends"));
    let outcome = hold(session, &mut wire, &mut NoStore, &mut user, (16, 8));
    assert_eq!(outcome.end, End::Finished);
    assert_eq!(wire.written, b"Test message. This ends");
    // Parts are 16 bytes, however they come.
    assert_eq!(user.told[1..3], ["data Test message. Th", "data is ends"]);
    assert_eq!(wire.millis(), 2005, "the peer did not end, and was drained for 2 s");
}

#[test]
fn buffers_that_are_too_small_are_refused_before_anything_is_read() {
    fn too_small<S: Session>(session: S, lens: (usize, usize)) {
        let mut wire = Scripted::sends(&[b"x"]);
        let outcome = hold_plain(session, &mut wire, lens);
        assert_eq!(outcome.end, End::Aborted(Reason::Broken(Breach::BufferTooSmall)));
        assert_eq!((wire.calls(), wire.aborted), (0, true));
    }
    let hello = || hello::Session::default();
    let (hold, room) =
        (<hello::Session as session::Session>::HOLD, <hello::Session as session::Session>::ROOM);
    too_small(hello(), (hold - 1, room));
    too_small(hello(), (hold, room - 1));
    too_small(echo::Session, (0, 1));
    too_small(echo::Session, (1, 0));
    let mut wire = Scripted::sends(&[b"x"]);
    assert_eq!(hold_plain(hello(), &mut wire, (hold, room)).end, End::Finished);
}

/// A serial line: reads, writes, and nothing else.
struct Serial<'a> {
    input: &'a [u8],
    output: Vec<u8>,
}

impl ErrorType for Serial<'_> {
    type Error = core::convert::Infallible;
}

impl Read for Serial<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        assert!(!self.input.is_empty(), "nothing will come: a read would wait for ever");
        let len = buf.len().min(3);
        self.input.read(&mut buf[..len])
    }
}

impl Write for Serial<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.output.extend(&buf[..buf.len().min(2)]);
        Ok(buf.len().min(2))
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn a_plain_serial_line_will_do() {
    let mut wire = Plain(Serial { input: b"photo\n", output: Vec::new() });
    let mut store = Files::new();
    store.put(name("photo"), b"0123456789").unwrap();
    let buffers = Buffers { input: &mut [0; 1024], output: &mut [0; 8] };
    let session = Checked::new(file::Session::default());
    let outcome = converse(session, &mut wire, &mut store, &mut (), buffers, &Limits::default());
    // It has no end of its own, so there is none to wait for.
    assert_eq!((outcome.end, outcome.error), (End::Finished, None));
    assert_eq!((&wire.0.output[..], store.in_use()), (&b"0123456789"[..], 1));
}

/// A line on which nothing comes, and then it ends.
struct Silent(Vec<u8>);

impl ErrorType for Silent {
    type Error = core::convert::Infallible;
}

impl Read for Silent {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, Self::Error> {
        Ok(0)
    }
}

impl Write for Silent {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.extend(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn clients_that_look_before_they_end_go_on_where_nothing_can_wait() {
    let text = client::typed::Message::Text(b"hello");
    let session = client::typed::Session::new(Schema::Sized, text);
    let mut wire = Plain(Silent(Vec::new()));
    let buffers = Buffers { input: &mut [0; 64], output: &mut [0; 8192] };
    let limits = Limits::default();
    let outcome = converse(session, &mut wire, &mut NoStore, &mut (), buffers, &limits);
    assert_eq!((outcome.end, &wire.0.0[..]), (End::Finished, &b"\x01\x05\0hello"[..]));
}

/// What a body needs more than one transfer for is its last 1024 bytes: before them the client looks whether the server has ended.
#[test]
fn typed_sends_a_body_whole_whatever_its_length() {
    for (schema, tag) in [(Schema::Sized, 3), (Schema::Close, 2)] {
        for len in [256_u16, 1023, 1024, 1025, 2048, 4096] {
            let body: Vec<u8> = (0..len).map(|at| (at ^ (at >> 8)) as u8).collect();
            let mut store = Files::new();
            store.put(name("body"), &body).unwrap();
            let mut wire = Scripted::silent().then_ends(1000);
            let file = client::typed::Message::File(name("body"));
            let session = Checked::new(client::typed::Session::new(schema, file));
            let outcome = hold(session, &mut wire, &mut store, &mut User::default(), AMPLE);
            assert_eq!(outcome.end, End::Finished, "{len}");
            let head = match schema {
                Schema::Sized => [&[tag], &len.to_le_bytes()[..]].concat(),
                Schema::Close => vec![tag],
            };
            assert!(wire.written == [&head, &body[..]].concat(), "{schema:?}: {len}");
            assert!(wire.shut);
        }
    }
}

/// A wire that has only what every wire must have, and a peer that is silent, or has ended.
struct Bare {
    now: u64,
    ended: bool,
}

impl ErrorType for Bare {
    type Error = core::convert::Infallible;
}

impl Read for Bare {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, Self::Error> {
        Ok(0)
    }
}

impl Write for Bare {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl Wire for Bare {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        Instant::from_micros(self.now)
    }

    fn wait(
        &mut self,
        interest: Interest,
        deadline: Option<Instant>,
    ) -> Result<Ready, Self::Error> {
        if interest == Interest::Read && !self.ended {
            self.now = deadline.expect("it does not wait for ever").as_micros();
            return Ok(Ready::default());
        }
        Ok(Ready { read: true, write: true })
    }

    fn shutdown(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn abort(&mut self) {}
}

fn hold_bare<S: Session>(session: S, ended: bool) -> End {
    let mut wire = Bare { now: 0, ended };
    let buffers = Buffers { input: &mut [0; 64], output: &mut [0; 64] };
    converse(session, &mut wire, &mut NoStore, &mut (), buffers, &Limits::default()).end
}

#[test]
fn a_wire_owes_nothing_unless_it_says_so() {
    assert_eq!(hold_bare(echo::Session, false), End::Idle);
}

#[test]
fn a_session_that_waits_for_the_time_alone_fails_where_it_cannot_be_had() {
    struct Dawdling;
    impl Session for Dawdling {
        const HOLD: usize = 1;
        fn step(&mut self, io: &mut anywire_core::exchange::Exchange<'_>) -> session::Next {
            let soon = io.now() + core::time::Duration::from_secs(1);
            session::Next::Wait(session::Phase::Inside, Some(soon))
        }
    }
    assert_eq!(hold_bare(Dawdling, true), End::Aborted(Reason::Failed));
}

#[test]
fn a_plain_line_is_flushed_behind_each_answer() {
    /// A line that keeps what is written until it is flushed.
    #[derive(Default)]
    struct Buffered {
        unread: Vec<u8>,
        kept: Vec<u8>,
        out: Vec<u8>,
    }
    impl ErrorType for Buffered {
        type Error = core::convert::Infallible;
    }
    impl Read for Buffered {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
            assert!(self.kept.is_empty(), "it waits for an answer to what has not left");
            let len = self.unread.len().min(buf.len()).min(1);
            self.unread.drain(..len).zip(buf).for_each(|(from, to)| *to = from);
            Ok(len)
        }
    }
    impl Write for Buffered {
        fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
            self.kept.extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> Result<(), Self::Error> {
            self.out.append(&mut self.kept);
            Ok(())
        }
    }
    let mut wire = Plain(Buffered { unread: b"abc".to_vec(), ..Buffered::default() });
    let buffers = Buffers { input: &mut [0; 8], output: &mut [0; 8] };
    let limits = Limits::default();
    let outcome = converse(echo::Session, &mut wire, &mut NoStore, &mut (), buffers, &limits);
    assert_eq!((outcome.end, &wire.0.out[..]), (End::Finished, &b"abc"[..]));
}
