//! The log, on standard error, written by a thread of its own: whoever logs never waits for a terminal that is held or a pipe that is
//! full. What is logged of a server's conversations is said in [`visits`](crate::console::visits).

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Stderr, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::console::json::Objects;
use crate::console::lines::Lines;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors only.
    Quiet,
    /// What a person should know of.
    Warnings,
    /// A line for each conversation: what it was about, which files were stored, how it ended.
    Normal,
    /// Who connects, and which file is received, while that happens; and each datagram.
    Verbose,
    /// Every event.
    Everything,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a person: columns, and words
    Text,
    /// For a program: a JSON object for each line
    Json,
}

/// A log that has begun. What is not written yet when it goes still has a moment.
#[derive(Debug)]
pub struct Log {
    level: Level,
    format: Format,
    sender: Counted<NonBlocking>,
    lost: ErrorCounter,
    written: Arc<Written>,
    /// `None` once it went.
    guard: Option<WorkerGuard>,
}

/// So many lines wait to be written; those for which there is no room are lost, and counted.
const LINES: usize = 8192;

/// So long what is left may take to be written.
const MOMENT: Duration = Duration::from_secs(1);

/// Begins to log. Only the first call in a process has an effect on what is logged.
pub fn start(level: Level, format: Format) -> Log {
    let ansi =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let written = Arc::new(Written::default());
    let terminal = Terminal { stderr: io::stderr(), written: Arc::clone(&written) };
    let (to, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(terminal);
    let lost = to.error_counter();
    let sender = Counted { to, lines: Arc::default() };
    let writer = sender.clone();
    let _ = tracing_subscriber::fmt()
        .with_max_level(filter(level))
        .with_writer(move || writer.clone())
        .with_ansi(ansi)
        // It would panic on a standard error that is closed.
        .log_internal_errors(false)
        .event_format(match format {
            Format::Text => Line::Text(Lines::new()),
            Format::Json => Line::Json(Objects),
        })
        .try_init();
    Log { level, format, sender, lost, written, guard: Some(guard) }
}

/// Begins to log as the child of a server, which gives each line the time and the rest of its form.
pub fn start_as_child(level: Level) {
    let _ = tracing_subscriber::fmt()
        .with_max_level(filter(level))
        .with_writer(io::stderr)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false)
        .try_init();
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

impl Log {
    /// How much is logged.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What its lines look like.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Writes `text`, whole lines of our own words in the log's format, behind what has been logged.
    pub fn write(&self, text: impl Display) {
        // What cannot be taken is counted.
        let _ = self.sender.clone().write_all(text.to_string().as_bytes());
    }

    /// Lines that were lost so far, because nobody read fast enough.
    pub fn lost(&self) -> usize {
        self.lost.dropped_lines()
    }

    /// The same, for as long as anybody wants to know.
    pub fn lost_counter(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let lost = self.lost.clone();
        move || lost.dropped_lines()
    }

    /// Waits a moment until everything is written; says whether it is.
    pub fn catch_up(&self) -> bool {
        let owed = || {
            let sent = self.sender.lines.load(Ordering::Acquire);
            sent.saturating_sub(self.lost() as u64)
        };
        let lines = self.written.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.written.more.wait_timeout_while(lines, MOMENT, |lines| *lines < owed());
        waited.is_ok_and(|(lines, _)| *lines >= owed())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let caught_up = self.catch_up();
        if let Some(guard) = self.guard.take()
            && !caught_up
        {
            // It would wait for the thread once more, and complain on standard output.
            std::mem::forget(guard);
        }
    }
}

/// A line in either format.
enum Line {
    Text(Lines),
    Json(Objects),
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, N>,
        to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self {
            Self::Text(lines) => lines.format_event(cx, to, event),
            Self::Json(objects) => objects.format_event(cx, to, event),
        }
    }
}

/// Counts the lines that are given to a writer, one in each call.
#[derive(Clone, Debug)]
struct Counted<W> {
    to: W,
    lines: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.fetch_add(1, Ordering::AcqRel);
        self.to.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// How many lines the thread has dealt with.
#[derive(Debug, Default)]
struct Written {
    lines: Mutex<u64>,
    more: Condvar,
}

/// Standard error, as the thread writes to it. A line that it does not take is nothing that could be told.
struct Terminal {
    stderr: Stderr,
    written: Arc<Written>,
}

impl Write for Terminal {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.stderr.write_all(line);
        *self.written.lines.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.written.more.notify_all();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}
