//! Two stations on a wire, and the clock.

use core::ops::DerefMut;
use core::time::Duration;

use anywire_core::instant::{Instant, earliest};
use anywire_core::store::{NoStore, Store};
use smoltcp::phy::Device;

use super::wire::{Side, Wire};
use crate::endpoint::Endpoint;
use crate::observer::Observer;
use crate::stack::Stack;

/// A stack and all that it is polled with: what it serves, where files are kept, who is told.
#[derive(Debug)]
pub struct Node<'n, 'a, T, O, P> {
    /// The stack.
    pub stack: Stack<'a>,
    /// What it serves.
    pub endpoints: &'n mut [P],
    /// Where files are kept.
    pub store: T,
    /// Who is told.
    pub observer: O,
}

/// A stack that serves nothing.
pub type Client<'a> = Node<'static, 'a, NoStore, (), &'static mut dyn Endpoint<NoStore>>;

impl<'n, 'a, T, O, P> Node<'n, 'a, T, O, P> {
    /// Puts them together.
    pub fn new(stack: Stack<'a>, endpoints: &'n mut [P], store: T, observer: O) -> Self {
        Self { stack, endpoints, store, observer }
    }
}

impl<'a> Client<'a> {
    /// A stack that serves nothing.
    pub fn client(stack: Stack<'a>) -> Self {
        Self::new(stack, &mut [], NoStore, ())
    }
}

/// What can be on an end of the wire.
pub trait Station {
    /// Receives, acts, sends.
    fn poll<D: Device>(&mut self, now: Instant, device: &mut D);

    /// When it is to be polled though no frame comes.
    fn poll_at(&mut self, now: Instant) -> Option<Instant>;
}

impl<'e, T, O, P> Station for Node<'_, '_, T, O, P>
where
    T: Store + 'e,
    O: Observer,
    P: DerefMut<Target = dyn Endpoint<T> + 'e>,
{
    fn poll<D: Device>(&mut self, now: Instant, device: &mut D) {
        self.stack.poll(|| now, device, self.endpoints, &mut self.store, &mut self.observer);
    }

    fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        self.stack.poll_at(now, self.endpoints)
    }
}

/// Two stations on a wire.
pub struct Net<'w, A, B> {
    /// The one on end A.
    pub a: A,
    /// The one on end B.
    pub b: B,
    /// What is between them.
    pub wire: Wire<'w>,
    now: Instant,
}

/// A station that is never satisfied costs so much time for each of its polls: it cannot stop the clock.
const CREEP: Duration = Duration::from_millis(1);

impl<'w, A: Station, B: Station> Net<'w, A, B> {
    /// Puts them together; the clock stands at 0.
    pub fn new(a: A, b: B, wire: Wire<'w>) -> Self {
        Self { a, b, wire, now: Instant::ZERO }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Polls both once, at this moment.
    pub fn poll(&mut self) {
        self.a.poll(self.now, &mut self.wire.end(Side::A));
        self.b.poll(self.now, &mut self.wire.end(Side::B));
    }

    /// Runs until `done` says so, or until so much virtual time has passed; says whether it was done. `done` is asked whenever
    /// something may have happened, and may do something itself.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.poll();
            if done(self) {
                // What it has done leaves now, as it would have.
                self.poll();
                return true;
            }
            let due = earliest(self.a.poll_at(self.now), self.b.poll_at(self.now));
            let due = earliest(due, self.wire.due());
            match due {
                Some(due) if due <= self.now => {
                    if !self.settle() {
                        if self.now >= end {
                            return false;
                        }
                        self.now = (self.now + CREEP).min(end);
                    }
                }
                _ if self.now >= end => return false,
                due => self.now = due.map_or(end, |due| due.min(end)),
            }
        }
    }

    /// Lets so much virtual time pass.
    pub fn run(&mut self, span: Duration) {
        self.run_until(span, |_| false);
    }

    /// Polls until nothing is due at this moment, or says `false` if something always is.
    fn settle(&mut self) -> bool {
        // Stations that have nothing to say to each other are given this many polls to find out.
        let mut patience = 4;
        while patience > 0 {
            let frames = self.wire.frames();
            self.poll();
            let due = earliest(self.a.poll_at(self.now), self.b.poll_at(self.now));
            if earliest(due, self.wire.due()).is_none_or(|due| due > self.now) {
                return true;
            }
            patience = if self.wire.frames() == frames { patience - 1 } else { 4 };
        }
        false
    }
}
