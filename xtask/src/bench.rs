//! `cargo xtask bench`: Anywire and what one would pick instead, side by side on one load generator; and, with `--check`, the core's hot
//! paths in instructions.
//!
//! Both are programs of package `anywire-bench`, in `tests/bench/`: a workspace of its own, so that its peers are built here and nowhere
//! else.

mod check;

use std::path::PathBuf;

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure; everything unless said. A name stands for all that begin with it
    names: Vec<String>,
    /// How often each is measured; the table shows medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Draw the table into this folder, as bench.svg
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Show what there is to be measured
    #[arg(long)]
    list: bool,
    /// Measure what each work costs as there is more of it instead; --svg draws that as curves.svg
    #[arg(long)]
    curves: bool,
    /// Count the instructions of the core's hot paths instead, and compare them with the baseline. Needs valgrind
    #[arg(long, conflicts_with_all = ["names", "rounds", "svg", "list", "curves"])]
    check: bool,
    /// Write the baseline anew
    #[arg(long, requires = "check")]
    bless: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // A folder is where the caller stands.
    let svg = args.svg.as_ref().map(std::path::absolute).transpose()?;
    let sh = workspace::shell()?;
    if args.check {
        return check::run(&sh, args.bless);
    }
    cmd!(sh, "cargo build --release --package anywire-std").run()?;
    let target = workspace::target_dir()?;
    build(&sh, &["--bin", "anywire-bench"])?;

    let (anywire, bench) = (target.join("release/anywire"), target.join("release/anywire-bench"));
    let python = folder().join("src/peers/peers.py");
    let (names, rounds) = (&args.names, args.rounds.to_string());
    let mut run = cmd!(sh, "{bench} run --anywire {anywire} --python {python} --rounds {rounds}");
    if let Some(dir) = svg {
        run = run.arg("--svg").arg(dir);
    }
    for (flag, wanted) in [("--list", args.list), ("--curves", args.curves)] {
        if wanted {
            run = run.arg(flag);
        }
    }
    Ok(run.args(names).run()?)
}

/// The package's folder.
fn folder() -> PathBuf {
    workspace::root().join("tests/bench")
}

/// Builds some of the package, into the target folder of everything else.
fn build(sh: &Shell, what: &[&str]) -> Result<()> {
    let (manifest, target) = (folder().join("Cargo.toml"), workspace::target_dir()?);
    let build = cmd!(sh, "cargo build --release --manifest-path {manifest}");
    Ok(build.arg("--target-dir").arg(target).args(what).run()?)
}
