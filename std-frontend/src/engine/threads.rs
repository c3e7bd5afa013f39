//! `threads`: a thread for each connection, which reads as a lab's server does: receive, answer, receive.
//!
//! A connection costs a thread with a stack of [`STACK`] bytes, and the two buffers of its conversation; of all that only what is used
//! takes up memory. The limit of connections bounds it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anywire_core::service::StreamService;
use mio::Registry;
use mio::net::TcpStream;

use super::connections::{Connections, Readiness, Unserved};
use super::context::Context;
use super::conversing::{Accepted, hold};
use super::orders::Orders;
use super::transfer::HostStore;
use super::worker::Key;
use super::{Link, LinkHost, Observer};
use crate::shim::Stream;

/// The stack of a connection's thread, in bytes.
const STACK: usize = 1 << 20;

/// The connections of one service, each in its thread.
pub(super) struct Threads<S> {
    service: S,
    observer: Arc<dyn Observer>,
    orders: Arc<Orders>,
    ended: Arc<Ended>,
}

impl<S: StreamService> Threads<S> {
    pub(super) fn new(
        service: S,
        observer: Arc<dyn Observer>,
        orders: Arc<Orders>,
        ended: Arc<Ended>,
    ) -> Self {
        Self { service, observer, orders, ended }
    }
}

impl<S, St> Connections<St> for Threads<S>
where
    S: StreamService + Send + 'static,
    St: HostStore,
{
    fn name(&self) -> &'static str {
        S::ABOUT.name
    }

    fn accept(
        &mut self,
        stream: TcpStream,
        link: Link,
        _: u8,
        _: &Registry,
        cx: &mut Context<St>,
    ) -> Result<usize, Unserved> {
        // Where there can be no thread the stream comes back: what was given to it would be gone.
        let stream = Arc::new(Mutex::new(Some(stream)));
        let given = Arc::clone(&stream);
        let (session, mut store, limits) = (self.service.open(), cx.store.clone(), cx.limits);
        let (observer, orders) = (Arc::clone(&self.observer), Arc::clone(&self.orders));
        let ended = Arc::clone(&self.ended);
        let serve = move || {
            // Told last of all, whatever happens.
            let _leaving = Leaving(ended);
            let Some(stream) = take(&given) else { return };
            let stream = Stream::accepted(stream.into(), link.local, link.peer);
            let mut wire = Accepted::new(stream, &orders);
            let mut host = LinkHost { link: &link, observer: &*observer };
            hold(session, &mut wire, &mut store, &mut host, &limits);
        };
        let thread = thread::Builder::new().name(S::ABOUT.name.into()).stack_size(STACK);
        match thread.spawn(serve) {
            Ok(_) => Ok(0),
            Err(error) => match take(&stream) {
                Some(stream) => {
                    let error = io::Error::other(format!("no thread can be had for one: {error}"));
                    Err(Unserved { stream, error })
                }
                None => Ok(1),
            },
        }
    }

    /// Nothing is registered.
    fn event(&mut self, _: Key, _: Readiness, _: &mut Context<St>) -> usize {
        0
    }

    fn retire(&mut self, _: u8, _: &mut Context<St>) -> usize {
        self.orders.retire();
        0
    }

    fn abort(&mut self, _: u8, _: &mut Context<St>) -> usize {
        self.orders.abort();
        0
    }
}

fn take(stream: &Mutex<Option<TcpStream>>) -> Option<TcpStream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// How many of a worker's connections have ended in their threads since it last looked.
pub(super) struct Ended {
    count: AtomicUsize,
    waker: Arc<mio::Waker>,
}

impl Ended {
    pub(super) fn new(waker: Arc<mio::Waker>) -> Self {
        Self { count: AtomicUsize::new(0), waker }
    }

    pub(super) fn take(&self) -> usize {
        self.count.swap(0, Ordering::Acquire)
    }
}

/// Counts a connection as ended when it is dropped.
struct Leaving(Arc<Ended>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.count.fetch_add(1, Ordering::Release);
        // It fails only if the worker is gone.
        let _ = self.0.waker.wake();
    }
}
