//! Addresses as people see them, and as the labs' Python programs print them.

use std::fmt;
use std::net::SocketAddr;

/// A peer's address as it stands in a log: a conversation on standard input and output has none, and `stdin` for it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            addr if is_nobody(addr) => f.write_str("stdin"),
            addr => write!(f, "{addr}"),
        }
    }
}

/// Nobody connects from there.
fn is_nobody(addr: SocketAddr) -> bool {
    addr.ip().is_unspecified() && addr.port() == 0
}

/// A socket address as Python shows it: `('127.0.0.1', 42961)`, for IPv6 with flow label and scope.
///
/// ```
/// use anywire_std::console::address::Python;
///
/// assert_eq!(Python("[::1]:80".parse().unwrap()).to_string(), "('::1', 80, 0, 0)");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Python(pub SocketAddr);

impl fmt::Display for Python {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            addr if is_nobody(addr) => write!(f, "{}", Peer(addr)),
            SocketAddr::V4(v4) => write!(f, "('{}', {})", v4.ip(), v4.port()),
            SocketAddr::V6(v6) => {
                let (ip, port, flow) = (v6.ip(), v6.port(), v6.flowinfo());
                write!(f, "('{ip}', {port}, {flow}, {})", v6.scope_id())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families() {
        let shown = |addr: &str| Python(addr.parse().unwrap()).to_string();
        assert_eq!(shown("127.0.0.1:42961"), "('127.0.0.1', 42961)");
        assert_eq!(shown("0.0.0.0:0"), "stdin");
        assert_eq!(shown("[fe80::1%3]:9"), "('fe80::1', 9, 0, 3)");
    }
}
