//! `cargo xtask demo`: our stack and Linux's own programs talk to each other, before your eyes.
//!
//! In a network namespace of its own it starts `anywire-tap` with all services, lets the std clients, python3, nc, telnet, curl and ping talk
//! to each, as far as they are there, then turns round and lets the stack's clients talk to a server on Linux's sockets; and at the end says
//! what worked. Nothing is left when it has ended, or was ended.

mod lasting;
mod talk;
mod talks;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use xshell::cmd;

use crate::tap::{self, Tap};
use crate::workspace;
use lasting::Lasting;
use talk::{Outcome, Talk};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// In this network, which has a tap0 that is up already, by `tap up` or in a `tap shell`
    #[arg(long)]
    here: bool,
    /// With the programs as they are built
    #[arg(long)]
    no_build: bool,
    /// The part that runs inside the namespace
    #[arg(long, hide = true)]
    inside: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.no_build && !args.inside {
        let sh = workspace::shell()?;
        cmd!(sh, "cargo build --quiet --workspace --exclude xtask --bins").quiet().run()?;
    }
    if args.inside || args.here {
        return talk_to_all(args);
    }
    let words = ["demo", "--inside"].map(OsString::from);
    let program = env::current_exe()?.into_os_string();
    tap::enter(&Tap::default(), &[&[program], &words[..]].concat())
}

/// The stack's address, and Linux's.
const STACK: &str = "192.168.69.1";
const LINUX: &str = "192.168.69.100";

/// Nobody may take longer to begin.
const PATIENCE: Duration = Duration::from_secs(10);

fn talk_to_all(args: &Args) -> Result<()> {
    let begun = Instant::now();
    println!("{}", place(args));
    let programs = programs()?;
    let folder = lasting::Folder::make()?;
    fs::write(folder.path().join("notes.txt"), "from the other side\n")?;
    let mut outcomes = Vec::new();

    let options = ["--secret", "63", "--dir"].map(OsString::from);
    let options = [&options[..], &[folder.path().join("stack").into()]].concat();
    fs::create_dir(folder.path().join("stack"))?;
    fs::write(folder.path().join("stack/notes.txt"), "from the stack\n")?;
    println!("\n== the stack serves, Linux's programs ask");
    let all = ["--bind", "0.0.0.0"].map(OsString::from);
    let stack = Lasting::serve(&programs.join("anywire-tap"), &all, &options, talks::ENDPOINTS)?;
    for talk in talks::with_the_stack(&programs) {
        outcomes.push(talk.hold(folder.path()));
    }
    let stack = stack.end(PATIENCE).context("the stack did not end well");

    println!("\n== Linux serves, the stack's clients ask");
    let bind = ["--bind", LINUX].map(OsString::from);
    let linux = Lasting::serve(&programs.join("anywire"), &bind, &options, talks::ENDPOINTS)?;
    for talk in talks::with_linux(&programs) {
        outcomes.push(talk.hold(folder.path()));
    }
    let linux = linux.end(PATIENCE).context("Linux's server did not end well");

    table(&outcomes);
    let failed = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
    let (failed, seconds) = (failed.count(), begun.elapsed().as_secs_f64());
    if failed > 0 {
        bail!("{failed} of {} conversations failed, in {seconds:.1} s", outcomes.len());
    }
    stack.and(linux)?;
    println!("\nall that was tried worked, in {seconds:.1} s");
    Ok(())
}

/// Where it is run.
fn place(args: &Args) -> &'static str {
    if args.here {
        return "In this network, on the tap0 that there is.";
    }
    // Where nobody but root is mapped, it is a user namespace.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    match map.split_whitespace().last() {
        Some("4294967295") => "As root, in a network namespace of its own.",
        _ => "Without root, in a user and a network namespace of its own.",
    }
}

/// The folder of this program, where `cargo build` puts the others too.
fn programs() -> Result<std::path::PathBuf> {
    let program = env::current_exe()?;
    let folder = program.parent().map(Path::to_owned);
    let folder = folder.context("this program is in no folder")?;
    for name in ["anywire", "anywire-tap"] {
        if !folder.join(name).exists() {
            bail!("there is no {name}: cargo build --workspace");
        }
    }
    Ok(folder)
}

/// What worked, service by service.
fn table(outcomes: &[(Talk, Outcome)]) {
    let mut services: Vec<&str> = Vec::new();
    for (talk, _) in outcomes {
        if !services.contains(&talk.service) {
            services.push(talk.service);
        }
    }
    println!("\n{:10}{:46}failed", "service", "worked with");
    let mut absent = Vec::new();
    for service in services {
        let of = |wanted: fn(&Outcome) -> bool| {
            let some = outcomes
                .iter()
                .filter(|(talk, outcome)| talk.service == service && wanted(outcome));
            let mut names: Vec<_> = some.map(|(talk, _)| talk.with).collect();
            names.dedup();
            names.join(" ")
        };
        let worked = of(|outcome| matches!(outcome, Outcome::Worked(_)));
        let failed = of(|outcome| matches!(outcome, Outcome::Failed(_)));
        println!("{}", format!("{service:10}{worked:46}{failed}").trim_end());
    }
    for (talk, outcome) in outcomes {
        if let Outcome::Absent(package) = outcome
            && !absent.contains(&(talk.with, *package))
        {
            absent.push((talk.with, *package));
        }
    }
    for (program, package) in absent {
        println!("not tried: there is no {program} here; sudo apt install {package}");
    }
}
