//! What is between the stack and the device: a capture, and faults.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use smoltcp::wire::TcpPacket;
use socket2::{Domain, Protocol, Socket, Type};

use crate::harness::{
    LinuxServer, PATIENCE, Persistence, Server, anywire_tap, assert_fails, connect, exchange, run,
    sample, text,
};

crate::tests![
    a_capture_shows_nothing_that_should_not_be,
    a_capture_with_offload_shows_long_segments_and_nothing_that_should_not_be,
    a_capture_of_a_client_that_was_killed_can_be_read,
    a_capture_that_cannot_be_written_is_told,
    through_faults_both_ways_everything_arrives_whole,
    faults_hit_both_ways_as_often_as_they_are_told_to,
    what_is_too_long_does_not_pass,
    no_segment_with_a_wrong_checksum_is_answered,
];

/// What tshark says of the frames of a capture that `filter` lets through, a line each. `None`: it is not here.
fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Option<Vec<String>> {
    let mut tshark = Command::new("tshark");
    for protocol in ["ip", "tcp", "udp"] {
        tshark.arg("-o").arg(format!("{protocol}.check_checksum:TRUE"));
    }
    tshark.arg("-r").arg(capture).args(["-Y", filter]);
    if !fields.is_empty() {
        tshark.args(["-T", "fields"]);
    }
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    if Command::new("tshark").arg("--version").output().is_err() {
        let must = std::env::var("ANYWIRE_REQUIRE").is_ok_and(|what| what.contains("tshark"));
        assert!(!must, "there is no tshark");
        eprintln!(
            "SKIPPED: what tshark says of a capture, because there is no tshark (apt-get install tshark)"
        );
        return None;
    }
    let output = run(tshark, b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(text(&output.stdout).lines().map(str::to_owned).collect())
}

/// The records of a capture, by its own words: each as long as it says, to the end of the file.
fn records(capture: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(capture).unwrap();
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    // Of Ethernet frames.
    assert_eq!((word(0), word(20)), (0xa1b2_c3d4, 1));
    let (mut at, mut records) = (24, Vec::new());
    while at < bytes.len() {
        let len = word(at + 8);
        assert_eq!(word(at + 12), len, "no frame is cut short");
        records.push(bytes[at + 16..at + 16 + len].to_vec());
        at += 16 + len;
    }
    assert_eq!(at, bytes.len());
    records
}

/// A conversation with every service.
fn talk(server: &Server) {
    let say = |at: usize, sent: &[u8]| exchange(connect(server.listening[at]), sent);
    let song = sample(200_000);
    assert!(say(0, &song) == song);
    assert_eq!(text(&say(2, b"World")), "I got \"World\" from you and I am sending it back.");
    assert_eq!(say(3, b"hey\n"), b"Message: hey");
    assert_eq!(say(4, &[7; 1234]), [7; 1234]);
    assert_eq!(say(5, b""), b"");
    assert_eq!(say(6, b"\x01\x04\0text"), b"");
    assert_eq!(say(7, &[&b"\x01\x01\0f\x05\x40\x0d\x03\0"[..], &song].concat()), b"OK");
    assert!(say(8, b"f\n") == song);
    assert_eq!(say(9, b"?").len(), 26);
    assert_eq!(say(10, b"?").len(), 26);
    assert_eq!(say(12, b"x\n"), b"x Ali\r\n");
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buf = vec![0; 65_536];
    for (at, sent, len) in [(1, &song[..20_000], 20_000), (11, b"50", 0)] {
        socket.send_to(sent, server.listening[at]).unwrap();
        let got = socket.recv(&mut buf).unwrap();
        assert!(len == 0 || buf[..got] == *sent);
    }
}

/// All of them, and the end by `kill -9`: what is in the file is whole.
fn a_capture_shows_nothing_that_should_not_be() {
    let frames = capture_of_all(&["--offload", "off"]);
    assert!(frames.len() > 200);
    assert!(frames.iter().all(|frame| frame.len() <= 14 + 1500));
}

/// Long ones are in one piece, both ways, as they are between us and Linux.
fn a_capture_with_offload_shows_long_segments_and_nothing_that_should_not_be() {
    let frames = capture_of_all(&[]);
    let ours = |frame: &&Vec<u8>| frame[6..12] == [2, 0, 0, 0, 0, 1];
    let (sent, received): (Vec<_>, Vec<_>) = frames.iter().partition(ours);
    for frames in [sent, received] {
        let longest = frames.iter().map(|frame| frame.len()).max().unwrap();
        assert!((10_000..=14 + 65_535).contains(&longest), "{longest}");
    }
}

/// The frames of a conversation with every service; tshark has nothing to say against them.
fn capture_of_all(args: &[&str]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("capture.pcap");
    let capturing = ["--no-sync", "--pcap", capture.to_str().unwrap()];
    let mut server = Server::start(&[&capturing[..], args].concat(), 13);
    talk(&server);
    server.signal(Signal::KILL);
    server.end();
    let frames = records(&capture);

    let broken = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0";
    let Some(broken) = tshark(&capture, broken, &[]) else { return frames };
    assert_eq!(broken, [""; 0]);
    assert_eq!(tshark(&capture, "tcp.flags.reset == 1", &[]).unwrap(), [""; 0]);
    // Both ends of each of the 11 conversations.
    let mut fins = tshark(&capture, "tcp.flags.fin == 1", &["tcp.stream", "ip.src"]).unwrap();
    fins.sort();
    fins.dedup();
    assert_eq!(fins.len(), 22, "{fins:?}");
    // A fragmented datagram is one for tshark.
    let both = tshark(&capture, "udp.port == 9900", &["ip.src"]).unwrap();
    assert_eq!(both, ["192.168.69.100", "192.168.69.1"]);
    // Linux sends again what we are slow to acknowledge, on a machine that is busy with something else; we have no such excuse.
    let again = "ip.src == 192.168.69.1 && (tcp.analysis.retransmission \
         || tcp.analysis.fast_retransmission || tcp.analysis.out_of_order)";
    assert_eq!(tshark(&capture, again, &[]).unwrap(), [""; 0]);
    frames
}

/// A client's, and the end in the middle of a conversation.
fn a_capture_of_a_client_that_was_killed_can_be_read() {
    let _linux = LinuxServer::start();
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("capture.pcap");
    let mut client = anywire_tap(&["client", "message", "--pcap", capture.to_str().unwrap()]);
    client.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(client.stdout.take().unwrap()));
    std::io::Write::write_all(client.stdin.as_mut().unwrap(), b"hey\n").unwrap();
    // It has the answer, and waits for another line.
    let answered = lines.any(|line| line.unwrap().contains("hey"));
    client.kill().unwrap();
    client.wait().unwrap();
    assert!(answered);
    let frames = records(&capture);
    assert!(frames.iter().any(|frame| frame.ends_with(b"hey\n")), "sent");
    assert!(frames.iter().any(|frame| frame.ends_with(b"Message: hey")), "received");
}

fn a_capture_that_cannot_be_written_is_told() {
    let output = run(anywire_tap(&["client", "hello", "x", "--pcap", "/no such folder/f"]), b"");
    assert_fails(&output, "cannot capture into /no such folder/f");
    for wrong in [["--drop-chance", "101"], ["--corrupt-chance", "many"], ["--size-limit", "-1"]] {
        let args = [&["client", "hello", "x"], &wrong[..]].concat();
        assert_eq!(run(anywire_tap(&args), b"").status.code(), Some(2), "{wrong:?}");
    }
}

/// With Linux at the other end, both as a server and as a client.
fn through_faults_both_ways_everything_arrives_whole() {
    let _persistence = Persistence::of_linux();
    let args = ["--drop-chance", "5", "--corrupt-chance", "5", "echo", "file"];
    let server = Server::start(&args, 3);
    let sent = sample(60_000);
    assert!(exchange(server.connect(), &sent) == sent);
    std::fs::write(server.folder.path().join("f"), &sent).unwrap();
    assert!(exchange(connect(server.listening[2]), b"f\n") == sent);
    drop(server);

    let linux = LinuxServer::start();
    std::fs::write(linux.folder.path().join("f"), &sent).unwrap();
    let args = ["client", "file", "f", "-o", "-", "--drop-chance=5", "--corrupt-chance=5"];
    let output = run(anywire_tap(&[&args[..], &["--timeout", "60"]].concat()), b"");
    assert!(output.status.success() && output.stdout == sent, "{}", text(&output.stderr));
}

/// The capture is on Linux's side of the faults: it has what was broken on its way to the stack, as it was, and what the stack has sent,
/// as it is broken.
fn faults_hit_both_ways_as_often_as_they_are_told_to() {
    let _persistence = Persistence::of_linux();
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("capture.pcap");
    let args = ["--corrupt-chance", "20", "--pcap", capture.to_str().unwrap(), "echo", "-vv"];
    let mut server = Server::start(&args, 2);
    let (socket, mut buf) = (UdpSocket::bind("0.0.0.0:0").unwrap(), [0; 1500]);
    socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    let echo: SocketAddr = server.listening[1];
    let sent = sample(1000);
    let mut came_back = 0;
    for _ in 0..200 {
        socket.send_to(&sent, echo).unwrap();
        while let Ok(len) = socket.recv(&mut buf) {
            assert!(buf[..len] == sent, "a checksum has let something through");
            came_back += 1;
            socket.set_nonblocking(true).unwrap();
        }
        socket.set_nonblocking(false).unwrap();
    }
    server.signal(Signal::TERM);
    let (status, log) = server.end();
    assert_eq!(status, Some(0));
    // 80 % of 80 %, more or less.
    assert!((90..165).contains(&came_back), "{came_back} of 200 came back");
    assert!(log.contains("the wire hit of those received Hits {"), "{log}");
    if let Some(broken) = tshark(
        &capture,
        "ip.checksum.status == 0 || udp.checksum.status == 0 || _ws.malformed",
        &["eth.src"],
    ) {
        assert!(broken.len() > 10, "{broken:?}");
        assert!(broken.iter().all(|source| source == "02:00:00:00:00:01"), "{broken:?}");
    }
}

fn what_is_too_long_does_not_pass() {
    let server = Server::start(&["--size-limit", "600", "echo"], 2);
    let (socket, mut buf) = (UdpSocket::bind("0.0.0.0:0").unwrap(), [0; 1500]);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // 558 bytes and 42 of headers.
    for len in [559, 558] {
        socket.send_to(&sample(len), server.listening[1]).unwrap();
    }
    assert_eq!(socket.recv(&mut buf).unwrap(), 558);
}

/// Behind hop-by-hop options or not, with offload or without. A whole one to a port where nobody listens is answered with a reset.
fn no_segment_with_a_wrong_checksum_is_answered() {
    const IPPROTO_RAW: i32 = 255;
    const RST: u8 = 4;
    let raw = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(IPPROTO_RAW))).unwrap();
    let [from, to] = ["fdaa::100", "fdaa::1"].map(|ip| ip.parse::<Ipv6Addr>().unwrap());
    let send = |port: u16, options: &[u8], wrong: bool| {
        let mut syn = [50_000u16.to_be_bytes(), port.to_be_bytes()].concat();
        syn.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, 2, 4, 0, 0, 0, 0, 0]);
        TcpPacket::new_unchecked(&mut syn[..]).fill_checksum(&from.into(), &to.into());
        syn[17] ^= u8::from(wrong);
        let first = if options.is_empty() { 6 } else { 0 };
        let len = (options.len() + syn.len()) as u8;
        let mut packet = vec![0x60, 0, 0, 0, 0, len, first, 64];
        packet.extend([from.octets(), to.octets()].concat());
        packet.extend([options, &syn].concat());
        raw.send_to(&packet, &SocketAddr::from((to, 0)).into()).unwrap();
    };
    let options = [6, 0, 1, 4, 0, 0, 0, 0];
    for offload in ["on", "off"] {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("capture.pcap");
        let args = ["echo=[fdaa::1]:0", "--offload", offload, "--pcap"];
        let mut server = Server::start(&[&args[..], &[capture.to_str().unwrap()]].concat(), 2);
        // The neighbours know each other.
        assert_eq!(exchange(server.connect(), b"before"), b"before");
        for (port, options, wrong) in
            [(101, &[][..], true), (102, &[], false), (103, &options, true), (104, &options, false)]
        {
            send(port, options, wrong);
        }
        assert_eq!(exchange(server.connect(), b"after"), b"after");
        server.signal(Signal::TERM);
        assert_eq!(server.end().0, Some(0));
        let ours = [2, 0, 0, 0, 0, 1, 0x86, 0xdd];
        let answers: Vec<_> = records(&capture)
            .iter()
            .filter(|frame| frame[6..14] == ours && frame[20] == 6 && frame[67] & RST != 0)
            .map(|frame| u16::from_be_bytes([frame[54], frame[55]]))
            .collect();
        assert_eq!(answers, [102, 104], "offload {offload}");
    }
}
