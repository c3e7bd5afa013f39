//! What came of every scenario on every transport.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// What came of one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// It could not be run here.
    Skipped,
    /// It has no meaning on this transport.
    DoesNotApply,
}

/// Rows of trials: a row is a service and a scenario, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Matrix {
    rows: Mutex<BTreeMap<(usize, String), Row>>,
}

/// The trials of one row, by transport.
type Row = BTreeMap<&'static str, Vec<Outcome>>;

impl Matrix {
    /// An empty one.
    pub const fn new() -> Self {
        Self { rows: Mutex::new(BTreeMap::new()) }
    }

    /// Notes a trial of the scenario `row`, the `at`th.
    pub fn note(&self, at: usize, row: &str, transport: &'static str, outcome: Outcome) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.entry((at, row.into())).or_default().entry(transport).or_default().push(outcome);
    }

    /// As a table of Markdown: `3/3` says that three of three ways to cut held.
    pub fn to_markdown(&self, transports: &[&'static str]) -> String {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = format!(
            "| scenario | {} |\n| --- |{}\n",
            transports.join(" | "),
            " --- |".repeat(transports.len())
        );
        for ((_, row), cells) in rows.iter() {
            let _ = write!(table, "| {row} |");
            for transport in transports {
                let _ =
                    write!(table, " {} |", cell(cells.get(transport).map_or(&[], Vec::as_slice)));
            }
            table.push('\n');
        }
        table
    }
}

fn cell(trials: &[Outcome]) -> String {
    let count = |outcome| trials.iter().filter(|&&trial| trial == outcome).count();
    match (count(Outcome::Passed), count(Outcome::Skipped), trials.len()) {
        (_, _, 0) => "-".into(),
        (0, skipped, all) if skipped == all => "skipped".into(),
        (0, 0, all) if count(Outcome::DoesNotApply) == all => "n/a".into(),
        (passed, _, all) if passed == all => format!("{passed}/{all}"),
        (passed, _, all) => format!("**{passed}/{all}**"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_and_a_failure_show() {
        let matrix = Matrix::new();
        matrix.note(0, "echo: 1 byte", "memory", Outcome::Passed);
        matrix.note(0, "echo: 1 byte", "memory", Outcome::Failed);
        matrix.note(1, "hello: lab", "tap", Outcome::Skipped);
        matrix.note(2, "file: late", "tap", Outcome::DoesNotApply);
        let table = matrix.to_markdown(&["memory", "tap"]);
        assert_eq!(table.lines().nth(2), Some("| echo: 1 byte | **1/2** | - |"));
        assert_eq!(table.lines().nth(3), Some("| hello: lab | - | skipped |"));
        assert_eq!(table.lines().nth(4), Some("| file: late | - | n/a |"));
    }
}
