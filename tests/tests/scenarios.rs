//! Every scenario, on every transport, with every cut. `cargo test --test scenarios -- memory::echo` runs some.
//!
//! The lossy wires are tried with some seeds, and each of those with one of the cuts. `ANYWIRE_SEEDS=200` tries so many, best with
//! `--release`; what fails says how to try it alone.

use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};

use anywire_tests::matrix::{Matrix, Outcome};
use anywire_tests::network::Setup;
use anywire_tests::programs::program;
use anywire_tests::scenarios::{self, Lossy, Scenario};
use anywire_tests::seeds;
use anywire_tests::transports::{self, Frontend, TAP_PROBLEM, Transport};
use anywire_tests::world::{Cuts, World};
use libtest_mimic::{Arguments, Failed, Trial};

static MATRIX: Matrix = Matrix::new();

/// So many trials run at once unless `--test-threads` says otherwise.
const THREADS: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most trials wait: for a silence, a limit, a peer.
    arguments.test_threads.get_or_insert(THREADS);
    enter_tap_shell();
    let transports: Vec<_> = transports::all().into_iter().filter(chosen).collect();
    let mut trials = Vec::new();
    for &transport in &transports {
        let missing = (transport.missing)();
        if let Some(why) = &missing {
            eprintln!("SKIPPED: everything on {}, because {why}", transport.name);
        }
        for (at, scenario) in scenarios::all().into_iter().enumerate() {
            if !(transport.can)(&setup(scenario, 0)) {
                continue;
            }
            if transport.lossy {
                lossy_trials(at, scenario, transport, &mut trials);
                continue;
            }
            for cuts in Cuts::ALL {
                trials.push(trial(at, scenario, transport, cuts, missing.clone()));
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        let names: Vec<_> = transports.iter().map(|transport| transport.name).collect();
        println!("{}", MATRIX.to_markdown(&names));
        if transports.iter().any(|transport| transport.lossy) {
            tell_where_losses_count();
        }
    }
    conclusion.exit_code()
}

/// Runs this program again inside `cargo xtask tap shell`, so that there is a TAP; or notes why that cannot be.
fn enter_tap_shell() {
    if std::env::var_os(TAP_PROBLEM).is_some() || only("std") {
        return;
    }
    let mut probe = program("xtask");
    let probe = probe.args(["tap", "shell", "--", "true"]).output().expect("xtask can be run");
    let problem = String::from_utf8_lossy(&probe.stderr).trim().to_owned();
    let this = std::env::current_exe().expect("a test has a path");
    let mut again = if probe.status.success() {
        let mut shell = program("xtask");
        shell.args(["tap", "shell", "--"]).arg(this).env(TAP_PROBLEM, "");
        shell
    } else {
        let mut outside = Command::new(this);
        outside.env(TAP_PROBLEM, format!("there is no TAP: {problem}"));
        outside
    };
    let error = again.args(std::env::args_os().skip(1)).exec();
    panic!("this program cannot run itself: {error}");
}

fn only(frontend: &str) -> bool {
    std::env::var("ANYWIRE_FRONTEND").is_ok_and(|only| only == frontend)
}

/// `ANYWIRE_FRONTEND` leaves out the other frontend's transports.
fn chosen(transport: &Transport) -> bool {
    match transport.frontend {
        Frontend::Core => true,
        Frontend::Std => !only("smoltcp"),
        Frontend::Smoltcp => !only("std"),
    }
}

/// A trial with each seed; or none, where the scenario has no meaning.
fn lossy_trials(at: usize, scenario: Scenario, transport: Transport, trials: &mut Vec<Trial>) {
    if let Lossy::No(_) = scenario.lossy {
        MATRIX.note(at, &row(scenario), transport.name, Outcome::DoesNotApply);
        return;
    }
    for seed in seeds::chosen() {
        let cuts = match (scenario.lossy, seed % 3) {
            (Lossy::Whole(_), _) | (_, 0) => Cuts::Whole,
            (_, 1) => Cuts::Bytes,
            _ => Cuts::Random(seed),
        };
        let name = format!("{}::seed-{seed}", name(scenario, transport, cuts));
        let again = format!(
            "to try it alone: {}={seed}..{} cargo test -p anywire-tests --test scenarios -- --exact {name}",
            seeds::VARIABLE,
            seed + 1
        );
        trials.push(Trial::test(name, move || {
            let result = noted(at, scenario, transport, cuts, seed);
            result.map_err(|failed| {
                Failed::from(format!("{}\n{again}", failed.message().unwrap_or_default()))
            })
        }));
    }
}

/// Which scenarios are tried otherwise where frames get lost, or not at all, and why.
fn tell_where_losses_count() {
    println!("Where frames get lost:");
    for scenario in scenarios::all() {
        match scenario.lossy {
            Lossy::Holds => {}
            Lossy::Whole(why) => println!("- {}: only whole, as {why}", row(scenario)),
            Lossy::No(why) => println!("- {}: not tried, as {why}", row(scenario)),
        }
    }
}

fn row(scenario: Scenario) -> String {
    format!("{}: {}", scenario.service, scenario.name)
}

fn name(scenario: Scenario, transport: Transport, cuts: Cuts) -> String {
    let Scenario { service, name, .. } = scenario;
    format!("{}::{service}::{}::{}", transport.name, name.replace(' ', "-"), cuts.name())
}

fn trial(
    at: usize,
    scenario: Scenario,
    transport: Transport,
    cuts: Cuts,
    missing: Option<String>,
) -> Trial {
    let (row, name) = (row(scenario), name(scenario, transport, cuts));
    if missing.is_some() && std::env::var("ANYWIRE_REQUIRE").is_ok_and(|what| what.contains("tap"))
    {
        return Trial::test(name, move || {
            MATRIX.note(at, &row, transport.name, Outcome::Failed);
            Err(Failed::from(missing.unwrap_or_default()))
        });
    }
    let skipped = missing.is_some();
    if skipped {
        MATRIX.note(at, &row, transport.name, Outcome::Skipped);
    }
    Trial::test(name, move || noted(at, scenario, transport, cuts, 0)).with_ignored_flag(skipped)
}

fn setup(scenario: Scenario, seed: u64) -> Setup {
    let Scenario { service, settings, limits, log, .. } = scenario;
    Setup { service, settings, limits, log, seed }
}

/// Runs a trial, and notes what came of it.
fn noted(
    at: usize,
    scenario: Scenario,
    transport: Transport,
    cuts: Cuts,
    seed: u64,
) -> Result<(), Failed> {
    let ran = catch_unwind(AssertUnwindSafe(|| run(scenario, transport, cuts, seed)));
    let result = ran.unwrap_or_else(|panic| Err(Failed::from(message(&*panic))));
    let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
    MATRIX.note(at, &row(scenario), transport.name, outcome);
    result
}

fn run(scenario: Scenario, transport: Transport, cuts: Cuts, seed: u64) -> Result<(), Failed> {
    (transport.with)(setup(scenario, seed), &mut |network| {
        (scenario.run)(&mut World::new(network, cuts))
    })?;
    Ok(())
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}
