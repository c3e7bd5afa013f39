//! `cargo xtask demo`: all its conversations work, it says so, and leaves nothing behind.

use std::path::Path;
use std::process::Command;

use anywire_tests::programs::{in_tap_shell, program};

#[test]
fn the_demo_works_and_leaves_nothing_behind() {
    if in_tap_shell().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut demo = program("xtask");
    demo.args(["demo", "--no-build"]).env("TMPDIR", folder.path());
    let output = demo.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("in a network namespace of its own") || said.contains("Without root"));
    let (_, table) = said.split_once("\nservice ").expect("a table");
    let services = "echo hello message fixed knock typed upload file date logdate guess greet";
    for service in services.split(' ') {
        let row = table.lines().find(|line| line.split(' ').next() == Some(service));
        let row = row.unwrap_or_else(|| panic!("{service} is not in the table:\n{table}"));
        assert!(row.contains(" anywire python3 ") && row.ends_with(" anywire-tap"), "{row}");
    }
    assert!(table.contains("all that was tried worked"), "{table}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a folder is left");
}

#[test]
fn a_conversation_that_fails_is_told_and_is_status_1() {
    let Some(mut shell) = in_tap_shell() else { return };
    let folder = tempfile::tempdir().unwrap();
    // A python3 and an nc that are broken, and no telnet.
    for name in ["python3", "nc"] {
        std::os::unix::fs::symlink("/bin/false", folder.path().join(name)).unwrap();
    }
    for name in ["sh", "cat", "rm", "ping", "curl"] {
        let found =
            Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        if Path::new(found.trim()).exists() {
            std::os::unix::fs::symlink(found.trim(), folder.path().join(name)).unwrap();
        }
    }
    let xtask = program("xtask");
    shell.args(["env".as_ref(), path_of(folder.path()).as_ref(), xtask.get_program()]);
    shell.args(["demo", "--here", "--no-build"]);
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}\n{errors}");
    assert!(said.contains("In this network, on the tap0 that there is."), "{said}");
    assert!(errors.contains("conversations failed"), "{errors}");
    let row = said.lines().rfind(|line| line.starts_with("hello ")).unwrap();
    assert!(row.ends_with("python3 nc"), "{row}");
    assert!(said.contains("not tried: there is no telnet here; sudo apt install telnet"), "{said}");
}

fn path_of(folder: &Path) -> String {
    format!("PATH={}", folder.display())
}
