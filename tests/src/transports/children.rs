//! The std frontend's program with one conversation on its standard input and output: as the children of the processes engine, and under
//! an inetd. Here the sessions are the program's own, and nobody watches the contract.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anywire_core::event::{End, Event};
use anywire_std::engine::report::{Report, Reports};
use anywire_std::engine::{Engine, Options, Server, Stopper};
use anywire_std::folder::{FolderOptions, FolderStore};

use super::engines::{Bind, Ends};
use super::linux::{self, FromLinux};
use super::store::{Files, LOGS};
use super::{Frontend, Transport, with_service};
use crate::network::Setup;
use crate::programs::program;
use crate::samples;
use crate::scenarios::Scenario;

/// A child process for each connection.
pub(super) const PROCESSES: Transport = Transport {
    lacks: |scenario| (!scenario.log).then_some(NO_LOG),
    ..Transport::new(
        "std-processes",
        "the engine `processes` over loopback; the children are the program",
        Frontend::Std,
        |setup, peer| {
            let server = Parent::start(setup)?;
            peer(&mut FromLinux::new(server));
            Ok(())
        },
    )
};

/// `--stdio`, started by an inetd that knows nothing of us.
pub(super) const STDIO: Transport = Transport {
    lacks: |scenario| match scenario {
        Scenario { datagrams: true, .. } => Some("standard input and output are a stream"),
        Scenario { log: false, .. } => Some(NO_LOG),
        _ => None,
    },
    ..Transport::new(
        "stdio",
        "`serve SERVICE --stdio`, started by an inetd for each connection",
        Frontend::Std,
        |setup, peer| {
            let server = Inetd::start(setup)?;
            peer(&mut FromLinux::new(server));
            Ok(())
        },
    )
};

const NO_LOG: &str = "the program always has a log, or does not start";

/// A folder as the servers of this suite have it, and the program on it.
fn prepare(
    setup: Setup,
) -> anyhow::Result<(tempfile::TempDir, impl Fn() -> Command + Send + Sync)> {
    let dir = tempfile::tempdir()?;
    FolderStore::open(dir.path(), FolderOptions::default())?.with_log(&dir.path().join(LOGS))?;
    samples::write(dir.path())?;
    let seconds = |limit: Option<Duration>| limit.unwrap_or_default().as_secs_f64().to_string();
    let mut args = vec!["serve".into(), setup.service.into(), "--stdio".into(), "--child".into()];
    args.extend(["--idle-timeout".into(), seconds(setup.limits.idle)]);
    args.extend(["--head-timeout".into(), seconds(setup.limits.head)]);
    args.extend(["--max-file".into(), samples::LONGEST.to_string()]);
    args.extend(["--grace".into(), "1".into()]);
    args.extend(setup.settings.iter().map(|(name, value)| match *value {
        "true" => format!("--{name}"),
        value => format!("--{name}={value}"),
    }));
    let (path, logs) = (dir.path().to_owned(), dir.path().join(LOGS));
    let command = move || {
        let mut command = program("anywire");
        command.args(&args).arg("--dir").arg(&path).arg("--log-dir").arg(&logs);
        command
    };
    Ok((dir, command))
}

/// A server in this process, whose children are the program.
struct Parent {
    addr: SocketAddr,
    ends: Receiver<End>,
    stopper: Stopper,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    dir: tempfile::TempDir,
}

impl Parent {
    fn start(setup: Setup) -> anyhow::Result<Self> {
        let (dir, command) = prepare(setup)?;
        let (limits, grace) = (setup.limits, Duration::from_secs(1));
        let options = Options { engine: Engine::Processes, limits, grace, ..Options::default() };
        let (sender, ends) = channel();
        let store = FolderStore::nowhere(FolderOptions::default());
        let observer = Arc::new(Ends(Mutex::new(sender)));
        let mut server = Server::new(options, store, observer)?.children(move |_| command());
        let mut bind = Bind { server: &mut server, addr: "127.0.0.1:0".parse()?, bound: None };
        with_service(setup, &mut bind);
        let addr = bind.bound.ok_or_else(|| anyhow::anyhow!("no service {}", setup.service))??;
        let stopper = server.stopper();
        let thread = Some(std::thread::spawn(move || server.run()));
        Ok(Self { addr, ends, stopper, thread, dir })
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ran = thread.join();
            if !std::thread::panicking() {
                ran.expect("the server panicked").expect("the server failed");
            }
        }
    }
}

/// Accepts, and starts the program on what it has accepted.
struct Inetd {
    addr: SocketAddr,
    ends: Receiver<End>,
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Child>>>,
    dir: tempfile::TempDir,
}

impl Inetd {
    fn start(setup: Setup) -> anyhow::Result<Self> {
        let (dir, command) = prepare(setup)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let (sender, ends) = channel();
        let enough = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&enough);
        let thread = std::thread::spawn(move || {
            let mut children = Vec::new();
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let stream = stream.expect("a connection can be accepted");
                let copy = stream.try_clone().expect("a socket can be copied");
                let mut command = command();
                command.stdin(OwnedFd::from(copy)).stdout(OwnedFd::from(stream));
                let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
                listen(&mut child, sender.clone());
                children.push(child);
            }
            children
        });
        Ok(Self { addr, ends, enough, thread: Some(thread), dir })
    }
}

/// Passes on how a child's conversation ended.
fn listen(child: &mut Child, ends: Sender<End>) {
    let mut stderr = child.stderr.take().expect("it is piped");
    std::thread::spawn(move || {
        let (mut reports, mut buf) = (Reports::default(), [0; 4096]);
        while let Ok(n @ 1..) = std::io::Read::read(&mut stderr, &mut buf) {
            reports.push(&buf[..n], |report| match report {
                // Whoever has stopped listening does not care.
                Report::Event(Event::Ended { end, .. }) => drop(ends.send(end)),
                Report::Event(_) | Report::Steps(_) => {}
                Report::Line(line) => eprintln!("{}", String::from_utf8_lossy(line)),
            });
        }
    });
}

impl Drop for Inetd {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        let woken = std::net::TcpStream::connect(self.addr);
        let children = self.thread.take().and_then(|thread| thread.join().ok());
        drop(woken);
        for mut child in children.unwrap_or_default() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

macro_rules! is_on_loopback {
    ($server:ty) => {
        impl linux::Server for $server {
            // Loopback's MTU is 65,536.
            const MSS: usize = 65_483;
            const MANY: usize = 100;

            fn addr(&self) -> SocketAddr {
                self.addr
            }

            fn ended(&mut self, limit: Duration) -> Option<End> {
                self.ends.recv_timeout(limit).ok()
            }

            fn files(&self) -> &dyn Files {
                &self.dir
            }
        }
    };
}

is_on_loopback!(Parent);
is_on_loopback!(Inetd);
