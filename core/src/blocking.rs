//! The blocking driver: one thread, one conversation, over anything that can read and write.
//!
//! Right for conversations that take turns. It reads when the session wants input, writes when there is
//! output, and carries out what is asked for, one after the other.

use core::net::SocketAddr;

use embedded_io::{Error as _, ErrorKind, ErrorType, Read, Write};

use crate::conversation::{Conversation, Lent, Limits, Want};
use crate::event::{End, Event, Host};
use crate::instant::Instant;
use crate::request::{Answer, Refusal, Request, Stop};
use crate::session::{Breach, Reason, Session};
use crate::store::{OpenFile, OpenIn, Store, carry_out, release};

/// A stream transport that can wait, with a clock to wait by.
///
/// Any [`Read`] + [`Write`] is one in [`Plain`]; a transport with more to offer implements this. Every error is
/// final, and is what a reset is ([`ErrorKind::TimedOut`]: the peer has vanished; or see [`is_ours`](Self::is_ours)): a transport that has failed once must not report an orderly end afterwards.
pub trait Wire: Read + Write {
    /// Whether the transport has an end of the stream of its own (FIN), one for each direction.
    const ENDS: bool;

    /// Whether [`wait`](Self::wait) keeps its deadlines.
    const WAITS: bool = true;

    /// The time.
    fn now(&mut self) -> Instant;

    /// Who is at the other end, where the transport has addresses. `None` by default.
    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    /// Waits until a read (or write) will not block, as `interest` says, or until the deadline. Looks at the
    /// transport before it looks at the clock.
    fn wait(&mut self, interest: Interest, deadline: Option<Instant>)
    -> Result<Ready, Self::Error>;

    /// Waits for the time alone, until `until`: the peer has ended, and the session has something to wait for all the same. Says
    /// `false` if that cannot be had; then such a session is aborted. `false` by default.
    fn sleep(&mut self, until: Instant) -> bool {
        let _ = until;
        false
    }

    /// Ends our side of the stream, behind what was written.
    fn shutdown(&mut self) -> Result<(), Self::Error>;

    /// Resets the connection.
    fn abort(&mut self);

    /// Whether an error is a failure of our own side, and not the connection's: a disk that is full, say, where the output goes to a file.
    /// Then the conversation is aborted, for [`Reason::Failed`]. `false` by default.
    fn is_ours(&self, error: &Self::Error) -> bool {
        let _ = error;
        false
    }

    /// Whether the peer must see a reset, not an end, if the process dies. Does nothing where that cannot be had.
    fn arm(&mut self, armed: bool) {
        let _ = armed;
    }

    /// Whether some of what was written has not reached the peer: it counts as unsent when the idle limit has passed. `false` by
    /// default.
    fn owes(&mut self) -> bool {
        false
    }

    /// Whether the peer has taken some of what was written since the last [`wait`](Self::wait) for room began: then it is not idle, though
    /// there is not enough room yet for the transport to speak of. `false` by default.
    fn took(&mut self) -> bool {
        false
    }

    /// What somebody else wants to become of the conversation. It is asked for at every turn; where it can change, [`wait`](Self::wait)
    /// and [`sleep`](Self::sleep) return early as soon as it is another than it was when asked for last. It never goes back.
    fn told(&mut self) -> Told {
        Told::GoOn
    }
}

/// What becomes of a conversation, whatever its session and its peer want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// It goes on.
    #[default]
    GoOn,
    /// It ends as soon as it is between messages and silent: see [`Conversation::retire`].
    Retire,
    /// It ends now, with a reset.
    Abort,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Input, or the peer's end.
    Read,
    /// Room for output.
    Write,
    /// Either.
    Both,
}

/// What will not block now. Neither: the deadline has passed, or there is something [told](Wire::told).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// A read.
    pub read: bool,
    /// A write.
    pub write: bool,
}

/// A transport that can only read and write: a serial line. A read of 0 bytes is the end of its input.
///
/// It cannot wait, so silences and time limits are not kept on it: framings that need a newline, a length or an end work,
/// quiet ones do not. It has no half-close and no reset either.
#[derive(Clone, Copy, Debug)]
pub struct Plain<T>(pub T);

impl<T: ErrorType> ErrorType for Plain<T> {
    type Error = T::Error;
}

impl<T: Read> Read for Plain<T> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(buf)
    }
}

impl<T: Write> Write for Plain<T> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush()
    }
}

impl<T: Read + Write> Wire for Plain<T> {
    const ENDS: bool = false;
    const WAITS: bool = false;

    fn now(&mut self) -> Instant {
        Instant::ZERO
    }

    fn wait(&mut self, _: Interest, _: Option<Instant>) -> Result<Ready, Self::Error> {
        Ok(Ready { read: true, write: true })
    }

    fn shutdown(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn abort(&mut self) {}
}

/// The memory of a blocking driver.
#[derive(Debug)]
pub struct Buffers<'a> {
    /// For input: at least the session's `HOLD`, and 1. For a session that asks for lines, as much again as its `ROOM`.
    pub input: &'a mut [u8],
    /// For output: at least the session's `ROOM`. Bodies pass through it too: larger is faster.
    pub output: &'a mut [u8],
}

/// How a conversation over a [`Wire`] ended, and the transport's error if it had one.
#[derive(Debug)]
pub struct Outcome<E> {
    /// How it ended.
    pub end: End,
    /// What the transport said.
    pub error: Option<E>,
}

/// Holds one conversation over `wire`, to its end.
///
/// The connection is shut down or aborted as the session wants; closing it is the caller's.
pub fn converse<S: Session, W: Wire, St: Store>(
    session: S,
    wire: &mut W,
    store: &mut St,
    host: &mut dyn Host,
    buffers: Buffers<'_>,
    limits: &Limits,
) -> Outcome<W::Error> {
    let mut conversation = Conversation::new(session, wire.now());
    if !W::WAITS {
        conversation = conversation.without_time();
    }
    let Buffers { input, output } = buffers;
    let mut line = Line {
        conversation,
        wire,
        store,
        host,
        limits,
        input,
        held: 0,
        ended: false,
        output,
        file: None,
        told: Told::GoOn,
        error: None,
    };
    if line.input.len() < S::HOLD.max(1) || line.output.len() < S::ROOM.max(1) {
        line.conversation.abort(Reason::Broken(Breach::BufferTooSmall));
    }
    if S::END_PROVES {
        line.wire.arm(true);
    }
    line.host.observe(Event::Connected);
    let ended = loop {
        if let Some(ended) = line.turn() {
            break ended;
        }
    };
    release(line.store, &mut line.file);
    line.host.observe(ended);
    match ended {
        Event::Ended { end, .. } => Outcome { end, error: line.error },
        _ => Outcome { end: End::Finished, error: line.error },
    }
}

/// A conversation, the wire it runs on, and what stands between them.
struct Line<'d, S, W: Wire, St: Store> {
    conversation: Conversation<S>,
    wire: &'d mut W,
    store: &'d mut St,
    host: &'d mut dyn Host,
    limits: &'d Limits,
    input: &'d mut [u8],
    /// Untaken bytes, at the front of `input`.
    /// Invariant: at most `input.len()`.
    held: usize,
    ended: bool,
    output: &'d mut [u8],
    file: Option<OpenIn<St>>,
    /// What has been passed on.
    told: Told,
    error: Option<W::Error>,
}

impl<S: Session, W: Wire, St: Store> Line<'_, S, W, St> {
    /// Does what is wanted. All output is out before it and after it.
    fn turn(&mut self) -> Option<Event<'static>> {
        self.listen();
        match self.conversation.want() {
            Want::Step => self.step(None),
            Want::Input if self.ended => self.sleep(),
            Want::Input => {
                let most = match S::HOLD {
                    0 => self.output.len(),
                    hold => hold.saturating_sub(self.held),
                };
                if let Some(n) = self.read(most) {
                    self.ended = n == 0;
                    self.held += n;
                    self.step(None);
                }
            }
            Want::Answer => self.answer(),
            Want::Send { left } => self.send(left),
            Want::Receive { left } => self.receive(left),
            Want::Shutdown => {
                if S::END_PROVES {
                    self.wire.arm(false);
                }
                let done = self.wire.shutdown();
                let now = self.wire.now();
                match done {
                    Ok(()) => self.conversation.shut(now),
                    Err(error) => self.failed(error),
                }
                if !W::ENDS && self.conversation.want() == Want::Drain {
                    self.conversation.peer_ended();
                }
            }
            Want::Drain => {
                // What is held has had its chance.
                self.held = 0;
                match self.read(usize::MAX) {
                    Some(0) => self.conversation.peer_ended(),
                    Some(n) => self.conversation.discarded(n as u64, self.limits),
                    None => {}
                }
            }
            Want::Close if !self.conversation.is_broken() => return self.conversation.ended(),
            Want::Close | Want::Abort(_) => {
                self.wire.abort();
                return self.conversation.ended();
            }
        }
        None
    }

    /// Passes on what is told from outside.
    fn listen(&mut self) {
        let told = self.wire.told();
        if told == self.told {
            return;
        }
        self.told = told;
        match told {
            Told::GoOn => {}
            Told::Retire => {
                let now = self.wire.now();
                self.conversation.retire(now);
            }
            Told::Abort => self.conversation.abort(Reason::Stopped),
        }
    }

    /// Nothing moved until the deadline.
    fn expire(&mut self, pending: bool) {
        let now = self.wire.now();
        self.conversation.expire_owing(now, self.limits, pending, || self.wire.owes());
    }

    /// Steps, and writes what was put.
    fn step(&mut self, answer: Option<Answer<'_>>) {
        let now = self.wire.now();
        let input = self.input.get(..self.held).unwrap_or_default();
        let lent = Lent { input, ended: self.ended, output: self.output, now, answer };
        let used = self.conversation.step(lent, self.host);
        self.take(used.taken);
        self.write(used.put, false);
    }

    /// Drops the first `n` bytes of the input.
    fn take(&mut self, n: usize) {
        if let Some(held) = self.input.get_mut(..self.held)
            && (1..=held.len()).contains(&n)
        {
            held.copy_within(n.., 0);
            self.held -= n;
        }
    }

    /// Waits for the session's deadline. There is one: without, it would have broken the contract.
    fn sleep(&mut self) {
        let deadline = self.conversation.deadline(self.limits, false);
        if deadline.is_some_and(|deadline| self.wire.sleep(deadline)) {
            self.expire(false);
        } else {
            self.conversation.abort(Reason::Failed);
        }
    }

    /// Reads up to `most` bytes behind those held; `None`: a deadline passed, the transport failed, or there is something told.
    fn read(&mut self, most: usize) -> Option<usize> {
        let deadline = self.conversation.deadline(self.limits, false);
        match self.wire.wait(Interest::Read, deadline) {
            Ok(Ready { read: true, .. }) => {}
            Ok(_) => {
                self.expire(false);
                return None;
            }
            Err(error) => {
                self.failed(error);
                return None;
            }
        }
        let free = self.input.get_mut(self.held..).unwrap_or_default();
        let most = most.min(free.len());
        match self.wire.read(free.get_mut(..most).unwrap_or_default()) {
            Ok(n) => Some(n.min(most)),
            Err(error) => {
                self.failed(error);
                None
            }
        }
    }

    /// Writes the first `len` bytes of the output, `body` or not, and flushes.
    fn write(&mut self, len: usize, body: bool) {
        let mut out = 0;
        while out < len && !matches!(self.conversation.want(), Want::Abort(_) | Want::Close) {
            let deadline = self.conversation.deadline(self.limits, !body);
            let ready = match self.wire.wait(Interest::Write, deadline) {
                Ok(ready) => ready,
                Err(error) => return self.failed(error),
            };
            if !ready.write {
                if deadline.is_some() && self.wire.took() {
                    let now = self.wire.now();
                    self.conversation.wrote(now);
                } else {
                    self.expire(!body);
                }
                self.listen();
                // What stopped on its way has not moved any further.
                if body && !matches!(self.conversation.want(), Want::Send { .. }) {
                    return;
                }
                continue;
            }
            match self.wire.write(self.output.get(out..len).unwrap_or_default()) {
                // Whoever takes nothing of something has failed, and would for ever.
                Ok(0) => return self.conversation.reset(),
                Ok(n) => {
                    let n = n.min(len - out);
                    out += n;
                    let now = self.wire.now();
                    if body {
                        self.conversation.moved(n as u64, now, self.host);
                    } else {
                        self.conversation.wrote(now);
                    }
                }
                Err(error) => return self.failed(error),
            }
        }
        if len > 0
            && let Err(error) = self.wire.flush()
        {
            self.failed(error);
        }
    }

    /// Carries out a request. A line is read into the free input, behind what is held.
    fn answer(&mut self) {
        let held = self.input.get(..self.held).unwrap_or_default();
        let request = self.conversation.request(held);
        let answer = match request {
            Some(Request::Line { prompt, max }) => {
                let (held, free) = self.input.split_at_mut_checked(self.held).unwrap_or_default();
                let max = max.min(free.len());
                let line = free.get_mut(..max).unwrap_or_default();
                let len = self.host.line(prompt, line);
                let now = self.wire.now();
                let line = len.and_then(|len| line.get(..len));
                let lent = Lent {
                    input: held,
                    ended: self.ended,
                    output: self.output,
                    now,
                    answer: Some(Answer::Line(line)),
                };
                let used = self.conversation.step(lent, self.host);
                self.take(used.taken);
                return self.write(used.put, false);
            }
            Some(request) => {
                let peer = self.wire.peer();
                carry_out(self.store, &mut self.file, peer, request)
            }
            // advance() has seen that there is one.
            None => return self.conversation.abort(Reason::Broken(Breach::NoRequest)),
        };
        self.step(Some(answer));
    }

    /// Moves the next piece of the open file to the wire.
    fn send(&mut self, left: u64) {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.output.len());
        let room = self.output.get_mut(..most).unwrap_or_default();
        let Some(OpenFile::Reading(file)) = &mut self.file else {
            return self.conversation.abort(Reason::Broken(Breach::NoFile));
        };
        match self.store.read(file, room) {
            Ok(0) => self.conversation.stopped(Stop::FileShort),
            Ok(n) => self.write(n, true),
            Err(refusal) => self.conversation.stopped(Stop::Store(refusal)),
        }
    }

    /// Moves the next piece of the body into the created file: first what is held.
    fn receive(&mut self, left: Option<u64>) {
        let left = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        if self.held == 0 {
            let read = if self.ended { Some(0) } else { self.read(left) };
            match read {
                Some(0) => {
                    self.ended = true;
                    return self.conversation.stopped(Stop::Ended);
                }
                Some(n) => self.held = n,
                None => return,
            }
        }
        let body = self.input.get(..self.held.min(left)).unwrap_or_default();
        let Some(OpenFile::Writing(file)) = &mut self.file else {
            return self.conversation.abort(Reason::Broken(Breach::NoFile));
        };
        match self.store.write(file, body) {
            Ok(0) => self.conversation.stopped(Stop::Store(Refusal::Failed)),
            Ok(n) => {
                let n = n.min(body.len());
                let now = self.wire.now();
                self.take(n);
                self.conversation.moved(n as u64, now, self.host);
            }
            Err(refusal) => self.conversation.stopped(Stop::Store(refusal)),
        }
    }

    fn failed(&mut self, error: W::Error) {
        match error.kind() {
            _ if self.wire.is_ours(&error) => self.conversation.abort(Reason::Failed),
            ErrorKind::TimedOut => self.conversation.vanished(),
            _ => self.conversation.reset(),
        }
        self.error.get_or_insert(error);
    }
}
