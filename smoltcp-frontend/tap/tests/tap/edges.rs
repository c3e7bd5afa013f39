//! What a network does to a stack that is on it for long: many neighbours, links that go and come, peers that vanish.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Protocol, Socket, Type};

use anywire_core::blocking::{Interest, Wire as _};
use anywire_std::cli::network::HostWire as _;
use anywire_tap::client::Client;
use anywire_tap::station::Station;

use crate::harness::{
    LINUX, LinuxServer, PATIENCE, STALL, Server, anywire_tap, assert_fails, connect, exchange, run,
    sample, shortest, text,
};
use crate::namespace::{ip, make_tap};

crate::tests![
    more_peers_than_neighbours_fit_are_all_served_at_once,
    a_link_that_goes_down_and_comes_up_loses_nothing_but_time,
    a_client_outlives_a_link_that_goes_down,
    fragments_that_never_complete_keep_nobody_out_for_long,
    no_transfer_of_an_awkward_length_stalls,
    no_transfer_of_a_clients_stalls,
    neither_ports_nor_sequence_numbers_come_again,
    frames_of_garbage_stop_nobody,
];

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
    // A second for each, if they are looked for: five minutes.
    assert!(took < Duration::from_secs(100), "{took:?}");
}

/// How much CPU a process has used.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<_> = behind_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn a_link_that_goes_down_and_comes_up_loses_nothing_but_time() {
    make_tap("tap7", &["10.7.0.100/24"]).unwrap();
    let options = ["--tap", "tap7", "--address", "10.7.0.1/24"];
    let mut server = Server::start(&[&["echo"], &options[..]].concat(), 2);
    let mut stream = server.connect();
    // More than both systems hold: the server is in the middle of sending when the link goes.
    let sent = sample(8_000_000);
    std::thread::scope(|scope| {
        let mut sending = stream.try_clone().unwrap();
        let sent = &sent;
        scope.spawn(move || sending.write_all(sent).unwrap());
        let mut got = vec![0; 1_000_000];
        stream.read_exact(&mut got).unwrap();
        ip("link set tap7 down").unwrap();
        let before = cpu(server.pid());
        // A retransmission or two fall into this time.
        std::thread::sleep(Duration::from_millis(1500));
        let used = cpu(server.pid()) - before;
        assert!(used < Duration::from_millis(300), "{used:?} of CPU while the link was down");
        ip("link set tap7 up").unwrap();
        let mut rest = vec![0; 7_000_000];
        stream.read_exact(&mut rest).unwrap();
        got.extend(rest);
        assert!(got == *sent);
    });
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(exchange(server.connect(), b"and new ones"), b"and new ones");
    server.signal(Signal::TERM);
    let (status, log) = server.end();
    ip("link del tap7").unwrap();
    assert_eq!(status, Some(0));
    assert_eq!(log.matches("tap7 is down, and whatever is sent is lost").count(), 1, "{log}");
    assert_eq!(log.matches("tap7 is up again").count(), 1, "{log}");
}

fn a_client_outlives_a_link_that_goes_down() {
    make_tap("tap7", &["10.7.0.100/24"]).unwrap();
    let listener = TcpListener::bind("10.7.0.100:7777").unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
        ip("link set tap7 down").unwrap();
        stream.write_all(b"lost at first").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        ip("link set tap7 up").unwrap();
    });
    let args = ["--tap", "tap7", "--address", "10.7.0.1/24", "connect", "10.7.0.100", "7777"];
    let output = run(anywire_tap(&args), b"hi");
    server.join().unwrap();
    assert_eq!(text(&output.stdout), "lost at first", "{}", text(&output.stderr));
    // A client that does not get through says so in time.
    ip("link set tap7 down").unwrap();
    let args =
        ["--tap", "tap7", "--address", "10.7.0.1/24", "client", "date", "--host", "10.7.0.100"];
    assert_fails(&run(anywire_tap(&args), b""), "the TAP device tap7 is down");
    ip("link del tap7").unwrap();
}

/// Sends IP packets of one's own making to the stack, headers and all.
struct Raw(Socket);

impl Raw {
    fn new() -> Self {
        const IPPROTO_RAW: i32 = 255;
        Self(Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW))).unwrap())
    }

    /// The kernel fills in checksum and length.
    fn send(&self, protocol: u8, id: u16, fragment: u16, payload: &[u8]) {
        let mut packet = vec![0x45, 0, 0, 0];
        packet.extend([id.to_be_bytes(), fragment.to_be_bytes(), [64, protocol], [0, 0]].concat());
        packet.extend([192, 168, 69, 100, 192, 168, 69, 1]);
        packet.extend(payload);
        let to: SocketAddr = "192.168.69.1:0".parse().unwrap();
        // A full queue is a lost packet, as on any wire.
        let _ = self.0.send_to(&packet, &to.into());
    }
}

const MORE_FRAGMENTS: u16 = 0x2000;
const UDP: u8 = 17;
const TCP: u8 = 6;
const SYN: u8 = 2;

fn long_datagram_comes_back(at: SocketAddr) -> bool {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket.connect(at).unwrap();
    let (sent, mut got) = (sample(65_507), vec![0; 65_536]);
    socket.send(&sent).unwrap();
    socket.recv(&mut got).is_ok_and(|len| got[..len] == sent)
}

fn fragments_that_never_complete_keep_nobody_out_for_long() {
    let server = Server::start(&["echo"], 2);
    let udp = server.listening[1];
    let limit = Instant::now() + PATIENCE;
    let in_time = || assert!(Instant::now() < limit, "it took too long");
    while !long_datagram_comes_back(udp) {
        in_time();
    }
    // Two at once is what there is room for, and what both are waiting for never comes. On a busy machine it may be forgotten by the time that
    // the next datagram comes, and then it was no flood.
    let raw = Raw::new();
    loop {
        for id in 0..10_000 {
            raw.send(UDP, id, MORE_FRAGMENTS | (id % 8000), &sample(64));
        }
        if !long_datagram_comes_back(udp) {
            break;
        }
        in_time();
    }
    // Whoever needs no fragments does not notice.
    assert_eq!(exchange(server.connect(), b"meanwhile"), b"meanwhile");
    let begun = Instant::now();
    while !long_datagram_comes_back(udp) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is kept out");
    }
    // Those that overlap, go beyond the end, or are in each other's way are no better.
    for (id, fragment, len) in [
        (1, MORE_FRAGMENTS, 64),
        (1, MORE_FRAGMENTS | 4, 64),
        (1, 0x1fff, 1000),
        (2, 0x1fff, 1400),
        (2, MORE_FRAGMENTS | 0x1fff, 8),
        (3, MORE_FRAGMENTS, 0),
        (3, 0, 0),
        (4, MORE_FRAGMENTS, 13),
        (4, 1, 7),
    ] {
        raw.send(UDP, id, fragment, &sample(len));
        raw.send(TCP, id + 100, fragment, &sample(len));
    }
    while !long_datagram_comes_back(udp) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is kept out");
    }
}

fn frames_of_garbage_stop_nobody() {
    let server = Server::start(&["echo", "hello", "--sockets", "8"], 3);
    let mut open = server.connect();
    open.write_all(b"be").unwrap();
    open.read_exact(&mut [0; 2]).unwrap();
    let (here, there) = (open.local_addr().unwrap().port(), server.listening[0].port());
    let raw = Raw::new();
    let mut noise = 0x2545_f491_u32;
    for n in 0..30_000u32 {
        // Segments of this very connection, of half-made ones, and of none, with whatever flags, numbers and options.
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let from = if n % 3 == 0 { here } else { noise as u16 };
        let mut segment = [from.to_be_bytes(), there.to_be_bytes()].concat();
        segment.extend(noise.to_be_bytes());
        segment.extend(noise.rotate_left(9).to_be_bytes());
        // Neither the one reset that is right, nor a checksum that is: both ends take what is right.
        segment.extend([(noise >> 8) as u8, (noise >> 16) as u8, 0xff, 0xff, n as u8, 0, 0, 0]);
        segment.extend(sample(n as usize % 40));
        raw.send(if n % 7 == 0 { n as u8 } else { TCP }, n as u16, 0, &segment);
    }
    open.write_all(b"still").unwrap();
    open.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(exchange(server.connect(), b"and others"), b"and others");
}

/// Lengths around what segments, windows, rings and buffers hold.
fn awkward() -> impl Iterator<Item = usize> {
    const MSS: usize = 1460;
    let around = |n: usize| [n - 1, n, n + 1];
    let some = [
        MSS,
        2 * MSS,
        3 * MSS,
        10 * MSS,
        44 * MSS,
        45 * MSS,
        4096,
        32_768,
        65_536,
        131_072,
        262_144,
    ];
    // With timestamps a segment of Linux's is 12 bytes shorter.
    let shorter = [1448, 2 * 1448, 3 * 1448, 45 * 1448];
    [0, 1].into_iter().chain(some.into_iter().chain(shorter).flat_map(around))
}

fn no_transfer_of_an_awkward_length_stalls() {
    let server = Server::start(&["echo", "file"], 3);
    let content = sample(300_000);
    let mut slowest = Duration::ZERO;
    for len in awkward() {
        std::fs::write(server.folder.path().join("some"), &content[..len]).unwrap();
        for write in [usize::MAX, 1460, 1000] {
            let took = shortest(STALL, || {
                let begun = Instant::now();
                let mut stream = connect(server.listening[0]);
                std::thread::scope(|scope| {
                    let mut sending = stream.try_clone().unwrap();
                    let sent = &content[..len];
                    scope.spawn(move || {
                        sent.chunks(write).for_each(|piece| sending.write_all(piece).unwrap());
                        sending.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut got = Vec::new();
                    stream.read_to_end(&mut got).unwrap();
                    assert!(got == sent, "{len} bytes");
                });
                begun.elapsed()
            });
            slowest = slowest.max(took);
            assert!(took < STALL, "{len} bytes took {took:?}");
        }
        let took = shortest(STALL, || {
            let begun = Instant::now();
            assert!(exchange(connect(server.listening[2]), b"some\n") == content[..len]);
            begun.elapsed()
        });
        assert!(took < STALL, "a file of {len} took {took:?}");
    }
    eprintln!("the slowest took {slowest:?}");
}

/// The same with the stack's side the client, on one stack.
fn no_transfer_of_a_clients_stalls() {
    let _server = LinuxServer::start();
    let mut client = Client::open(Station::default()).unwrap();
    let content = sample(300_000);
    let mut buf = vec![0; 65_536];
    for len in awkward() {
        let took = shortest(STALL, || {
            let begun = Instant::now();
            let peer = SocketAddr::new(LINUX.parse().unwrap(), 9900);
            let mut wire = client.connect(peer, PATIENCE).unwrap();
            let begun = if len == 0 { Instant::now() } else { begun };
            let (mut sent, mut got) = (0, Vec::<u8>::new());
            while got.len() < len {
                let interest = if sent < len { Interest::Both } else { Interest::Read };
                let ready = wire.wait(interest, None).unwrap();
                if ready.write && sent < len {
                    sent += embedded_io::Write::write(&mut wire, &content[sent..len]).unwrap();
                }
                if ready.read {
                    let n = embedded_io::Read::read(&mut wire, &mut buf).unwrap();
                    assert!(n > 0);
                    got.extend(&buf[..n]);
                }
            }
            assert!(got == content[..len]);
            wire.close(PATIENCE);
            begun.elapsed()
        });
        assert!(took < STALL, "{len} bytes took {took:?}");
    }
}

/// What the peer may remember of an earlier run is not met again by the next.
fn neither_ports_nor_sequence_numbers_come_again() {
    const RUNS: usize = 30;
    // All frames there are, in network order.
    let frames = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0x0300))).unwrap();
    frames.set_read_timeout(Some(PATIENCE)).unwrap();
    let _server = LinuxServer::start();
    let mut seen = Vec::new();
    let mut buf = [0; 2000];
    for nth in 1..=RUNS {
        let output = run(anywire_tap(&["client", "knock", "--count", "2"]), b"");
        assert!(output.status.success(), "{}", text(&output.stderr));
        while seen.len() < 2 * nth {
            let len = (&frames).read(&mut buf).unwrap();
            let frame = &buf[..len];
            let ours = len >= 54 && frame[12..14] == [8, 0] && frame[26..30] == [192, 168, 69, 1];
            if ours && frame[23] == TCP && frame[47] & 0x3f == SYN {
                seen.push((frame[34..36].to_vec(), frame[38..42].to_vec()));
            }
        }
    }
    let distinct = |mut all: Vec<Vec<u8>>| {
        all.sort();
        all.dedup();
        all.len()
    };
    assert_eq!(distinct(seen.iter().map(|(port, _)| port.clone()).collect()), 2 * RUNS, "ports");
    assert_eq!(distinct(seen.iter().map(|(_, seq)| seq.clone()).collect()), 2 * RUNS, "numbers");
}
