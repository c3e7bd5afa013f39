//! What a server does, in numbers that Prometheus scrapes.
//!
//! [`Metrics`] counts, in atomics and nothing else, so that no loop ever waits for another or for a scrape. It is fed in two ways:
//!
//! - as an [`Observer`], by the events of every link: who came, how it ended, files, refusals, datagrams, and the bytes of bodies, which no
//!   session sees;
//! - by [`Metered`], which wraps a service and is one itself, and so works under every engine: the bytes that its sessions take and put, and
//!   how long each of their steps takes. Without metrics it costs a branch.
//!
//! What a conversation has taken and put in all is what [`Event::Ended`] tells; here it is counted as it goes, so conversations that are
//! still open are in it. There is one row for each service, and its labels are our own words: what the network sends decides no name, no
//! label and no memory.
//!
//! With the engine `processes` the children tell their parent, through the socket that they have to it, what happens, so who came and how it
//! ended is counted; and, a few times a second and before they end, what [`Metered`] has counted in them: the parent's numbers are those
//! of all. A child that is killed does not tell its last tenth of a second.
//!
//! [`Endpoint`] is where they are scraped.

mod endpoint;
mod metered;
mod process;
mod text;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use anywire_core::event::Event;

use crate::engine::{Link, Observer};
use crate::labels::{self, ENDS, REFUSALS};

pub use endpoint::Endpoint;
pub use metered::{Metered, StepCounts, Steps};

/// The numbers of one server, in one process.
pub struct Metrics {
    begun: SystemTime,
    rows: Vec<Row>,
    accept_errors: Count,
    /// Lines of the log that nobody read in time.
    lost: Box<dyn Fn() -> usize + Send + Sync>,
}

/// What is counted of a service, besides the bytes of its streams and its steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kind {
    /// It has conversations.
    pub streams: bool,
    /// It answers datagrams.
    pub datagrams: bool,
    /// Its visitors ask for files.
    pub files: bool,
    /// Its visitors ask for a log.
    pub log: bool,
}

/// A number that only grows.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// One service.
#[derive(Debug)]
struct Row {
    service: &'static str,
    kind: Kind,
    connections: Count,
    /// One for each of [`ways`].
    ended: Vec<Count>,
    /// One for each of [`REFUSALS`].
    refused: Vec<Count>,
    stored: Count,
    datagrams: Count,
    steps: Steps,
}

/// Every way to end with each of its reasons.
fn ways() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    ENDS.iter().flat_map(|(end, reasons)| {
        let bare = reasons.is_empty().then_some((*end, None));
        bare.into_iter().chain(reasons.iter().map(|reason| (*end, Some(*reason))))
    })
}

impl Metrics {
    /// Nothing has happened yet on these services. `lost` says how many lines of the log were lost.
    pub fn new(
        services: impl IntoIterator<Item = (&'static str, Kind)>,
        lost: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        let counts = |n| std::iter::repeat_with(Count::default).take(n).collect::<Vec<_>>();
        let mut rows: Vec<Row> = Vec::new();
        for (service, kind) in services {
            // One that is served in two places is one.
            if rows.iter().all(|row| row.service != service) {
                let (ended, refused) = (counts(ways().count()), counts(REFUSALS.len()));
                let [connections, stored, datagrams] = Default::default();
                let steps = Steps::default();
                rows.push(Row {
                    service,
                    kind,
                    connections,
                    ended,
                    refused,
                    stored,
                    datagrams,
                    steps,
                });
            }
        }
        let (begun, accept_errors) = (SystemTime::now(), Count::default());
        Self { begun, rows, accept_errors, lost: Box::new(lost) }
    }

    /// Where the steps of a service are counted: see [`Metered`].
    pub fn steps(&self, service: &str) -> Option<&Steps> {
        self.row(service).map(|row| &row.steps)
    }

    fn row(&self, service: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.service == service)
    }
}

impl Observer for Metrics {
    fn observe(&self, link: &Link, event: Event<'_>) {
        if matches!(event, Event::Data { .. } | Event::Message { .. }) {
            return;
        }
        let Some(row) = self.row(link.service) else { return };
        match event {
            Event::Connected => row.connections.add(1),
            Event::Moving { sending: true, len, .. } => row.steps.moved(0, len),
            Event::Moving { sending: false, len, .. } => row.steps.moved(len, 0),
            Event::Answered { received, sent } => {
                row.datagrams.add(1);
                row.steps.moved(received, sent);
            }
            Event::Stored { .. } => row.stored.add(1),
            Event::Refused { why, .. } => {
                let at = REFUSALS.iter().position(|label| *label == labels::refusal(why));
                at.and_then(|at| row.refused.get(at)).into_iter().for_each(|count| count.add(1));
            }
            Event::Ended { end, .. } => {
                let at = ways().position(|way| way == labels::end(end));
                at.and_then(|at| row.ended.get(at)).into_iter().for_each(|count| count.add(1));
            }
            _ => {}
        }
    }

    fn stepped(&self, link: &Link, counts: &StepCounts) {
        if let Some(row) = self.row(link.service) {
            row.steps.add(counts);
        }
    }

    fn not_accepted(&self, _: &io::Error) {
        self.accept_errors.add(1);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("rows", &self.rows).finish_non_exhaustive()
    }
}
