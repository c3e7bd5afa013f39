//! `cargo xtask fuzz`: runs the fuzz targets under libFuzzer, one or each in turn.
//!
//! The targets are functions of package `anywire-fuzz-targets`; the package in `fuzz/`, a workspace of its own, hands them to libFuzzer.
//! Stable Rust will do: the coverage that libFuzzer goes by is LLVM's, and there is no unsafe code of ours for a sanitizer to look at.
//! Nor is `cfg(fuzzing)` set, under which smoltcp verifies no checksums: what is fuzzed is what is used.
//!
//! What is found is kept in the target folder, and begins with what is kept in `fuzz/corpus`; `--minimise` puts there what of both it
//! takes to reach all that they reach.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

use crate::{steps::Steps, workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which target; without it, each in turn
    target: Option<String>,
    /// How long to run each, in seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    time: u64,
    /// Do not fuzz: put into fuzz/corpus what of all that was found is needed to reach as much
    #[arg(long, conflicts_with = "time")]
    minimise: bool,
}

pub(crate) fn run(Args { target, time, minimise }: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    let mut names = targets(&sh)?;
    if let Some(name) = target {
        if !names.contains(name) {
            bail!("there is no target {name}; there are {}", names.join(", "));
        }
        names = vec![name.clone()];
    }
    check_tools(&sh)?;
    let mut steps = Steps::default();
    for name in &names {
        let corpus = Corpus::of(&sh, name)?;
        steps.step(name, || match minimise {
            true => corpus.minimise(&sh),
            false => corpus.grow(&sh, *time),
        });
    }
    steps.finish()
}

fn folder() -> PathBuf {
    workspace::root().join("fuzz")
}

/// The targets' names: those of their files.
fn targets(sh: &Shell) -> Result<Vec<String>> {
    let files = sh.read_dir(folder().join("fuzz_targets"))?;
    let names = files.iter().filter_map(|file| file.file_stem()?.to_str().map(String::from));
    Ok(names.collect())
}

/// Says all that is missing, and what installs it.
fn check_tools(sh: &Shell) -> Result<()> {
    let mut missing = Vec::new();
    if cmd!(sh, "cargo fuzz --version").quiet().ignore_stderr().read().is_err() {
        missing.push("cargo-fuzz: cargo install --locked cargo-fuzz");
    }
    let compiler = sh.var("CXX").unwrap_or_else(|_| "c++".into());
    if cmd!(sh, "{compiler} --version").quiet().ignore_stderr().read().is_err() {
        missing.push("a C++ compiler, for libFuzzer: apt-get install g++, or the like; or set CXX");
    }
    if !missing.is_empty() {
        bail!("fuzzing needs\n  {}", missing.join("\n  "));
    }
    Ok(())
}

/// The inputs of one target.
struct Corpus {
    target: String,
    /// Those in the repository.
    kept: PathBuf,
    /// Those found here.
    found: PathBuf,
    target_dir: PathBuf,
}

impl Corpus {
    fn of(sh: &Shell, target: &str) -> Result<Self> {
        let target_dir = workspace::target_dir()?;
        let found = target_dir.join("fuzz-corpus").join(target);
        let kept = folder().join("corpus").join(target);
        for path in [&found, &kept] {
            sh.create_dir(path)?;
        }
        Ok(Self { target: target.into(), kept, found, target_dir: target_dir.join("fuzz") })
    }

    /// Runs libFuzzer. It writes into the first folder, and reads them all.
    fn run(&self, sh: &Shell, folders: &[&Path], options: &[&str]) -> Result<()> {
        let Self { target, target_dir, .. } = self;
        cmd!(
            sh,
            "cargo fuzz run --sanitizer none --no-cfg-fuzzing --target-dir {target_dir}
             {target} {folders...} -- -timeout=25 -rss_limit_mb=2048 {options...}"
        )
        .run()
        .context("what broke it is kept as a file: run the target with that instead of a folder")
    }

    fn grow(&self, sh: &Shell, time: u64) -> Result<()> {
        let time = format!("-max_total_time={time}");
        self.run(sh, &[&self.found, &self.kept], &[&time, "-print_final_stats=1"])
    }

    fn minimise(&self, sh: &Shell) -> Result<()> {
        let dir = sh.create_temp_dir()?;
        // Which places are reached, not how often: or thousands of inputs would be kept.
        let options = ["-set_cover_merge=1", "-use_counters=0"];
        self.run(sh, &[dir.path(), &self.kept, &self.found], &options)?;
        sh.remove_path(&self.kept)?;
        sh.create_dir(&self.kept)?;
        for input in sh.read_dir(dir.path())? {
            sh.copy_file(input, &self.kept)?;
        }
        Ok(())
    }
}
