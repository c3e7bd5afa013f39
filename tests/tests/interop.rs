//! The contract, tested from outside in Python: `tests/interop` against the programs, on both frontends.

use std::process::{Command, Output};

use anywire_tests::programs::{Served, directory, interop, program};

/// Says why a test is skipped, unless it must not be.
fn skip(why: &str, required: &str) {
    let must = std::env::var("ANYWIRE_REQUIRE").is_ok_and(|what| what.contains(required));
    assert!(!must, "{why}");
    eprintln!("SKIPPED: {why}");
}

fn python_is_missing() -> bool {
    let missing = Command::new("python3").arg("--version").output().is_err();
    if missing {
        skip("there is no python3", "python");
    }
    missing
}

fn left_out(frontend: &str) -> bool {
    std::env::var("ANYWIRE_FRONTEND").is_ok_and(|only| only != "all" && only != frontend)
}

/// All checks of a suite held.
fn assert_held(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let failed: Vec<_> = text.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(output.status.success(), "{}\n{errors}", failed.join("\n"));
    // It ran: "N passed, 0 failed".
    let closing = text.lines().last().unwrap_or_default();
    assert!(closing.ends_with(" passed, 0 failed") && !closing.starts_with("0 "), "{closing}");
}

#[test]
fn the_std_servers_keep_the_contract() {
    if left_out("std") || python_is_missing() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = program("anywire");
    let services = ["echo=0", "hello=0", "typed=0", "upload=0", "file=0"];
    command.args(["serve", "-q"]).args(services).arg("--dir").arg(dir.path());
    let served = Served::start(command, services.len() + 1);
    let port = |endpoint| served.port(endpoint).to_string();
    // On the same folder.
    let mut command = program("anywire");
    command.args(["serve", "-q", "typed=0", "--schema", "close", "--dir"]).arg(dir.path());
    let other = Served::start(command, 1);
    let output = Command::new("python3")
        .arg(interop().join("suite.py"))
        .args(["--frontend", "std", "--host", "127.0.0.1"])
        .args(["--echo-port", &port("echo tcp"), "--hello-port", &port("hello tcp")])
        .args(["--file-port", &port("file tcp"), "--upload-port", &port("upload tcp")])
        .args(["--typed-port", &port("typed tcp")])
        .args(["--typed-close-port", &other.port("typed tcp").to_string(), "--dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert_held(&output);
}

#[test]
fn the_std_clients_keep_the_contract() {
    if left_out("std") || python_is_missing() {
        return;
    }
    let output = Command::new("python3")
        .arg(interop().join("clients.py"))
        .arg("--program")
        .arg(directory().join("anywire"))
        .output()
        .unwrap();
    assert_held(&output);
}

/// `cargo xtask tap shell`, if it can be had.
fn in_tap_shell() -> Option<Command> {
    let mut shell = program("xtask");
    shell.args(["tap", "shell", "--", "true"]);
    let tried = shell.output().unwrap();
    if !tried.status.success() {
        skip(&format!("there is no TAP: {}", String::from_utf8_lossy(&tried.stderr)), "tap");
        return None;
    }
    let mut shell = program("xtask");
    shell.args(["tap", "shell", "--"]);
    Some(shell)
}

#[test]
fn the_smoltcp_servers_keep_the_contract() {
    if left_out("smoltcp") || python_is_missing() {
        return;
    }
    let Some(mut shell) = in_tap_shell() else { return };
    let dir = tempfile::tempdir().unwrap();
    // The server is stopped by the end of the shell that started it: its namespace goes with it. There is one stack at a time on a
    // device, so the other schema has its turn when the first one is done.
    let script = r#"
        anywire-tap serve -q --dir "$1" >"$1/.listening" &
        server=$!
        until [ "$(grep -c listening "$1/.listening")" -ge 13 ]; do
            kill -0 $server || exit 1
        done
        suite() {
            python3 "$folder/suite.py" --frontend smoltcp --host 192.168.69.1 --dir "$dir" \
                --echo-port 9900 --hello-port 65432 --file-port 6565 "$@"
        }
        dir=$1 folder=$2
        suite --upload-port 9003 --typed-port 9002
        held=$?
        kill $server && wait $server || exit 1
        anywire-tap serve typed -q --schema close --dir "$1" >"$1/.listening" &
        server=$!
        until grep -q listening "$1/.listening"; do
            kill -0 $server || exit 1
        done
        suite --typed-close-port 9002 --only typed-close
        held=$((held + $?))
        kill $server && wait $server && exit $held
    "#;
    let output = shell.args(["sh", "-c", script, "sh"]).arg(dir.path()).arg(interop()).output();
    assert_held(&output.unwrap());
}

#[test]
fn the_smoltcp_clients_keep_the_contract() {
    if left_out("smoltcp") || python_is_missing() {
        return;
    }
    let Some(mut shell) = in_tap_shell() else { return };
    let output = shell
        .arg("python3")
        .arg(interop().join("clients.py"))
        .args(["--frontend", "smoltcp", "--host", "192.168.69.100", "--program"])
        .arg(directory().join("anywire-tap"))
        .output();
    assert_held(&output.unwrap());
}
