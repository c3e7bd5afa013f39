//! The services, for Linux's sockets and programs.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{
    PATIENCE, STALL, Server, anywire_tap, assert_output, connect, exchange, run, sample, shortest,
    text,
};

crate::tests![
    ping_is_answered,
    all_services_listen_on_their_ports,
    echo_returns_every_byte,
    echo_over_udp_returns_every_datagram,
    long_datagrams_that_come_at_once_all_come_back,
    echo_is_served_over_ipv6,
    hello_answers_each_message,
    files_come_whole_and_absent_ones_are_a_reset,
    a_burst_of_200_connections_is_served_by_32_sockets,
    bulk_does_not_stall,
    python_and_nc_are_at_home,
    a_transcript_shows_peers_as_python_does,
    verbose_tells_how_much_memory_it_takes,
];

fn ping_is_answered() {
    let _server = Server::start(&["echo"], 2);
    for host in ["192.168.69.1", "fdaa::1"] {
        let mut ping = Command::new("ping");
        ping.args(["-c", "3", "-i", "0.01", "-W", "5", host]);
        let output = run(ping, b"");
        assert!(output.status.success(), "{host}: {}", text(&output.stdout));
    }
}

fn all_services_listen_on_their_ports() {
    let mut server = Server::start(&[], 0);
    let lines: Vec<_> = (0..13).map(|_| server.line()).collect();
    assert_eq!(
        lines,
        [
            "listening echo tcp 192.168.69.1:9900",
            "listening echo udp 192.168.69.1:9900",
            "listening hello tcp 192.168.69.1:65432",
            "listening message tcp 192.168.69.1:9001",
            "listening fixed tcp 192.168.69.1:9004",
            "listening knock tcp 192.168.69.1:9000",
            "listening typed tcp 192.168.69.1:9002",
            "listening upload tcp 192.168.69.1:9003",
            "listening file tcp 192.168.69.1:6565",
            "listening date tcp 192.168.69.1:6015",
            "listening logdate tcp 192.168.69.1:6016",
            "listening guess udp 192.168.69.1:9905",
            "listening greet tcp 192.168.69.1:8888",
        ]
    );
    assert_eq!(exchange(connect("192.168.69.1:9900".parse().unwrap()), b"hello"), b"hello");
    // Nobody listens there.
    let refused = std::net::TcpStream::connect("192.168.69.1:9901");
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

fn echo_returns_every_byte() {
    let server = Server::start(&["echo"], 2);
    for len in [0, 1, 1459, 1460, 1461, 65536, 5_000_000] {
        let sent = sample(len);
        assert!(exchange(server.connect(), &sent) == sent, "{len} bytes");
    }
}

fn echo_over_udp_returns_every_datagram() {
    let server = Server::start(&["echo"], 2);
    udp_echo(server.listening[1], &[0, 1, 1472, 1473, 65_507]);
}

/// They wait for the server in the device's queue, and come in one burst.
fn long_datagrams_that_come_at_once_all_come_back() {
    let server = Server::start(&["echo"], 2);
    let sockets = [(); 7].map(|()| UdpSocket::bind("0.0.0.0:0").unwrap());
    // Linux keeps little for a neighbour that it does not know yet.
    udp_echo(server.listening[1], &[1]);
    let sent = sample(65_507);
    server.signal(Signal::STOP);
    for socket in &sockets {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(server.listening[1]).unwrap();
        socket.send(&sent).unwrap();
    }
    server.signal(Signal::CONT);
    let mut got = vec![0; 65_536];
    for socket in &sockets {
        let n = socket.recv(&mut got).unwrap();
        assert!(got[..n] == sent, "{n} bytes");
    }
}

fn udp_echo(addr: SocketAddr, lens: &[usize]) {
    let any: SocketAddr = match addr {
        SocketAddr::V4(_) => "0.0.0.0:0".parse().unwrap(),
        SocketAddr::V6(_) => "[::]:0".parse().unwrap(),
    };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for &len in lens {
        let (sent, mut got) = (sample(len), vec![0; 65_536]);
        socket.send(&sent).unwrap();
        let n = socket.recv(&mut got).unwrap();
        assert!(got[..n] == sent, "{n} of {len} bytes");
    }
}

fn echo_is_served_over_ipv6() {
    let server = Server::start(&["echo=[fdaa::1]:0"], 2);
    let sent = sample(100_000);
    assert!(exchange(server.connect(), &sent) == sent);
    assert_eq!(server.listening[0], server.listening[1]);
    udp_echo(server.listening[1], &[0, 1, 1452]);
}

fn hello_answers_each_message() {
    let server = Server::start(&["hello"], 1);
    let mut stream = server.connect();
    for message in ["one", "another"] {
        let reply = format!("I got \"{message}\" from you and I am sending it back.");
        stream.write_all(message.as_bytes()).unwrap();
        let mut got = vec![0; reply.len()];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(text(&got), reply);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

fn files_come_whole_and_absent_ones_are_a_reset() {
    let server = Server::start(&["file"], 1);
    for len in [0, 1, 55_696, 583_163] {
        let content = sample(len);
        std::fs::write(server.folder.path().join("a"), &content).unwrap();
        let mut stream = server.connect();
        stream.write_all(b"a\n").unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got == content, "{} of {len} bytes", got.len());
    }
    for name in ["absent\n", "../a\n", "\n"] {
        let mut stream = server.connect();
        stream.write_all(name.as_bytes()).unwrap();
        let got = stream.read(&mut [0; 1]);
        assert_eq!(got.unwrap_err().kind(), ErrorKind::ConnectionReset, "{name:?}");
    }
}

fn a_burst_of_200_connections_is_served_by_32_sockets() {
    let server = Server::start(&["hello", "--sockets", "32"], 1);
    let burst = || {
        let before = syns_sent_again();
        std::thread::scope(|scope| {
            for _ in 0..200 {
                scope.spawn(|| {
                    let reply = exchange(server.connect(), b"x");
                    assert_eq!(text(&reply), "I got \"x\" from you and I am sending it back.");
                });
            }
        });
        syns_sent_again() - before
    };
    // Linux sends one again after a second, which a busy machine may take; what is dropped is dropped each time.
    assert!((0..5).any(|_| burst() == 0), "SYNs were dropped");
}

/// How often Linux had to send a SYN again, in this network namespace.
fn syns_sent_again() -> u64 {
    let counters = std::fs::read_to_string("/proc/net/netstat").unwrap();
    let mut tcp = counters.lines().filter(|line| line.starts_with("TcpExt: "));
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let mut both = names.split(' ').zip(values.split(' '));
    both.find(|(name, _)| *name == "TCPSynRetrans").unwrap().1.parse().unwrap()
}

/// Delayed ACKs and Nagle, which are off in our sockets, have made other echo servers on smoltcp stand still for a second. Ours was not
/// seen to, not even with both on: this keeps it so.
fn bulk_does_not_stall() {
    let server = Server::start(&["echo"], 2);
    let sent = sample(4 << 20);
    for _ in 0..8 {
        let silence = shortest(STALL, || longest_silence(server.connect(), &sent));
        assert!(silence < STALL, "{silence:?} of silence");
    }
}

/// In an echo of so many bytes.
fn longest_silence(mut stream: TcpStream, sent: &[u8]) -> Duration {
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        let mut sending = stream.try_clone().unwrap();
        scope.spawn(move || {
            sending.write_all(sent).unwrap();
            sending.shutdown(Shutdown::Write).unwrap();
        });
        let mut buf = vec![0; 256 << 10];
        let mut got = 0;
        loop {
            let begun = Instant::now();
            let n = stream.read(&mut buf).unwrap();
            longest = longest.max(begun.elapsed());
            assert!(buf[..n] == sent[got..got + n]);
            if n == 0 {
                break;
            }
            got += n;
        }
        assert_eq!(got, sent.len());
    });
    longest
}

fn python_and_nc_are_at_home() {
    let server = Server::start(&["echo", "hello", "file"], 4);
    std::fs::write(server.folder.path().join("notes.txt"), "from the stack\n").unwrap();
    let python = "import socket\n\
        s = socket.create_connection(('192.168.69.1', 65432))\n\
        s.sendall(b'Hello, world'); print(s.recv(1024).decode()); s.close()\n\
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        u.sendto(b'datagram', ('192.168.69.1', 9900)); print(u.recvfrom(4096))\n";
    for (program, args, input, answer) in [
        (
            "python3",
            ["-c", python].as_slice(),
            "",
            "I got \"Hello, world\" from you and I am sending it back.\n(b'datagram', ('192.168.69.1', 9900))\n",
        ),
        ("nc", &["-N", "192.168.69.1", "9900"], "there and back\n", "there and back\n"),
        ("nc", &["-N", "192.168.69.1", "6565"], "notes.txt", "from the stack\n"),
    ] {
        if Command::new(program).arg("-h").output().is_err() {
            eprintln!("*** there is no {program} here: not tested ***");
            continue;
        }
        let mut command = Command::new(program);
        command.args(args);
        let output = run(command, input.as_bytes());
        assert_output(&output, 0, answer);
    }
}

fn a_transcript_shows_peers_as_python_does() {
    let mut server = Server::start(&["hello", "--transcript"], 1);
    let stream = server.connect();
    let port = stream.local_addr().unwrap().port();
    exchange(stream, b"X");
    assert_eq!(server.line(), format!("Connected by ('192.168.69.100', {port})"));
    assert_eq!(server.line(), format!("Sent back \"X\" to: ('192.168.69.100', {port})"));
    let list = run(anywire_tap(&["list"]), b"");
    assert!(text(&list.stdout).contains("hello"), "it needs no device to list");
}

fn verbose_tells_how_much_memory_it_takes() {
    let size = |sockets: &str| {
        let mut server = Server::start(&["echo", "hello", "-v", "--sockets", sockets], 3);
        server.signal(Signal::TERM);
        let log = server.end().1;
        let words = "all the memory the stack will ever use is ";
        let told = log.split_once(words).expect("it is told").1;
        let told =
            told.split_once(&format!(" KiB, for {sockets} connections of each of 2 services"));
        told.expect("so many").0.parse::<usize>().unwrap()
    };
    // For each socket two rings of 256 KiB, and a little.
    let more = size("24") - size("8");
    assert!((16 * 2 * 512..16 * 2 * 514).contains(&more), "{more} KiB");
}
