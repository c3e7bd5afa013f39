//! What takes long: requests, and bodies on their way between the socket and a file.

use std::io;
use std::net::SocketAddr;

use anywire_core::name::FileName;
use anywire_core::request::{Answer, Refusal, Request, Stop};
use anywire_core::session::{Breach, Reason, Session};
use anywire_core::store::{OpenFile, OpenIn, Store, carry_out};

use super::{Connection, Observed, Turn};
use crate::engine::LinkHost;
use crate::engine::context::Context;
use crate::engine::jobs::{self, Asker, Lent};
use crate::engine::transfer::{HostReader, HostStore, Sent, receive};
use crate::engine::worker::Key;
use crate::os::AsFd as _;
use crate::shim::has_vanished;

impl<S: Session, St: HostStore> Connection<S, St> {
    /// Hands a request to another thread, unless it can be carried out without waiting. What is held stays as it is until the answer has
    /// come.
    pub(super) fn ask(&mut self, key: Key, cx: &mut Context<St>, observer: Observed<'_>) -> Turn {
        let request = self.conversation.request(self.held());
        if let (Some(Request::Open { name }), None) =
            (&request, self.rest.as_ref().and_then(|rest| rest.file.as_ref()))
            && let Some((file, len)) = cx.store.open_at_once(*name)
        {
            self.rest().file = Some(OpenFile::Reading(file));
            self.step(0, Some(Answer::Opened { len }), cx, observer);
            return Turn::More;
        }
        let owned = request.map(Owned::from);
        let (mut store, peer) = (cx.store.clone(), self.ends.both().1);
        let lent = Lent { file: self.take_file(), stream: None };
        self.start(key, cx, lent, move |lent| {
            jobs::Result::Answer(match &owned {
                Some(owned) => owned.carry_out(&mut store, &mut lent.file, peer),
                None => Answer::Refused(Refusal::Unsupported),
            })
        });
        Turn::Park
    }

    fn start(
        &mut self,
        key: Key,
        cx: &Context<St>,
        lent: Lent<OpenIn<St>>,
        job: impl FnOnce(&mut Lent<OpenIn<St>>) -> jobs::Result + Send + 'static,
    ) {
        self.job = true;
        let asker = Asker { key, generation: self.generation };
        cx.jobs.start(asker, lent, job);
    }

    /// Moves a piece of the open file to the socket.
    pub(super) fn send(
        &mut self,
        left: u64,
        key: Key,
        cx: &mut Context<St>,
        observer: Observed<'_>,
    ) -> Turn {
        if !self.writable {
            return Turn::Park;
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let link = self.link(observer.service);
        let file = self.rest.as_mut().and_then(|rest| rest.file.as_mut());
        let (Some(OpenFile::Reading(file)), Some(stream)) = (file, &self.stream) else {
            self.conversation.abort(Reason::Broken(Breach::NoFile));
            return Turn::More;
        };
        let mut host = LinkHost { link: &link, observer: observer.observer };
        match file.send(stream.as_fd(), most) {
            Ok(Sent::Bytes(0)) => self.conversation.stopped(Stop::FileShort),
            Ok(Sent::Bytes(n)) => {
                self.due = false;
                self.conversation.moved(n as u64, cx.now, &mut host);
            }
            Ok(Sent::Cold(read_ahead)) => {
                self.start(key, cx, Lent { file: None, stream: None }, move |_| {
                    read_ahead();
                    jobs::Result::ReadAhead
                });
                return Turn::Park;
            }
            Ok(Sent::Unsupported) => {
                let room = cx.room(S::ROOM).min(most);
                let mut store = cx.store.clone();
                let lent = Lent { file: self.take_file(), stream: None };
                self.start(key, cx, lent, move |lent| {
                    let Some(OpenFile::Reading(file)) = &mut lent.file else {
                        return jobs::Result::Panicked;
                    };
                    let mut bytes = vec![0; room];
                    jobs::Result::Read(store.read(file, &mut bytes).map(|n| {
                        bytes.truncate(n);
                        bytes
                    }))
                });
                return Turn::Park;
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Turn::Park;
                }
                io::ErrorKind::Interrupted => {}
                _ if has_vanished(&error) => self.conversation.vanished(),
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::NotConnected => self.conversation.reset(),
                _ => {
                    tracing::error!(service = observer.service, %error, "a file cannot be sent");
                    self.conversation.stopped(Stop::Store(Refusal::Failed));
                }
            },
        }
        Turn::More
    }

    /// Lets another thread move what there is of a body into the created file: what is held first, then from the socket, which
    /// is that thread's meanwhile.
    pub(super) fn receive(&mut self, left: Option<u64>, key: Key, cx: &mut Context<St>) -> Turn {
        if self.held().is_empty() {
            if self.ended {
                self.conversation.stopped(Stop::Ended);
                return Turn::More;
            }
            if !self.readable {
                return Turn::Park;
            }
        }
        if !matches!(self.file(), Some(OpenFile::Writing(_))) {
            self.conversation.abort(Reason::Broken(Breach::NoFile));
            return Turn::More;
        }
        let left = left.unwrap_or(u64::MAX);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.held().len());
        let held = self.held().get(..most).unwrap_or_default().to_vec();
        let rest = self.held().get(most..).unwrap_or_default().to_vec();
        self.hold(&rest);
        // An event that comes from now on may tell of more than the other thread has seen.
        self.readable = false;
        let (mut store, ended) = (cx.store.clone(), self.ended);
        let lent = Lent { file: self.take_file(), stream: self.stream.take() };
        self.start(key, cx, lent, move |lent| {
            let (Some(OpenFile::Writing(file)), Some(stream)) = (&mut lent.file, &lent.stream)
            else {
                return jobs::Result::Panicked;
            };
            // Behind the end there is nothing to read.
            let most = if ended { held.len() as u64 } else { left };
            jobs::Result::Received(receive(&mut store, file, &held, stream, most))
        });
        Turn::Park
    }
}

/// A request that another thread can carry out.
enum Owned {
    Open(String),
    Create(String, bool),
    Expect(u64),
    Commit,
    Log {
        time: Vec<u8>,
        text: Vec<u8>,
    },
    /// A server has no user to ask, and transfers are the loop's.
    Other,
}

impl From<Request<'_>> for Owned {
    fn from(request: Request<'_>) -> Self {
        match request {
            Request::Open { name } => Self::Open(name.as_str().into()),
            Request::Create { name, replace } => Self::Create(name.as_str().into(), replace),
            Request::Expect { len } => Self::Expect(len),
            Request::Commit => Self::Commit,
            Request::Log { time, text } => Self::Log { time: time.into(), text: text.into() },
            _ => Self::Other,
        }
    }
}

impl Owned {
    fn carry_out<St: Store>(
        &self,
        store: &mut St,
        file: &mut Option<OpenIn<St>>,
        peer: SocketAddr,
    ) -> Answer<'static> {
        let request = match self {
            Self::Open(name) => FileName::new(name.as_bytes()).map(|name| Request::Open { name }),
            Self::Create(name, replace) => FileName::new(name.as_bytes())
                .map(|name| Request::Create { name, replace: *replace }),
            Self::Expect(len) => Ok(Request::Expect { len: *len }),
            Self::Commit => Ok(Request::Commit),
            Self::Log { time, text } => Ok(Request::Log { time, text }),
            Self::Other => return Answer::Refused(Refusal::Unsupported),
        };
        match request {
            Ok(request) => carry_out(store, file, Some(peer), request),
            Err(error) => Answer::Refused(error.into()),
        }
    }
}
