//! Who is measured: each a process of its own, alone on the device while it is its turn.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::load::Work;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Our stack.
    Anywire,
    /// The same without offload.
    Plain,
    /// Our stack, which never sleeps.
    Busy,
    /// smoltcp's interface to TAP behind its fault injector, and sockets as its `examples/benchmark.rs` has them.
    Benchmark,
    /// smoltcp's interface to TAP, and a loop that echoes.
    Stock,
    /// Linux's TCP over veth, in a namespace of its own: an epoll loop.
    Veth,
}

impl Kind {
    /// Plain behind the others of ours: it leaves the device without offload, of which the next ones know nothing.
    pub const ALL: [Self; 6] =
        [Self::Anywire, Self::Busy, Self::Plain, Self::Benchmark, Self::Stock, Self::Veth];

    pub fn name(self) -> &'static str {
        match self {
            Self::Anywire => "anywire",
            Self::Plain => "anywire --offload off",
            Self::Busy => "anywire --busy-poll",
            Self::Benchmark => "smoltcp's benchmark",
            Self::Stock => "stock echo",
            Self::Veth => "epoll over veth",
        }
    }

    pub fn does(self, work: &Work) -> bool {
        match work {
            _ if self == Self::Busy => matches!(work, Work::PingPong { busy: 1, .. }),
            Work::Down | Work::Up => self != Self::Stock,
            Work::Datagrams { .. } => matches!(self, Self::Anywire | Self::Veth),
            _ => self != Self::Benchmark,
        }
    }
}

pub struct Peer {
    child: Child,
    pub ip: IpAddr,
}

impl Peer {
    pub fn start(kind: Kind, work: &Work) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = match kind {
            Kind::Veth => {
                let mut command = Command::new("unshare");
                command.arg("-n").arg(&program);
                command
            }
            _ => Command::new(&program),
        };
        command.args(["peer", kind.name()]).env("SOCKETS", work.sockets().to_string());
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start a peer")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it has one")?).read_line(&mut line)?;
        let ip = if kind == Kind::Veth { "10.9.0.2" } else { "192.168.69.1" };
        let peer = Self { child, ip: ip.parse()? };
        ensure!(line == "ready\n", "the peer {kind:?} does not begin");
        if kind == Kind::Veth {
            let pid = peer.child.id();
            run(&format!("ip link add veth0 type veth peer name veth1 netns {pid}"))?;
            run("ip address add 10.9.0.1/24 dev veth0")?;
            run("ip link set veth0 up")?;
            run(&format!("nsenter -t {pid} -n ip address add 10.9.0.2/24 dev veth1"))?;
            run(&format!("nsenter -t {pid} -n ip link set veth1 up"))?;
        }
        Ok(peer)
    }

    /// How much CPU its one thread has used.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()))?;
        let nanos = stat.split(' ').next().context("no time")?.parse()?;
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.ip.to_string() == "10.9.0.2" {
            // Unless it has gone with the namespace.
            let _ =
                Command::new("ip").args(["link", "del", "veth0"]).stderr(Stdio::null()).status();
        }
    }
}

fn run(command: &str) -> Result<()> {
    let mut words = command.split(' ');
    let program = words.next().context("no program")?;
    let done = Command::new(program).args(words).status()?;
    ensure!(done.success(), "`{command}` failed");
    Ok(())
}
