//! The log, on standard error: what a server does, a line for each conversation, and two for each file that is stored.

use std::fmt;
use std::io::{self, IsTerminal};

use anywire_core::event::{End, Event};
use anywire_core::session::Reason;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use crate::console::escape::Shown;
use crate::engine::{Link, Observer};

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Errors only.
    Quiet,
    /// What a person should know of.
    Warnings,
    /// A line for each conversation: how it ended, why what was asked for was refused, and which files were stored.
    Normal,
    /// Who connects, too, and each datagram.
    Verbose,
    /// Every event.
    Everything,
}

/// Begins to log, from a thread of its own: whoever logs never waits for a terminal that is held or a pipe that is full. Lines for which
/// there is no room then are lost. What is not written when the guard goes still has a moment. A second call does nothing.
pub fn start(level: Level) -> WorkerGuard {
    let level = filter(level);
    let ansi =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(io::stderr());
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(writer)
        .with_target(false)
        .with_ansi(ansi)
        // It would panic on a standard error that is closed.
        .log_internal_errors(false)
        .try_init();
    guard
}

/// Begins to log as the child of a server, which gives each line the time and the rest of its form. Returns no guard: nothing is kept.
pub fn start_as_child(level: Level) -> Option<WorkerGuard> {
    let _ = tracing_subscriber::fmt()
        .with_max_level(filter(level))
        .with_writer(io::stderr)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false)
        .try_init();
    None
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Quiet => LevelFilter::ERROR,
        Level::Warnings => LevelFilter::WARN,
        Level::Normal => LevelFilter::INFO,
        Level::Verbose => LevelFilter::DEBUG,
        Level::Everything => LevelFilter::TRACE,
    }
}

/// So many lines wait to be written.
const LINES: usize = 8192;

/// Logs what happens on a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventLog;

impl Observer for EventLog {
    fn observe(&self, link: &Link, event: Event<'_>) {
        let (service, peer) = (link.service, link.peer);
        match event {
            Event::Connected => tracing::debug!(%service, %peer, "connected"),
            Event::Refused { name, why } => {
                tracing::info!(%service, %peer, name = %Quoted(name), "refused: {why}");
            }
            Event::Opened { name, len } => {
                tracing::debug!(%service, %peer, name = %Quoted(name), len, "opened");
            }
            // Which files a peer has left here must be known afterwards, too.
            Event::Created { name } => {
                tracing::info!(%service, %peer, name = %Quoted(name), "receiving");
            }
            Event::Stored { len } => tracing::info!(%service, %peer, len, "stored"),
            Event::Ended { end, received, sent } => match end {
                // Has been told as refused.
                End::Aborted(Reason::Refused(why)) => {
                    tracing::debug!(%service, %peer, received, sent, "aborted: {why}");
                }
                End::Aborted(reason @ Reason::Broken(_)) => {
                    tracing::error!(%service, %peer, received, sent, "aborted: {reason}");
                }
                End::Aborted(reason) => {
                    tracing::warn!(%service, %peer, received, sent, "aborted: {reason}");
                }
                end => tracing::info!(%service, %peer, received, sent, "{}", how(end)),
            },
            Event::Data { bytes } => {
                tracing::trace!(%service, %peer, len = bytes.len(), data = %Quoted(bytes), "data");
            }
            Event::Message { text } => {
                tracing::trace!(%service, %peer, text = %Quoted(text), "message");
            }
            Event::Noted { text } => {
                tracing::info!(%service, %peer, text = %Quoted(text), "says");
            }
            Event::Moving { moved, .. } => tracing::trace!(%service, %peer, moved, "moving"),
            Event::Moved { len, stop } => tracing::trace!(%service, %peer, len, "moved: {stop}"),
            _ => {}
        }
    }
}

/// A peer's words, quoted: they do not run on into ours.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Shown(self.0))
    }
}

/// How a conversation ended, in words.
pub(crate) fn how(end: End) -> String {
    match end {
        End::Finished => "finished".into(),
        End::Idle => "ended: idle for too long".into(),
        End::Stopped => "ended: the server stops".into(),
        End::Reset => "reset by the peer".into(),
        End::Aborted(reason) => format!("aborted: {reason}"),
        other => format!("{other:?}"),
    }
}
