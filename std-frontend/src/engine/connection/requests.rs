//! What takes long: requests, and bodies on their way between the socket and a file.

use std::io;
use std::os::fd::AsFd;

use anywire_core::name::FileName;
use anywire_core::request::{Answer, Refusal, Request, Stop};
use anywire_core::session::Session;
use anywire_core::store::{Store, carry_out};

use super::{Connection, Context, SHORT, Turn};
use crate::engine::jobs::{self, Asker};
use crate::engine::poll::Key;
use crate::engine::transfer::{HostFile, Sent};
use crate::engine::{LinkHost, Observer};

impl<S, F> Connection<S, F>
where
    S: Session,
    F: HostFile,
{
    /// Hands a request to another thread. What is held stays as it is until the answer has come.
    pub(super) fn ask<St>(&mut self, key: Key, cx: &mut Context<St>)
    where
        St: Store<File = F> + Clone + Send + 'static,
    {
        let owned = self.conversation.request(&self.held).map(Owned::from);
        let (mut store, mut file) = (cx.store.clone(), self.file.take());
        self.start(key, cx, move || {
            let answer = match &owned {
                Some(owned) => owned.carry_out(&mut store, &mut file),
                None => Answer::Refused(Refusal::Unsupported),
            };
            (file, jobs::Result::Answer(answer))
        });
    }

    fn start<St>(
        &mut self,
        key: Key,
        cx: &Context<St>,
        job: impl FnOnce() -> (Option<F>, jobs::Result) + Send + 'static,
    ) where
        St: Store<File = F>,
    {
        self.job = true;
        let asker = Asker { key, generation: self.generation };
        cx.jobs.start(asker, job);
    }

    /// Moves a piece of the open file to the socket.
    pub(super) fn send<St>(
        &mut self,
        left: u64,
        key: Key,
        cx: &mut Context<St>,
        observer: &dyn Observer,
    ) -> Turn
    where
        St: Store<File = F>,
    {
        if !self.writable {
            return Turn::Park;
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let Some(file) = &mut self.file else {
            self.conversation.stopped(Stop::Store(Refusal::Unsupported));
            return Turn::More;
        };
        let mut host = LinkHost { link: &self.link, observer };
        match file.send(self.stream.as_fd(), most) {
            Ok(Sent::Bytes(0)) => self.conversation.stopped(Stop::FileShort),
            Ok(Sent::Bytes(n)) => {
                self.due = false;
                self.conversation.moved(n as u64, cx.now, &mut host);
            }
            Ok(Sent::Cold(read_ahead)) => {
                self.start(key, cx, move || {
                    read_ahead();
                    (None, jobs::Result::ReadAhead)
                });
                return Turn::Park;
            }
            Ok(Sent::Unsupported) => {
                let room = cx.room(S::ROOM).min(most);
                let buf = cx.output.get_mut(..room).unwrap_or_default();
                match cx.store.read(file, buf) {
                    Ok(0) => self.conversation.stopped(Stop::FileShort),
                    Ok(n) => {
                        self.due = false;
                        self.conversation.moved(n as u64, cx.now, &mut host);
                        self.write(n, cx);
                    }
                    Err(refusal) => self.conversation.stopped(Stop::Store(refusal)),
                }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Turn::Park;
                }
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::NotConnected
                | io::ErrorKind::TimedOut => self.conversation.reset(),
                _ => {
                    tracing::error!(service = self.link.service, %error, "a file cannot be sent");
                    self.conversation.stopped(Stop::Store(Refusal::Failed));
                }
            },
        }
        Turn::More
    }

    /// Moves a piece of the body from what is held, or else from the socket, into the created file.
    pub(super) fn receive<St>(&mut self, left: Option<u64>, key: Key, cx: &mut Context<St>) -> Turn
    where
        St: Store<File = F> + Clone + Send + 'static,
    {
        let left = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let piece = if self.held.is_empty() {
            if self.ended {
                self.conversation.stopped(Stop::Ended);
                return Turn::More;
            }
            if !self.readable {
                return Turn::Park;
            }
            match self.read(0, left.min(cx.room(SHORT)), cx) {
                Ok(Some(0)) => {
                    self.ended = true;
                    self.conversation.stopped(Stop::Ended);
                    return Turn::More;
                }
                Ok(Some(n)) => cx.input.get(..n).unwrap_or_default().to_vec(),
                Ok(None) => return Turn::Park,
                Err(_) => {
                    self.conversation.reset();
                    return Turn::More;
                }
            }
        } else {
            self.held.drain(..left.min(self.held.len())).collect()
        };
        self.due = false;
        let Some(mut file) = self.file.take() else {
            self.conversation.stopped(Stop::Store(Refusal::Unsupported));
            return Turn::More;
        };
        let mut store = cx.store.clone();
        self.start(key, cx, move || {
            let mut written = 0;
            let refusal = loop {
                match piece.get(written..) {
                    None | Some([]) => break None,
                    Some(left) => match store.write(&mut file, left) {
                        // It is to take some, or say why not.
                        Ok(0) => break Some(Refusal::Failed),
                        Ok(n) => written += n,
                        Err(refusal) => break Some(refusal),
                    },
                }
            };
            (Some(file), jobs::Result::Written(written as u64, refusal))
        });
        Turn::Park
    }
}

/// A request that another thread can carry out.
enum Owned {
    Open(String),
    Create(String),
    Commit,
    Log(Vec<u8>),
    /// A server has no user to ask, and transfers are the loop's.
    Other,
}

impl From<Request<'_>> for Owned {
    fn from(request: Request<'_>) -> Self {
        match request {
            Request::Open { name } => Self::Open(name.as_str().into()),
            Request::Create { name } => Self::Create(name.as_str().into()),
            Request::Commit => Self::Commit,
            Request::Log { line } => Self::Log(line.into()),
            _ => Self::Other,
        }
    }
}

impl Owned {
    fn carry_out<St: Store>(&self, store: &mut St, file: &mut Option<St::File>) -> Answer<'static> {
        let request = match self {
            Self::Open(name) | Self::Create(name) => match FileName::new(name.as_bytes()) {
                Ok(name) if matches!(self, Self::Open(_)) => Request::Open { name },
                Ok(name) => Request::Create { name },
                Err(error) => return Answer::Refused(error.into()),
            },
            Self::Commit => Request::Commit,
            Self::Log(line) => Request::Log { line },
            Self::Other => return Answer::Refused(Refusal::Unsupported),
        };
        carry_out(store, file, request)
    }
}
