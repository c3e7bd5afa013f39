//! Programs that we did not write, as Debian has them: as clients of our servers, as servers for our clients, and tshark as the judge of what
//! is on the wire. On the system's sockets and over a TAP device, IPv4 and IPv6.
//!
//! What is not installed is skipped, and says so, unless `ANYWIRE_REQUIRE` names it.

mod captures;
mod clients;
mod net;
mod servers;

use std::process::{Command, ExitCode, Stdio};

use anywire_tests::{shell, skip};
use libtest_mimic::{Arguments, Trial};

use crate::net::Net;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    shell::enter();
    let mut trials = Vec::new();
    for net in Net::ALL {
        for program in clients::PROGRAMS {
            let name = format!("{}::client::{}", net.name(), program.name);
            trials.push(trial(net, program.name, name, move || program.talk(net)));
        }
        for talk in servers::TALKS {
            let name = format!("{}::server::{}::{}", net.name(), talk.program, talk.name);
            trials.push(trial(net, talk.program, name, move || talk.hold(net)));
        }
    }
    trials.extend(captures::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial with `program` on `net`, unless one of them is missing.
fn trial(
    net: Net,
    program: &'static str,
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> Trial {
    let tap = if net.is_tap() { shell::problem().map(|problem| (problem, "tap")) } else { None };
    with(tap.or_else(|| missing(program)), name, run).with_ignored_flag(net.is_left_out())
}

/// That a program is not installed, and which.
fn missing(program: &'static str) -> Option<(String, &'static str)> {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status();
    let missing = !found.expect("there is a shell").success();
    missing.then(|| (format!("there is no {program}"), program))
}

fn with(
    missing: Option<(String, &'static str)>,
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> Trial {
    let skipped = missing.is_some();
    if let Some((why, what)) = missing {
        if skip::required(what) {
            return Trial::test(name, move || Err(why.into()));
        }
        eprintln!("SKIPPED: {name}, because {why}");
    }
    Trial::test(name, move || {
        run();
        Ok(())
    })
    .with_ignored_flag(skipped)
}
