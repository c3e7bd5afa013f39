//! `cargo xtask test`: builds the programs, then runs the tests, of everything or of one frontend.
//!
//! Most tests wait: for a silence, a limit, a peer. So several test programs run at once, and what each says is shown when it is done.
//!
//! The scenarios of package `anywire-tests` run over every transport. The variable `ANYWIRE_FRONTEND` tells its harness
//! to leave out the transports of the other frontend, and `ANYWIRE_MATRIX` where to write its matrix. Arguments behind `--` go to the test binaries, so that
//! `cargo xtask test -- tap-server::echo` runs a part of the matrix.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _, pipe, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use xshell::cmd;

use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Whose tests to run
    #[arg(long, value_enum, default_value_t = Frontend::All)]
    frontend: Frontend,
    /// Write what came of every scenario on every transport to this file, as Markdown
    #[arg(long, value_name = "FILE")]
    matrix: Option<PathBuf>,
    /// Arguments for the test binaries: a filter, `--list`, `--nocapture`, …
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Frontend {
    /// The core, and the std sockets
    Std,
    /// The core, and the smoltcp stack, simulated and on a TAP device
    Smoltcp,
    /// Every test of the workspace
    All,
}

impl Frontend {
    /// The packages whose tests run, as cargo's arguments.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Std => &["-p=anywire-core", "-p=anywire-std", "-p=anywire-tests"],
            Self::Smoltcp => &[
                "-p=anywire-core",
                "-p=anywire-smoltcp",
                "-p=anywire-tap",
                "-p=anywire-tests",
                "-p=anywire-fuzz-targets",
            ],
            Self::All => &["--workspace"],
        }
    }

    /// What the scenarios' harness is told.
    fn variable(self) -> Option<&'static str> {
        match self {
            Self::Std => Some("std"),
            Self::Smoltcp => Some("smoltcp"),
            Self::All => None,
        }
    }
}

pub(crate) fn run(Args { frontend, matrix, args }: &Args) -> Result<()> {
    // In the background of a script ^C is ignored, by whatever is started there, too: but tests end programs with it. What a program
    // handles itself, those that it starts do not ignore.
    ctrlc::set_handler(|| std::process::exit(130))?;
    // The tests run elsewhere.
    let matrix = matrix.as_deref().map(std::path::absolute).transpose()?;
    let sh = workspace::shell()?;
    // Tests start the programs of other packages, which `cargo test` alone would not build. With `--all-targets`, features
    // are unified as the tests will have them, or much would be compiled twice. Not this program, which is running:
    // Windows would not let it be replaced.
    cmd!(sh, "cargo build --workspace --exclude xtask --all-targets").run()?;

    let packages = frontend.packages();
    let built =
        cmd!(sh, "cargo test --no-run --message-format=json-render-diagnostics {packages...}");
    let mut programs = TestProgram::all(&built.read()?);
    ensure!(!programs.is_empty(), "cargo has told of no test program");
    programs.sort_by_key(|program| {
        LONGEST.iter().position(|name| *name == program.name).unwrap_or(LONGEST.len())
    });

    let mut runs: VecDeque<_> =
        programs.iter().map(|program| (program.name.clone(), program.command(args))).collect();
    let mut examples = Command::new("cargo");
    examples
        .args(["test", "--doc", "--no-fail-fast"])
        .args(packages)
        .arg("--")
        .args(args)
        .current_dir(workspace::root());
    runs.push_back(("the examples in the documentation".into(), examples));
    for (_, command) in &mut runs {
        command.envs(frontend.variable().map(|name| ("ANYWIRE_FRONTEND", name)));
        command.envs(matrix.as_ref().map(|file| ("ANYWIRE_MATRIX", file)));
    }
    run_all(runs)
}

/// These begin first: with the longest at the end, one core would be idle meanwhile.
const LONGEST: [&str; 7] = ["interop", "scenarios", "tap", "program", "hostile", "others", "labs"];

/// A test program, as cargo has built it.
#[derive(Debug, PartialEq)]
struct TestProgram {
    name: String,
    executable: String,
    /// Where its package is, and where it runs.
    package: PathBuf,
}

impl TestProgram {
    /// Those that cargo's messages tell of, a line of JSON each.
    fn all(messages: &str) -> Vec<Self> {
        messages.lines().filter_map(Self::of).collect()
    }

    fn of(message: &str) -> Option<Self> {
        let (_, target) = message.split_once(r#""target":"#)?;
        let (target, profile) = target.split_once(r#""profile":"#)?;
        // A program that is under test is built as itself, too.
        let (profile, _) = profile.split_once('}')?;
        profile.contains(r#""test":true"#).then_some(())?;
        let manifest = text(message, "manifest_path")?;
        Some(Self {
            name: text(target, "name")?,
            executable: text(message, "executable")?,
            package: Path::new(&manifest).parent()?.to_owned(),
        })
    }

    fn command(&self, args: &[String]) -> Command {
        let mut command = Command::new(&self.executable);
        // As cargo would run it; it runs this program with the variable of this one's package.
        command.args(args).current_dir(&self.package).env("CARGO_MANIFEST_DIR", &self.package);
        command
    }
}

/// The text under a name in a message of cargo's. Names and paths need no more of JSON than this.
fn text(message: &str, name: &str) -> Option<String> {
    let (_, value) = message.split_once(&format!(r#""{name}":""#))?;
    let (value, _) = value.split_once('"')?;
    Some(value.replace(r"\\", r"\"))
}

/// Runs them all, some at once, and fails if any did. What failed is said once more at the end of the long log, in the words of the test
/// programs.
fn run_all(runs: VecDeque<(String, Command)>) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runs = Mutex::new(runs);
    let next = || runs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let run = || {
        let mut failed = Vec::new();
        while let Some((name, command)) = next() {
            failed.extend(run_one(&name, command).err().map(|error| format!("{error:#}")));
        }
        failed
    };
    let failed: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores + 1).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    ensure!(failed.is_empty(), "tests failed\n{}", failed.join("\n"));
    Ok(())
}

/// Runs one, and shows all it has said when it is done. The error has what has failed.
fn run_one(name: &str, mut command: Command) -> Result<()> {
    eprintln!("== {name} begins");
    let began = Instant::now();
    let (mut said, write) = pipe()?;
    command.stdin(Stdio::null()).stdout(write.try_clone()?).stderr(write);
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    // It holds the ends that are written to.
    drop(command);
    let mut log = Vec::new();
    said.read_to_end(&mut log)?;
    let status = child.wait()?;
    let took = began.elapsed().as_secs_f64();
    let mut out = stdout().lock();
    writeln!(out, "\n== {name}, {took:.1} s")?;
    out.write_all(&log)?;
    out.flush()?;
    if !status.success() {
        let mut failures = Failures::default();
        String::from_utf8_lossy(&log).lines().for_each(|line| failures.see(line));
        bail!("== {name} ({status})\n{}", failures.lines.join("\n"));
    }
    Ok(())
}

/// What test programs print between a line `failures:` and their result: first why, then which.
#[derive(Default)]
struct Failures {
    /// How many lines more there is room for.
    room: usize,
    lines: Vec<String>,
}

impl Failures {
    /// More is left to the log itself: backtraces, for one.
    const MOST: usize = 150;

    fn see(&mut self, line: &str) {
        if line == "failures:" {
            self.room = Self::MOST;
        }
        if self.room > 0 {
            self.lines.push(line.to_owned());
            self.room -= 1;
        }
        if line.starts_with("test result: ") {
            self.room = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_found_among_cargos_messages() {
        let message = |test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///w/tests#t@0.1.0","manifest_path":"/w/tests/Cargo.toml","target":{{"kind":["test"],"crate_types":["bin"],"name":"interop","src_path":"/w/tests/tests/interop.rs","edition":"2024","doc":false,"doctest":false,"test":true}},"profile":{{"opt_level":"0","debuginfo":2,"debug_assertions":true,"overflow_checks":true,"test":{test}}},"features":[],"filenames":["/w/target/debug/deps/interop-1"],"executable":{executable},"fresh":true}}"#
            )
        };
        let messages = [
            message(false, r#""/w/target/debug/interop""#),
            message(true, "null"),
            message(true, r#""C:\\w\\interop-1.exe""#),
            r#"{"reason":"build-finished","success":true}"#.into(),
        ];
        let program = TestProgram {
            name: "interop".into(),
            executable: r"C:\w\interop-1.exe".into(),
            package: "/w/tests".into(),
        };
        assert_eq!(TestProgram::all(&messages.join("\n")), [program]);
    }

    #[test]
    fn failures_are_found_among_other_lines() {
        let log = "running 2 tests\ntest a ... FAILED\n\nfailures:\n\n---- a ----\nwhy\n\n\nfailures:\n    a\n\n\
                   test result: FAILED. 1 passed; 1 failed\n\nrunning 1 test\ntest b ... ok\n\ntest result: ok.";
        let mut failures = Failures::default();
        log.split('\n').for_each(|line| failures.see(line));
        let seen = failures.lines.join("\n");
        assert!(seen.starts_with("failures:\n\n---- a ----\nwhy\n") && seen.ends_with("1 failed"));
        let mut failures = Failures::default();
        let why = ["failures:"].into_iter().chain(["x"; 1000]);
        why.chain(["failures:", "    a"]).for_each(|line| failures.see(line));
        assert_eq!(failures.lines.len(), Failures::MOST + 2);
    }
}
