//! An address from a DHCP server: a good one, bad ones, and none.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Protocol, Socket, Type};

use crate::harness::{
    LINUX, LinuxServer, PATIENCE, Server, anywire_tap, assert_fails, assert_output, connect,
    exchange, run, text,
};

crate::tests![
    a_client_has_an_address_lent_and_talks_to_the_router,
    a_server_listens_on_what_it_is_lent_and_renews_it,
    a_lease_that_is_not_renewed_is_lost_and_another_is_had,
    a_server_that_takes_the_address_back_is_obeyed,
    nobody_who_lends_is_a_failure_in_time,
    what_is_no_answer_is_none,
    what_no_station_can_have_is_refused_and_said,
    dnsmasq_lends_addresses_and_knows_names,
];

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// A message of a client's, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Asked {
    kind: u8,
    id: [u8; 4],
    /// It has an address, and wants to keep it.
    has: Ipv4Addr,
    mac: [u8; 6],
}

/// What is lent.
#[derive(Clone, Copy, Debug)]
struct Lent {
    address: [u8; 4],
    mask: [u8; 4],
    router: [u8; 4],
    seconds: u32,
}

const GOOD: Lent = Lent {
    address: [192, 168, 69, 57],
    mask: [255, 255, 255, 0],
    router: [192, 168, 69, 100],
    seconds: 3600,
};

impl Asked {
    fn parse(message: &[u8]) -> Self {
        let option = |wanted| {
            let mut options = &message[240..];
            while let [code, len, rest @ ..] = options {
                let (value, rest) = rest.split_at(usize::from(*len));
                if *code == wanted {
                    return value;
                }
                options = rest;
            }
            &[]
        };
        let has = <[u8; 4]>::try_from(&message[12..16]).unwrap();
        Self {
            kind: option(53)[0],
            id: message[4..8].try_into().unwrap(),
            has: has.into(),
            mac: message[28..34].try_into().unwrap(),
        }
    }

    fn answer(&self, kind: u8, lent: Lent) -> Vec<u8> {
        let mut message = vec![0; 236];
        message[..3].copy_from_slice(&[2, 1, 6]);
        message[4..8].copy_from_slice(&self.id);
        message[16..20].copy_from_slice(&lent.address);
        message[28..34].copy_from_slice(&self.mac);
        message.extend([99, 130, 83, 99, 53, 1, kind]);
        message.extend([54, 4, 192, 168, 69, 100]);
        if kind != NAK {
            // No lease is good without the mask: of one that is cut off before it nothing is taken, and one cut off behind it has its router.
            message.extend([&[3, 4][..], &lent.router, &[1, 4], &lent.mask].concat());
            message.extend([&[51, 4][..], &lent.seconds.to_be_bytes()].concat());
        }
        message.push(255);
        message
    }

    /// What an ordinary server says.
    fn good(&self, lent: Lent) -> Vec<Vec<u8>> {
        vec![self.answer(if self.kind == DISCOVER { OFFER } else { ACK }, lent)]
    }
}

/// A DHCP server at Linux's end that answers as it is told to; says what it was asked. It goes on until the test program ends, or another
/// begins.
fn lender(mut answer: impl FnMut(Asked) -> Vec<Vec<u8>> + Send + 'static) -> Receiver<Asked> {
    static GENERATION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    use std::sync::atomic::Ordering::SeqCst;
    let generation = GENERATION.fetch_add(1, SeqCst) + 1;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.bind_device(Some(b"tap0")).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 67)).into()).unwrap();
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (tell, asked) = channel();
    std::thread::spawn(move || {
        let mut buf = [0; 2000];
        while GENERATION.load(SeqCst) == generation {
            let Ok((len, _)) = socket.recv_from(&mut buf) else { continue };
            let message = Asked::parse(&buf[..len]);
            for answer in answer(message) {
                socket.send_to(&answer, (Ipv4Addr::BROADCAST, 68)).unwrap();
            }
            if tell.send(message).is_err() {
                return;
            }
        }
    });
    asked
}

#[track_caller]
fn next(asked: &Receiver<Asked>, wanted: impl Fn(&Asked) -> bool) -> Asked {
    let limit = Instant::now() + PATIENCE;
    loop {
        let left = limit.saturating_duration_since(Instant::now());
        let message = asked.recv_timeout(left).expect("it was not asked for");
        if wanted(&message) {
            return message;
        }
    }
}

fn a_client_has_an_address_lent_and_talks_to_the_router() {
    let _server = LinuxServer::start();
    let asked = lender(|asked| asked.good(GOOD));
    let output = run(anywire_tap(&["client", "hello", "--dhcp", "-v", "hi"]), b"");
    let hello = "Connected to: _gateway 65432\n\
                 Server says: I got \"hi\" from you and I am sending it back.\n";
    assert_output(&output, 0, hello);
    let said = text(&output.stderr);
    let lease = "the DHCP lease is 192.168.69.57/24 from 192.168.69.100, router 192.168.69.100";
    assert!(said.contains(lease), "{said}");
    next(&asked, |asked| asked.kind == REQUEST);
}

fn a_server_listens_on_what_it_is_lent_and_renews_it() {
    let asked = lender(|asked| asked.good(Lent { seconds: 6, ..GOOD }));
    let server = Server::start(&["echo", "--dhcp"], 2);
    assert_eq!(server.listening[0].to_string(), "192.168.69.57:9900");
    assert_eq!(exchange(server.connect(), b"there"), b"there");
    let before = connect(server.listening[0]);
    for _ in 0..2 {
        // More than the first lease's time.
        next(&asked, |asked| asked.has == Ipv4Addr::from(GOOD.address));
    }
    assert_eq!(exchange(before, b"still there"), b"still there");
}

fn a_lease_that_is_not_renewed_is_lost_and_another_is_had() {
    let mut lent = false;
    let asked = lender(move |asked| {
        if asked.has != Ipv4Addr::UNSPECIFIED {
            return Vec::new();
        }
        let first = !lent;
        lent |= asked.kind == REQUEST;
        let address = if first { GOOD.address } else { [192, 168, 69, 58] };
        asked.good(Lent { address, seconds: if first { 2 } else { 3600 }, ..GOOD })
    });
    let mut server = Server::start(&["echo", "--dhcp"], 2);
    for _ in 0..2 {
        next(&asked, |asked| asked.kind == REQUEST && asked.has.is_unspecified());
    }
    let now = SocketAddr::from(([192, 168, 69, 58], 9900));
    assert_eq!(exchange(connect(now), b"elsewhere"), b"elsewhere");
    server.signal(Signal::TERM);
    let (status, log) = server.end();
    assert_eq!(status, Some(0));
    assert!(log.contains("the DHCP lease of 192.168.69.57/24 is lost"), "{log}");
    assert!(log.contains("the DHCP lease is 192.168.69.58/24"), "{log}");
}

fn a_server_that_takes_the_address_back_is_obeyed() {
    let mut taken = false;
    let asked = lender(move |asked| {
        let renews = asked.has == Ipv4Addr::from(GOOD.address);
        taken |= renews;
        let other = Lent { address: [192, 168, 69, 58], ..GOOD };
        let lent = if taken { other } else { Lent { seconds: 2, ..GOOD } };
        if renews { vec![asked.answer(NAK, GOOD)] } else { asked.good(lent) }
    });
    let mut server = Server::start(&["echo", "--dhcp"], 2);
    next(&asked, |asked| !asked.has.is_unspecified());
    // It asks anew at once.
    next(&asked, |asked| asked.kind == DISCOVER);
    next(&asked, |asked| asked.kind == REQUEST);
    let now = SocketAddr::from(([192, 168, 69, 58], 9900));
    assert_eq!(exchange(connect(now), b"again"), b"again");
    server.signal(Signal::TERM);
    let (_, log) = server.end();
    assert!(log.contains("the DHCP lease of 192.168.69.57/24 is lost"), "{log}");
    assert!(log.contains("the DHCP lease is 192.168.69.58/24"), "{log}");
}

fn nobody_who_lends_is_a_failure_in_time() {
    let _silent = lender(|_| Vec::new());
    let begun = Instant::now();
    for args in [["client", "date", "--dhcp=0.3"], ["serve", "echo", "--dhcp=0.3"]] {
        let output = run(anywire_tap(&args), b"");
        assert_fails(&output, "no DHCP server on tap0 has lent an address within 0.3 s: ");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    for wrong in ["0", "-1", "x", "1e9"] {
        let args = ["client", "date", &format!("--dhcp={wrong}")];
        assert_eq!(run(anywire_tap(&args), b"").status.code(), Some(2), "{wrong}");
    }
    let both = ["client", "date", "--dhcp", "--address", "10.0.0.1/24"];
    assert_fails(&run(anywire_tap(&both), b""), "leave --address 10.0.0.1/24 out");
}

fn what_is_no_answer_is_none() {
    let _server = LinuxServer::start();
    let _asked = lender(|asked| {
        let good = asked.good(GOOD).remove(0);
        let mut wrong = vec![Vec::new(), vec![0xff; 1400], b"no DHCP at all".to_vec()];
        // Another's, by its number or its Ethernet address.
        wrong.push(Asked { id: asked.id.map(|byte| !byte), ..asked }.answer(good[242], GOOD));
        let other = Asked { mac: [2, 0, 0, 0, 0, 9], ..asked };
        wrong.push(other.good(Lent { address: [192, 168, 69, 66], ..GOOD }).remove(0));
        // Cut off anywhere, and with options that promise more than there is.
        wrong.extend((0..good.len()).step_by(7).map(|len| good[..len].to_vec()));
        for at in (240..good.len()).step_by(3) {
            let mut broken = good.clone();
            broken[at] = 255;
            broken.truncate(at + 2);
            wrong.push(broken);
        }
        wrong.push([&good[..240], &[12, 255, 1]].concat());
        wrong.push(good);
        wrong
    });
    let output = run(anywire_tap(&["client", "hello", "--dhcp", "-v", "hi"]), b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("192.168.69.57/24"), "{}", text(&output.stderr));
}

fn what_no_station_can_have_is_refused_and_said() {
    let any = [0; 4];
    for (lent, said) in [
        (Lent { mask: any, ..GOOD }, "lends 192.168.69.57/0, which no station can have"),
        (Lent { address: [0, 0, 0, 1], mask: [255, 0, 0, 0], ..GOOD }, "lends 0.0.0.1/8, which"),
        (Lent { address: [127, 0, 0, 1], ..GOOD }, "lends 127.0.0.1/24, which"),
        (Lent { address: [192, 168, 69, 255], ..GOOD }, "lends 192.168.69.255/24, which"),
        // Not even smoltcp takes these.
        (Lent { address: [255; 4], ..GOOD }, "no DHCP server on tap0"),
        (Lent { address: any, ..GOOD }, "no DHCP server on tap0"),
        (Lent { mask: [255, 0, 255, 0], ..GOOD }, "no DHCP server on tap0"),
    ] {
        let _asked = lender(move |asked| asked.good(lent));
        // What one waits for in vain need not be long.
        let limit = if said.starts_with("lends") { "--dhcp=3" } else { "--dhcp=0.3" };
        assert_fails(&run(anywire_tap(&["client", "date", limit]), b""), said);
    }
    // A router that is no neighbour, or nobody, is none: the rest of the lease is good.
    for router in [any, [255; 4], [10, 0, 0, 1], GOOD.address, [224, 0, 0, 1]] {
        let _server = LinuxServer::start();
        let _asked = lender(move |asked| asked.good(Lent { router, ..GOOD }));
        let output = run(anywire_tap(&["client", "date", "--dhcp", "-v", "--host", LINUX]), b"");
        assert!(output.status.success(), "{router:?}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("router"), "{}", text(&output.stderr));
    }
    // Time that is up at once is told again and again, and stops nothing.
    let _asked = lender(|asked| asked.good(Lent { seconds: 0, ..GOOD }));
    run(anywire_tap(&["client", "date", "--dhcp=0.3", "--timeout", "0.3"]), b"");
}

/// A program that is ended when it is dropped.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn dnsmasq_lends_addresses_and_knows_names() {
    let folder = tempfile::tempdir().unwrap();
    let leases = folder.path().join("leases");
    // Where it is, and not everybody's PATH leads.
    let sbin = "/usr/sbin/dnsmasq";
    let found = if std::path::Path::new(sbin).exists() { sbin } else { "dnsmasq" };
    let mut dnsmasq = Command::new(found);
    dnsmasq.args(["--no-daemon", "--conf-file=/dev/null", "--user=root", "--group=root"]);
    dnsmasq.args(["--interface=tap0", "--bind-interfaces", "--no-resolv", "--no-hosts"]);
    dnsmasq.args(["--dhcp-range=192.168.69.150,192.168.69.160,2m", "--pid-file="]);
    dnsmasq.args(["--address=/box.test/192.168.69.100", "--address=/box.test/fdaa::100"]);
    dnsmasq.arg(format!("--dhcp-leasefile={}", leases.display()));
    let Ok(child) = dnsmasq.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        let must = std::env::var("ANYWIRE_REQUIRE").is_ok_and(|what| what.contains("dnsmasq"));
        assert!(!must, "there is no dnsmasq here");
        eprintln!("*** there is no dnsmasq here: not tested against a server of others' ***");
        return;
    };
    let _dnsmasq = Running(child);
    // No lender of ours is in its way any longer.
    drop(lender(|_| Vec::new()));
    let _server = LinuxServer::start();
    // It looks for 3 s whether the address is free.
    let output = run(anywire_tap(&["client", "hello", "--dhcp", "--host", "box.test", "hi"]), b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let reply = "Server says: I got \"hi\" from you and I am sending it back.\n";
    assert!(text(&output.stdout).ends_with(reply));
    let lent = std::fs::read_to_string(leases).unwrap();
    assert!(lent.contains(" 02:00:00:00:00:01 192.168.69.15"), "{lent}");
    let absent = ["client", "hello", "--dns", LINUX, "--host", "absent.test", "hi"];
    assert_fails(&run(anywire_tap(&absent), b""), "cannot find the host absent.test: ");
}
