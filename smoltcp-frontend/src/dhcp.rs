//! An IPv4 address from a DHCP server (RFC 2131): asked for, renewed in time, and gone when the server says so or its time is up.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use smoltcp::iface::Interface;
use smoltcp::socket::Socket as AnySocket;
use smoltcp::socket::dhcpv4::{Config, Event, Socket};
use smoltcp::time::Duration;
use smoltcp::wire::{DHCP_MAX_DNS_SERVER_COUNT, IpAddress, IpCidr, Ipv4Cidr};

use crate::sockets::Handle;
use crate::stack::Stack;

/// The DHCP client of a stack on Ethernet. It looks after the interface's IPv4 address and its router; what else is there it leaves alone.
#[derive(Debug)]
pub struct Dhcp {
    handle: Handle,
    lease: Option<Lease>,
    /// Lent in place of another, whose loss was told first.
    next: Option<Lease>,
}

/// What a DHCP server has lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Our address, and its network's prefix.
    pub address: Ipv4Cidr,
    /// The way to all other networks.
    pub router: Option<Ipv4Addr>,
    /// Who knows names; those that were told come first.
    pub dns_servers: [Option<Ipv4Addr>; DHCP_MAX_DNS_SERVER_COUNT],
    /// Who has lent it.
    pub server: Ipv4Addr,
}

/// What has become of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// There is one, and the interface has its address and its router. It may be the same address as before, lent with something new.
    Bound(Lease),
    /// The interface has this address and this router no longer. Another is asked for, or is there already and comes next.
    Lost(Lease),
    /// A server has lent what nobody can have, and the interface does not. The next may be better: this one is asked again when it wants
    /// to be.
    Unusable(Lease),
}

/// A client between two stacks: a program that must know its address before it can make the stack that it serves on has one stack for each.
#[derive(Debug)]
pub struct Detached {
    socket: Socket<'static>,
    lease: Option<Lease>,
}

/// After so long a server is looked for again. It may take 3 s to see that an address is free before it offers it, and answers to an
/// earlier question do not count.
const DISCOVER: Duration = Duration::from_secs(5);

/// Only the first time it is sooner: a link that has just come up loses what it is given first.
const FIRST_DISCOVER: Duration = Duration::from_secs(1);

impl Dhcp {
    /// A client, which asks at the next poll. The interface needs room for one address more. `None`: the stack has no room for another socket.
    pub fn new(stack: &mut Stack<'_>) -> Option<Self> {
        let mut socket = Socket::new();
        discover_again_after(&mut socket, FIRST_DISCOVER);
        Self::attach(stack, Detached { socket, lease: None })
    }

    /// Goes on with a client from another stack, which must have the same Ethernet address. The interface gets what is lent.
    pub fn attach<'a>(stack: &mut Stack<'a>, Detached { socket, lease }: Detached) -> Option<Self> {
        let socket: Socket<'a> = socket;
        let handle = stack.add(socket)?;
        if let Some(lease) = &lease {
            lease.apply(stack.interface());
        }
        Some(Self { handle, lease, next: None })
    }

    /// Takes the client from its stack, to go on with it on another. `None`: this is not its stack.
    pub fn detach(self, stack: &mut Stack<'static>) -> Option<Detached> {
        let lease = self.lease.or(self.next.filter(Lease::is_usable));
        match stack.remove(self.handle) {
            AnySocket::Dhcpv4(socket) => Some(Detached { socket, lease }),
            _ => None,
        }
    }

    /// What is lent.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Sees what the last poll of the stack has brought, and gives the interface what is lent or takes it away. To be called after every
    /// poll, until it says `None`.
    pub fn poll(&mut self, stack: &mut Stack<'_>) -> Option<Change> {
        loop {
            let lent = match self.next.take() {
                Some(lease) => Some(lease),
                None => {
                    let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
                    let lent = match socket.poll()? {
                        Event::Configured(config) => Some(Lease::new(&config)),
                        Event::Deconfigured => None,
                    };
                    discover_again_after(socket, DISCOVER);
                    lent
                }
            };
            let interface = stack.interface();
            let before = self.lease.take();
            if let Some(lease) = &before {
                lease.remove(interface);
            }
            match (lent, before) {
                // A quick server has taken one away and lent another within one poll.
                (_, Some(before)) if lent.is_none_or(|lease| lease.address != before.address) => {
                    self.next = lent;
                    return Some(Change::Lost(before));
                }
                (Some(lease), _) if lease.is_usable() => {
                    lease.apply(interface);
                    self.lease = Some(lease);
                    return Some(Change::Bound(lease));
                }
                (Some(lease), _) => return Some(Change::Unusable(lease)),
                // Of the first question smoltcp says that there is no lease yet.
                (None, _) => {}
            }
        }
    }
}

fn discover_again_after(socket: &mut Socket<'_>, span: Duration) {
    let mut retry = socket.get_retry_config();
    retry.discover_timeout = span;
    socket.set_retry_config(retry);
}

impl Lease {
    fn new(config: &Config<'_>) -> Self {
        let address = config.address;
        let mut dns_servers = [None; DHCP_MAX_DNS_SERVER_COUNT];
        for (place, server) in dns_servers.iter_mut().zip(&config.dns_servers) {
            *place = Some(*server);
        }
        // A router that is no neighbour cannot be asked for the way.
        let router = config.router.filter(|&router| {
            can_be_had(router, address)
                && address.contains_addr(&router)
                && router != address.address()
        });
        Self { address, router, dns_servers, server: config.server.address }
    }

    /// Whether a station can have it. smoltcp panics when it is to find the Ethernet address of 0.0.0.0, and a server that calls itself so is
    /// written to when it is a neighbour.
    fn is_usable(&self) -> bool {
        can_be_had(self.address.address(), self.address)
            && !self.address.contains_addr(&Ipv4Addr::UNSPECIFIED)
    }

    fn apply(&self, interface: &mut Interface) {
        interface.update_ip_addrs(|addresses| {
            // Whoever has given the interface other addresses has left room for this one.
            let _ = addresses.push(IpCidr::Ipv4(self.address));
        });
        if let Some(router) = self.router {
            let _ = interface.routes_mut().add_default_ipv4_route(router);
        }
    }

    fn remove(&self, interface: &mut Interface) {
        let ours = IpCidr::Ipv4(self.address);
        interface.update_ip_addrs(|addresses| addresses.retain(|&cidr| cidr != ours));
        if self.router.is_some() {
            interface.routes_mut().remove_default_ipv4_route();
        }
    }
}

/// Whether a station of `network` can have this address.
fn can_be_had(address: Ipv4Addr, network: Ipv4Cidr) -> bool {
    IpAddress::Ipv4(address).is_unicast()
        && !IpAddr::V4(address).is_loopback()
        && network.broadcast() != Some(address)
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.address, self.server)?;
        if let Some(router) = self.router {
            write!(f, ", router {router}")?;
        }
        for server in self.dns_servers.iter().flatten() {
            write!(f, ", DNS server {server}")?;
        }
        Ok(())
    }
}
