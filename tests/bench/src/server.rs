//! A server under measurement: a process of its own, on a processor of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::peers::{Peer, Work};

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Our program.
    pub(crate) anywire: PathBuf,
    /// The Python servers.
    pub(crate) python: PathBuf,
    /// A folder on the disk, and one in memory.
    pub(crate) disk: PathBuf,
    pub(crate) memory: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Server {
    pub(crate) fn anywire(place: &Place, service: &str, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(&place.anywire);
        command.args(["serve", &format!("{service}=0"), "-q", "--max-connections", "18000"]);
        Self::start(command.args(args))
    }

    pub(crate) fn peer(peer: Peer, work: Work, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::start(command.args(["serve", &named(peer), &named(work)]).args(args))
    }

    pub(crate) fn python(place: &Place, work: &str, path: &str, sync: &str) -> Result<Self> {
        Self::start(Command::new("python3").arg(&place.python).args([work, path, sync]))
    }

    /// One process, as its documentation has it for static files; the access log is off, as is ours.
    pub(crate) fn nginx(place: &Place) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let root = place.disk.display();
        let config = format!(
            "daemon off; master_process off; pid {root}/nginx.pid; error_log stderr crit;
             events {{ worker_connections 1024; }}
             http {{ access_log off; sendfile on; tcp_nopush on; open_file_cache off;
                 client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;
                 uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;
                 server {{ listen 127.0.0.1:{port}; root {root}; }} }}"
        );
        let file = place.disk.join("nginx.conf");
        std::fs::write(&file, config)?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = Command::new("nginx");
        command.env("PATH", "/usr/sbin:/usr/bin:/bin").arg("-c").arg(file);
        let child = pinned(|| command.stdout(Stdio::null()).spawn())?;
        let server = Self { child, addr };
        for _ in 0..500 {
            if std::net::TcpStream::connect(addr).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("nginx does not listen")
    }

    fn start(command: &mut Command) -> Result<Self> {
        let mut child = pinned(|| command.stdout(Stdio::piped()).spawn())
            .with_context(|| format!("{}", command.get_program().display()))?;
        let mut out = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        let addr = line.split(' ').next_back().and_then(|addr| addr.trim().parse().ok());
        let Some(addr) = addr else {
            let _ = child.kill();
            let _ = child.wait();
            bail!("it does not say where it listens: {line:?}");
        };
        // It goes on writing there, if it does at all.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Ok(Self { child, addr })
    }

    /// The processor's time that it has had, all its threads, also those that are gone.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let pid = i32::try_from(self.child.id())?;
        let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
        // SAFETY: both write to what the pointers point to, for the time of the call.
        let done = unsafe {
            libc::clock_getcpuclockid(pid, &raw mut clock) == 0
                && libc::clock_gettime(clock, &raw mut time) == 0
        };
        if !done {
            return Err(anyhow!("the server is gone"));
        }
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let maps = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = maps.lines().find(|line| line.starts_with("Rss:")).context("no Rss")?;
        Ok(line.split_whitespace().nth(1).context("no Rss")?.parse::<u64>()? << 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn named(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Servers have the last processor, the generator the first.
fn pinned<T>(spawn: impl FnOnce() -> T) -> T {
    if let Ok(all) = sched_getaffinity(None)
        && let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed().is_set(*cpu))
        && allowed().count() > 1
    {
        let mut one = CpuSet::new();
        one.set(last);
        let _ = sched_setaffinity(None, &one);
        let spawned = spawn();
        let _ = sched_setaffinity(None, &all);
        return spawned;
    }
    spawn()
}

/// The processors that this process had when it began.
fn allowed() -> CpuSet {
    static ALLOWED: std::sync::OnceLock<CpuSet> = std::sync::OnceLock::new();
    *ALLOWED.get_or_init(|| sched_getaffinity(None).unwrap_or_default())
}

/// Gives the generator the first processor alone.
pub(crate) fn pin_generator() {
    if allowed().count() > 1
        && let Some(first) = (0..CpuSet::MAX_CPU).find(|cpu| allowed().is_set(*cpu))
    {
        let mut one = CpuSet::new();
        one.set(first);
        let _ = sched_setaffinity(None, &one);
    }
}
