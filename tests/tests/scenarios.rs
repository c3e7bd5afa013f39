//! Every scenario, on every transport, with every cut. `cargo test --test scenarios -- memory::echo` runs some.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anywire_tests::matrix::{Matrix, Outcome};
use anywire_tests::network::Setup;
use anywire_tests::scenarios::{self, Scenario};
use anywire_tests::transports::{self, Frontend, Transport};
use anywire_tests::world::{Cuts, World};
use libtest_mimic::{Arguments, Failed, Trial};

static MATRIX: Matrix = Matrix::new();

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let transports: Vec<_> = transports::all().into_iter().filter(chosen).collect();
    let mut trials = Vec::new();
    for &transport in &transports {
        let missing = (transport.missing)();
        if let Some(why) = &missing {
            eprintln!("SKIPPED: everything on {}, because {why}", transport.name);
        }
        for (at, scenario) in scenarios::all().into_iter().enumerate() {
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

/// `ANYWIRE_FRONTEND` leaves out the other frontend's transports.
fn chosen(transport: &Transport) -> bool {
    match (std::env::var("ANYWIRE_FRONTEND").as_deref(), transport.frontend) {
        (Ok("std"), frontend) => frontend != Frontend::Smoltcp,
        (Ok("smoltcp"), frontend) => frontend != Frontend::Std,
        _ => true,
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

fn run(scenario: Scenario, transport: Transport, cuts: Cuts) -> Result<(), Failed> {
    let setup = Setup { service: scenario.service, limits: scenario.limits };
    (transport.with)(setup, &mut |network| (scenario.run)(&mut World::new(network, cuts)))?;
    Ok(())
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}
