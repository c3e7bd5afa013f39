//! The scenarios, a file for each service.

mod date;
mod echo;
mod file;
mod fixed;
mod greet;
mod hello;
mod knock;
mod logdate;
mod message;
mod messages;
mod typed;
mod upload;

use std::time::Duration;

use anywire_core::conversation::Limits;

use crate::world::World;

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
    /// Whether it can be held on a wire that loses frames.
    pub lossy: Lossy,
    /// The peer's part. It panics where the server's is wrong.
    pub run: fn(&mut World<'_>),
}

/// What becomes of a scenario where frames get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lossy {
    /// It holds there too.
    Holds,
    /// It holds if nothing is cut: why.
    Whole(&'static str),
    /// It does not apply: why.
    No(&'static str),
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    [
        echo::SCENARIOS,
        hello::SCENARIOS,
        message::SCENARIOS,
        fixed::SCENARIOS,
        knock::SCENARIOS,
        file::SCENARIOS,
        upload::SCENARIOS,
        typed::SCENARIOS,
        date::SCENARIOS,
        logdate::SCENARIOS,
        greet::SCENARIOS,
    ]
    .concat()
}

impl Scenario {
    /// The same, of a service with those settings.
    const fn with(self, settings: &'static [(&'static str, &'static str)]) -> Self {
        Self { settings, ..self }
    }

    /// The same, and what becomes of it where frames get lost.
    const fn lossy(self, lossy: Lossy) -> Self {
        Self { lossy, ..self }
    }

    /// The same, over a store that keeps no log.
    const fn without_log(self) -> Self {
        Self { log: false, ..self }
    }
}

/// Both sides send and neither reads, for a while.
const BOTH_FULL: Lossy = Lossy::No(
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
    Scenario { service, name, settings: &[], limits: PATIENT, log: true, lossy: Lossy::Holds, run }
}

/// A scenario that waits for a limit.
const fn limited(service: &'static str, name: &'static str, run: fn(&mut World<'_>)) -> Scenario {
    Scenario { service, name, settings: &[], limits: SHORT, log: true, lossy: Lossy::Holds, run }
}

/// Nobody says anything: the connection is ended in good order.
fn never_writes(world: &mut World<'_>) {
    let stream = world.open();
    world.goes_idle(stream, &[]);
}
