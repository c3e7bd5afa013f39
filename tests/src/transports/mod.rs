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
use crate::scenarios::{Applies, Scenario};
use crate::world::Cuts;

/// A kind of wire with a server on it.
#[derive(Clone, Copy)]
pub struct Transport {
    /// Its column in the matrix.
    pub name: &'static str,
    /// What it is: a phrase.
    pub about: &'static str,
    /// The frontend it shows.
    pub frontend: Frontend,
    /// Why it cannot be had here, if it cannot.
    pub missing: fn() -> Option<String>,
    /// Why it cannot have a scenario's server, if it cannot.
    pub lacks: fn(&Scenario) -> Option<&'static str>,
    /// Whether it loses frames: it is then tried with many seeds.
    pub lossy: bool,
    /// How what the peer sends is cut.
    pub cuts: &'static [Cuts],
    /// Starts a server, lets a peer do what it likes, and stops the server.
    pub with: fn(Setup, Peer<'_>) -> anyhow::Result<()>,
}

impl Transport {
    /// One that is always there, has every server, and loses nothing.
    const fn new(
        name: &'static str,
        about: &'static str,
        frontend: Frontend,
        with: fn(Setup, Peer<'_>) -> anyhow::Result<()>,
    ) -> Self {
        Self {
            name,
            about,
            frontend,
            missing: || None,
            lacks: |_| None,
            lossy: false,
            cuts: &Cuts::ALL,
            with,
        }
    }

    /// The same over IPv6, where the bytes of a stream are cut into segments as over IPv4: one way to cut will do.
    const fn ipv6(self) -> Self {
        Self { cuts: &[Cuts::Whole], ..self }
    }

    /// Whether a scenario can be held here.
    pub fn applies(&self, scenario: &Scenario) -> Applies {
        match (self.lacks)(scenario) {
            Some(why) => Applies::No(why),
            None if self.lossy => scenario.lossy,
            None => Applies::Fully,
        }
    }
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
        engines::POLL_IPV6,
        engines::THREADS,
        children::PROCESSES,
        children::STDIO,
        sim::TRANSPORT,
        sim::IPV6,
        tap::SERVER,
        tap::SERVER_IPV6,
        tap::CLIENT,
        tap::CLIENT_IPV6,
    ];
    [&clean[..], &sim::LOSSY].concat()
}

/// What a peer and a server send on a clean simulated wire, as a file that Wireshark and tshark open.
pub fn captured(setup: Setup, ipv6: bool, peer: Peer<'_>) -> anyhow::Result<Vec<u8>> {
    sim::captured(setup, ipv6, peer)
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

    fn with_datagrams<D: DatagramService + Send + 'static>(&mut self, service: D);
}

fn with_service(setup: Setup, what: &mut impl WithService) {
    struct Named<'a, W>(Setup, &'a mut W);

    impl<W: WithService> Visitor for Named<'_, W> {
        fn stream<S: StreamService + Send + 'static>(&mut self, service: S) {
            if S::ABOUT.name == self.0.service && !self.0.datagrams {
                let mut service = Watched(service);
                for (name, value) in self.0.settings {
                    service.set(name, value).expect("the service has such a setting");
                }
                self.1.with(service);
            }
        }

        fn datagram<D: DatagramService + Send + 'static>(&mut self, mut service: D) {
            if D::ABOUT.name == self.0.service && self.0.datagrams {
                for (name, value) in self.0.settings {
                    service.set(name, value).expect("the service has such a setting");
                }
                self.1.with_datagrams(service);
            }
        }
    }

    catalog(&mut Named(setup, what));
}
