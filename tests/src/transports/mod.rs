//! The transports, a file each.

mod children;
mod engines;
mod linux;
mod memory;
mod sim;
mod store;
mod tap;

use anywire_core::checked::Checked;
use anywire_core::datagram::DatagramService;
use anywire_core::service::{About, Setting, SettingError, StreamService, Visitor, catalog};

use crate::network::{Network, Setup};
pub use tap::PROBLEM as TAP_PROBLEM;

/// A kind of wire with a server on it.
#[derive(Clone, Copy)]
pub struct Transport {
    /// Its column in the matrix.
    pub name: &'static str,
    /// The frontend it shows.
    pub frontend: Frontend,
    /// Why it cannot be had here, if it cannot.
    pub missing: fn() -> Option<String>,
    /// Whether it can have such a server; what it cannot is not run on it.
    pub can: fn(&Setup) -> bool,
    /// Whether it loses frames: it is then tried with many seeds.
    pub lossy: bool,
    /// Starts a server, lets a peer do what it likes, and stops the server.
    pub with: fn(Setup, Peer<'_>) -> anyhow::Result<()>,
}

/// What a peer does on a network.
pub type Peer<'p> = &'p mut (dyn FnMut(&mut dyn Network) + Send);

/// Which part of the house a transport shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// The core alone.
    Core,
    /// The system's sockets.
    Std,
    /// smoltcp.
    Smoltcp,
}

/// All of them, in the order of the matrix.
pub fn all() -> Vec<Transport> {
    let clean = [
        memory::TRANSPORT,
        engines::POLL,
        engines::THREADS,
        children::PROCESSES,
        children::STDIO,
        sim::TRANSPORT,
        tap::SERVER,
        tap::CLIENT,
    ];
    [&clean[..], &sim::LOSSY].concat()
}

const fn never_missing() -> Option<String> {
    None
}

const fn always(_: &Setup) -> bool {
    true
}

/// A service whose sessions are watched: a breach of the contract, by a session or its driver, is an abort that no
/// scenario expects.
#[derive(Clone, Copy)]
struct Watched<S>(S);

impl<S: StreamService> StreamService for Watched<S> {
    type Session = Checked<S::Session>;
    const ABOUT: About = S::ABOUT;
    const FILES: bool = S::FILES;
    const LOG: bool = S::LOG;
    const SETTINGS: &'static [Setting] = S::SETTINGS;

    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        self.0.set(name, value)
    }

    fn open(&self) -> Self::Session {
        Checked::new(self.0.open())
    }
}

/// Does something with a service of the catalog, set as it is to be.
trait WithService {
    fn with<S: StreamService + Send + 'static>(&mut self, service: S);
}

fn with_service(setup: Setup, what: &mut impl WithService) {
    struct Named<'a, W>(Setup, &'a mut W);

    impl<W: WithService> Visitor for Named<'_, W> {
        fn stream<S: StreamService + Send + 'static>(&mut self, service: S) {
            if S::ABOUT.name == self.0.service {
                let mut service = Watched(service);
                for (name, value) in self.0.settings {
                    service.set(name, value).expect("the service has such a setting");
                }
                self.1.with(service);
            }
        }

        fn datagram<D: DatagramService + Send + 'static>(&mut self, _: D) {}
    }

    catalog(&mut Named(setup, what));
}
