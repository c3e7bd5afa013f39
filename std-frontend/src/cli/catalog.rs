//! The core's catalog of services, as the command line needs it: `serve`, `list` and the default run know what it
//! knows, and nothing else.

use std::io;
use std::net::SocketAddr;

use anywire_core::datagram::DatagramService;
use anywire_core::service::{About, StreamService, Visitor, catalog};

use crate::cli::network::Server;
use crate::engine::Protocol;

/// One service, and what it runs on.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) about: About,
    pub(super) protocols: Vec<Protocol>,
    /// Whether it needs a folder.
    pub(super) files: bool,
}

/// Every service there is.
pub(super) fn services() -> Vec<Listed> {
    struct Collect(Vec<Listed>);

    impl Collect {
        fn add(&mut self, about: About, protocol: Protocol, files: bool) {
            match self.0.iter_mut().find(|listed| listed.about.name == about.name) {
                Some(listed) => {
                    listed.protocols.push(protocol);
                    listed.files |= files;
                }
                None => self.0.push(Listed { about, protocols: vec![protocol], files }),
            }
        }
    }

    impl Visitor for Collect {
        fn stream<S: StreamService + Send + 'static>(&mut self, _: S) {
            self.add(S::ABOUT, Protocol::Tcp, S::FILES);
        }

        fn datagram<D: DatagramService + Send + 'static>(&mut self, _: D) {
            self.add(D::ABOUT, Protocol::Udp, false);
        }
    }

    let mut collect = Collect(Vec::new());
    catalog(&mut collect);
    collect.0
}

/// Binds the service `name` over `protocol` to `addr`; `None`: there is none.
pub(super) fn bind(
    server: &mut impl Server,
    name: &str,
    protocol: Protocol,
    addr: SocketAddr,
) -> Option<io::Result<SocketAddr>> {
    struct Bind<'a, S> {
        server: &'a mut S,
        name: &'a str,
        protocol: Protocol,
        addr: SocketAddr,
        done: Option<io::Result<SocketAddr>>,
    }

    impl<Srv: Server> Visitor for Bind<'_, Srv> {
        fn stream<S: StreamService + Send + 'static>(&mut self, service: S) {
            if S::ABOUT.name == self.name && self.protocol == Protocol::Tcp {
                self.done = Some(self.server.bind_stream(service, self.addr));
            }
        }

        fn datagram<D: DatagramService + Send + 'static>(&mut self, service: D) {
            if D::ABOUT.name == self.name && self.protocol == Protocol::Udp {
                self.done = Some(self.server.bind_datagram(service, self.addr));
            }
        }
    }

    let mut bind = Bind { server, name, protocol, addr, done: None };
    catalog(&mut bind);
    bind.done
}
