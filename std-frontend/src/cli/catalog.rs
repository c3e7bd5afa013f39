//! The core's catalog of services, as the command line needs it: `serve`, `list` and the default run know what it
//! knows, and nothing else.

use std::io;
use std::net::SocketAddr;

use anywire_core::datagram::DatagramService;
use anywire_core::service::{About, Setting, StreamService, Visitor, catalog};

use crate::cli::failure::Failure;
use crate::cli::network::Server;
use crate::cli::settings::Settings;
use crate::engine::Protocol;
use crate::metrics::{Metered, Metrics};

/// One service, and what it runs on.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) about: About,
    pub(super) protocols: Vec<Protocol>,
    /// Whether it needs a folder.
    pub(super) files: bool,
    /// Whether it needs a folder for logs.
    pub(super) log: bool,
    /// What of it can be set.
    pub(super) settings: Vec<Setting>,
}

/// Every service there is.
pub(super) fn services() -> Vec<Listed> {
    struct Collect(Vec<Listed>);

    impl Collect {
        fn add(
            &mut self,
            about: About,
            protocol: Protocol,
            settings: &[Setting],
        ) -> Option<&mut Listed> {
            let at = self.0.iter().position(|listed| listed.about.name == about.name);
            let at = at.unwrap_or_else(|| {
                let (protocols, settings) = (Vec::new(), Vec::new());
                let (files, log) = (false, false);
                self.0.push(Listed { about, protocols, files, log, settings });
                self.0.len() - 1
            });
            let listed = self.0.get_mut(at)?;
            listed.protocols.push(protocol);
            for setting in settings {
                if !listed.settings.contains(setting) {
                    listed.settings.push(*setting);
                }
            }
            Some(listed)
        }
    }

    impl Visitor for Collect {
        fn stream<S: StreamService + Send + 'static>(&mut self, _: S) {
            if let Some(listed) = self.add(S::ABOUT, Protocol::Tcp, S::SETTINGS) {
                (listed.files, listed.log) = (S::FILES, S::LOG);
            }
        }

        fn datagram<D: DatagramService + Send + 'static>(&mut self, _: D) {
            self.add(D::ABOUT, Protocol::Udp, D::SETTINGS);
        }
    }

    let mut collect = Collect(Vec::new());
    catalog(&mut collect);
    collect.0
}

/// Whether the services with these `names` can be set so.
pub(super) fn check(names: &[&str], settings: &Settings) -> Result<(), Failure> {
    struct Check<'a> {
        names: &'a [&'a str],
        settings: &'a Settings,
        wrong: Option<String>,
    }

    impl Visitor for Check<'_> {
        fn stream<S: StreamService + Send + 'static>(&mut self, mut service: S) {
            if self.names.contains(&S::ABOUT.name) {
                let set = self.settings.apply(S::SETTINGS, |name, value| service.set(name, value));
                self.wrong = self.wrong.take().or(set.err());
            }
        }

        fn datagram<D: DatagramService + Send + 'static>(&mut self, mut service: D) {
            if self.names.contains(&D::ABOUT.name) {
                let set = self.settings.apply(D::SETTINGS, |name, value| service.set(name, value));
                self.wrong = self.wrong.take().or(set.err());
            }
        }
    }

    let mut check = Check { names, settings, wrong: None };
    catalog(&mut check);
    check.wrong.map_or(Ok(()), |wrong| Err(Failure::usage(wrong)))
}

/// Binds the service `name`, set as `settings` says, over `protocol` to `addr`; `None`: there is none. What it does is counted in `metrics`.
pub(super) fn bind(
    server: &mut impl Server,
    name: &str,
    settings: &Settings,
    protocol: Protocol,
    addr: SocketAddr,
    metrics: Option<&'static Metrics>,
) -> Option<io::Result<SocketAddr>> {
    struct Bind<'a, S> {
        server: &'a mut S,
        name: &'a str,
        settings: &'a Settings,
        protocol: Protocol,
        addr: SocketAddr,
        metrics: Option<&'static Metrics>,
        done: Option<io::Result<SocketAddr>>,
    }

    impl<Srv> Bind<'_, Srv> {
        fn metered<T>(&self, service: T) -> Metered<T> {
            Metered::new(service, self.metrics.and_then(|metrics| metrics.steps(self.name)))
        }
    }

    impl<Srv: Server> Visitor for Bind<'_, Srv> {
        fn stream<S: StreamService + Send + 'static>(&mut self, mut service: S) {
            if S::ABOUT.name == self.name && self.protocol == Protocol::Tcp {
                let set = self.settings.apply(S::SETTINGS, |name, value| service.set(name, value));
                let service = self.metered(service);
                let bound = |()| self.server.bind_stream(service, self.addr);
                self.done = Some(set.map_err(io::Error::other).and_then(bound));
            }
        }

        fn datagram<D: DatagramService + Send + 'static>(&mut self, mut service: D) {
            if D::ABOUT.name == self.name && self.protocol == Protocol::Udp {
                let set = self.settings.apply(D::SETTINGS, |name, value| service.set(name, value));
                let service = self.metered(service);
                let bound = |()| self.server.bind_datagram(service, self.addr);
                self.done = Some(set.map_err(io::Error::other).and_then(bound));
            }
        }
    }

    let mut bind = Bind { server, name, settings, protocol, addr, metrics, done: None };
    catalog(&mut bind);
    bind.done
}
