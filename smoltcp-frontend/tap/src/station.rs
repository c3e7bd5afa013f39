//! Who we are on the wire: the device, our addresses, the router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use anywire_smoltcp::dhcp::Lease;
use clap::builder::ArgPredicate;
use smoltcp::config::IFACE_MAX_ADDR_COUNT;
use smoltcp::iface::{Config, Interface};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::link::{Link, LinkOptions};

/// A station on a TAP device.
#[derive(Clone, Debug, clap::Args)]
pub struct Station {
    /// The TAP device
    #[arg(long, global = true, help_heading = HEADING, value_name = "NAME", default_value = "tap0")]
    pub tap: String,
    /// An address of the stack's own, and its network's prefix; several may be given
    #[arg(
        long = "address",
        global = true,
        help_heading = HEADING,
        value_name = "ADDR/PREFIX",
        value_parser = cidr,
        default_values = ["192.168.69.1/24", "fdaa::1/64"],
        default_value_if("dhcp", ArgPredicate::IsPresent, "fdaa::1/64")
    )]
    pub addresses: Vec<IpCidr>,
    /// Ask a DHCP server for the IPv4 address, the router and DNS servers, and wait so long for the answer
    #[arg(
        long,
        global = true,
        help_heading = HEADING,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "15",
        value_parser = seconds
    )]
    pub dhcp: Option<Duration>,
    /// A DNS server, which finds the addresses of names; several may be given, and are asked one after the other [default: those of the DHCP
    /// lease]
    #[arg(long, global = true, help_heading = HEADING, value_name = "ADDR", value_parser = unicast)]
    pub dns: Vec<IpAddr>,
    /// The router, which clients also connect to by default: 192.168.69.100 and fdaa::100, where those are neighbours
    #[arg(long = "gateway", global = true, help_heading = HEADING, value_name = "ADDR")]
    pub gateways: Vec<IpAddr>,
    /// The stack's Ethernet address
    #[arg(
        long,
        global = true,
        help_heading = HEADING,
        value_name = "MAC",
        value_parser = mac,
        default_value = "02-00-00-00-00-01"
    )]
    pub mac: EthernetAddress,
    /// What is between it and the device.
    #[command(flatten)]
    pub link: LinkOptions,
    /// What the DHCP server has lent: no option, but told when the station is there.
    #[arg(skip)]
    pub lease: Option<Lease>,
}

/// A name for the router, where that is known only when the stack runs: the one that systemd has for it.
pub(crate) const GATEWAY: &str = "_gateway";

/// Where the options stand in the help.
const HEADING: &str = "The stack";

/// Linux's end of what `cargo xtask tap` makes.
const LINUX: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 168, 69, 100)),
    IpAddr::V6(Ipv6Addr::new(0xfdaa, 0, 0, 0, 0, 0, 0, 0x100)),
];

/// The defaults of the command line.
impl Default for Station {
    fn default() -> Self {
        let v4 = Ipv4Addr::new(192, 168, 69, 1);
        let v6 = Ipv6Addr::new(0xfdaa, 0, 0, 0, 0, 0, 0, 1);
        Self {
            tap: "tap0".to_owned(),
            addresses: vec![IpCidr::new(v4.into(), 24), IpCidr::new(v6.into(), 64)],
            dhcp: None,
            dns: Vec::new(),
            gateways: Vec::new(),
            mac: EthernetAddress([2, 0, 0, 0, 0, 1]),
            link: LinkOptions::default(),
            lease: None,
        }
    }
}

impl Station {
    /// The address that servers listen on unless told otherwise: the first IPv4 one, if there is any. With DHCP it is every one, for the
    /// lease's may change.
    pub fn own_ip(&self) -> IpAddr {
        if self.dhcp.is_some() {
            return Ipv4Addr::UNSPECIFIED.into();
        }
        let v4 = self.addresses.iter().find(|cidr| matches!(cidr, IpCidr::Ipv4(_)));
        let first = v4.or(self.addresses.first());
        first.map_or(Ipv4Addr::UNSPECIFIED.into(), |cidr| cidr.address().into())
    }

    /// The address to tell people of those that a server on `ip` has.
    pub(crate) fn shown(&self, ip: IpAddr) -> IpAddr {
        match self.lease {
            Some(lease) if ip.is_unspecified() => lease.address.address().into(),
            _ => ip,
        }
    }

    /// The routers: those given, or those of the usual that are neighbours; and the DHCP server's.
    pub fn routers(&self) -> Vec<IpAddr> {
        let leased = self.lease.and_then(|lease| lease.router).map(IpAddr::from);
        let mut routers: Vec<_> = leased.into_iter().collect();
        if self.gateways.is_empty() {
            let usual = LINUX.into_iter().filter(|ip| ip.is_ipv6() || self.dhcp.is_none());
            routers.extend(usual.filter(|&ip| self.is_neighbour(ip)));
        } else {
            routers.extend(&self.gateways);
        }
        routers
    }

    /// Whom clients talk to unless told otherwise: the router, or Linux's end.
    pub fn default_peer(&self) -> String {
        if self.dhcp.is_some() {
            return GATEWAY.to_owned();
        }
        let [linux, _] = LINUX;
        self.routers().first().copied().unwrap_or(linux).to_string()
    }

    /// The DNS servers: those given, or those of the DHCP lease.
    pub(crate) fn dns_servers(&self) -> Vec<IpAddr> {
        if !self.dns.is_empty() {
            return self.dns.clone();
        }
        let leased = self.lease.into_iter().flat_map(|lease| lease.dns_servers);
        leased.flatten().map(IpAddr::from).collect()
    }

    /// Every address of the stack's, and its network.
    fn all(&self) -> impl Iterator<Item = IpCidr> + '_ {
        let leased = self.lease.map(|lease| IpCidr::Ipv4(lease.address));
        self.addresses.iter().copied().chain(leased).chain(self.link_local())
    }

    /// What every station that has IPv6 has, for its own link (RFC 4291), unless one was given: made of the Ethernet address. Where so many are
    /// given that there is no room for it, it is done without.
    fn link_local(&self) -> Option<IpCidr> {
        if self.addresses.len() + usize::from(self.dhcp.is_some()) >= IFACE_MAX_ADDR_COUNT {
            return None;
        }
        let v6 = |cidr: &IpCidr| match cidr {
            IpCidr::Ipv6(cidr) => Some(cidr.address()),
            IpCidr::Ipv4(_) => None,
        };
        let mut given = self.addresses.iter().filter_map(v6).peekable();
        given.peek()?;
        if given.any(|ip| ip.is_unicast_link_local()) {
            return None;
        }
        let [a, b, c, d, e, f] = self.mac.0;
        let words = [[a ^ 2, b], [c, 0xff], [0xfe, d], [e, f]].map(u16::from_be_bytes);
        let [s, t, u, v] = words;
        Some(IpCidr::new(Ipv6Addr::new(0xfe80, 0, 0, 0, s, t, u, v).into(), 64))
    }

    /// Whether `ip` is an address of the stack's.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.all().any(|cidr| cidr.address() == ip.into())
    }

    /// The addresses, for a sentence.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.all().map(|cidr| cidr.address().to_string()).collect();
        names.join(" and ")
    }

    /// Whether there is a way to `ip`; if not, why.
    pub(crate) fn reaches(&self, ip: IpAddr) -> Result<()> {
        ensure!(!self.owns(ip), "{ip} is this stack's own address, and it does not talk to itself");
        // RFC 1122, 3.2.1.3: it must not be seen outside a host.
        ensure!(!ip.is_loopback(), "{ip} never leaves a host, and this stack is one of its own");
        ensure!(!self.is_broadcast(ip), "{ip} is no station: it is a whole network's address");
        let routed = self.routers().iter().any(|router| router.is_ipv4() == ip.is_ipv4());
        let far = match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        };
        ensure!(
            routed && far || self.is_neighbour(ip),
            "there is no way to {ip}: it is in no network of ours, and there is no gateway to it (--gateway)"
        );
        Ok(())
    }

    /// Whether it is the first or the last address of a network of ours, where these are no station's (not so on a link of two, RFC 3021).
    fn is_broadcast(&self, ip: IpAddr) -> bool {
        self.all().any(|cidr| match (cidr, ip) {
            (IpCidr::Ipv4(cidr), IpAddr::V4(ip)) if cidr.prefix_len() < 31 => {
                cidr.broadcast() == Some(ip) || cidr.network().address() == ip
            }
            _ => false,
        })
    }

    fn is_neighbour(&self, ip: IpAddr) -> bool {
        self.all().any(|cidr| cidr.contains_addr(&ip.into()))
    }

    /// Opens the device.
    pub(crate) fn open(&self) -> Result<Link> {
        self.link.open(&self.tap)
    }

    /// The interface: our addresses and routes on `device`, and sequence numbers that nobody can guess.
    pub(crate) fn interface(&self, device: &mut Link) -> Result<Interface> {
        let mut config = Config::new(self.mac.into());
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).context("the system has no random numbers")?;
        config.random_seed = u64::from_ne_bytes(seed);
        let mut interface = Interface::new(config, device, smoltcp::time::Instant::ZERO);
        interface.set_reassembly_timeout(REASSEMBLY);
        let v4 = self.addresses.iter().find(|cidr| matches!(cidr, IpCidr::Ipv4(_)));
        if let Some(v4) = v4.filter(|_| self.dhcp.is_some()) {
            bail!(
                "with --dhcp the server says which IPv4 address is ours: leave --address {v4} out"
            );
        }
        let (given, leased) = (self.addresses.len(), usize::from(self.dhcp.is_some()));
        ensure!(
            given + leased <= IFACE_MAX_ADDR_COUNT,
            "{} addresses are more than the stack has room for, which is {IFACE_MAX_ADDR_COUNT}",
            given + leased
        );
        let link_local = self.link_local();
        interface.update_ip_addrs(|addresses| {
            // That there is room was seen above.
            addresses.extend(self.addresses.iter().copied().chain(link_local));
        });
        // A lease's router is the DHCP client's business.
        let own = Self { lease: None, ..self.clone() };
        for router in own.routers() {
            ensure!(
                self.is_neighbour(router),
                "the gateway {router} is in no network of ours: give one of its neighbours with --address"
            );
            let routes = interface.routes_mut();
            let added = match router {
                IpAddr::V4(router) => routes.add_default_ipv4_route(router),
                IpAddr::V6(router) => routes.add_default_ipv6_route(router),
            };
            added.map_err(|_| anyhow!("so many gateways are more than the stack has room for"))?;
        }
        Ok(interface)
    }
}

/// Two datagrams are put together at once. Fragments whose others never come keep the next ones out no longer than this; 60 s would be usual
/// where there is more room.
const REASSEMBLY: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(2);

fn cidr(text: &str) -> Result<IpCidr> {
    let Ok(cidr) = text.parse::<IpCidr>() else {
        bail!("an address and its network's prefix are needed, such as 192.168.69.1/24");
    };
    let broadcast = match cidr {
        IpCidr::Ipv4(cidr) => cidr.broadcast() == Some(cidr.address()),
        IpCidr::Ipv6(_) => false,
    };
    let address: IpAddress = cidr.address();
    ensure!(address.is_unicast() && !broadcast, "{address} can be no station's address");
    Ok(cidr)
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds = seconds.filter(|seconds| !seconds.is_zero() && *seconds <= LONGEST_WAIT);
    seconds.context("a number of seconds is needed, above 0 and up to a day")
}

/// Longer than anybody waits for a lease.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

fn unicast(text: &str) -> Result<IpAddr> {
    let Ok(ip) = text.parse::<IpAddr>() else { bail!("an address is needed") };
    ensure!(IpAddress::from(ip).is_unicast(), "{ip} can be no server's address");
    Ok(ip)
}

fn mac(text: &str) -> Result<EthernetAddress> {
    let Ok(mac) = text.parse::<EthernetAddress>() else {
        bail!("an Ethernet address is needed, such as 02-00-00-00-00-01");
    };
    ensure!(mac.is_unicast() && mac.0 != [0; 6], "{mac} can be no station's address");
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn station(args: &[&str]) -> Result<Station, clap::Error> {
        let command = Station::augment_args(Command::new("test").no_binary_name(true));
        Station::from_arg_matches(&command.try_get_matches_from(args)?)
    }

    #[test]
    fn without_options_it_is_the_default() {
        let (station, default) = (station(&[]).unwrap(), Station::default());
        assert_eq!(format!("{station:?}"), format!("{default:?}"));
        assert_eq!(station.own_ip().to_string(), "192.168.69.1");
        assert_eq!(station.routers(), LINUX);
        assert!(station.reaches("8.8.8.8".parse().unwrap()).is_ok());
        assert!(station.reaches("fdaa::1".parse().unwrap()).is_err());
    }

    #[test]
    fn a_router_must_be_a_neighbour() {
        let here = station(&["--address", "10.0.0.7/8"]).unwrap();
        assert_eq!(here.routers(), [] as [IpAddr; 0]);
        assert!(here.reaches("10.9.9.9".parse().unwrap()).is_ok());
        assert!(here.reaches("192.168.69.100".parse().unwrap()).is_err());
        assert!(here.reaches("fdaa::100".parse().unwrap()).is_err());
        let routed = station(&["--address", "10.0.0.7/8", "--gateway", "10.0.0.1"]).unwrap();
        assert!(routed.reaches("192.168.69.100".parse().unwrap()).is_ok());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in ["", "10.0.0.1", "10.0.0.1/33", "255.255.255.255/8", "10.0.0.255/24", "::/0"] {
            assert!(station(&["--address", wrong]).is_err(), "{wrong}");
        }
        for wrong in ["", "02:00", "ff-ff-ff-ff-ff-ff", "00-00-00-00-00-00", "01-00-00-00-00-00"] {
            assert!(station(&["--mac", wrong]).is_err(), "{wrong}");
        }
        assert!(station(&["--mac", "02:00:00:00:00:02"]).is_ok());
    }
}
