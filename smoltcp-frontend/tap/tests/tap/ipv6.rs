//! Everything over IPv6: the services for Linux's sockets, the clients against Linux's servers.

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{
    LinuxServer, PATIENCE, Server, anywire_tap, assert_output, connect, exchange, run, sample, text,
};

crate::tests![
    every_service_is_served_over_ipv6,
    what_one_frame_cannot_carry_is_dropped_and_counted,
    both_families_are_served_on_one_port,
    behind_hop_by_hop_options_everything_is_served_too,
    the_link_local_address_is_there_too,
    every_client_talks_over_ipv6,
];

/// Linux's end.
const LINUX: &str = "fdaa::100";

/// Says something, and takes so many bytes of what comes back.
fn ask(mut stream: TcpStream, said: &[u8], len: usize) -> Vec<u8> {
    stream.write_all(said).unwrap();
    let mut got = vec![0; len];
    stream.read_exact(&mut got).unwrap();
    got
}

fn every_service_is_served_over_ipv6() {
    let server = Server::start(&["--bind", "fdaa::1", "--secret", "63"], 13);
    assert!(server.listening.iter().all(|at| at.ip().to_string() == "fdaa::1"));
    let [echo, udp, hello, message, fixed, knock, typed, upload, file, date, logdate, guess, greet] =
        server.listening[..]
    else {
        panic!("{:?}", server.listening)
    };
    let content = sample(583_163);
    assert!(exchange(connect(echo), &content) == content);
    udp_echo(udp, 1452);
    assert_eq!(
        text(&exchange(connect(hello), b"x")),
        "I got \"x\" from you and I am sending it back."
    );
    assert_eq!(ask(connect(message), b"x\n", 10), b"Message: x");
    assert_eq!(ask(connect(fixed), &content[..1234], 1234), content[..1234]);
    assert_eq!(connect(knock).read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(exchange(connect(typed), b"\x01\x04\x00text"), b"");
    let put = [b"\x01\x05\x00photo\x05", &583_163u32.to_le_bytes()[..], &content].concat();
    assert_eq!(exchange(connect(upload), &put), b"OK");
    assert!(exchange(connect(file), b"photo") == content);
    for port in [date, logdate] {
        assert!(exchange(connect(port), b"now").starts_with(b"20"));
    }
    let socket = UdpSocket::bind("[::]:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(guess).unwrap();
    socket.send(b"50").unwrap();
    let mut answer = [0; 16];
    let len = socket.recv(&mut answer).unwrap();
    assert_eq!(&answer[..len], b"HIGHER");
    assert_eq!(ask(connect(greet), b"x\n", 7), b"x Ali\r\n");
}

fn udp_echo(at: SocketAddr, len: usize) {
    let socket = UdpSocket::bind("[::]:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(at).unwrap();
    let (sent, mut got) = (sample(len), vec![0; 65_536]);
    socket.send(&sent).unwrap();
    let n = socket.recv(&mut got).unwrap();
    assert!(got[..n] == sent, "{n} of {len} bytes");
}

/// Over IPv6 the stack does not put fragments together, and does not make any: so a datagram is what one frame carries.
fn what_one_frame_cannot_carry_is_dropped_and_counted() {
    let mut server = Server::start(&["echo=[fdaa::1]:0", "-v"], 2);
    let socket = UdpSocket::bind("[::]:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.connect(server.listening[1]).unwrap();
    for len in [1453, 4000, 65_507] {
        socket.send(&sample(len)).unwrap();
        assert!(socket.recv(&mut [0; 16]).is_err(), "{len} bytes came back");
    }
    for len in [0, 1, 1452] {
        udp_echo(server.listening[1], len);
    }
    server.signal(Signal::TERM);
    let (status, log) = server.end();
    assert_eq!(status, Some(0));
    // 2 and 3 frames, and 46.
    assert!(log.contains("fragments_ipv6: 51"), "{log}");
}

fn both_families_are_served_on_one_port() {
    for any in ["0.0.0.0", "::"] {
        let server = Server::start(&["echo=9900", "--bind", any], 2);
        for addr in ["192.168.69.1:9900", "[fdaa::1]:9900"] {
            assert_eq!(exchange(connect(addr.parse().unwrap()), b"both"), b"both");
            let socket =
                UdpSocket::bind(if addr.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" });
            let socket = socket.unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(addr).unwrap();
            socket.send(b"both").unwrap();
            assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 4, "{addr}");
        }
        drop(server);
    }
    // At the same time, and each its own.
    let server = Server::start(&["echo=[fdaa::1]:7000", "hello=192.168.69.1:7000"], 3);
    assert_eq!(exchange(server.connect(), b"six"), b"six");
    assert!(exchange(connect(server.listening[2]), b"four").starts_with(b"I got"));
}

/// More connections at once than a stack's first set of sockets has, with ends behind data; a datagram, too.
fn behind_hop_by_hop_options_everything_is_served_too() {
    let script = "
import socket, sys, threading
HOPOPTS, PAD = 54, bytes([6, 0, 1, 4, 0, 0, 0, 0])
def behind(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.settimeout(60)
    s.setsockopt(socket.IPPROTO_IPV6, HOPOPTS, PAD)
    s.connect(('fdaa::1', int(port)))
    return s
data = bytes(n % 251 for n in range(100_000))
streams = [behind(socket.SOCK_STREAM, sys.argv[1]) for n in range(60)]
for s in streams:
    def send():
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    got = b''
    while part := s.recv(65536):
        got += part
    sender.join()
    assert got == data, len(got)
s = behind(socket.SOCK_DGRAM, sys.argv[2])
s.send(b'datagram')
assert s.recv(100) == b'datagram'
print('all')
";
    for offload in ["on", "off"] {
        let server =
            Server::start(&["echo=[fdaa::1]:0", "--sockets", "128", "--offload", offload], 2);
        let ports = [0, 1].map(|at: usize| server.listening[at].port().to_string());
        let mut python = Command::new("python3");
        python.args(["-c", script]).args(ports);
        assert_output(&run(python, b""), 0, "all\n");
    }
}

fn the_link_local_address_is_there_too() {
    let server = Server::start(&["echo", "--bind", "::"], 2);
    let index = std::fs::read_to_string("/sys/class/net/tap0/ifindex");
    let index = index.map(|index| index.trim().parse().unwrap()).unwrap_or_else(|_| {
        // A namespace of its own may see another one's /sys.
        let links = Command::new("ip").args(["-o", "link", "show", "tap0"]).output().unwrap();
        text(&links.stdout).split(':').next().unwrap().parse().unwrap()
    });
    let addr = SocketAddrV6::new("fe80::ff:fe00:1".parse().unwrap(), 9900, 0, index);
    assert_eq!(exchange(connect(addr.into()), b"near"), b"near");
    drop(server);
    // And the other way round, to the one that Linux has made for itself, or is given here.
    let added = crate::namespace::ip("address add fe80::100/64 dev tap0 nodad");
    let _server = LinuxServer::start_on("fe80::100", index);
    for host in ["fe80::100", "fe80::100%tap0", "[fe80::100]"] {
        let output = run(anywire_tap(&["client", "hello", "--host", host, "hi"]), b"");
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let output = run(anywire_tap(&["client", "hello", "--host", "fe80::100%eth0", "hi"]), b"");
    assert_eq!(output.status.code(), Some(1));
    added.unwrap();
    crate::namespace::ip("address del fe80::100/64 dev tap0").unwrap();
}

fn every_client_talks_over_ipv6() {
    let server = LinuxServer::start_on(LINUX, 0);
    let here = tempfile::tempdir().unwrap();
    let content = sample(100_000);
    std::fs::write(here.path().join("photo"), &content).unwrap();
    let client = |args: &[&str], input: &[u8]| {
        let mut command = anywire_tap(&["client", args[0], "--host", LINUX]);
        command.args(&args[1..]).current_dir(here.path());
        run(command, input)
    };
    let hello = "Server says: I got \"hi\" from you and I am sending it back.\n";
    for (args, input, said) in [
        (&["hello", "hi"][..], "", format!("Connected to: {LINUX} 65432\n{hello}")),
        (&["message"], "one\ntwo", "Message: one\nMessage: two\n".to_owned()),
        (&["fixed"], "12", "1 messages of 1234 bytes came back\n".to_owned()),
        (&["knock", "--count", "1"], "", format!("Connected to [{LINUX}]:9000\n")),
        (&["typed", "--string", "text"], "", "STRING of 4 bytes: accepted\n".to_owned()),
        (&["upload", "photo"], "", "photo: 100000 bytes stored\n".to_owned()),
        (&["file", "photo", "-o", "copy"], "", "The size of photo is 100000\n".to_owned()),
        (&["greet"], "one\n", "one Ali\n".to_owned()),
    ] {
        let output = client(args, input.as_bytes());
        assert_output(&output, 0, &said);
    }
    assert!(std::fs::read(here.path().join("copy")).unwrap() == content);
    assert!(std::fs::read(server.folder.path().join("photo")).unwrap() == content);
    for args in [&["echo"][..], &["echo", "--udp"]] {
        let output = client(args, b"");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(": Test message. Th") || args.len() > 1);
    }
    assert!(text(&client(&["date"], b"").stdout).starts_with("20"));
    assert!(text(&client(&["guess", "--auto"], b"").stdout).ends_with("63: CORRECT\n"));
    let output = client(&["report-size", "photo"], b"");
    assert!(
        text(&output.stdout).contains("The size of photo is 100000"),
        "{}",
        text(&output.stderr)
    );
    let output = run(anywire_tap(&["connect", LINUX, "9900", "--send", "raw"]), b"");
    assert_output(&output, 0, "raw");
}
