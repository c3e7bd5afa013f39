//! Names, from DNS servers that are good, bad, or not there.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::harness::{LINUX, LinuxServer, anywire_tap, assert_fails, assert_output, run, text};

crate::tests![
    a_name_has_addresses_of_both_kinds_and_each_is_tried,
    one_kind_of_address_is_enough,
    a_name_that_stands_for_another_leads_to_its_addresses,
    names_that_are_unknown_or_none_are_said_to_be,
    servers_are_asked_one_after_the_other,
    what_is_no_answer_is_not_believed,
    a_name_without_end_is_no_answer,
    a_question_goes_with_datagrams_too,
];

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// A question: its number, its name as on the wire, and which kind of address it asks for.
#[derive(Clone, Debug)]
struct Question {
    id: [u8; 2],
    name: Vec<u8>,
    kind: u16,
}

impl Question {
    fn parse(message: &[u8]) -> Self {
        let end = 12 + message[12..].iter().position(|&byte| byte == 0).unwrap() + 1;
        Self {
            id: [message[0], message[1]],
            name: message[12..end].to_vec(),
            kind: u16::from_be_bytes([message[end], message[end + 1]]),
        }
    }

    /// An answer with these records, which are all of the name that was asked for.
    fn answer(&self, code: u8, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut message = [&self.id[..], &[0x81, 0x80 | code, 0, 1, 0]].concat();
        message.extend([records.len() as u8, 0, 0, 0, 0]);
        message.extend([&self.name[..], &self.kind.to_be_bytes(), &[0, 1]].concat());
        for (kind, data) in records {
            message.extend([&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60]].concat());
            message.extend([&(data.len() as u16).to_be_bytes()[..], data].concat());
        }
        message
    }

    /// Those of `addresses` that are asked for.
    fn addresses(&self, addresses: &[&str]) -> Vec<u8> {
        let record = |address: &&str| match address.parse().unwrap() {
            IpAddr::V4(ip) => (A, ip.octets().to_vec()),
            IpAddr::V6(ip) => (AAAA, ip.octets().to_vec()),
        };
        let records = addresses.iter().map(record).filter(|record| record.0 == self.kind);
        self.answer(0, &records.collect::<Vec<_>>())
    }
}

const UNKNOWN: u8 = 3;

/// A DNS server on an address of Linux's, until it is dropped.
struct Knower {
    socket: UdpSocket,
    thread: Option<std::thread::JoinHandle<Vec<Question>>>,
}

impl Knower {
    fn start(ip: &str, mut answer: impl FnMut(&Question) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((ip, 53)).unwrap();
        let answering = socket.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            let mut buf = [0; 600];
            loop {
                let (len, peer) = answering.recv_from(&mut buf).unwrap();
                if len == 0 {
                    return asked;
                }
                let question = Question::parse(&buf[..len]);
                for message in answer(&question) {
                    answering.send_to(&message, peer).unwrap();
                }
                asked.push(question);
            }
        });
        Self { socket, thread: Some(thread) }
    }

    /// What it was asked.
    fn end(mut self) -> Vec<Question> {
        self.stop()
    }

    fn stop(&mut self) -> Vec<Question> {
        let Some(thread) = self.thread.take() else { return Vec::new() };
        self.socket.send_to(b"", self.socket.local_addr().unwrap()).unwrap();
        thread.join().unwrap()
    }
}

impl Drop for Knower {
    fn drop(&mut self) {
        self.stop();
    }
}

fn hello(args: &[&str]) -> std::process::Output {
    let common = ["client", "hello", "--dns", LINUX, "--host", "box.test", "hi"];
    run(anywire_tap(&[&common, args].concat()), b"")
}

/// Before any limit is up.
const SOON: Duration = Duration::from_secs(20);

const SAID: &str = "Connected to: box.test 65432\n\
                    Server says: I got \"hi\" from you and I am sending it back.\n";

fn a_name_has_addresses_of_both_kinds_and_each_is_tried() {
    let _server = LinuxServer::start();
    let knower = Knower::start(LINUX, |asked| {
        vec![asked.addresses(&["192.168.69.50", LINUX, "fdaa::50", "fdaa::100"])]
    });
    // Nobody has .50; the server listens on 192.168.69.100 only, which is the last.
    let begun = Instant::now();
    assert_output(&hello(&["--timeout", "2.5"]), 0, SAID);
    assert!(begun.elapsed() >= Duration::from_secs(5), "each is given its time");
    // smoltcp looks for a neighbour once a second. IPv6 first, each in the order of the answer.
    let output = hello(&["--timeout", "3", "--port", "7"]);
    assert_fails(
        &output,
        "cannot connect to box.test port 7: [fdaa::50]:7: no answer within 3 s; [fdaa::100]:7: connection refused; \
         192.168.69.50:7: no answer within 3 s; 192.168.69.100:7: connection refused",
    );
    let asked = knower.end();
    assert_eq!(asked.iter().map(|asked| asked.kind).collect::<Vec<_>>(), [AAAA, A, AAAA, A]);
    assert!(asked.iter().all(|asked| asked.name == b"\x03box\x04test\0"));
}

fn one_kind_of_address_is_enough() {
    let _server = LinuxServer::start();
    // It has never heard of IPv6, and says nothing.
    let knower = Knower::start(LINUX, |asked| match asked.kind {
        A => vec![asked.addresses(&[LINUX])],
        _ => Vec::new(),
    });
    let begun = Instant::now();
    assert_output(&hello(&["--timeout", "60"]), 0, SAID);
    assert!(begun.elapsed() < SOON);
    drop(knower);
    // A stack that has no IPv6 does not ask for it.
    let knower = Knower::start(LINUX, |asked| vec![asked.addresses(&[LINUX, "fdaa::100"])]);
    assert_output(&hello(&["--address", "192.168.69.7/24"]), 0, SAID);
    assert_eq!(knower.end().iter().map(|asked| asked.kind).collect::<Vec<_>>(), [A]);
}

fn a_name_that_stands_for_another_leads_to_its_addresses() {
    let _server = LinuxServer::start();
    let _knower = Knower::start(LINUX, |asked| {
        if asked.kind != A {
            return vec![asked.answer(UNKNOWN, &[])];
        }
        let mut message = asked.answer(0, &[(CNAME, b"\x04real\xc0\x10".to_vec())]);
        message[7] = 2;
        message.extend(b"\x04real\xc0\x10\0\x01\0\x01\0\0\0\x3c\0\x04");
        message.extend([192, 168, 69, 100]);
        vec![message]
    });
    assert_output(&hello(&[]), 0, SAID);
}

fn names_that_are_unknown_or_none_are_said_to_be() {
    let knower = Knower::start(LINUX, |asked| vec![asked.answer(UNKNOWN, &[])]);
    let unknown = "cannot find the host box.test: the DNS server 192.168.69.100: it knows no such name, or no address of it";
    let begun = Instant::now();
    assert_fails(&hello(&["--timeout", "60"]), unknown);
    assert!(begun.elapsed() < SOON, "it was told at once");
    drop(knower);
    let knower = Knower::start(LINUX, |asked| vec![asked.answer(0, &[])]);
    assert_fails(&hello(&[]), unknown);
    drop(knower);
    // Nor are these addresses.
    let nobody = ["0.0.0.0", "255.255.255.255", "::", "ff02::1"];
    let knower = Knower::start(LINUX, move |asked| vec![asked.addresses(&nobody)]);
    assert_fails(&hello(&[]), unknown);
    drop(knower);
    let long = format!("{}.test", "x".repeat(64));
    let longest = ["x"; 130].join(".");
    for name in ["a..b", ".", long.as_str(), longest.as_str()] {
        let args = ["client", "hello", "--dns", LINUX, "--host", name, "hi"];
        assert_fails(&run(anywire_tap(&args), b""), "is neither an address nor a name");
    }
    for wrong in ["box.test", "0.0.0.0", "ff02::1"] {
        let args = ["client", "date", "--dns", wrong];
        assert_eq!(run(anywire_tap(&args), b"").status.code(), Some(2), "{wrong}");
    }
}

fn servers_are_asked_one_after_the_other() {
    let _server = LinuxServer::start();
    let _knower = Knower::start("fdaa::100", |asked| vec![asked.addresses(&[LINUX])]);
    let args = ["client", "hello", "--timeout", "3", "--host", "box.test", "hi"];
    // One is not there, one cannot be reached, one is ourselves, and the last knows.
    let servers = ["192.168.69.50", "fe80:0:0:1::1", "192.168.69.1", "fdaa::100"];
    let servers = servers.map(|server| format!("--dns={server}"));
    let servers: Vec<_> = servers.iter().map(String::as_str).collect();
    assert_output(&run(anywire_tap(&[&args[..], &servers].concat()), b""), 0, SAID);
    let output = run(anywire_tap(&[&args[..], &servers[..3]].concat()), b"");
    assert_fails(&output, "the DNS server 192.168.69.50: no answer in time; ");
    assert_fails(&output, "192.168.69.1 is this stack's own address");
}

fn what_is_no_answer_is_not_believed() {
    let _server = LinuxServer::start();
    let _knower = Knower::start(LINUX, |asked| {
        let nobody = ["192.168.69.66", "fdaa::66"];
        let good = asked.addresses(&[LINUX, "fdaa::100"]);
        let mut wrong = vec![Vec::new(), vec![0xff; 1400], vec![0; 12], b"no DNS".to_vec()];
        // An answer to another question, by its number, its name, or its kind.
        wrong.push(Question { id: asked.id.map(|byte| !byte), ..asked.clone() }.addresses(&nobody));
        let name = b"\x03fox\x04test\0".to_vec();
        wrong.push(Question { name, ..asked.clone() }.addresses(&nobody));
        wrong.push(Question { kind: A + AAAA - asked.kind, ..asked.clone() }.addresses(&nobody));
        // A question, of many questions, of no question.
        for (at, value) in [(2, 1), (5, 9), (5, 0)] {
            let mut other = asked.addresses(&nobody);
            other[at] = value;
            wrong.push(other);
        }
        // Names that lead to themselves, beyond the end, or are none.
        for name in [&[0xc0, 26][..], &[0xc0, 0xff], &[0x80], &[63], &[0xc0]] {
            let mut loops = asked.answer(0, &[]);
            loops[7] = 1;
            assert_eq!(loops.len(), 26);
            loops.extend(name);
            wrong.push(
                [&loops[..], &asked.kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4]]
                    .concat(),
            );
        }
        // Cut off anywhere in a record, or with more records promised than there are.
        wrong.extend((28..good.len()).map(|len| good[..len].to_vec()));
        // From another port of the same server.
        let (stranger, nobody) = (UdpSocket::bind((LINUX, 0)).unwrap(), asked.addresses(&nobody));
        let _ = stranger.send_to(&nobody, SocketAddr::from(([192, 168, 69, 1], 50_000)));
        wrong.push(good);
        wrong
    });
    // fdaa::100 refuses; 192.168.69.100 answers. Nobody has what the wrong answers say.
    let begun = Instant::now();
    assert_output(&hello(&["--timeout", "60"]), 0, SAID);
    assert!(begun.elapsed() < SOON, "it fell for a wrong answer");
}

/// One that is too long is the last word of that server: nothing is found, and nothing breaks.
fn a_name_without_end_is_no_answer() {
    let _knower = Knower::start(LINUX, |asked| {
        let long = [&[60; 61].repeat(6)[..], &[0]].concat();
        vec![asked.answer(0, &[(CNAME, long)]), asked.addresses(&[LINUX])]
    });
    assert_fails(&hello(&["--timeout", "0.5"]), "the DNS server 192.168.69.100: no answer in time");
}

fn a_question_goes_with_datagrams_too() {
    let _server = LinuxServer::start();
    let _knower = Knower::start(LINUX, |asked| vec![asked.addresses(&[LINUX])]);
    let common = ["client", "echo", "--udp", "--dns", LINUX, "--host", "box.test"];
    let output = run(anywire_tap(&common), b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("received Test message."), "{}", text(&output.stdout));
}
