//! A line of the log, for a program: one JSON object, with all that an event has.
//!
//! ```text
//! {"time":"2026-11-21T09:30:00.123456Z","level":"INFO","message":"\"World\", 5 bytes in, 48 out, 0.4 ms","service":"hello","peer":"127.0.0.1:36604","end":"finished","received":5,"sent":48,"messages":1,"files":0,"stored":0,"ms":0}
//! ```
//!
//! `time` is RFC 3339 in UTC, with microseconds. Numbers are numbers. Every text is [`Shown`] before it is quoted as JSON: names and other
//! bytes that are no UTF-8, or would act on a terminal, are `\xNN` in it, as in the [text log](super::lines). So a line is plain wherever
//! it ends up, no reader splits it (some take U+2028 for a newline), and both logs say the same. (The JSON of tracing-subscriber leaves
//! such characters as they are.)

use std::fmt::{self, Debug, Write};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::console::escape::Shown;

/// The objects described [above](self).
pub(super) struct Objects;

impl<S, N> FormatEvent<S, N> for Objects
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
        let (now, level) = (Timestamp::now(), event.metadata().level());
        let mut members = Members(format!(r#"{{"time":"{now:.6}","level":"{level}""#));
        event.record(&mut members);
        writeln!(to, "{}}}", members.0)
    }
}

/// The beginning of an object, and the fields of an event behind it, as they come.
struct Members(String);

impl Members {
    fn member(&mut self, field: &Field, value: impl fmt::Display) {
        // What is ours already cannot be said twice. Writing into a String cannot fail.
        if !matches!(field.name(), "time" | "level") {
            let _ = write!(self.0, ",{}:{value}", quoted(field.name()));
        }
    }
}

impl Visit for Members {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, quoted(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, quoted(&format!("{value:?}")));
    }
}

/// A text as JSON. What is shown has no control characters: these two are all that JSON wants escaped besides.
fn quoted(text: &str) -> String {
    let shown = Shown(text.as_bytes()).to_string();
    format!("\"{}\"", shown.replace('\\', r"\\").replace('"', r#"\""#))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::lines::tests::written;

    /// The time of what is logged, and what is behind it.
    fn object(log: impl FnOnce()) -> (String, String) {
        let text = written(false, Objects, log);
        let (time, rest) = text.strip_prefix(r#"{"time":""#).unwrap().split_once('"').unwrap();
        (time.to_owned(), rest.to_owned())
    }

    #[test]
    fn all_that_an_event_has() {
        let error = std::io::Error::other("nobody knows");
        let (time, rest) = object(|| {
            let (reason, none) = (Some("idle"), None::<&str>);
            let (n, m, ok) = (u64::MAX, -1, true);
            tracing::warn!(service = "file", %error, n, m, ok, reason, none, "words");
        });
        assert_eq!((time.len(), &time[19..20], &time[26..]), (27, ".", "Z"));
        time.parse::<Timestamp>().unwrap();
        let expected = concat!(
            r#","level":"WARN","message":"words","service":"file","error":"nobody knows","#,
            r#""n":18446744073709551615,"m":-1,"ok":true,"reason":"idle"}"#,
            "\n"
        );
        assert_eq!(rest, expected);
    }

    #[test]
    fn nothing_breaks_a_line_or_forges_one() {
        let name = "a\"}\n{\"level\":\"ERROR\"\u{2028}\u{85}\x1b[2J\\\0é";
        let (_, rest) = object(|| tracing::info!(name, level = "ERROR", "got {name}"));
        let shown =
            concat!(r#"a\"}\\n{\"level\":\"ERROR\"\\xe2\\x80\\xa8\\xc2\\x85"#, r"\\x1b[2J\\\\x00é");
        let expected =
            format!(r#","level":"INFO","message":"got {shown}","name":"{shown}"}}"#) + "\n";
        assert_eq!(rest, expected);
    }
}
