//! How a connection ends: what the peer still sends is read, the file is given back, and only then is the socket closed.

use anywire_core::conversation::Want;
use anywire_core::session::Session;
use anywire_core::store::{OpenFile, OpenIn, release};
use mio::net::TcpStream;
use socket2::SockRef;

use super::{Connection, Observed, Turn};
use crate::engine::context::Context;
use crate::engine::jobs::{Asker, Done, Lent};
use crate::engine::transfer::{HostReader, HostStore};
use crate::engine::worker::Key;
use crate::shim::reset_on_close;

impl<S: Session, St: HostStore> Connection<S, St> {
    /// Reads and discards.
    pub(super) fn drain(&mut self, cx: &mut Context<St>) -> Turn {
        self.hold(&[]);
        if !self.readable {
            return Turn::Park;
        }
        match self.read(0, usize::MAX, cx) {
            Ok(Some(0)) => self.conversation.peer_ended(),
            Ok(Some(n)) => self.conversation.discarded(n as u64, &cx.limits),
            Ok(None) => return Turn::Park,
            Err(_) => self.conversation.reset(),
        }
        Turn::More
    }

    /// Lets go of everything, and says how it ended.
    pub(super) fn close(&mut self, key: Key, cx: &mut Context<St>, observer: Observed<'_>) {
        self.reset_unless_ended(self.stream.as_ref());
        self.over = true;
        cx.timers.remove(key);
        self.drop_pending(cx);
        let slow = match self.file() {
            Some(OpenFile::Writing(_)) => true,
            Some(OpenFile::Reading(file)) => file.is_slow_to_close(),
            None => false,
        };
        if slow && let Some(file) = self.take_file() {
            let asker = Asker { key, generation: self.generation };
            return cx.release(asker, file, self.stream.take());
        }
        release(&mut cx.store, &mut self.take_file());
        self.tell_end(observer);
    }

    /// Another thread has brought back what it had, after the connection was over. Says whether that was all.
    pub(in crate::engine) fn closed(
        &mut self,
        done: Done<OpenIn<St>>,
        cx: &Context<St>,
        observer: Observed<'_>,
    ) -> bool {
        let Lent { file, stream } = done.lent;
        self.reset_unless_ended(stream.as_ref());
        if let Some(file) = file {
            cx.release(done.asker, file, stream);
            return false;
        }
        drop(stream);
        self.tell_end(observer);
        true
    }

    fn reset_unless_ended(&self, stream: Option<&TcpStream>) {
        let aborted = matches!(self.conversation.want(), Want::Abort(_));
        if let Some(stream) = stream
            && (aborted || self.conversation.is_broken())
        {
            reset_on_close(SockRef::from(stream), true);
        }
    }

    /// Tells how it ended, once.
    fn tell_end(&mut self, observer: Observed<'_>) {
        if let Some(ended) = self.conversation.ended()
            && !std::mem::replace(&mut self.told, true)
        {
            observer.observer.observe(&self.link(observer.service), ended);
        }
    }
}
