//! A line of the log, for a person: when, whom it is about, and what happened.
//!
//! ```text
//! 09:30:00 upload   127.0.0.1:48368        "Cargo.toml" 1710 bytes stored, 1 file in 3.1 ms
//! 09:30:02 warning: connections cannot be accepted; trying again until they can: Too many open files (os error 24)
//! ```
//!
//! A line is built from a [`tracing`] event: `service` and `peer` are columns, `error` stands behind what it is about, and the rest is
//! shown as `name=value`. An event of [`TOLD`] has the rest in its words already, and as fields only for programs.

use std::fmt::{self, Debug, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::console::escape::Shown;

/// The target of events whose message says all that their fields do.
pub(super) const TOLD: &str = "told";

/// The lines described [above](self).
pub(super) struct Lines {
    /// The system's, read once: whoever logs may have a small stack.
    zone: TimeZone,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { zone: TimeZone::system() }
    }
}

/// The longest name of a service, and the longest IPv4 address with its port: what is longer moves only its own line.
const SERVICE: usize = 7;
const PEER: usize = 21;

const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said { told: event.metadata().target() == TOLD, ..Said::default() };
        event.record(&mut said);
        let color = |code| if to.has_ansi_escapes() { code } else { "" };
        let (dim, plain) = (color(DIM), color(PLAIN));
        let (tag, tone) = match *event.metadata().level() {
            Level::ERROR => ("error: ", color(RED)),
            Level::WARN => ("warning: ", color(YELLOW)),
            Level::INFO => ("", ""),
            _ => ("", dim),
        };
        let now = self.zone.to_datetime(Timestamp::now());
        write!(to, "{dim}{:02}:{:02}:{:02}{plain} ", now.hour(), now.minute(), now.second())?;
        if !said.service.is_empty() {
            write!(to, "{:SERVICE$}  ", said.service)?;
        }
        if !said.peer.is_empty() {
            write!(to, "{dim}{:PEER$}{plain}  ", said.peer)?;
        }
        let end = if tone.is_empty() { "" } else { plain };
        let (message, rest) = (Shown(said.message.as_bytes()), Shown(said.rest.as_bytes()));
        writeln!(to, "{tone}{tag}{message}{rest}{end}")
    }
}

/// The fields of an event, as they come.
#[derive(Default)]
struct Said {
    told: bool,
    service: String,
    peer: String,
    message: String,
    rest: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing into a String cannot fail.
        let _ = match field.name() {
            "service" => write!(self.service, "{value:?}"),
            "peer" => write!(self.peer, "{value:?}"),
            "message" => write!(self.message, "{value:?}"),
            _ if self.told => Ok(()),
            "error" => write!(self.rest, ": {value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged, without the time.
    fn logged(ansi: bool, log: impl FnOnce()) -> String {
        let memory = Memory::default();
        let to = memory.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || to.clone())
            .with_ansi(ansi)
            .event_format(Lines::new());
        tracing::subscriber::with_default(subscriber.finish(), log);
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        text.split_once(' ').unwrap().1.to_owned()
    }

    #[test]
    fn columns_words_and_what_else_there_is() {
        let (service, peer) = ("file", "[::1]:9");
        let line = logged(false, || tracing::info!(service, peer, n = 1, "words"));
        assert_eq!(line, "file     [::1]:9                words n=1\n");
        let line = logged(false, || tracing::info!(target: TOLD, service, peer, n = 1, "words"));
        assert_eq!(line, "file     [::1]:9                words\n");
        let error = std::io::Error::other("nobody knows");
        let line = logged(false, || tracing::warn!(%error, "it failed"));
        assert_eq!(line, "warning: it failed: nobody knows\n");
        assert_eq!(logged(false, || tracing::error!("it failed")), "error: it failed\n");
    }

    #[test]
    fn nothing_acts_on_a_terminal_but_our_colors() {
        let name = "a\x1b[2J\nb";
        let line = logged(false, || tracing::info!(name, "cannot open {name}"));
        assert_eq!(line, "cannot open a\\x1b[2J\\nb name=a\\x1b[2J\\nb\n");
        let line = logged(true, || tracing::warn!("cannot open {name}"));
        assert_eq!(line, "\x1b[33mwarning: cannot open a\\x1b[2J\\nb\x1b[0m\n");
    }
}
