//! Steps that all run, whatever fails, and are reported together at the end.

use anyhow::{Result, bail};

/// Runs named steps and remembers those that failed.
#[derive(Default)]
pub(crate) struct Steps {
    failed: Vec<String>,
}

impl Steps {
    /// Runs one step under its name. A failure is shown at once and kept for [`finish`](Self::finish).
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        eprintln!("\n== {name}");
        if let Err(error) = step() {
            eprintln!("== {name} FAILED: {error:#}");
            self.failed.push(format!("{name}: {error:#}"));
        }
    }

    /// Fails if any step did, naming each that did.
    pub(crate) fn finish(self) -> Result<()> {
        if !self.failed.is_empty() {
            bail!("{} failed:\n  {}", self.failed.len(), self.failed.join("\n  "));
        }
        eprintln!("\n== all well");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_reported_and_stops_nothing() {
        let mut steps = Steps::default();
        let mut last_ran = false;
        steps.step("first", || bail!("one"));
        steps.step("second", || Ok(()));
        steps.step("third", || {
            last_ran = true;
            bail!("three")
        });
        assert!(last_ran);
        let report = steps.finish().unwrap_err().to_string();
        assert_eq!(report, "2 failed:\n  first: one\n  third: three");
    }
}
