//! The std frontend's engines that run in this process, over loopback.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anywire_core::datagram::DatagramService;
use anywire_core::event::{End, Event};
use anywire_core::service::StreamService;
use anywire_std::engine::{Engine, Link, Observer, Options, Server, Stopper};
use anywire_std::folder::{FolderOptions, FolderStore};

use super::linux::{self, FromLinux};
use super::store::{Files, LOGS};
use super::{Frontend, Peer, Transport, WithService, with_service};
use crate::network::Setup;
use crate::samples;

/// All in one event loop.
pub(super) const POLL: Transport =
    Transport::new("std-poll", "the engine `poll` over loopback", Frontend::Std, |setup, peer| {
        with(Engine::Poll, setup, "127.0.0.1:0", peer)
    });

/// The same over IPv6.
pub(super) const POLL_IPV6: Transport =
    Transport::new("std-poll IPv6", "the same on ::1", Frontend::Std, |setup, peer| {
        with(Engine::Poll, setup, "[::1]:0", peer)
    })
    .ipv6();

/// A thread for each connection.
pub(super) const THREADS: Transport = Transport::new(
    "std-threads",
    "the engine `threads` over loopback",
    Frontend::Std,
    |setup, peer| with(Engine::Threads, setup, "127.0.0.1:0", peer),
);

fn with(engine: Engine, setup: Setup, addr: &str, peer: Peer<'_>) -> anyhow::Result<()> {
    let server = Running::start(engine, setup, addr.parse()?)?;
    peer(&mut FromLinux::new(server));
    Ok(())
}

/// A server on a thread of its own, with a folder of its own.
pub(super) struct Running {
    addr: SocketAddr,
    ends: Receiver<End>,
    stopper: Stopper,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    dir: tempfile::TempDir,
}

/// Sends every end to whoever asks for them.
pub(super) struct Ends(pub(super) Mutex<Sender<End>>);

impl Observer for Ends {
    fn observe(&self, _: &Link, event: Event<'_>) {
        if let Event::Ended { end, .. } = event {
            // Whoever has stopped listening does not care.
            let _ = self.0.lock().unwrap().send(end);
        }
    }
}

pub(super) struct Bind<'a> {
    pub(super) server: &'a mut Server<FolderStore>,
    pub(super) addr: SocketAddr,
    pub(super) bound: Option<std::io::Result<SocketAddr>>,
}

impl WithService for Bind<'_> {
    fn with<S: StreamService + Send + 'static>(&mut self, service: S) {
        self.bound = Some(self.server.bind_stream(service, self.addr));
    }

    fn with_datagrams<D: DatagramService + Send + 'static>(&mut self, service: D) {
        self.bound = Some(self.server.bind_datagram(service, self.addr));
    }
}

impl Running {
    pub(super) fn start(engine: Engine, setup: Setup, addr: SocketAddr) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let options =
            FolderOptions { max_file: samples::LONGEST as u64, ..FolderOptions::default() };
        let store = FolderStore::open(dir.path(), options)?;
        let store = match setup.log {
            true => store.with_log(&dir.path().join(LOGS))?,
            false => store,
        };
        samples::write(dir.path())?;
        let (limits, grace) = (setup.limits, Duration::from_secs(1));
        let options = Options { engine, limits, grace, ..Options::default() };
        let (sender, ends) = channel();
        let mut server = Server::new(options, store, Arc::new(Ends(Mutex::new(sender))))?;
        let mut bind = Bind { server: &mut server, addr, bound: None };
        with_service(setup, &mut bind);
        let addr = bind.bound.ok_or_else(|| anyhow::anyhow!("no service {}", setup.service))??;
        let stopper = server.stopper();
        let thread = Some(std::thread::spawn(move || server.run()));
        Ok(Self { addr, ends, stopper, thread, dir })
    }
}

impl Drop for Running {
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

impl linux::Server for Running {
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
