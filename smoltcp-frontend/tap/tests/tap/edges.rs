//! What a network does to a stack that is on it for long: many neighbours, links that go and come, peers that vanish.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::harness::{PATIENCE, Server, exchange};
use crate::namespace::ip;

crate::tests![more_peers_than_neighbours_fit_are_all_served_at_once,];

/// A connection of Linux's from one of its addresses.
fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// A neighbour that is not known is looked for, and smoltcp does that once a second. So nobody who comes to us may have to be.
fn more_peers_than_neighbours_fit_are_all_served_at_once() {
    let peers: Vec<IpAddr> = (0..150u16)
        .flat_map(|n| [format!("192.168.69.{}", n + 101), format!("fdaa::{:x}", n + 0x1000)])
        .map(|ip| ip.parse().unwrap())
        .collect();
    for peer in &peers {
        let (prefix, nodad) = if peer.is_ipv4() { (24, "") } else { (64, " nodad") };
        ip(&format!("address add {peer}/{prefix} dev tap0{nodad}")).unwrap();
    }
    let server = Server::start(&["echo", "--bind", "0.0.0.0", "--sockets", "320"], 2);
    let port = server.listening[0].port();
    let to = |from: IpAddr| match from {
        IpAddr::V4(_) => SocketAddr::from(([192, 168, 69, 1], port)),
        IpAddr::V6(_) => format!("[fdaa::1]:{port}").parse().unwrap(),
    };
    let begun = Instant::now();
    let streams: Vec<_> = peers.iter().map(|&peer| connect_from(peer, to(peer))).collect();
    for (n, stream) in streams.into_iter().enumerate() {
        let said = n.to_string();
        assert_eq!(exchange(stream, said.as_bytes()), said.as_bytes());
    }
    let took = begun.elapsed();
    for peer in &peers {
        let prefix = if peer.is_ipv4() { 24 } else { 64 };
        ip(&format!("address del {peer}/{prefix} dev tap0")).unwrap();
    }
    assert!(took < Duration::from_secs(10), "{took:?}");
}
