//! What a worker lends its connections: they own next to nothing while they wait.

use std::collections::VecDeque;
use std::io;

use anywire_core::conversation::Limits;
use anywire_core::instant::Instant;
use anywire_core::store::{OpenIn, Store, release};
use mio::net::TcpStream;

use super::jobs::{self, Asker, Jobs, Lent};
use super::timers::Timers;
use super::transfer::HostStore;
use super::worker::Key;
use crate::clock;

/// A worker's buffers, for input and for output.
pub(super) const BUFFER: usize = 256 << 10;

/// A worker keeps so much output that peers have not taken yet; beyond that, each connection gets room for
/// [`SHORT`] bytes only.
const SPARE: usize = 32 << 20;

/// The room of a connection when there is none to spare, unless its session needs more.
const SHORT: usize = 4096;

/// What a worker lends its connections.
pub(super) struct Context<St: Store> {
    pub(super) store: St,
    pub(super) limits: Limits,
    pub(super) jobs: Jobs<OpenIn<St>>,
    pub(super) timers: Timers,
    /// Connections that can go on at once, after others have had their turn.
    pub(super) again: VecDeque<Key>,
    pub(super) now: Instant,
    pub(super) input: Box<[u8]>,
    pub(super) output: Box<[u8]>,
    /// Bytes of output that are kept for slow peers.
    pub(super) kept: usize,
    /// Why a connection could not be served after all: the system ran out of something.
    pub(super) shortage: Option<io::Error>,
}

impl<St: HostStore> Context<St> {
    pub(super) fn new(store: St, limits: Limits, jobs: Jobs<OpenIn<St>>) -> Self {
        Self {
            store,
            limits,
            jobs,
            timers: Timers::new(),
            again: VecDeque::new(),
            now: clock::now(),
            input: vec![0; BUFFER].into(),
            output: vec![0; BUFFER].into(),
            kept: 0,
            shortage: None,
        }
    }

    /// Gives back the open file of a connection that is over. Removing a large one takes the system long, so another thread does it. It
    /// has the socket meanwhile: when the peer sees the end, the file is gone.
    pub(super) fn release(&self, asker: Asker, file: OpenIn<St>, stream: Option<TcpStream>) {
        let mut store = self.store.clone();
        let lent = Lent { file: Some(file), stream };
        self.jobs.start(asker, lent, move |lent| {
            release(&mut store, &mut lent.file);
            jobs::Result::Released
        });
    }

    /// How much a connection may put in one step.
    pub(super) fn room(&self, least: usize) -> usize {
        if self.kept + BUFFER <= SPARE { BUFFER } else { SHORT.max(least) }
    }
}
