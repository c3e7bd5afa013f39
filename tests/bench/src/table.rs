//! From rounds to medians, ratios and a table.

use std::fmt::Write as _;

use crate::rows::{Metric, Row};

/// What the rounds of a row came to.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) metrics: Vec<Metric>,
    /// For each contestant that ran: its name, and a sample for each round.
    pub(crate) runs: Vec<(&'static str, Vec<Vec<f64>>)>,
}

/// What ours is to a peer's, round by round, since what disturbs one disturbs the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => f64::NAN,
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

impl Measured {
    pub(crate) fn new(row: &Row) -> Self {
        let (about, metrics) = (row.about.clone(), row.metrics.clone());
        Self { name: row.name, about, metrics, runs: Vec::new() }
    }

    pub(crate) fn median(&self, run: usize, metric: usize) -> f64 {
        median(self.runs[run].1.iter().map(|sample| sample[metric]))
    }

    pub(crate) fn ratio(&self, run: usize, metric: usize) -> Ratio {
        let pairs = self.runs[0].1.iter().zip(&self.runs[run].1);
        let ratios: Vec<_> = pairs.map(|(ours, theirs)| ours[metric] / theirs[metric]).collect();
        Ratio {
            median: median(ratios.iter().copied()),
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
        }
    }

    /// Lines of Markdown: medians, and in brackets what ours is to it, with the spread over the rounds.
    pub(crate) fn table(&self) -> String {
        let mut out = format!("\n**{}**: {}\n\n| |", self.name, self.about);
        for metric in &self.metrics {
            let _ = write!(out, " {} |", metric.name);
        }
        let _ = write!(out, "\n| --- |{}", " ---: |".repeat(self.metrics.len()));
        for (run, (name, _)) in self.runs.iter().enumerate() {
            let _ = write!(out, "\n| {name} |");
            for metric in 0..self.metrics.len() {
                let median = short(self.median(run, metric));
                let Ratio { median: ratio, least, most } = self.ratio(run, metric);
                if run == 0 {
                    let _ = write!(out, " {median} |");
                } else {
                    let _ = write!(out, " {median} ({ratio:.2}×, {least:.2}–{most:.2}) |");
                }
            }
        }
        out
    }
}

/// Three digits, and thousands as k.
pub(crate) fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{:.2} M", value / 1e6),
        1e4.. => format!("{:.0} k", value / 1e3),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_rounds_and_not_of_medians() {
        let row = Measured {
            name: "",
            about: String::new(),
            metrics: Vec::new(),
            runs: vec![
                ("ours", vec![vec![2.0], vec![40.0], vec![6.0]]),
                ("theirs", vec![vec![1.0], vec![10.0], vec![3.0]]),
            ],
        };
        assert_eq!((row.median(0, 0), row.median(1, 0)), (6.0, 3.0));
        assert_eq!(row.ratio(1, 0), Ratio { median: 2.0, least: 2.0, most: 4.0 });
    }
}
