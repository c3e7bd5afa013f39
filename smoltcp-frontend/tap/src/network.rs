//! The command line's network: a stack on a TAP device.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::Result;
use anywire_core::datagram::DatagramService;
use anywire_core::service::StreamService;
use anywire_std::cli::network::{self, Network, Plan, each_address};
use anywire_std::engine::Protocol;
use anywire_std::folder::FolderStore;

use crate::client::Client;
use crate::server::{Options, Server, check_address};
use crate::station::{GATEWAY, Station};
use crate::wire::TapWire;

/// A smoltcp stack on a TAP device: what `anywire-tap` runs on.
pub struct Tap(Client);

/// How the stack serves.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ServeOptions {
    /// Sockets for each stream service: as many connections may be open or closing, and the next ones wait
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=4096))]
    sockets: u16,
    /// How many connections may wait for a socket
    #[arg(long, value_name = "N", default_value_t = 1024)]
    backlog: u16,
    /// Never sleep: answers come sooner, mostly where there are few connections, and the stack takes a whole processor, even while nothing
    /// happens
    #[arg(long)]
    busy_poll: bool,
}

impl Network for Tap {
    const PROGRAM: &'static str = "anywire-tap";
    const ABOUT: &'static str =
        "The socket labs' services and clients, over a TCP/IP stack of its own on a TAP device";
    type Options = Station;
    type ServeOptions = ServeOptions;
    type Wire = TapWire;
    type Server = Server<FolderStore>;

    fn default_bind(station: &Station) -> IpAddr {
        station.own_ip()
    }

    fn default_host(station: &Station) -> String {
        station.default_peer()
    }

    fn open(station: Station) -> Result<Self> {
        Ok(Self(Client::open(station)?))
    }

    fn connect(
        &mut self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<(TapWire, SocketAddr)> {
        let peers = addresses(&mut self.0, host, timeout)?.into_iter();
        let peers = peers.map(|ip| SocketAddr::new(ip, port));
        each_address(peers, host, port, "connect to", |peer| {
            Ok::<_, anyhow::Error>((self.0.connect(peer, timeout)?, peer))
        })
    }

    fn ask(
        &mut self,
        host: &str,
        port: u16,
        question: &[u8],
        reply: &mut Vec<u8>,
        timeout: Duration,
    ) -> Result<()> {
        let peers = addresses(&mut self.0, host, timeout)?.into_iter();
        let peers = peers.map(|ip| SocketAddr::new(ip, port));
        each_address(peers, host, port, "ask", |peer| self.0.ask(peer, question, reply, timeout))
    }

    fn await_input(&mut self, input: BorrowedFd<'_>) {
        self.0.work_until(input);
    }

    fn server(station: Station, serve: ServeOptions, plan: Plan) -> Result<Server<FolderStore>> {
        let options = Options {
            limits: plan.limits,
            sockets: serve.sockets.into(),
            max_connections: plan.max_connections,
            backlog: serve.backlog.into(),
            grace: plan.grace,
            once: plan.once,
            busy_poll: serve.busy_poll,
        };
        Server::new(station, options, plan.store, plan.observer)
    }

    fn check_address(station: &Station, addr: SocketAddr, _: Protocol) -> io::Result<()> {
        check_address(station, addr.ip())
    }
}

/// The addresses that `host` stands for.
fn addresses(client: &mut Client, host: &str, timeout: Duration) -> Result<Vec<IpAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse() {
        return Ok(vec![ip]);
    }
    // Of a link-local address it may be said on which device it is, and there is one.
    if let Some((ip, device)) = bare.split_once('%')
        && let (Ok(ip), true) = (ip.parse::<Ipv6Addr>(), device == client.device())
    {
        return Ok(vec![ip.into()]);
    }
    if bare == GATEWAY {
        return Ok(client.routers());
    }
    client.resolve(bare, timeout)
}

impl network::Server for Server<FolderStore> {
    fn bind_stream<S>(&mut self, service: S, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        S: StreamService + Send + 'static,
    {
        self.bind_stream(service, addr)
    }

    fn bind_datagram<D>(&mut self, service: D, addr: SocketAddr) -> io::Result<SocketAddr>
    where
        D: DatagramService + Send + 'static,
    {
        self.bind_datagram(service, addr)
    }

    fn free_port(&mut self, addr: SocketAddr) -> io::Result<u16> {
        Server::free_port(self, addr.ip())
    }

    fn stopper(&self) -> Box<dyn Fn() + Send> {
        let stopper = self.stopper();
        Box::new(move || stopper.stop())
    }

    fn run(self) -> Result<()> {
        self.run()
    }
}
