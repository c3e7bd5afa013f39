//! What one would pick instead of Anywire: small servers as their libraries' pages show them, and an event loop as fast as we can write it.
//! Each says `listening ADDR` on standard output and serves until it is killed.

mod blocking;
mod epoll;
mod monoio;
mod tokio;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A peer and what it does.
#[derive(clap::Args)]
pub(crate) struct Args {
    peer: Peer,
    work: Work,
    /// Bytes of each connection's buffer
    #[arg(long, default_value_t = 4096)]
    buffer: usize,
    /// The file to send, or where to store what comes
    #[arg(long, default_value = ".")]
    path: PathBuf,
    /// Wait until what is stored is on the disk
    #[arg(long)]
    sync: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// A thread for each connection, std only
    Threads,
    /// One event loop over epoll, one buffer, edge-triggered
    Epoll,
    /// tokio on one thread
    Tokio,
    /// tokio on as many threads as there are processors
    TokioMt,
    /// monoio on one thread, with io_uring where there is one
    Monoio,
    /// std::io::copy between file and socket, a thread for each connection
    Copy,
    /// Our engine as a library, without command line, log and observer
    Library,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Work {
    /// TCP: every byte comes back
    Echo,
    /// UDP: every datagram comes back
    Udp,
    /// TCP: send a file, end
    File,
    /// TCP: store what comes until the end, end
    Upload,
}

pub(crate) fn serve(args: &Args) -> anyhow::Result<()> {
    use {Peer::*, Work::*};
    match (args.peer, args.work) {
        (Threads, Echo) => blocking::echo(args.buffer)?,
        (Threads, Udp) => blocking::udp()?,
        (Copy, File) => blocking::file(&args.path)?,
        (Copy, Upload) => blocking::upload(&args.path, args.sync)?,
        (Epoll, Echo) => epoll::echo()?,
        (Tokio, Echo) => tokio::one_thread(tokio::echo(args.buffer))?,
        (TokioMt, Echo) => tokio::all_threads(tokio::echo(args.buffer))?,
        (Tokio, Udp) => tokio::one_thread(tokio::udp())?,
        (Tokio, Upload) => tokio::one_thread(tokio::upload(args.path.clone(), args.sync))?,
        (Monoio, Echo) => monoio::echo(args.buffer)?,
        (Library, Echo) => library()?,
        (peer, work) => anyhow::bail!("{peer:?} has no {work:?}"),
    }
    Ok(())
}

/// The overhead of sessions is what this takes more than [`epoll`].
fn library() -> anyhow::Result<()> {
    use anywire_core::{service::echo::Echo, store::NoStore};
    use anywire_std::engine::{Options, Server};
    let mut server = Server::new(Options::default(), NoStore, std::sync::Arc::new(()))?;
    say(server.bind_stream(Echo, any())?)?;
    Ok(server.run()?)
}

/// Where everything listens.
fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn say(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "listening {addr}")?;
    out.flush()
}
