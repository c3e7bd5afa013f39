//! What may block, on threads of its own.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anywire_core::request::{Answer, Refusal};
use mio::net::TcpStream;

use super::transfer::Received;

/// Which connection of a worker asked: a late answer for one that is gone finds another generation in its place, or nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) key: super::worker::Key,
    pub(super) generation: u32,
}

/// What came of a job. What it was lent comes back with it.
#[derive(Debug)]
pub(super) struct Done<F> {
    pub(super) asker: Asker,
    pub(super) lent: Lent<F>,
    pub(super) result: Result,
}

/// What a connection lends to a job, which has it for itself meanwhile.
#[derive(Debug)]
pub(super) struct Lent<F> {
    pub(super) file: Option<F>,
    pub(super) stream: Option<TcpStream>,
}

#[derive(Debug)]
pub(super) enum Result {
    /// A request was carried out.
    Answer(Answer<'static>),
    /// What a connection had open was given back.
    Released,
    /// The next bytes have been read ahead.
    ReadAhead,
    /// The next bytes of a file that the system cannot send.
    Read(std::result::Result<Vec<u8>, Refusal>),
    /// Some of a body was moved from the socket into the file.
    Received(Received),
    /// The job panicked: a bug, which must not take the server with it.
    Panicked,
}

/// A worker's jobs, and the way their results come back.
pub(super) struct Jobs<F> {
    /// `None`: there are none, because nothing is asked of them.
    pool: Option<Arc<Pool>>,
    done: Arc<Mutex<Vec<Done<F>>>>,
    /// How many are out.
    out: Cell<usize>,
    waker: Arc<mio::Waker>,
}

/// So often a thread that has done something looks for more before it sleeps: to wake it takes longer.
const LOOKS: usize = 64;

/// The threads, shared by all workers.
pub(super) struct Pool {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<Box<dyn FnOnce() + Send>>,
    over: bool,
}

impl Pool {
    pub(super) fn new(threads: usize) -> io::Result<Self> {
        let pool = Self { queue: Arc::default() };
        for at in 0..threads.max(1) {
            let queue = Arc::clone(&pool.queue);
            let thread = thread::Builder::new().name(format!("files-{at}")).stack_size(256 << 10);
            thread.spawn(move || queue.work())?;
        }
        Ok(pool)
    }

    fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.queue.lock().work.push_back(Box::new(work));
        self.queue.more.notify_one();
    }
}

/// The threads go when they have done what waits.
impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.lock().over = true;
        self.queue.more.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut waiting = self.lock();
        let mut looks = 0;
        loop {
            if let Some(work) = waiting.work.pop_front() {
                drop(waiting);
                work();
                looks = LOOKS;
                waiting = self.lock();
            } else if waiting.over {
                return;
            } else if looks > 0 {
                looks -= 1;
                drop(waiting);
                thread::yield_now();
                waiting = self.lock();
            } else {
                waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl<F: Send + 'static> Jobs<F> {
    pub(super) fn new(pool: Option<Arc<Pool>>, waker: Arc<mio::Waker>) -> Self {
        Self { pool, done: Arc::default(), out: Cell::new(0), waker }
    }

    /// Does `job` on another thread; what came of it is [collected](Self::collect) later.
    pub(super) fn start(
        &self,
        asker: Asker,
        mut lent: Lent<F>,
        job: impl FnOnce(&mut Lent<F>) -> Result + Send + 'static,
    ) {
        self.out.set(self.out.get() + 1);
        let (done, waker) = (Arc::clone(&self.done), Arc::clone(&self.waker));
        let work = move || {
            let result = catch_unwind(AssertUnwindSafe(|| job(&mut lent)));
            let result = Done { asker, lent, result: result.unwrap_or(Result::Panicked) };
            done.lock().unwrap_or_else(PoisonError::into_inner).push(result);
            // It fails only if the worker is gone, and then nobody waits.
            let _ = waker.wake();
        };
        match &self.pool {
            Some(pool) => pool.spawn(work),
            None => work(),
        }
    }

    /// What wakes up the worker.
    pub(super) fn waker(&self) -> Arc<mio::Waker> {
        Arc::clone(&self.waker)
    }

    /// What has been done since the last time.
    pub(super) fn collect(&self) -> Vec<Done<F>> {
        let done = std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner));
        self.out.set(self.out.get() - done.len());
        done
    }

    /// Whether some are not done yet.
    pub(super) fn are_out(&self) -> bool {
        self.out.get() > 0
    }
}
