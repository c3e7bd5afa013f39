//! What came of every scenario on every transport, as Markdown: a table for each service, a row for each scenario, and why what is not run
//! has no meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::scenarios::{Applies, Edge, Scenario, edges};
use crate::transports::Transport;

/// What came of one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// It could not be run here.
    Skipped,
}

/// The trials of every scenario, by its number in the list of all, and by transport.
#[derive(Debug, Default)]
pub struct Matrix {
    cells: Mutex<BTreeMap<(usize, &'static str), Vec<Outcome>>>,
}

impl Matrix {
    /// An empty one.
    pub const fn new() -> Self {
        Self { cells: Mutex::new(BTreeMap::new()) }
    }

    /// One in which everything has passed that applies: what is committed.
    pub fn passed(scenarios: &[Scenario], transports: &[Transport]) -> Self {
        let matrix = Self::new();
        for transport in transports {
            for (at, scenario) in scenarios.iter().enumerate() {
                if !matches!(transport.applies(scenario), Applies::No(_)) {
                    matrix.note(at, transport.name, Outcome::Passed);
                }
            }
        }
        matrix
    }

    /// Notes a trial of the `at`th scenario.
    pub fn note(&self, at: usize, transport: &'static str, outcome: Outcome) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.entry((at, transport)).or_default().push(outcome);
    }

    /// All of it, as a page.
    pub fn page(&self, scenarios: &[Scenario], transports: &[Transport]) -> String {
        let mut page = INTRODUCTION.to_owned();
        page.push_str(&summary(scenarios, transports));
        let mut notes = Notes::default();
        page.push_str(EDGES);
        page.push_str(&edge_table(scenarios, &mut notes));
        page.push('\n');
        page.push_str(&self.tables(scenarios, transports, &mut notes));
        page.push_str(&notes.to_markdown());
        page
    }

    /// What was run: a table for each service, and the notes.
    pub fn report(&self, scenarios: &[Scenario], transports: &[Transport]) -> String {
        let mut notes = Notes::default();
        let tables = self.tables(scenarios, transports, &mut notes);
        tables + &notes.to_markdown()
    }

    /// A scenario of which nothing was run has no row.
    fn tables(
        &self,
        scenarios: &[Scenario],
        transports: &[Transport],
        notes: &mut Notes,
    ) -> String {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let ran: BTreeSet<usize> = cells.keys().map(|(at, _)| *at).collect();
        let (mut tables, mut service) = (String::new(), String::new());
        for (at, scenario) in scenarios.iter().enumerate().filter(|(at, _)| ran.contains(at)) {
            if service != scenario.label() {
                service = scenario.label();
                let names: Vec<_> = transports.iter().map(|transport| transport.name).collect();
                let lines = " :---: |".repeat(names.len());
                let _ = writeln!(tables, "## {service}\n\n| | {} |", names.join(" | "));
                let _ = writeln!(tables, "| --- |{lines}");
            }
            let _ = write!(tables, "| {} |", scenario.name);
            for transport in transports {
                let trials = cells.get(&(at, transport.name)).map_or(&[][..], Vec::as_slice);
                let _ = write!(tables, " {} |", cell(trials, transport.applies(scenario), notes));
            }
            tables.push('\n');
            if scenarios[at + 1..].iter().all(|next| next.label() != service) {
                tables.push('\n');
            }
        }
        tables
    }
}

/// The transports, and how many of the scenarios are run on each.
pub fn summary(scenarios: &[Scenario], transports: &[Transport]) -> String {
    let mut table = "| transport | what it is | scenarios |\n| --- | --- | --- |\n".to_owned();
    for transport in transports {
        let run = |scenario: &&Scenario| !matches!(transport.applies(scenario), Applies::No(_));
        let (run, all) = (scenarios.iter().filter(run).count(), scenarios.len());
        let Transport { name, about, .. } = transport;
        let _ = writeln!(table, "| `{name}` | {about} | {run} of {all} |");
    }
    table
}

const INTRODUCTION: &str = "\
# The matrix

Every scenario on every transport, as `cargo xtask test --matrix docs/matrix.md` has written it. A test compares it with the suite: what
is added there and not here is a failure, and so is anything here that has not passed.

✓ passed, ✗ failed, - not run; a letter says why something does not apply, or how far it does: the notes are at the end. Each ✓ is a
trial with what the peer sends whole, one byte by byte, and one cut at random; on wires that lose frames, one for each seed; over
IPv6, one in all.

";

const EDGES: &str = "
## Edges

Where a conversation can break, and whether there is a scenario in which it does.

";

const NOTES: &str = "## Notes\n\n";

/// Whether every edge of every service has a scenario, or why not.
fn edge_table(scenarios: &[Scenario], notes: &mut Notes) -> String {
    let mut services: Vec<String> = scenarios.iter().map(Scenario::label).collect();
    services.dedup();
    let mut table = format!("| | {} |\n", services.join(" | "));
    let _ = writeln!(table, "| --- |{}", " :---: |".repeat(services.len()));
    for edge in Edge::ALL {
        let _ = write!(table, "| {} |", edge.name());
        for service in &services {
            let mut own = scenarios.iter().filter(|scenario| scenario.label() == *service);
            let cell = match edges::why_not(service, edge) {
                _ if own.any(|scenario| scenario.edges.contains(&edge)) => "✓".into(),
                Some(why) => notes.letter(why),
                None => "**?**".into(),
            };
            let _ = write!(table, " {cell} |");
        }
        table.push('\n');
    }
    table
}

fn cell(trials: &[Outcome], applies: Applies, notes: &mut Notes) -> String {
    let note = match applies {
        Applies::Fully => String::new(),
        Applies::Whole(why) => format!(" {}", notes.letter(why)),
        Applies::No(why) => return notes.letter(why),
    };
    let count = |outcome| trials.iter().filter(|&&trial| trial == outcome).count();
    match (count(Outcome::Failed), count(Outcome::Skipped), trials.len()) {
        (_, _, 0) => "-".into(),
        (0, 0, _) => format!("✓{note}"),
        (0, _, _) => "skipped".into(),
        (failed, _, all) => format!("**✗** {failed} of {all}{note}"),
    }
}

/// Why things do not apply: each reason once, with a letter.
#[derive(Default)]
struct Notes(Vec<&'static str>);

impl Notes {
    /// The letter of a reason: a to z, aa to az, and so on.
    fn letter(&mut self, why: &'static str) -> String {
        let at = self.0.iter().position(|note| *note == why).unwrap_or_else(|| {
            self.0.push(why);
            self.0.len() - 1
        });
        letter(at)
    }

    fn to_markdown(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let note = |(at, why): (usize, &&str)| format!("- **{}**: {why}\n", letter(at));
        NOTES.to_owned() + &self.0.iter().enumerate().map(note).collect::<String>()
    }
}

fn letter(at: usize) -> String {
    let last = char::from(b'a' + (at % 26) as u8);
    match at / 26 {
        0 => last.into(),
        more => letter(more - 1) + last.encode_utf8(&mut [0; 4]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_a_failure_and_a_reason_show() {
        let mut notes = Notes::default();
        let mut cell = |trials: &[Outcome], applies| cell(trials, applies, &mut notes);
        assert_eq!(cell(&[], Applies::Fully), "-");
        assert_eq!(cell(&[Outcome::Passed; 3], Applies::Fully), "✓");
        assert_eq!(cell(&[Outcome::Passed, Outcome::Failed], Applies::Fully), "**✗** 1 of 2");
        assert_eq!(cell(&[Outcome::Skipped], Applies::Fully), "skipped");
        assert_eq!(cell(&[], Applies::No("one")), "a");
        assert_eq!(cell(&[Outcome::Passed], Applies::Whole("two")), "✓ b");
        assert_eq!(cell(&[], Applies::No("one")), "a");
        assert_eq!(notes.to_markdown(), "## Notes\n\n- **a**: one\n- **b**: two\n");
    }

    #[test]
    fn letters_go_on_behind_z() {
        let letters = [0, 25, 26, 51, 52, 701, 702].map(letter);
        assert_eq!(letters, ["a", "z", "aa", "az", "ba", "zz", "aaa"]);
    }
}
