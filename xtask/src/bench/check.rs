//! What the core's hot paths cost in instructions, against a baseline: a slowdown is noticed without timing anything.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

use super::{build, folder};
use crate::workspace;

/// Compilers differ by so much, in percent.
const TOLERANCE: f64 = 10.0;

/// Each path runs so often.
const TIMES: [u64; 2] = [1000, 3000];

pub(super) fn run(sh: &Shell, bless: bool) -> Result<()> {
    build(sh, &["--no-default-features", "--bin", "paths"])?;
    let program = workspace::target_dir()?.join("release/paths");
    let names = cmd!(sh, "{program}").read()?;
    let mut counted = BTreeMap::new();
    for name in names.lines() {
        // What the start of the program takes is in both.
        let [few, many] = [count(sh, name, TIMES[0])?, count(sh, name, TIMES[1])?];
        let each = many.saturating_sub(few) as f64 / (TIMES[1] - TIMES[0]) as f64;
        counted.insert(name.to_owned(), each);
    }

    let file = folder().join("baseline.txt");
    if bless {
        let lines = counted.iter().map(|(name, each)| format!("{name} {each:.1}\n"));
        return Ok(sh.write_file(file, lines.collect::<String>())?);
    }
    let baseline = sh.read_file(&file)?;
    let mut baseline: BTreeMap<&str, f64> = baseline
        .lines()
        .map(|line| {
            let (name, each) = line.rsplit_once(' ').context("the baseline has no count")?;
            Ok((name, each.parse()?))
        })
        .collect::<Result<_>>()?;
    let mut wrong = Vec::new();
    println!("{:32} {:>12} {:>12} {:>8}", "instructions", "baseline", "now", "change");
    for (name, each) in &counted {
        let Some(before) = baseline.remove(&**name) else {
            wrong.push(format!("{name} is not in the baseline"));
            continue;
        };
        let change = (each / before - 1.0) * 100.0;
        println!("{name:32} {before:12.1} {each:12.1} {change:+7.1}%");
        if change.abs() > TOLERANCE {
            let what = if change > 0.0 { "more" } else { "fewer" };
            wrong.push(format!("{name} takes {:.1} % {what} instructions", change.abs()));
        }
    }
    wrong.extend(baseline.keys().map(|name| format!("{name} is in the baseline only")));
    if !wrong.is_empty() {
        bail!(
            "{}; if that is as it should be, `cargo xtask bench --check --bless` writes a new baseline",
            wrong.join("; ")
        );
    }
    Ok(())
}

/// Instructions of the whole program when it does `name` so often.
fn count(sh: &Shell, name: &str, times: u64) -> Result<u64> {
    let program = workspace::target_dir()?.join("release/paths");
    let times = times.to_string();
    let run = cmd!(
        sh,
        "valgrind --tool=callgrind --callgrind-out-file=/dev/null {program} {name} {times}"
    );
    let output = run.quiet().ignore_status().output().context("valgrind is needed: install it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok());
    count.with_context(|| format!("valgrind has counted nothing: {said}"))
}
