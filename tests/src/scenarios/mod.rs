//! The scenarios, a file for each service.

mod date;
mod echo;
mod echo_datagrams;
pub(crate) mod edges;
mod file;
mod fixed;
mod greet;
mod guess;
mod hello;
mod knock;
mod logdate;
mod message;
mod messages;
mod typed;
mod upload;

use std::time::Duration;

use anywire_core::conversation::Limits;

use crate::network::Setup;
use crate::world::World;

pub use edges::{Edge, Stage};

/// A conversation with a service, written once.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Which service.
    pub service: &'static str,
    /// What is shown: a phrase.
    pub name: &'static str,
    /// What of the service is set, and to what.
    pub settings: &'static [(&'static str, &'static str)],
    /// What the server puts up with.
    pub limits: Limits,
    /// Whether the server's store keeps a log.
    pub log: bool,
    /// Whether it is over datagrams.
    pub datagrams: bool,
    /// Whether it can be held on a wire that loses frames.
    pub lossy: Applies,
    /// What of every service's edges it tries.
    pub edges: &'static [Edge],
    /// The peer's part. It panics where the server's is wrong.
    pub run: fn(&mut World<'_>),
}

/// Whether a scenario can be held on a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// It holds.
    Fully,
    /// It holds if nothing is cut: why.
    Whole(&'static str),
    /// It has no meaning there: why.
    No(&'static str),
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    [
        echo::SCENARIOS,
        echo_datagrams::SCENARIOS,
        hello::SCENARIOS,
        message::SCENARIOS,
        fixed::SCENARIOS,
        knock::SCENARIOS,
        file::SCENARIOS,
        upload::SCENARIOS,
        typed::SCENARIOS,
        date::SCENARIOS,
        logdate::SCENARIOS,
        guess::SCENARIOS,
        greet::SCENARIOS,
    ]
    .concat()
}

impl Scenario {
    /// The service's name, and what it is over where it is over both.
    pub fn label(&self) -> String {
        match (self.service, self.datagrams) {
            ("echo", true) => "echo over UDP".into(),
            (service, _) => service.into(),
        }
    }

    /// What a server is to be started with; a wire that loses frames draws them from `seed`.
    pub const fn setup(&self, seed: u64) -> Setup {
        let Self { service, settings, limits, log, datagrams, .. } = *self;
        Setup { service, settings, limits, log, datagrams, seed }
    }

    /// The same, as that which tries these edges.
    const fn tries(self, edges: &'static [Edge]) -> Self {
        Self { edges, ..self }
    }

    /// The same, of the service over datagrams.
    const fn over_datagrams(self) -> Self {
        Self { datagrams: true, ..self }
    }

    /// The same, of a service with those settings.
    const fn with(self, settings: &'static [(&'static str, &'static str)]) -> Self {
        Self { settings, ..self }
    }

    /// The same, and what becomes of it where frames get lost.
    const fn lossy(self, lossy: Applies) -> Self {
        Self { lossy, ..self }
    }

    /// The same, over a store that keeps no log.
    const fn without_log(self) -> Self {
        Self { log: false, ..self }
    }
}

/// Both sides send and neither reads, for a while.
const BOTH_FULL: Applies = Applies::No(
    "smoltcp may send a segment again that is larger than the window: when both windows are closed, each then waits for the other until a limit ends it",
);

/// Limits no scenario meets by accident.
const PATIENT: Limits = limits(30_000);

/// Limits that a scenario waits for, in milliseconds: long enough for a busy machine to be in time, where time is real.
const fn limits(idle: u64) -> Limits {
    Limits {
        idle: Some(Duration::from_millis(idle)),
        head: Some(Duration::from_millis(idle)),
        answer: None,
        drain: Duration::from_secs(2),
        drain_len: 1 << 20,
    }
}

const SHORT: Limits = limits(1000);

/// A scenario of a service, with limits that it does not meet.
const fn scenario(service: &'static str, name: &'static str, run: fn(&mut World<'_>)) -> Scenario {
    Scenario {
        service,
        name,
        settings: &[],
        limits: PATIENT,
        log: true,
        datagrams: false,
        lossy: Applies::Fully,
        edges: &[],
        run,
    }
}

/// A scenario that waits for a limit.
const fn limited(service: &'static str, name: &'static str, run: fn(&mut World<'_>)) -> Scenario {
    Scenario { limits: SHORT, ..scenario(service, name, run) }
}

/// Nobody says anything: the connection is ended in good order.
fn never_writes(world: &mut World<'_>) {
    let stream = world.open();
    world.goes_idle(stream, &[]);
}
