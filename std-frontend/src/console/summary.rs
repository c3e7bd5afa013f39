//! What a server has done in all: counted while it happens, and told when it is over.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use anywire_core::event::{End, Event};
use anywire_core::instant::Instant;
use anywire_core::request::Stop;
use anywire_core::session::Reason;

use crate::clock;
use crate::console::words::{Lasting, counted};
use crate::engine::{Link, Observer};

/// Counts what happens on a server, for each of its services. To be displayed when it is over: a line that says how long it was, and a
/// table of the services that had visitors, with a column for whatever happened at all.
#[derive(Debug)]
pub struct Summary {
    since: Instant,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    service: &'static str,
    counts: [AtomicU64; COLUMNS.len()],
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Conversations,
    Finished,
    Idle,
    Stopped,
    Reset,
    Vanished,
    Refused,
    Aborted,
    Datagrams,
    BytesIn,
    BytesOut,
    Files,
}

/// Each column, and its name, as they stand in the table. A conversation is in one of those from `finished` to `aborted`.
const COLUMNS: [(Column, &str); 12] = [
    (Column::Conversations, "conversations"),
    (Column::Finished, "finished"),
    (Column::Idle, "idle"),
    (Column::Stopped, "stopped"),
    (Column::Reset, "reset"),
    (Column::Vanished, "vanished"),
    (Column::Refused, "refused"),
    (Column::Aborted, "aborted"),
    (Column::Datagrams, "datagrams"),
    (Column::BytesIn, "bytes in"),
    (Column::BytesOut, "bytes out"),
    (Column::Files, "files stored"),
];

impl Row {
    fn add(&self, column: Column, n: u64) {
        if let Some(count) = self.counts.get(column as usize) {
            count.fetch_add(n, Ordering::Relaxed);
        }
    }

    fn get(&self, column: Column) -> u64 {
        self.counts.get(column as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Summary {
    /// Nothing has happened yet on these services.
    pub fn new(services: impl IntoIterator<Item = &'static str>) -> Self {
        let row = |service| Row { service, counts: Default::default() };
        Self { since: clock::now(), rows: services.into_iter().map(row).collect() }
    }
}

impl Observer for Summary {
    fn observe(&self, link: &Link, event: Event<'_>) {
        let (end, received, sent) = match event {
            Event::Ended { end, received, sent } => (Some(end), received, sent),
            Event::Answered { received, sent } => (None, received, sent),
            Event::Stored { .. } => {
                return self.row(link).into_iter().for_each(|row| row.add(Column::Files, 1));
            }
            _ => return,
        };
        let Some(row) = self.row(link) else { return };
        row.add(Column::BytesIn, received);
        row.add(Column::BytesOut, sent);
        let Some(end) = end else { return row.add(Column::Datagrams, 1) };
        row.add(Column::Conversations, 1);
        row.add(
            match end {
                End::Finished => Column::Finished,
                End::Idle => Column::Idle,
                End::Stopped => Column::Stopped,
                End::Reset => Column::Reset,
                End::Vanished | End::Aborted(Reason::Cut { stop: Stop::Vanished, .. }) => {
                    Column::Vanished
                }
                End::Aborted(Reason::Refused(_)) => Column::Refused,
                _ => Column::Aborted,
            },
            1,
        );
    }
}

impl Summary {
    /// Logs it, for programs: an event for each service that had visitors, with the same counts.
    pub fn log(&self) {
        let ms = clock::now().saturating_since(self.since).as_millis() as u64;
        for row in self.visited() {
            let service = row.service;
            let [
                conversations,
                finished,
                idle,
                stopped,
                reset,
                vanished,
                refused,
                aborted,
                datagrams,
                received,
                sent,
                files,
            ] = COLUMNS.map(|(column, _)| row.get(column));
            tracing::info!(
                service,
                conversations,
                finished,
                idle,
                stopped,
                reset,
                vanished,
                refused,
                aborted,
                datagrams,
                received,
                sent,
                files,
                ms,
                "served in all"
            );
        }
    }

    /// The rows of those who had visitors.
    fn visited(&self) -> Vec<&Row> {
        let had = |row: &&Row| row.get(Column::Conversations) + row.get(Column::Datagrams) > 0;
        self.rows.iter().filter(had).collect()
    }

    fn row(&self, link: &Link) -> Option<&Row> {
        self.rows.iter().find(|row| row.service == link.service)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Lasting(clock::now().saturating_since(self.since));
        let rows = self.visited();
        let all = |column| rows.iter().map(|row| row.get(column)).sum::<u64>();
        if rows.is_empty() {
            return writeln!(f, "served for {time}; nobody came");
        }
        let kinds = [(Column::Conversations, "conversation"), (Column::Datagrams, "datagram")];
        let kinds = kinds.map(|(column, what)| (all(column), what));
        let kinds = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| counted(*n, what));
        writeln!(f, "served for {time}: {}", kinds.collect::<Vec<_>>().join(", "))?;

        let bytes = |column| matches!(column, Column::BytesIn | Column::BytesOut);
        let shown: Vec<_> =
            COLUMNS.iter().filter(|(column, _)| bytes(*column) || all(*column) > 0).collect();
        let services = rows.iter().map(|row| row.service.len()).chain(["service".len()]);
        let first = services.max().unwrap_or(0);
        let width = |column: Column, name: &str| {
            let widest = rows.iter().map(|row| row.get(column).to_string().len());
            widest.chain([name.len()]).max().unwrap_or(0)
        };
        write!(f, "{:first$}", "service")?;
        for (column, name) in &shown {
            write!(f, "  {name:>0$}", width(*column, name))?;
        }
        writeln!(f)?;
        for row in &rows {
            write!(f, "{:first$}", row.service)?;
            for (column, name) in &shown {
                write!(f, "  {:>1$}", row.get(*column), width(*column, name))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anywire_core::request::{Refusal, Stop};

    use super::*;
    use crate::engine::Protocol;

    fn shown(summary: &Summary) -> Vec<String> {
        summary.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_happened_has_a_column_and_who_had_visitors_a_row() {
        let summary = Summary::new(["echo", "hello", "file"]);
        let [told] = &shown(&summary)[..] else { panic!() };
        assert!(told.starts_with("served for ") && told.ends_with("; nobody came"), "{told}");

        let addr = "127.0.0.1:1".parse().unwrap();
        let (protocol, since) = (Protocol::Tcp, Instant::ZERO);
        let tell = |service, event| {
            summary.observe(&Link { service, protocol, local: addr, peer: addr, since }, event);
        };
        let ended = |end, received, sent| Event::Ended { end, received, sent };
        tell("echo", ended(End::Finished, 100_000_000_000, 1));
        tell("echo", Event::Answered { received: 2, sent: 2 });
        tell("echo", Event::Data { bytes: b"is counted when it is over" });
        tell("file", Event::Stored { len: 9 });
        tell("file", ended(End::Aborted(Reason::Refused(Refusal::NotFound)), 3, 0));
        let cut = Reason::Cut { moved: 1, stop: Stop::Reset };
        tell("file", ended(End::Aborted(cut), 5, 1));
        let [told, table @ ..] = &shown(&summary)[..] else { panic!() };
        assert!(told.ends_with(": 3 conversations, 1 datagram"), "{told}");
        assert_eq!(
            table,
            [
                "service  conversations  finished  refused  aborted  datagrams      bytes in  bytes out  files stored",
                "echo                 1         1        0        0          1  100000000002          3             0",
                "file                 2         0        1        1          0             8          1             1",
            ]
        );
    }

    #[test]
    fn each_end_is_counted_once() {
        let addr = "127.0.0.1:1".parse().unwrap();
        let since = Instant::ZERO;
        let link = Link { service: "any", protocol: Protocol::Tcp, local: addr, peer: addr, since };
        let ends = [
            (End::Finished, Column::Finished),
            (End::Idle, Column::Idle),
            (End::Stopped, Column::Stopped),
            (End::Reset, Column::Reset),
            (End::Vanished, Column::Vanished),
            (End::Aborted(Reason::Cut { moved: 1, stop: Stop::Vanished }), Column::Vanished),
            (End::Aborted(Reason::Refused(Refusal::Full)), Column::Refused),
            (End::Aborted(Reason::Idle), Column::Aborted),
        ];
        for (end, column) in ends {
            let summary = Summary::new(["any"]);
            summary.observe(&link, Event::Ended { end, received: 0, sent: 0 });
            let [row] = &summary.rows[..] else { panic!() };
            assert_eq!((row.get(Column::Conversations), row.get(column)), (1, 1));
            assert_eq!(COLUMNS.iter().map(|(column, _)| row.get(*column)).sum::<u64>(), 2);
        }
        // A column's place is its number.
        assert!(COLUMNS.iter().enumerate().all(|(at, (column, _))| *column as usize == at));
    }
}
