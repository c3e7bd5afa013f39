//! Every scenario, on every transport, with every cut. `cargo test --test scenarios -- memory::echo` runs some.

use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};

use anywire_tests::matrix::{Matrix, Outcome};
use anywire_tests::network::Setup;
use anywire_tests::programs::program;
use anywire_tests::scenarios::{self, Scenario};
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
            if !(transport.can)(&setup(scenario)) {
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

fn trial(
    at: usize,
    scenario: Scenario,
    transport: Transport,
    cuts: Cuts,
    missing: Option<String>,
) -> Trial {
    let row = format!("{}: {}", scenario.service, scenario.name);
    let name = format!(
        "{}::{}::{}::{}",
        transport.name,
        scenario.service,
        scenario.name.replace(' ', "-"),
        cuts.name()
    );
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
    Trial::test(name, move || {
        let ran = catch_unwind(AssertUnwindSafe(|| run(scenario, transport, cuts)));
        let result = ran.unwrap_or_else(|panic| Err(Failed::from(message(&*panic))));
        let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
        MATRIX.note(at, &row, transport.name, outcome);
        result
    })
    .with_ignored_flag(skipped)
}

fn setup(scenario: Scenario) -> Setup {
    let Scenario { service, settings, limits, log, .. } = scenario;
    Setup { service, settings, limits, log }
}

fn run(scenario: Scenario, transport: Transport, cuts: Cuts) -> Result<(), Failed> {
    (transport.with)(setup(scenario), &mut |network| {
        (scenario.run)(&mut World::new(network, cuts))
    })?;
    Ok(())
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}
