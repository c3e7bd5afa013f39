//! The contract, tested from outside in Python: `tests/interop` against the programs, on both frontends.

use std::process::{Command, ExitCode, Output};

use anywire_tests::programs::{
    Served, directory, in_tap_shell, interop, program, python_is_missing,
};
use libtest_mimic::{Arguments, Trial};

type Test = (&'static str, fn());

const TESTS: [Test; 8] = [
    ("the_std_servers_keep_the_contract", || std_servers("poll")),
    ("the_std_servers_keep_the_contract_with_threads", || std_servers("threads")),
    ("the_std_servers_keep_the_contract_with_processes", || std_servers("processes")),
    ("the_smoltcp_servers_keep_the_contract", the_smoltcp_servers_keep_the_contract),
    ("the_std_clients_keep_the_contract", the_std_clients_keep_the_contract),
    ("the_smoltcp_clients_keep_the_contract", the_smoltcp_clients_keep_the_contract),
    ("the_std_servers_tell_of_themselves", the_std_servers_tell_of_themselves),
    ("the_smoltcp_servers_tell_of_themselves", the_smoltcp_servers_tell_of_themselves),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // All at once: each has servers and a folder of its own, and most of its checks wait.
    arguments.test_threads.get_or_insert(TESTS.len());
    let trials = TESTS.map(|(name, test)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run)
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
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

/// Every service, and what the suite speaks to it over.
const SERVICES: [(&str, &str); 12] = [
    ("echo", "tcp"),
    ("hello", "tcp"),
    ("message", "tcp"),
    ("fixed", "tcp"),
    ("knock", "tcp"),
    ("typed", "tcp"),
    ("upload", "tcp"),
    ("file", "tcp"),
    ("date", "tcp"),
    ("logdate", "tcp"),
    ("guess", "udp"),
    ("greet", "tcp"),
];

/// The number that is to be guessed.
const SECRET: &str = "42";

/// A zone whose offset is easily got wrong: -03:30.
const TZ: &str = "NST3:30";

fn std_servers(engine: &str) {
    if left_out("std") || python_is_missing() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = program("anywire");
    command.args(["serve", "-q", "--engine", engine, "--secret", SECRET]).env("TZ", TZ);
    command.arg("--dir").arg(dir.path());
    command.args(SERVICES.map(|(service, _)| format!("{service}=0")));
    // echo listens twice.
    let served = Served::start(command, SERVICES.len() + 1);
    // On the same folder.
    let mut command = program("anywire");
    command.args(["serve", "-q", "typed=0", "--engine", engine, "--schema", "close", "--dir"]);
    command.arg(dir.path());
    let other = Served::start(command, 1);
    let mut suite = Command::new("python3");
    suite.arg(interop().join("suite.py")).env("TZ", TZ).arg("--dir").arg(dir.path());
    suite.args(["--frontend", "std", "--host", "127.0.0.1", "--guess-secret", SECRET]);
    for (service, protocol) in SERVICES {
        let port = served.port(&format!("{service} {protocol}")).to_string();
        suite.args([format!("--{service}-port"), port]);
    }
    suite.args(["--typed-close-port", &other.port("typed tcp").to_string()]);
    let output = suite.output().unwrap();
    assert_held(&output);
}

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

fn the_std_servers_tell_of_themselves() {
    if left_out("std") || python_is_missing() {
        return;
    }
    for engine in ["poll", "threads", "processes"] {
        let mut suite = Command::new("python3");
        suite.arg(interop().join("seeing.py")).arg("--program").arg(directory().join("anywire"));
        suite.args(["--extra", &format!("--engine {engine}")]);
        assert_held(&suite.output().unwrap());
    }
}

fn the_smoltcp_servers_keep_the_contract() {
    if left_out("smoltcp") || python_is_missing() {
        return;
    }
    let Some(mut shell) = in_tap_shell() else { return };
    let dir = tempfile::tempdir().unwrap();
    // The server is stopped by the end of the shell that started it: its namespace goes with it. There is one stack at a time on a
    // device, so the other schema has its turn when the first one is done.
    let script = r#"
        anywire-tap serve -q --secret "$3" --dir "$1" >"$1/.listening" &
        server=$!
        until [ "$(grep -c listening "$1/.listening")" -ge 13 ]; do
            kill -0 $server || exit 1
        done
        suite() {
            python3 "$folder/suite.py" --frontend smoltcp --host 192.168.69.1 --dir "$dir" \
                --echo-port 9900 --hello-port 65432 --file-port 6565 "$@"
        }
        dir=$1 folder=$2
        suite --upload-port 9003 --typed-port 9002 --message-port 9001 --fixed-port 9004 --knock-port 9000 \
            --date-port 6015 --logdate-port 6016 --greet-port 8888 --guess-port 9905 --guess-secret "$3"
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
    shell.args(["sh", "-c", script, "sh"]).arg(dir.path()).arg(interop()).arg(SECRET);
    assert_held(&shell.env("TZ", TZ).output().unwrap());
}

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

fn the_smoltcp_servers_tell_of_themselves() {
    if left_out("smoltcp") || python_is_missing() {
        return;
    }
    let Some(mut suite) = in_tap_shell() else { return };
    suite.arg("python3").arg(interop().join("seeing.py")).args(["--host", "192.168.69.1"]);
    suite.arg("--program").arg(directory().join("anywire-tap"));
    assert_held(&suite.output().unwrap());
}
