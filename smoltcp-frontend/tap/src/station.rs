//! Who we are on the wire: the device, our addresses, the router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, anyhow, bail, ensure};
use smoltcp::iface::{Config, Interface};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::device::TapDevice;
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
        default_values = ["192.168.69.1/24", "fdaa::1/64"]
    )]
    pub addresses: Vec<IpCidr>,
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
}

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
            gateways: Vec::new(),
            mac: EthernetAddress([2, 0, 0, 0, 0, 1]),
            link: LinkOptions::default(),
        }
    }
}

impl Station {
    /// The address that servers listen on unless told otherwise: the first IPv4 one, if there is any.
    pub fn own_ip(&self) -> IpAddr {
        let v4 = self.addresses.iter().find(|cidr| matches!(cidr, IpCidr::Ipv4(_)));
        let first = v4.or(self.addresses.first());
        first.map_or(Ipv4Addr::UNSPECIFIED.into(), |cidr| cidr.address().into())
    }

    /// The routers: those given, or those of the usual that are neighbours.
    pub fn routers(&self) -> Vec<IpAddr> {
        if self.gateways.is_empty() {
            LINUX.into_iter().filter(|&ip| self.is_neighbour(ip)).collect()
        } else {
            self.gateways.clone()
        }
    }

    /// Whom clients talk to unless told otherwise: the first router.
    pub fn default_peer(&self) -> IpAddr {
        let [linux, _] = LINUX;
        self.routers().first().copied().unwrap_or(linux)
    }

    /// Whether `ip` is an address of the stack's.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|cidr| cidr.address() == ip.into())
    }

    /// The addresses, for a sentence.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.addresses.iter().map(|cidr| cidr.address().to_string()).collect();
        names.join(" and ")
    }

    /// Whether there is a way to `ip`; if not, why.
    pub(crate) fn reaches(&self, ip: IpAddr) -> Result<()> {
        ensure!(!self.owns(ip), "{ip} is this stack's own address, and it does not talk to itself");
        let routed = self.routers().iter().any(|router| router.is_ipv4() == ip.is_ipv4());
        ensure!(
            routed || self.is_neighbour(ip),
            "there is no way to {ip}: it is in no network of ours, and there is no gateway to it (--gateway)"
        );
        Ok(())
    }

    fn is_neighbour(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|cidr| cidr.contains_addr(&ip.into()))
    }

    /// Opens the device.
    pub(crate) fn open(&self) -> Result<Link> {
        self.link.put_before(TapDevice::open(&self.tap)?)
    }

    /// The interface: our addresses and routes on `device`, and sequence numbers that nobody can guess.
    pub(crate) fn interface(&self, device: &mut Link) -> Result<Interface> {
        let mut config = Config::new(self.mac.into());
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).context("the system has no random numbers")?;
        config.random_seed = u64::from_ne_bytes(seed);
        let mut interface = Interface::new(config, device, smoltcp::time::Instant::ZERO);
        let mut room = true;
        interface.update_ip_addrs(|addresses| {
            room = self.addresses.iter().all(|&cidr| addresses.push(cidr).is_ok());
        });
        ensure!(
            room,
            "{} addresses are more than the stack has room for, which is {}",
            self.addresses.len(),
            smoltcp::config::IFACE_MAX_ADDR_COUNT
        );
        for router in self.routers() {
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
