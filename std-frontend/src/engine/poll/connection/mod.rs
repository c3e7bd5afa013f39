//! One connection of an event loop: a conversation, its socket, and what could not be read or written yet.

mod ending;
mod requests;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4};

use anywire_core::conversation::{self, Conversation, Want};
use anywire_core::instant::Instant;
use anywire_core::request::{Answer, Stop};
use anywire_core::session::{Reason, Session};
use anywire_core::store::{OpenIn, Store};
use mio::net::TcpStream;
use socket2::SockRef;

use crate::clock;
use crate::engine::connections::Readiness;
use crate::engine::context::Context;
use crate::engine::jobs::{self, Done};
use crate::engine::transfer::{Halt, HostStore};
use crate::engine::worker::Key;
use crate::engine::{Link, LinkHost, Observer, Protocol};
use crate::os::{
    AsFd as _, INHERITS_OPTIONS, SHORT_READ_IS_LAST, SHORT_WRITE_IS_LAST, unacknowledged,
};
use crate::shim::{has_vanished, reset_on_close};

/// So many turns, and others are served first.
const TURNS: usize = 8;

pub(super) struct Connection<S, St: Store> {
    conversation: Conversation<S>,
    /// `None` while another thread moves a body out of it.
    stream: Option<TcpStream>,
    ends: Ends,
    since: Instant,
    pub(super) generation: u32,
    /// Most of the time there is none.
    rest: Option<Box<Rest<OpenIn<St>>>>,
    /// A read (or write) may not block.
    readable: bool,
    writable: bool,
    read_closed: bool,
    /// The peer has sent urgent data: reads stop short at it, though there is more.
    urgent: bool,
    /// The end of the stream has been read.
    ended: bool,
    /// The system has told of an error; the next read or write says which.
    broken: bool,
    /// Another thread is at work for it.
    job: bool,
    /// It has ended, but for what another thread still has of it.
    over: bool,
    /// How it ended was told.
    told: bool,
    /// Its deadline has passed; it reads, or writes, once more first.
    due: bool,
    /// It stands in the queue of those that can go on: once, however many events come.
    queued: bool,
}

/// What only a connection in the middle of something has.
struct Rest<F> {
    /// Untaken input.
    held: Vec<u8>,
    /// Output that the socket has not taken, from `written` on.
    pending: Vec<u8>,
    written: usize,
    file: Option<F>,
}

/// The addresses of both ends, ours first.
enum Ends {
    V4(SocketAddrV4, SocketAddrV4),
    Other(Box<(SocketAddr, SocketAddr)>),
}

impl Ends {
    fn new(local: SocketAddr, peer: SocketAddr) -> Self {
        match (local, peer) {
            (SocketAddr::V4(local), SocketAddr::V4(peer)) => Self::V4(local, peer),
            ends => Self::Other(Box::new(ends)),
        }
    }

    fn both(&self) -> (SocketAddr, SocketAddr) {
        match self {
            Self::V4(local, peer) => ((*local).into(), (*peer).into()),
            Self::Other(ends) => **ends,
        }
    }
}

/// Who is told what happens, and of which service.
#[derive(Clone, Copy)]
pub(super) struct Observed<'o> {
    pub(super) service: &'static str,
    pub(super) observer: &'o dyn Observer,
}

/// What a turn came to.
enum Turn {
    /// There is more to do.
    More,
    /// There is nothing to do until an event, a deadline or another thread.
    Park,
    /// The connection is over.
    Over,
}

impl<S: Session, St: HostStore> Connection<S, St> {
    pub(super) fn new(
        session: S,
        stream: TcpStream,
        link: &Link,
        generation: u32,
        now: Instant,
    ) -> Self {
        if S::END_PROVES && !INHERITS_OPTIONS {
            reset_on_close(SockRef::from(&stream), true);
        }
        Self {
            conversation: Conversation::new(session, now),
            stream: Some(stream),
            ends: Ends::new(link.local, link.peer),
            since: link.since,
            generation,
            rest: None,
            readable: false,
            writable: true,
            read_closed: false,
            urgent: false,
            ended: false,
            broken: false,
            job: false,
            over: false,
            told: false,
            due: false,
            queued: false,
        }
    }

    pub(super) fn stream(&mut self) -> Option<&mut TcpStream> {
        self.stream.as_mut()
    }

    pub(super) fn conversation(&mut self) -> &mut Conversation<S> {
        &mut self.conversation
    }

    fn link(&self, service: &'static str) -> Link {
        let (local, peer) = self.ends.both();
        Link { service, protocol: Protocol::Tcp, local, peer, since: self.since }
    }

    fn held(&self) -> &[u8] {
        self.rest.as_ref().map_or(&[], |rest| &rest.held)
    }

    /// Output that the socket has not taken.
    fn pending(&self) -> &[u8] {
        let rest = self.rest.as_ref().and_then(|rest| rest.pending.get(rest.written..));
        rest.unwrap_or_default()
    }

    fn file(&mut self) -> Option<&mut OpenIn<St>> {
        self.rest.as_mut()?.file.as_mut()
    }

    fn take_file(&mut self) -> Option<OpenIn<St>> {
        let file = self.rest.as_mut()?.file.take();
        self.tidy();
        file
    }

    fn rest(&mut self) -> &mut Rest<OpenIn<St>> {
        self.rest.get_or_insert_with(|| {
            Box::new(Rest { held: Vec::new(), pending: Vec::new(), written: 0, file: None })
        })
    }

    fn hold(&mut self, untaken: &[u8]) {
        if untaken.is_empty() {
            if let Some(rest) = &mut self.rest {
                rest.held = Vec::new();
                self.tidy();
            }
        } else {
            let held = &mut self.rest().held;
            held.clear();
            held.extend_from_slice(untaken);
        }
    }

    /// Gives the memory back that nothing is in.
    fn tidy(&mut self) {
        self.rest
            .take_if(|rest| rest.held.is_empty() && rest.pending.is_empty() && rest.file.is_none());
    }

    /// Whether its turn comes without an event.
    pub(super) fn is_queued(&self) -> bool {
        self.queued
    }

    /// Whether it is over, and waits for its socket only: until that is closed, its events come to this slot.
    pub(super) fn awaits_socket(&self) -> bool {
        self.over && self.stream.is_none()
    }

    /// Its turn has come again.
    pub(super) fn dequeued(&mut self) {
        self.queued = false;
    }

    /// Takes note of an event.
    pub(super) fn ready(&mut self, ready: Readiness) {
        self.readable |= ready.read || ready.read_closed || ready.error;
        self.writable |= ready.write || ready.error;
        self.read_closed |= ready.read_closed;
        self.broken |= ready.error;
        self.urgent |= ready.urgent;
    }

    /// The worker's timer has gone off.
    pub(super) fn timed_out(&mut self, cx: &Context<St>) {
        let deadline = self.conversation.deadline(&cx.limits, !self.pending().is_empty());
        if !self.job && deadline.is_some_and(|deadline| deadline <= cx.now) {
            // Bytes that have arrived beat a deadline that has passed.
            (self.due, self.readable, self.writable) = (true, true, true);
        }
    }

    /// Takes what another thread did.
    pub(super) fn done(
        &mut self,
        done: Done<OpenIn<St>>,
        cx: &mut Context<St>,
        observer: Observed<'_>,
    ) {
        self.job = false;
        if let Some(file) = done.lent.file {
            self.rest().file = Some(file);
        }
        self.stream = done.lent.stream.or(self.stream.take());
        match done.result {
            jobs::Result::Answer(answer) => self.step(0, Some(answer), cx, observer),
            // The disk's time is not the peer's.
            jobs::Result::ReadAhead => self.conversation.wrote(cx.now),
            jobs::Result::Read(Err(refusal)) => self.conversation.stopped(Stop::Store(refusal)),
            jobs::Result::Read(Ok(bytes)) if bytes.is_empty() => {
                self.conversation.stopped(Stop::FileShort);
            }
            jobs::Result::Read(Ok(bytes)) => {
                if let Some(front) = cx.output.get_mut(..bytes.len()) {
                    front.copy_from_slice(&bytes);
                }
                let link = self.link(observer.service);
                let mut host = LinkHost { link: &link, observer: observer.observer };
                self.conversation.moved(bytes.len() as u64, cx.now, &mut host);
                self.write(bytes.len(), cx);
            }
            // It is over, and nobody waits.
            jobs::Result::Released => {}
            jobs::Result::Panicked => self.conversation.abort(Reason::Failed),
            jobs::Result::Received(received) => {
                let link = self.link(observer.service);
                let mut host = LinkHost { link: &link, observer: observer.observer };
                self.conversation.moved(received.len, cx.now, &mut host);
                // A deadline that had passed has had its last read: it stands, unless that brought something.
                self.due &= received.len == 0;
                match received.halt {
                    Halt::Turn => self.readable = true,
                    // What has come since was told by an event.
                    Halt::WouldBlock => {}
                    Halt::Ended => {
                        self.ended = true;
                        self.conversation.stopped(Stop::Ended);
                    }
                    Halt::Reset => self.conversation.reset(),
                    Halt::Vanished => self.conversation.vanished(),
                    Halt::Refused(refusal) => self.conversation.stopped(Stop::Store(refusal)),
                }
            }
        }
    }

    /// Goes on until it must wait, or has had its turns. Says whether the connection is still there.
    pub(super) fn drive(&mut self, key: Key, cx: &mut Context<St>, observer: Observed<'_>) -> bool {
        if self.over {
            return false;
        }
        for _ in 0..TURNS {
            match self.turn(key, cx, observer) {
                Turn::More => {}
                // While another thread works for it, time is not the peer's.
                Turn::Park if self.job => return true,
                Turn::Park if self.due => {
                    self.due = false;
                    self.expire(cx);
                }
                Turn::Park => {
                    let deadline =
                        self.conversation.deadline(&cx.limits, !self.pending().is_empty());
                    cx.timers.arrange(key, deadline);
                    return true;
                }
                Turn::Over => {
                    self.close(key, cx, observer);
                    return false;
                }
            }
        }
        if !std::mem::replace(&mut self.queued, true) {
            cx.again.push_back(key);
        }
        true
    }

    /// Does what is due.
    fn expire(&mut self, cx: &Context<St>) {
        let (pending, stream) = (!self.pending().is_empty(), &self.stream);
        self.conversation.expire_owing(cx.now, &cx.limits, pending, || owes(stream.as_ref()));
    }

    /// Does what is wanted, once all output is out.
    fn turn(&mut self, key: Key, cx: &mut Context<St>, observer: Observed<'_>) -> Turn {
        let want = self.conversation.want();
        if matches!(want, Want::Close | Want::Abort(_)) {
            return Turn::Over;
        }
        if !self.pending().is_empty() {
            return self.flush(cx);
        }
        if self.broken && want == Want::Answer {
            // Nobody reads or writes until the answer comes, so nobody would notice.
            let error = self.stream.as_ref().and_then(|stream| stream.take_error().ok()?);
            self.broke(&error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()));
            return Turn::More;
        }
        if self.job {
            return Turn::Park;
        }
        match want {
            Want::Step => {
                let held = self.lend_held(cx);
                self.step(held, None, cx, observer);
                Turn::More
            }
            Want::Input => self.input(cx, observer),
            Want::Answer => self.ask(key, cx, observer),
            Want::Send { left } => self.send(left, key, cx, observer),
            Want::Receive { left } => self.receive(left, key, cx),
            Want::Shutdown => {
                let Some(stream) = &self.stream else { return Turn::Park };
                if S::END_PROVES {
                    reset_on_close(SockRef::from(stream), false);
                }
                // Where that is all, the close that follows ends the stream as well.
                let shut = match self.conversation.is_over_once_shut() && !self.broken {
                    true => Ok(()),
                    false => stream.shutdown(Shutdown::Write),
                };
                match shut {
                    Ok(()) => self.conversation.shut(cx.now),
                    Err(error) => self.broke(&error),
                }
                Turn::More
            }
            Want::Drain => self.drain(cx),
            Want::Close | Want::Abort(_) => Turn::Over,
        }
    }

    /// Copies what is held to the front of the lent buffer.
    fn lend_held(&self, cx: &mut Context<St>) -> usize {
        let held = self.held();
        if let Some(front) = cx.input.get_mut(..held.len()) {
            front.copy_from_slice(held);
        }
        held.len()
    }

    /// Reads, and steps.
    fn input(&mut self, cx: &mut Context<St>, observer: Observed<'_>) -> Turn {
        if !self.readable || self.ended {
            return Turn::Park;
        }
        let held = self.lend_held(cx);
        let most = match S::HOLD {
            0 => cx.room(S::ROOM),
            hold => hold.saturating_sub(held),
        };
        match self.read(held, most, cx) {
            Ok(Some(n)) => {
                self.due = false;
                self.ended |= n == 0;
                if S::HOLD > 0 {
                    // A silence begins when its last byte is here: that may be after the loop has woken up. What holds nothing
                    // waits for none.
                    cx.now = clock::now();
                }
                self.step(held + n, None, cx, observer);
                Turn::More
            }
            Ok(None) => Turn::Park,
            Err(error) => {
                self.broke(&error);
                Turn::More
            }
        }
    }

    /// Its socket has failed.
    fn broke(&mut self, error: &io::Error) {
        if has_vanished(error) {
            self.conversation.vanished();
        } else {
            self.conversation.reset();
        }
    }

    /// Reads up to `most` bytes behind the first `held` of the lent buffer; `None`: there is nothing to read.
    fn read(
        &mut self,
        held: usize,
        most: usize,
        cx: &mut Context<St>,
    ) -> io::Result<Option<usize>> {
        let end = held.saturating_add(most).min(cx.input.len());
        let buf = cx.input.get_mut(held..end).unwrap_or_default();
        let Some(mut stream) = self.stream.as_ref() else { return Ok(None) };
        let read = nonblocking(|| stream.read(buf))?;
        match read {
            None => self.readable = false,
            Some(n) if n < buf.len() && SHORT_READ_IS_LAST && !self.urgent => {
                self.readable = self.read_closed;
                // The end came behind all that was there to be read.
                self.ended |= self.read_closed && !self.broken;
            }
            Some(_) => {}
        }
        Ok(read)
    }

    /// Steps with the first `len` bytes of the lent buffer, or with an answer and what is held, and writes what was put.
    fn step(
        &mut self,
        len: usize,
        answer: Option<Answer<'_>>,
        cx: &mut Context<St>,
        observer: Observed<'_>,
    ) {
        let len = if answer.is_some() { self.lend_held(cx) } else { len };
        let room = cx.room(S::ROOM).min(cx.output.len());
        let input = cx.input.get(..len).unwrap_or_default();
        let lent = conversation::Lent {
            input,
            ended: self.ended,
            output: cx.output.get_mut(..room).unwrap_or_default(),
            now: cx.now,
            answer,
        };
        let link = self.link(observer.service);
        let mut host = LinkHost { link: &link, observer: observer.observer };
        let used = self.conversation.step(lent, &mut host);
        self.hold(input.get(used.taken..).unwrap_or_default());
        self.write(used.put, cx);
        if self.pending().is_empty() {
            self.conversation.settle(cx.now);
        }
    }

    /// Writes the first `len` bytes of the lent output, and keeps what the socket does not take.
    fn write(&mut self, len: usize, cx: &mut Context<St>) {
        let output = cx.output.get(..len).unwrap_or_default();
        if output.is_empty() || matches!(self.conversation.want(), Want::Abort(_)) {
            return;
        }
        let Some(mut stream) = self.stream.as_ref() else { return };
        let written = match nonblocking(|| stream.write(output)) {
            Ok(written) => written,
            Err(error) => return self.broke(&error),
        };
        let left = output.get(written.unwrap_or(0)..).unwrap_or_default();
        if !left.is_empty() {
            self.writable = written.is_some() && !SHORT_WRITE_IS_LAST;
            cx.kept += left.len();
            let rest = self.rest();
            (rest.pending, rest.written) = (left.to_vec(), 0);
        }
    }

    /// Writes what is pending.
    fn flush(&mut self, cx: &mut Context<St>) -> Turn {
        if !self.writable {
            return Turn::Park;
        }
        let Some(mut stream) = self.stream.as_ref() else { return Turn::Park };
        let left = self.pending();
        let len = left.len();
        match nonblocking(|| stream.write(left)) {
            Ok(Some(n)) => {
                self.due = false;
                self.conversation.wrote(cx.now);
                if n >= len {
                    self.drop_pending(cx);
                } else {
                    self.rest().written += n;
                }
                Turn::More
            }
            Ok(None) => {
                self.writable = false;
                Turn::Park
            }
            Err(error) => {
                self.broke(&error);
                Turn::More
            }
        }
    }

    fn drop_pending(&mut self, cx: &mut Context<St>) {
        if let Some(rest) = &mut self.rest {
            cx.kept -= rest.pending.len();
            (rest.pending, rest.written) = (Vec::new(), 0);
            self.tidy();
        }
    }
}

/// Whether the kernel still has something for the peer.
fn owes(stream: Option<&TcpStream>) -> bool {
    stream.is_some_and(|stream| unacknowledged(stream.as_fd()).is_some_and(|len| len > 0))
}

/// Does `io` unless it would block, again when a signal came between.
fn nonblocking(mut io: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match io() {
            Ok(n) => return Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use anywire_core::service::echo;

    use super::*;
    use crate::folder::FolderStore;

    /// There may be tens of thousands.
    #[test]
    fn a_connection_that_waits_is_small() {
        let size = size_of::<Connection<echo::Session, FolderStore>>();
        // 4 bytes, and more where mio looks for bugs.
        assert!(size - size_of::<Option<TcpStream>>() <= 156, "{size}");
    }

    #[test]
    fn both_ends_are_what_they_were() {
        for (local, peer) in [
            ("127.0.0.1:7", "10.1.2.3:65535"),
            ("[::1]:7", "[fe80::1%3]:9"),
            ("[::ffff:127.0.0.1]:7", "[::ffff:127.0.0.2]:8"),
        ] {
            let ends = (local.parse().unwrap(), peer.parse().unwrap());
            assert_eq!(Ends::new(ends.0, ends.1).both(), ends);
        }
    }
}
