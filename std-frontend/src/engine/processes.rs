//! `processes`: a child for each connection, which gets the socket as its standard input and output, as from inetd.
//!
//! The parent closes its own copy at once, or an abort would not reach the peer. The child's standard error is a socket between the two.
//! There it [reports](super::report) what happens on the connection; when that ends the child has ended, and is waited for. What
//! the parent says there to the child is that the server stops; that it is closed, that the parent is gone. A child that is
//! killed costs its own connection only.

use std::io::{self, Read, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::sync::Arc;

use anywire_core::event::{End, Event};
use anywire_core::session::Reason;
use mio::{Interest, Registry};
use slab::Slab;

use super::connections::{Connections, Readiness, Unserved};
use super::context::Context;
use super::report::{RETIRE, Report, Reports};
use super::transfer::HostStore;
use super::worker::Key;
use super::{Link, Observer};
use crate::console::escape::Shown;
use crate::os;

/// Makes the command that holds one conversation of the service with that name on its standard input and output.
pub(super) type ChildCommand = Arc<dyn Fn(&'static str) -> Command + Send + Sync>;

/// So many reads of one child's reports, and others have their turn.
const READS: usize = 8;

/// The connections of one service, each in its process.
pub(super) struct Processes {
    service: &'static str,
    command: ChildCommand,
    observer: Arc<dyn Observer>,
    children: Slab<Serving>,
    /// The children were told to retire. After the grace each aborts by itself: it has been told how long that is.
    retired: bool,
}

/// A child, and its connection.
struct Serving {
    child: Child,
    reports: Reports,
    line: os::Line,
    link: Link,
    /// What it has told of: its connection is there, and has ended.
    connected: bool,
    ended: bool,
    /// What a child said that has not begun to serve: it lacks what it needs.
    trouble: Option<String>,
}

impl Processes {
    pub(super) fn new(
        service: &'static str,
        command: ChildCommand,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { service, command, observer, children: Slab::new(), retired: false }
    }

    /// Starts a child on the connection.
    fn start(
        &mut self,
        stream: &TcpStream,
        link: Link,
        table: u8,
        registry: &Registry,
    ) -> io::Result<()> {
        let slot = self.children.vacant_entry();
        let token = Key::new(table, slot.key()).token();
        let mut command = (self.command)(self.service);
        let (child, line) = os::start(&mut command, stream, |line| {
            registry.register(line, token, Interest::READABLE)
        })?;
        let (connected, ended, trouble) = (false, false, None);
        let reports = Reports::default();
        slot.insert(Serving { child, reports, line, link, connected, ended, trouble });
        Ok(())
    }

    /// Reads what a child has to say, to its end.
    fn read<St: HostStore>(&mut self, key: Key, cx: &mut Context<St>) -> usize {
        let Some(serving) = self.children.get_mut(key.slot()) else { return 0 };
        for _ in 0..READS {
            match serving.line.read(&mut cx.input) {
                Ok(0) => return self.reap(key, cx),
                Ok(n) => serving.tell(cx.input.get(..n).unwrap_or_default(), &*self.observer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.reap(key, cx),
            }
        }
        cx.again.push_back(key);
        0
    }

    /// A child's standard error has ended: it ends, or has ended.
    fn reap<St: HostStore>(&mut self, key: Key, cx: &mut Context<St>) -> usize {
        let mut serving = self.children.remove(key.slot());
        if let Some(trouble) = serving.end(&*self.observer, self.retired) {
            cx.shortage = Some(io::Error::other(format!("its process cannot serve: {trouble}")));
        }
        1
    }

    fn retire_all(&mut self) {
        if std::mem::replace(&mut self.retired, true) {
            return;
        }
        for (_, serving) in &mut self.children {
            // It fails only if there is none any more.
            let _ = serving.line.write(&[RETIRE]);
        }
    }
}

impl Serving {
    fn tell(&mut self, read: &[u8], observer: &dyn Observer) {
        let Self { reports, link, connected, ended, trouble, .. } = self;
        reports.push(read, |report| tell(report, link, connected, ended, trouble, observer));
    }

    /// Says why it could not even begin, if so.
    fn end(&mut self, observer: &dyn Observer, retired: bool) -> Option<String> {
        let Self { reports, link, connected, ended, trouble, .. } = self;
        reports.end(|report| tell(report, link, connected, ended, trouble, observer));
        let status = self.child.wait();
        if self.ended {
            return None;
        }
        let (service, peer, child) = (link.service, link.peer, self.child.id());
        let end = if retired {
            End::Aborted(Reason::Stopped)
        } else {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            if self.trouble.is_none() {
                tracing::error!(%service, %peer, child, "its process has died: {status}");
            }
            End::Aborted(Reason::Failed)
        };
        if !self.connected {
            observer.observe(&self.link, Event::Connected);
        }
        observer.observe(&self.link, Event::Ended { end, received: 0, sent: 0 });
        self.trouble.take().filter(|_| !retired)
    }
}

fn tell(
    report: Report<'_>,
    link: &Link,
    connected: &mut bool,
    ended: &mut bool,
    trouble: &mut Option<String>,
    observer: &dyn Observer,
) {
    match report {
        Report::Event(event) => {
            *connected |= matches!(event, Event::Connected);
            *ended |= matches!(event, Event::Ended { .. });
            observer.observe(link, event);
        }
        Report::Steps(counts) => observer.stepped(link, &counts),
        // That goes for the next ones, too, and is told once for all.
        Report::Line(line) if !*connected && is_error(line) => {
            let line = line.trim_ascii();
            let line = line.strip_prefix(b"ERROR").unwrap_or(line).trim_ascii();
            trouble.get_or_insert_with(|| Shown(line).to_string());
        }
        Report::Line(line) => log(line, link),
    }
}

/// Whether a line is an error, or what a program says last.
fn is_error(line: &[u8]) -> bool {
    let lesser: [&[u8]; 4] = [b"WARN ", b"INFO ", b"DEBUG ", b"TRACE "];
    !lesser.iter().any(|level| line.trim_ascii().starts_with(level))
}

/// Logs a line of a child's as it would have itself.
fn log(line: &[u8], link: &Link) {
    let (service, peer, line) = (link.service, link.peer, line.trim_ascii());
    let (level, rest) = line.split_at(line.iter().position(|&byte| byte == b' ').unwrap_or(0));
    let rest = Shown(rest.trim_ascii());
    match level {
        b"WARN" => tracing::warn!(%service, %peer, "{rest}"),
        b"INFO" => tracing::info!(%service, %peer, "{rest}"),
        b"DEBUG" => tracing::debug!(%service, %peer, "{rest}"),
        b"TRACE" => tracing::trace!(%service, %peer, "{rest}"),
        b"ERROR" => tracing::error!(%service, %peer, "{rest}"),
        _ => tracing::error!(%service, %peer, "{}", Shown(line)),
    }
}

impl<St: HostStore> Connections<St> for Processes {
    fn name(&self) -> &'static str {
        self.service
    }

    fn accept(
        &mut self,
        stream: mio::net::TcpStream,
        link: Link,
        table: u8,
        registry: &Registry,
        _: &mut Context<St>,
    ) -> Result<usize, Unserved> {
        let stream = TcpStream::from(stream);
        match self.start(&stream, link, table, registry) {
            Ok(()) => Ok(0),
            Err(error) => {
                let stream = mio::net::TcpStream::from_std(stream);
                let error = io::Error::other(format!("no process can be had for one: {error}"));
                Err(Unserved { stream, error })
            }
        }
    }

    fn event(&mut self, key: Key, _: Readiness, cx: &mut Context<St>) -> usize {
        self.again(key, cx)
    }

    fn again(&mut self, key: Key, cx: &mut Context<St>) -> usize {
        self.read(key, cx)
    }

    fn retire(&mut self, _: u8, _: &mut Context<St>) -> usize {
        self.retire_all();
        0
    }

    /// They know when the grace is over.
    fn abort(&mut self, _: u8, _: &mut Context<St>) -> usize {
        self.retire_all();
        0
    }

    /// The end of its standard error tells when one is gone, as ever.
    fn kill(&mut self) -> usize {
        let killed = self.children.iter_mut().map(|(_, serving)| serving.child.kill());
        killed.filter(io::Result::is_ok).count()
    }
}
