//! All connections of one service on one worker: one dynamic call an event, everything static behind it.

use std::sync::Arc;

use anywire_core::event::Event;
use anywire_core::service::StreamService;
use anywire_core::session::{Reason, Session};
use anywire_core::store::{OpenIn, Store};
use mio::Registry;
use mio::net::TcpStream;
use slab::Slab;

use super::connection::{Connection, Observed};
use crate::engine::connections::{Connections, Readiness, Unserved};
use crate::engine::context::{BUFFER, Context};
use crate::engine::jobs::Done;
use crate::engine::transfer::HostStore;
use crate::engine::worker::Key;
use crate::engine::{Link, Observer};
use crate::os;

/// So many connections have address space from the beginning, and memory when they come: the allocator then maps it, and moves none of
/// it as it grows.
const FIRST: usize = 1024;

pub(in crate::engine) struct Table<S: StreamService, St: Store> {
    service: S,
    observer: Arc<dyn Observer>,
    connections: Slab<Connection<S::Session, St>>,
    /// Which connection this is: a slot is used again, a generation after 2^32 others only.
    generation: u32,
}

impl<S: StreamService, St: Store> Table<S, St> {
    const BUFFERS_SUFFICE: () = assert!(
        <S::Session as Session>::HOLD <= BUFFER && <S::Session as Session>::ROOM <= BUFFER,
        "the session needs larger buffers than this engine lends"
    );

    pub(in crate::engine) fn new(service: S, observer: Arc<dyn Observer>) -> Self {
        let () = Self::BUFFERS_SUFFICE;
        Self { service, observer, connections: Slab::with_capacity(FIRST), generation: 0 }
    }
}

impl<S, St> Table<S, St>
where
    S: StreamService,
    St: HostStore,
{
    /// Lets a connection go on, after `change`.
    fn drive(
        &mut self,
        key: Key,
        cx: &mut Context<St>,
        change: impl FnOnce(&mut Connection<S::Session, St>, &mut Context<St>),
    ) -> usize {
        let Some(connection) = self.connections.get_mut(key.slot()) else { return 0 };
        let observed = Observed { service: S::ABOUT.name, observer: &*self.observer };
        change(connection, cx);
        if connection.drive(key, cx, observed) || connection.awaits_socket() {
            return 0;
        }
        self.connections.remove(key.slot());
        1
    }

    fn all(
        &mut self,
        table: u8,
        cx: &mut Context<St>,
        change: impl Fn(&mut Connection<S::Session, St>),
    ) -> usize {
        let keys: Vec<_> = self.connections.iter().map(|(slot, _)| Key::new(table, slot)).collect();
        keys.into_iter().map(|key| self.drive(key, cx, |connection, _| change(connection))).sum()
    }
}

impl<S, St> Connections<St> for Table<S, St>
where
    S: StreamService + Send,
    S::Session: Send,
    St: HostStore,
{
    fn name(&self) -> &'static str {
        S::ABOUT.name
    }

    fn accept(
        &mut self,
        stream: TcpStream,
        link: Link,
        table: u8,
        registry: &Registry,
        cx: &mut Context<St>,
    ) -> Result<usize, Unserved> {
        self.generation = self.generation.wrapping_add(1);
        let session = self.service.open();
        let connection = Connection::new(session, stream, &link, self.generation, cx.now);
        let slot = self.connections.insert(connection);
        let key = Key::new(table, slot);
        self.observer.observe(&link, Event::Connected);
        let mut registered = Ok(());
        let ended = self.drive(key, cx, |connection, _| {
            // All, once: the events tell of changes only, so interest need not follow what is wanted.
            if let Some(stream) = connection.stream() {
                registered = registry.register(stream, key.token(), os::ALL);
            }
            if registered.is_err() {
                connection.conversation().abort(Reason::Failed);
            }
        });
        if let Err(error) = registered {
            tracing::error!(%error, "a connection cannot be registered");
        }
        Ok(ended)
    }

    fn event(&mut self, key: Key, ready: Readiness, cx: &mut Context<St>) -> usize {
        match self.connections.get_mut(key.slot()) {
            Some(connection) if connection.is_queued() => {
                connection.ready(ready);
                0
            }
            _ => self.drive(key, cx, |connection, _| connection.ready(ready)),
        }
    }

    fn again(&mut self, key: Key, cx: &mut Context<St>) -> usize {
        self.drive(key, cx, |connection, _| connection.dequeued())
    }

    fn timed_out(&mut self, key: Key, cx: &mut Context<St>) -> usize {
        self.drive(key, cx, |connection, cx| connection.timed_out(cx))
    }

    fn done(&mut self, done: Done<OpenIn<St>>, cx: &mut Context<St>) -> usize {
        let asker = done.asker;
        let observer = Arc::clone(&self.observer);
        let observed = Observed { service: S::ABOUT.name, observer: &*observer };
        let connection = self
            .connections
            .get_mut(asker.key.slot())
            .filter(|connection| connection.generation == asker.generation);
        match connection {
            None => {
                // It is gone: the answer is dropped, and the file given back.
                if let Some(file) = done.lent.file {
                    cx.release(asker, file, None);
                }
                return 0;
            }
            Some(connection) if connection.awaits_socket() => {
                if !connection.closed(done, cx, observed) {
                    return 0;
                }
                self.connections.remove(asker.key.slot());
                return 1;
            }
            Some(_) => {}
        }
        self.drive(asker.key, cx, |connection, cx| connection.done(done, cx, observed))
    }

    fn retire(&mut self, table: u8, cx: &mut Context<St>) -> usize {
        let now = cx.now;
        self.all(table, cx, |connection| connection.conversation().retire(now))
    }

    fn abort(&mut self, table: u8, cx: &mut Context<St>) -> usize {
        self.all(table, cx, |connection| connection.conversation().abort(Reason::Stopped))
    }
}
