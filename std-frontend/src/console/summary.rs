//! What a server has done in all: counted while it happens, and told when it is over.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use anywire_core::event::{End, Event};
use anywire_core::instant::Instant;
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
    Refused,
    Aborted,
    Datagrams,
    BytesIn,
    BytesOut,
    Files,
}

/// Each column, and its name, as they stand in the table. A conversation is in one of those from `finished` to `aborted`.
const COLUMNS: [(Column, &str); 11] = [
    (Column::Conversations, "conversations"),
    (Column::Finished, "finished"),
    (Column::Idle, "idle"),
    (Column::Stopped, "stopped"),
    (Column::Reset, "reset"),
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
                End::Aborted(Reason::Refused(_)) => Column::Refused,
                _ => Column::Aborted,
            },
            1,
        );
    }
}

impl Summary {
    fn row(&self, link: &Link) -> Option<&Row> {
        self.rows.iter().find(|row| row.service == link.service)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Lasting(clock::now().saturating_since(self.since));
        let had = |row: &&Row| row.get(Column::Conversations) + row.get(Column::Datagrams) > 0;
        let rows: Vec<_> = self.rows.iter().filter(had).collect();
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
