//! Bodies of gigabytes in a few KiB of memory: more than 32 bits can count.

use anywire_core::blocking::{Buffers, Interest, Ready, Wire, converse};
use anywire_core::client;
use anywire_core::conversation::Limits;
use anywire_core::event::{End, Event, Host};
use anywire_core::instant::Instant;
use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::schema::Schema;
use anywire_core::service::{StreamService, typed, upload};
use anywire_core::session::Session;
use anywire_core::store::Store;
use embedded_io::{ErrorType, Read, Write};

use super::Broken;

/// In bytes.
const LONG: u64 = 10_000_000_000;

/// What a long body is made of, again and again. No buffer's length is a multiple of it.
struct Pattern(Vec<u8>);

const PERIOD: usize = 8209;

impl Pattern {
    fn new() -> Self {
        Self((0..PERIOD + BUFFER).map(|at| (at % PERIOD * 7 / 3) as u8).collect())
    }

    /// The `len` bytes, at most `BUFFER`, from `at` on.
    fn at(&self, at: u64, len: usize) -> &[u8] {
        &self.0[(at % PERIOD as u64) as usize..][..len]
    }
}

const BUFFER: usize = 8 << 10;

/// Makes the bytes of a body when they are read, and looks at those that are written; remembers how many there were, and no more.
struct Endless {
    pattern: Pattern,
    /// What comes before the body and what is read of it.
    head: Vec<u8>,
    /// Bytes of the body that have been read, of so many.
    read: u64,
    of: u64,
    /// What goes out before a body, and how much of the body there was.
    out: Vec<u8>,
    out_head: usize,
    written: u64,
    /// Whether the peer waits for our end before it ends.
    polite: bool,
    now: Instant,
    shut: bool,
    aborted: bool,
}

impl Endless {
    fn sends(head: &[u8], of: u64) -> Self {
        Self {
            pattern: Pattern::new(),
            head: head.to_vec(),
            read: 0,
            of,
            out: Vec::new(),
            out_head: usize::MAX,
            written: 0,
            polite: false,
            now: Instant::ZERO,
            shut: false,
            aborted: false,
        }
    }
}

impl ErrorType for Endless {
    type Error = Broken;
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Broken> {
        if !self.head.is_empty() {
            let len = buf.len().min(self.head.len());
            buf[..len].copy_from_slice(&self.head[..len]);
            self.head.drain(..len);
            return Ok(len);
        }
        let len = buf.len().min(usize::try_from(self.of - self.read).unwrap_or(usize::MAX));
        buf[..len].copy_from_slice(self.pattern.at(self.read, len));
        self.read += len as u64;
        Ok(len)
    }
}

impl Write for Endless {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Broken> {
        let (head, body) = buf.split_at(buf.len().min(self.out_head - self.out.len()));
        self.out.extend_from_slice(head);
        assert!(body == self.pattern.at(self.written, body.len()), "others after {}", self.written);
        self.written += body.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Broken> {
        Ok(())
    }
}

impl Wire for Endless {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        self.now
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> Result<Ready, Broken> {
        let ends = self.shut || !self.polite;
        let read = !self.head.is_empty() || self.read < self.of || ends;
        if !read {
            self.now = deadline.expect("waits for ever").max(self.now);
        }
        Ok(Ready { read, write: interest != Interest::Read })
    }

    fn shutdown(&mut self) -> Result<(), Broken> {
        self.shut = true;
        Ok(())
    }

    fn abort(&mut self) {
        self.aborted = true;
    }
}

/// Has one file of `LONG` bytes, and looks at those that it is given.
struct Counts {
    pattern: Pattern,
    expected: Option<u64>,
    committed: Option<u64>,
}

impl Store for Counts {
    type Reader = u64;
    type Writer = u64;

    fn open(&mut self, _: FileName<'_>) -> Result<(u64, u64), Refusal> {
        Ok((0, LONG))
    }

    fn read(&mut self, at: &mut u64, buf: &mut [u8]) -> Result<usize, Refusal> {
        let len = buf.len().min(usize::try_from(LONG - *at).unwrap_or(usize::MAX));
        buf[..len].copy_from_slice(self.pattern.at(*at, len));
        *at += len as u64;
        Ok(len)
    }

    fn close(&mut self, _: u64) {}

    fn create(&mut self, _: FileName<'_>, _: bool) -> Result<u64, Refusal> {
        Ok(0)
    }

    fn expect(&mut self, _: &mut u64, len: u64) -> Result<(), Refusal> {
        self.expected = Some(len);
        Ok(())
    }

    fn write(&mut self, at: &mut u64, bytes: &[u8]) -> Result<usize, Refusal> {
        assert!(bytes == self.pattern.at(*at, bytes.len()), "others after {at} bytes");
        *at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn commit(&mut self, at: u64) -> Result<(), Refusal> {
        self.committed = Some(at);
        Ok(())
    }

    fn abandon(&mut self, at: u64) {
        panic!("given up after {at} bytes");
    }
}

/// Is told what is stored, draws a name, and types one.
#[derive(Default)]
struct User {
    stored: Vec<u64>,
    moved: u64,
    typed: bool,
}

impl Host for User {
    fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Stored { len } => self.stored.push(len),
            Event::Moving { moved, .. } => {
                assert!(moved > self.moved && moved - self.moved <= BUFFER as u64);
                self.moved = moved;
            }
            _ => {}
        }
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        buf.fill(7);
        true
    }

    fn line(&mut self, _: &str, line: &mut [u8]) -> Option<usize> {
        let typed = std::mem::replace(&mut self.typed, true);
        line[..4].copy_from_slice(b"long");
        (!typed).then_some(4)
    }
}

fn hold<S: Session>(session: S, wire: &mut Endless) -> (Counts, User) {
    let mut store = Counts { pattern: Pattern::new(), expected: None, committed: None };
    let mut user = User::default();
    // All the memory there is; the session itself is smaller.
    let (mut input, mut output) = ([0; BUFFER], [0; BUFFER]);
    assert!(size_of::<S>() < 1024);
    let buffers = Buffers { input: &mut input, output: &mut output };
    let outcome = converse(session, wire, &mut store, &mut user, buffers, &Limits::default());
    assert_eq!((outcome.end, wire.shut, wire.aborted), (End::Finished, true, false));
    (store, user)
}

#[test]
fn upload_of_10_gb() {
    let head = [b"\x01\x04\0long\x06", &LONG.to_le_bytes()[..]].concat();
    let mut wire = Endless::sends(&head, LONG);
    let (store, user) = hold(upload::Upload.open(), &mut wire);
    assert_eq!((store.expected, store.committed, wire.read), (Some(LONG), Some(LONG), LONG));
    assert_eq!((&wire.out[..], &user.stored[..]), (&b"OK"[..], &[LONG][..]));
}

#[test]
fn typed_of_10_gb_to_the_end() {
    let mut wire = Endless::sends(b"\x02", LONG);
    let (store, user) = hold(typed::Typed { schema: Schema::Close }.open(), &mut wire);
    assert_eq!((store.expected, store.committed, wire.read), (None, Some(LONG), LONG));
    assert_eq!(user.stored, [LONG]);
}

#[test]
fn uploads_client_sends_10_gb() {
    let mut wire = Endless::sends(b"OK", 0);
    let head = [b"\x01\x04\0long\x06", &LONG.to_le_bytes()[..]].concat();
    (wire.out_head, wire.polite) = (head.len(), true);
    let (_, user) = hold(client::upload::Session::new(), &mut wire);
    assert_eq!((&wire.out, wire.written, &user.stored[..]), (&head, LONG, &[LONG][..]));
}
