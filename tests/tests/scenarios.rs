//! Every scenario, on every transport, with every cut. `cargo test --test scenarios -- memory::echo` runs some.
//!
//! The lossy wires are tried with some seeds, and each of those with one of the cuts. `ANYWIRE_SEEDS=200` tries so many, best with
//! `--release`; what fails says how to try it alone.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anywire_tests::matrix::{Matrix, Outcome};
use anywire_tests::scenarios::{self, Applies, Scenario};
use anywire_tests::transports::{self, Frontend, Transport};
use anywire_tests::world::{Cuts, World};
use anywire_tests::{seeds, shell, skip};
use libtest_mimic::{Arguments, Failed, Trial};

static MATRIX: Matrix = Matrix::new();

/// How long each trial took.
static TOOK: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

/// So many of the slowest are told.
const SLOWEST: usize = 20;

/// So many trials run at once unless `--test-threads` says otherwise.
const THREADS: usize = 8;

/// A trial that failed when the machine was late is tried again, so many times at most. What is broken is broken each time.
const TRIES: usize = 10;

/// Where the matrix is to be written.
const FILE: &str = "ANYWIRE_MATRIX";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most trials wait: for a silence, a limit, a peer.
    arguments.test_threads.get_or_insert(THREADS);
    shell::enter();
    let transports: Vec<_> = transports::all().into_iter().filter(chosen).collect();
    let scenarios = scenarios::all();
    let mut trials = Vec::new();
    for &transport in &transports {
        let missing = (transport.missing)();
        if let Some(why) = &missing {
            eprintln!("SKIPPED: everything on {}, because {why}", transport.name);
        }
        for (at, &scenario) in scenarios.iter().enumerate() {
            match transport.applies(&scenario) {
                Applies::No(_) => {}
                applies if transport.lossy => {
                    lossy_trials(at, scenario, transport, applies, &mut trials);
                }
                _ => trials.extend(
                    (transport.cuts.iter())
                        .map(|&cuts| trial(at, scenario, transport, cuts, missing.clone())),
                ),
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!("{}", MATRIX.report(&scenarios, &transports));
        tell_what_took_long();
        if let Some(file) = std::env::var_os(FILE) {
            std::fs::write(file, MATRIX.page(&scenarios, &transports)).expect("the matrix is kept");
        }
    }
    conclusion.exit_code()
}

/// The trials that took longest, and how long each transport's took in all.
fn tell_what_took_long() {
    let mut took = TOOK.lock().unwrap_or_else(PoisonError::into_inner);
    took.sort_unstable_by(|a, b| b.cmp(a));
    println!("The slowest trials:");
    for (took, name) in took.iter().take(SLOWEST) {
        println!("{:>7.1} s  {name}", took.as_secs_f64());
    }
    let mut transports = BTreeMap::<_, (Duration, usize)>::new();
    for (took, name) in took.iter() {
        let (sum, trials) = transports.entry(name.split("::").next()).or_default();
        *sum += *took;
        *trials += 1;
    }
    println!("\nAll trials, {THREADS} at a time:");
    for (transport, (sum, trials)) in &transports {
        let name = transport.unwrap_or_default();
        println!("{:>7.1} s  {name}, {trials} trials", sum.as_secs_f64());
    }
}

/// `ANYWIRE_FRONTEND` leaves out the other frontend's transports.
fn chosen(transport: &Transport) -> bool {
    match transport.frontend {
        Frontend::Core => true,
        Frontend::Std => !shell::only("smoltcp"),
        Frontend::Smoltcp => !shell::only("std"),
    }
}

/// A trial with each seed.
fn lossy_trials(
    at: usize,
    scenario: Scenario,
    transport: Transport,
    applies: Applies,
    trials: &mut Vec<Trial>,
) {
    for seed in seeds::chosen() {
        let cuts = match (applies, seed % 3) {
            (Applies::Whole(_), _) | (_, 0) => Cuts::Whole,
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

fn name(scenario: Scenario, transport: Transport, cuts: Cuts) -> String {
    let words =
        [transport.name, &scenario.label(), scenario.name].map(|word| word.replace(' ', "-"));
    format!("{}::{}", words.join("::"), cuts.name())
}

fn trial(
    at: usize,
    scenario: Scenario,
    transport: Transport,
    cuts: Cuts,
    missing: Option<String>,
) -> Trial {
    let name = name(scenario, transport, cuts);
    if missing.is_some() && skip::required("tap") {
        return Trial::test(name, move || {
            MATRIX.note(at, transport.name, Outcome::Failed);
            Err(Failed::from(missing.unwrap_or_default()))
        });
    }
    let skipped = missing.is_some();
    if skipped {
        MATRIX.note(at, transport.name, Outcome::Skipped);
    }
    Trial::test(name, move || noted(at, scenario, transport, cuts, 0)).with_ignored_flag(skipped)
}

/// Runs a trial, and notes what came of it.
fn noted(
    at: usize,
    scenario: Scenario,
    transport: Transport,
    cuts: Cuts,
    seed: u64,
) -> Result<(), Failed> {
    let since = Instant::now();
    let mut result = Ok(());
    for _ in 0..TRIES {
        let late = AtomicBool::new(false);
        let ran = catch_unwind(AssertUnwindSafe(|| run(scenario, transport, cuts, seed, &late)));
        result = ran.unwrap_or_else(|panic| Err(Failed::from(message(&*panic))));
        if result.is_ok() || !late.into_inner() {
            break;
        }
        eprintln!("{} is tried again: the machine was late", name(scenario, transport, cuts));
    }
    let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
    MATRIX.note(at, transport.name, outcome);
    let mut took = TOOK.lock().unwrap_or_else(PoisonError::into_inner);
    took.push((since.elapsed(), name(scenario, transport, cuts)));
    result
}

fn run(
    scenario: Scenario,
    transport: Transport,
    cuts: Cuts,
    seed: u64,
    late: &AtomicBool,
) -> Result<(), Failed> {
    (transport.with)(scenario.setup(seed), &mut |network| {
        (scenario.run)(&mut World::new(network, cuts).note_late(late));
    })?;
    Ok(())
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}
