//! What goes wrong before anything is served, and what the program says about it.

use rustix::process::Signal;

use crate::harness::{LINUX, Server, anywire_tap, assert_fails, run, text};
use crate::namespace::{ip, make_tap};

crate::tests![
    a_device_that_is_missing_busy_down_or_no_tap,
    addresses_that_are_not_ours_or_taken,
    all_problems_at_once_and_a_line_that_avoids_those_of_ports,
    completions_are_this_programs,
    gateways_and_names_that_lead_nowhere,
    no_random_numbers,
    wrong_usage_is_status_2,
];

fn a_device_that_is_missing_busy_down_or_no_tap() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let serve = |tap| run(anywire_tap(&["serve", "--tap", tap, "--dir", dir]), b"");
    assert_fails(
        &serve("tap9"),
        "there is no TAP device tap9: make it with `sudo cargo xtask tap up --name tap9`",
    );
    assert_fails(&serve("a name that is too long"), "there is no TAP device");
    assert_fails(&serve("lo"), "lo is no TAP device");

    make_tap("tap8", &[]).unwrap();
    ip("link set tap8 down").unwrap();
    assert_fails(&serve("tap8"), "tap8 is down: `sudo ip link set tap8 up`");
    ip("link del tap8").unwrap();

    let _server = Server::start(&["echo"], 2);
    assert_fails(&serve("tap0"), "tap0 is in use by another program");
    assert_fails(&run(anywire_tap(&["client", "hello", "x"]), b""), "tap0 is in use");
}

fn addresses_that_are_not_ours_or_taken() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let output =
        run(anywire_tap(&["serve", "echo", "hello=9900", "file=10.0.0.1:0", "--dir", dir]), b"");
    assert_fails(&output, "cannot serve hello on 192.168.69.1:9900: another");
    assert_fails(&output, "cannot serve file on 10.0.0.1:0: this stack's address is");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

fn all_problems_at_once_and_a_line_that_avoids_those_of_ports() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it's a file");
    std::fs::write(&file, b"").unwrap();
    let serve = |tap, dir: &std::path::Path| {
        let args = ["serve", "upload", "hello=9003", "--tap", tap, "--dir"];
        run(anywire_tap(&[&args[..], &[dir.to_str().unwrap()]].concat()), b"")
    };
    let output = serve("tap9", &file);
    assert_fails(&output, "cannot keep files in");
    assert_fails(&output, "there is no TAP device tap9");
    assert_fails(&output, "cannot serve hello on 192.168.69.1:9003: another of these");
    assert_fails(&output, "When the rest is put right, ");

    // What is proposed when that is all works, with the options that were given.
    let output = serve("tap0", folder.path());
    assert_fails(&output, "cannot serve hello on 192.168.69.1:9003: another of these");
    let said = text(&output.stderr);
    let line = said.lines().last().unwrap().trim();
    assert!(line.contains(" serve upload hello --tap tap0 --dir "), "{said}");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("exec {line}")]);
    let mut server = Server::start_as(shell, tempfile::tempdir().unwrap(), 2);
    server.signal(Signal::TERM);
    let (status, log) = server.end();
    assert_eq!(status, Some(0));
    assert!(log.contains("; nobody came"), "{log}");
}

fn completions_are_this_programs() {
    let output = run(anywire_tap(&["completions", "bash"]), b"");
    let script = text(&output.stdout);
    for word in ["complete -F _anywire__tap", "--gateway", "--sockets", "--reply-prefix", "logdate"]
    {
        assert!(script.contains(word), "{word}");
    }
    let accepted = std::process::Command::new("bash").args(["-n", "-c", &script]).status().unwrap();
    assert!(accepted.success());
}

fn gateways_and_names_that_lead_nowhere() {
    let client = |args: &[&str]| run(anywire_tap(&[&["client", "hello", "x"], args].concat()), b"");
    assert_fails(&client(&["--gateway", "10.0.0.1"]), "the gateway 10.0.0.1 is in no network");
    assert_fails(&client(&["--host", "localhost"]), "finding names needs --dns");
    assert_fails(&client(&["--host", "192.168.69.1"]), "does not talk to itself");
    for loopback in ["127.0.0.1", "::1"] {
        assert_fails(&client(&["--host", loopback, "--gateway", LINUX]), "never leaves a host");
    }
    for network in ["192.168.69.0", "192.168.69.255"] {
        assert_fails(&client(&["--host", network]), "a whole network's address");
    }
    let away = ["--address", "10.0.0.1/24", "--host", "192.168.69.100"];
    assert_fails(&client(&away), "there is no way to 192.168.69.100");
    let many = ["1", "2", "3", "4", "5"].map(|n| format!("--address=10.0.0.{n}/24"));
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_fails(&client(&many), "5 addresses are more than the stack has room for, which is 4");
    let many = ["1", "2", "3", "4"].map(|n| format!("--address=fdab::{n}/64"));
    let many: Vec<_> = many.iter().map(String::as_str).chain(["--dhcp"]).collect();
    assert_fails(&client(&many), "5 addresses are more than the stack has room for, which is 4");
}

/// Nobody may guess our sequence numbers: without entropy there are no connections.
fn no_random_numbers() {
    let tried = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        let why = "strace is missing, or may not trace";
        assert!(!std::env::var("ANYWIRE_REQUIRE").is_ok_and(|all| all.contains("strace")), "{why}");
        return eprintln!("SKIPPED: {why}");
    }
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut refused = 0;
    for turn in 1.. {
        let program = anywire_tap(&["client", "hello", "x"]);
        let mut strace = std::process::Command::new("strace");
        strace.args(["-D", "-f", "-qq", "-e", "trace=getrandom", "-e"]);
        strace.arg(format!("inject=getrandom:error=EIO:when={turn}")).arg("-o").arg(log.path());
        strace.arg(program.get_program()).args(program.get_args());
        let output = run(strace, b"");
        assert!(!output.status.success(), "nobody listens");
        refused += usize::from(text(&output.stderr).contains("the system has no random numbers"));
        if !std::fs::read_to_string(log.path()).unwrap().contains("INJECTED") {
            break;
        }
    }
    // That of the wire, and that of the stack.
    assert_eq!(refused, 2);
}

fn wrong_usage_is_status_2() {
    for args in [
        ["serve", "--address", "10.0.0.1"],
        ["serve", "--mac", "ff-ff-ff-ff-ff-ff"],
        ["serve", "--sockets", "0"],
        ["list", "--gateway", "router"],
    ] {
        assert_eq!(run(anywire_tap(&args), b"").status.code(), Some(2), "{args:?}");
    }
}
