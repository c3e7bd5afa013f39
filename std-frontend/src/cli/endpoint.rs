//! What is to be served where: `SERVICE`, `SERVICE=PORT`, `SERVICE=ADDR:PORT`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, bail};

/// One service to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The service's name, not looked up yet.
    pub(super) service: String,
    /// Where, as far as it was said.
    pub(super) host: Option<Host>,
    /// The port, if it was said.
    pub(super) port: Option<u16>,
}

/// An address to listen on, and how it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// The address.
    pub(super) ip: IpAddr,
    /// The scope of a link-local IPv6 address, or 0.
    pub(super) scope: u32,
    /// As it was written.
    pub(super) text: String,
}

impl Host {
    /// An address, in brackets or not, or `localhost`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let known = |ip, scope| Ok(Self { ip, scope, text: bare.to_owned() });
        if bare == "localhost" {
            return known(Ipv4Addr::LOCALHOST.into(), 0);
        }
        if let Ok(ip) = bare.parse() {
            return known(ip, 0);
        }
        if let Some((ip, interface)) = bare.split_once('%')
            && let Ok(ip) = ip.parse::<Ipv6Addr>()
        {
            return known(ip.into(), scope(interface)?);
        }
        bail!("{text} is no address to listen on: 127.0.0.1, 0.0.0.0, ::1, …")
    }

    /// The address with `port`.
    pub(super) fn at(&self, port: u16) -> SocketAddr {
        let mut addr = SocketAddr::new(self.ip, port);
        if let SocketAddr::V6(addr) = &mut addr {
            addr.set_scope_id(self.scope);
        }
        addr
    }
}

/// The number of an interface, given by it or by name.
fn scope(interface: &str) -> Result<u32> {
    if let Ok(scope) = interface.parse() {
        return Ok(scope);
    }
    crate::os::interface(interface)
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self { ip, scope: 0, text: ip.to_string() }
    }
}

/// Parses one argument of `serve`.
pub(super) fn parse(text: &str) -> Result<Endpoint> {
    let Some((service, place)) = text.split_once('=') else {
        return Ok(Endpoint { service: text.to_owned(), host: None, port: None });
    };
    let (host, port) = host_and_port(place, &format!("{service}="))?;
    Ok(Endpoint { service: service.to_owned(), host, port: Some(port) })
}

/// Parses an address and a port, or a port of 127.0.0.1.
pub(super) fn place(text: &str) -> Result<SocketAddr> {
    let (host, port) = host_and_port(text, "")?;
    Ok(host.unwrap_or_else(|| Host::from(IpAddr::from(Ipv4Addr::LOCALHOST))).at(port))
}

/// `[ADDR:]PORT`; `before` stands before it.
fn host_and_port(place: &str, before: &str) -> Result<(Option<Host>, u16)> {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => {
            // Or the last group of an address would be taken for a port.
            if host.contains(':') && !host.starts_with('[') {
                bail!("an IPv6 address stands in brackets: {before}[::1]:9900");
            }
            (Some(Host::parse(host)?), port)
        }
        None => (None, place),
    };
    let port = port.parse().with_context(|| {
        format!("{port:?} is no port; ports are 0 to 65535, 0 takes a free one")
    })?;
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, Option<String>, Option<u16>) {
        let endpoint = parse(text).unwrap();
        (endpoint.service, endpoint.host.map(|host| host.at(0).ip().to_string()), endpoint.port)
    }

    #[test]
    fn service_port_and_address() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parsed("echo"), ("echo".into(), None, None));
        assert_eq!(parsed("echo=0"), ("echo".into(), None, Some(0)));
        assert_eq!(parsed("echo=10.0.0.1:7"), ("echo".into(), some("10.0.0.1"), Some(7)));
        assert_eq!(parsed("echo=localhost:7"), ("echo".into(), some("127.0.0.1"), Some(7)));
        assert_eq!(parsed("echo=[::1]:9900"), ("echo".into(), some("::1"), Some(9900)));
        assert_eq!(Host::parse("fe80::1%2").unwrap().at(9).to_string(), "[fe80::1%2]:9");
        assert_eq!(Host::parse("[::]").unwrap().text, "::");
        let error = Host::parse("fe80::1%nosuch").unwrap_err().to_string();
        if cfg!(target_os = "linux") {
            // The loopback is the first interface.
            assert_eq!(Host::parse("[fe80::1%lo]").unwrap().at(9).to_string(), "[fe80::1%1]:9");
            assert_eq!(error, "there is no interface \"nosuch\"");
        } else {
            assert!(error.contains("is given by its number"), "{error}");
        }
    }

    #[test]
    fn a_place_of_no_service() {
        let shown = |text| place(text).unwrap().to_string();
        assert_eq!(shown("9100"), "127.0.0.1:9100");
        assert_eq!(shown("0.0.0.0:0"), "0.0.0.0:0");
        assert_eq!(shown("[::1]:9100"), "[::1]:9100");
        for wrong in ["", "x", "::1:9100", "echo=1", "1.2.3:4", "[::1]"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for wrong in [
            "echo=",
            "echo=x",
            "echo=65536",
            "echo=:",
            "echo=:1",
            "echo=::1:9900",
            "echo=1.2.3:4",
            "echo=[::1]",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
