//! A test program inside `cargo xtask tap shell`, so that there may be TAP devices and nothing of this machine is touched.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::programs::program;

/// Set to what went wrong, or to nothing, by whoever has run this program again.
const PROBLEM: &str = "ANYWIRE_TAP_PROBLEM";

/// Whether the tests of only this frontend are wanted: `ANYWIRE_FRONTEND` leaves out the other's.
pub fn only(frontend: &str) -> bool {
    std::env::var("ANYWIRE_FRONTEND").is_ok_and(|only| only == frontend)
}

/// Runs this program again inside the shell; or notes why that cannot be.
pub fn enter() {
    if std::env::var_os(PROBLEM).is_some() || only("std") {
        return;
    }
    let mut probe = program("xtask");
    let probe = probe.args(["tap", "shell", "--", "true"]).output().expect("xtask can be run");
    let problem = String::from_utf8_lossy(&probe.stderr).trim().to_owned();
    let this = std::env::current_exe().expect("a test has a path");
    let mut again = if probe.status.success() {
        let mut shell = program("xtask");
        shell.args(["tap", "shell", "--"]).arg(this).env(PROBLEM, "");
        shell
    } else {
        let mut outside = Command::new(this);
        outside.env(PROBLEM, format!("there is no TAP: {problem}"));
        outside
    };
    let error = again.args(std::env::args_os().skip(1)).exec();
    panic!("this program cannot run itself: {error}");
}

/// Why there is no TAP, if there is none.
pub fn problem() -> Option<String> {
    match std::env::var(PROBLEM) {
        Ok(problem) if problem.is_empty() => None,
        Ok(problem) => Some(problem),
        Err(_) => Some("this does not run inside `cargo xtask tap shell`".into()),
    }
}
