//! Their servers, our clients.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anywire_tests::samples;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::net::Net;

/// A server of theirs, and what a client of ours says to it.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    pub(crate) program: &'static str,
    pub(crate) name: &'static str,
    udp: bool,
    /// As a shell has it: `$B` is the address, `$A` the same in brackets where it is one of IPv6, `$P` the port, `$V` 4 or 6.
    server: &'static str,
    client: &'static [&'static str],
    /// What it is told.
    input: &'static str,
    /// What it says, among other things, or what it leaves as `copy`.
    expected: &'static str,
    /// Its exit status.
    status: i32,
}

const fn talk(
    program: &'static str,
    name: &'static str,
    server: &'static str,
    client: &'static [&'static str],
    expected: &'static str,
) -> Talk {
    Talk { program, name, udp: false, server, client, input: "", expected, status: 0 }
}

const ECHO: &[&str] = &["client", "echo", "over there"];
const FIXED: &[&str] = &["client", "fixed", "photo.jpg"];
const UDP: &[&str] = &["client", "echo", "--udp", "over there"];
const FILE: &[&str] = &["client", "file", "photo.jpg", "-o", "copy"];
const SIZE: &str = "The size of photo.jpg is 55696";
const FIXED_SAYS: &str = "46 messages of 1234 bytes came back";

pub(crate) const TALKS: [Talk; 15] = [
    talk("ncat", "echo", "ncat -l -k $B $P -e /bin/cat", ECHO, "Received: over there"),
    talk("ncat", "fixed", "ncat -l -k $B $P -e /bin/cat", FIXED, FIXED_SAYS),
    Talk {
        udp: true,
        ..talk(
            "ncat",
            "echo over UDP",
            "ncat -u -l -k $B $P -e /bin/cat",
            UDP,
            "received over there",
        )
    },
    // A longer one it would cut where our client half-closes.
    talk(
        "nc",
        "file",
        "nc -lN $B $P <one.bin",
        &["client", "file", "one.bin"],
        "The size of one.bin is 1",
    ),
    talk(
        "nc",
        "knock",
        "nc -lN $B $P </dev/null",
        &["client", "knock", "--count", "1"],
        "Connected to ",
    ),
    talk(
        "socat",
        "echo",
        "socat TCP$V-LISTEN:$P,bind=$A,fork EXEC:cat",
        ECHO,
        "Received: over there",
    ),
    talk("socat", "fixed", "socat TCP$V-LISTEN:$P,bind=$A,fork EXEC:cat", FIXED, FIXED_SAYS),
    Talk {
        udp: true,
        ..talk(
            "socat",
            "echo over UDP",
            "socat UDP$V-LISTEN:$P,bind=$A,fork EXEC:cat",
            UDP,
            "received over there",
        )
    },
    Talk {
        input: "one\ntwo\n",
        ..talk(
            "socat",
            "message",
            "socat TCP$V-LISTEN:$P,bind=$A,fork EXEC:'sed -u -f message.sed'",
            &["client", "message"],
            "Message: one\n",
        )
    },
    Talk {
        input: "World\n",
        ..talk(
            "socat",
            "greet",
            "socat TCP$V-LISTEN:$P,bind=$A,fork EXEC:'sed -u -f greet.sed'",
            &["client", "greet"],
            "World Ali",
        )
    },
    talk(
        "socat",
        "date",
        "socat TCP$V-LISTEN:$P,bind=$A,fork EXEC:'bash date.sh'",
        &["client", "date"],
        "20",
    ),
    talk("socat", "file", "socat TCP$V-LISTEN:$P,bind=$A,fork EXEC:'bash file.sh'", FILE, SIZE),
    Talk {
        status: 1,
        ..talk(
            "socat",
            "a file that breaks off",
            "socat TCP$V-LISTEN:$P,bind=$A,linger=0 EXEC:'bash breaks.sh'",
            FILE,
            "",
        )
    },
    Talk {
        input: "GET /one.bin HTTP/1.0\r\n\r\n",
        ..talk("python3", "http", "python3 -m http.server $P --bind $B", &["connect"], "200 OK")
    },
    talk("python3", "echo", "python3 -c \"$SCRIPT\" $P $B", ECHO, "Received: over there"),
];

/// What socat starts.
const SCRIPTS: [(&str, &str); 5] = [
    ("message.sed", "s/^/Message: /"),
    ("greet.sed", "s/$/ Ali/"),
    ("date.sh", "head -c 1 >/dev/null; date -Is"),
    ("file.sh", "read -r name; cat \"$name\""),
    // socat itself is gone, too: the kernel resets what it has not ended.
    ("breaks.sh", "read -r name; head -c 5000 \"$name\"; kill -9 $PPID"),
];

/// A server of ten lines.
const PEER: &str = "
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[2] else socket.AF_INET
with socket.create_server((sys.argv[2], int(sys.argv[1])), family=family) as server:
    peer = server.accept()[0]
    while part := peer.recv(65536):
        peer.sendall(part)
    peer.close()
";

/// Theirs does not outlive its test, nor does what it has started.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // `timeout` has a process group of its own, and hands it what it gets.
        let group = Pid::from_child(&self.0);
        let _ = kill_process(group, Signal::TERM);
        let _ = self.0.wait();
        // An ncat has once outlived that; why is not known.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

impl Talk {
    pub(crate) fn hold(self, net: Net) {
        let _tap = net.reserve();
        let dir = tempfile::tempdir().unwrap();
        samples::write(dir.path()).unwrap();
        for (name, script) in SCRIPTS {
            fs::write(dir.path().join(name), script).unwrap();
        }
        let port = free_port(net);
        let server = self.start(net, dir.path(), port);
        let output = self.ask(net, dir.path(), port);
        drop(server);

        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(self.status), "{said}\n{errors}");
        assert!(said.contains(self.expected), "{said}\n{errors}");
        let copy = fs::read(dir.path().join("copy")).ok();
        if self.client == FILE && self.status == 0 {
            assert!(copy == Some(samples::bytes(55_696)), "the copy is another");
        } else {
            assert_eq!(copy, None, "a part of a file is left");
        }
    }

    /// Starts theirs, and waits until it listens.
    fn start(self, net: Net, dir: &Path, port: u16) -> Server {
        let version = if net.is_ipv6() { "6" } else { "4" };
        let script = self.server.replace("$P", &port.to_string()).replace("$V", version);
        let script = script.replace("$B", net.theirs()).replace("$A", &net.bracketed(net.theirs()));
        let mut server = Command::new("timeout");
        server.args(["60", "bash", "-c", &script]).current_dir(dir).env("SCRIPT", PEER);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Server(server.spawn().unwrap());
        let begun = Instant::now();
        while !listens(self.udp, net.is_ipv6(), port) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{script} does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    fn ask(self, net: Net, dir: &Path, port: u16) -> std::process::Output {
        let mut client = net.program();
        match self.client {
            ["connect"] => client.args(["connect", net.theirs(), &port.to_string()]),
            client_args => client.args(client_args).args([
                "--host",
                net.theirs(),
                "--port",
                &port.to_string(),
                "--timeout",
                "60",
            ]),
        };
        let input = dir.join("input");
        fs::write(&input, self.input).unwrap();
        client.current_dir(dir).stdin(fs::File::open(input).unwrap()).output().unwrap()
    }
}

/// One that nobody listens on, over TCP or UDP.
fn free_port(net: Net) -> u16 {
    let any = if net.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    loop {
        let tcp = TcpListener::bind(any).unwrap();
        let addr = tcp.local_addr().unwrap();
        if UdpSocket::bind(addr).is_ok() {
            return addr.port();
        }
    }
}

/// Whether somebody listens, as the system tells it: to connect would be to be the one whom it serves.
fn listens(udp: bool, ipv6: bool, port: u16) -> bool {
    let table =
        format!("/proc/net/{}{}", if udp { "udp" } else { "tcp" }, if ipv6 { "6" } else { "" });
    // A listening TCP socket is in state 0A, an open UDP one in 07.
    let state = if udp { "07" } else { "0A" };
    fs::read_to_string(table).unwrap().lines().skip(1).any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words[1].ends_with(&format!(":{port:04X}")) && words[3] == state
    })
}
