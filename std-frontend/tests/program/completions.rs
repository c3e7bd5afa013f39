//! `completions`: what shells make of the scripts.

use std::process::Command;

use anywire_core::datagram::DatagramService;
use anywire_core::service::{StreamService, Visitor, catalog};

use crate::harness::{anywire, run, text};

fn script(shell: &str) -> String {
    let output = run(anywire(&["completions", shell]), b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The services' names.
fn services() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);

    impl Visitor for Names {
        fn stream<S: StreamService + Send + 'static>(&mut self, _: S) {
            self.0.push(S::ABOUT.name);
        }

        fn datagram<D: DatagramService + Send + 'static>(&mut self, _: D) {
            self.0.push(D::ABOUT.name);
        }
    }

    let mut names = Names(Vec::new());
    catalog(&mut names);
    names.0
}

#[test]
fn each_script_names_every_service_and_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = script(shell);
        let commands = ["serve", "client", "connect", "list", "completions", "report-size"];
        for word in services().iter().chain(&commands) {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
    let output = run(anywire(&["completions", "tcsh"]), b"");
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("[possible values: bash, elvish, fish, powershell, zsh]"), "{said}");
}

/// What bash completes the last of `words` with.
fn completed(words: &[&str]) -> Vec<String> {
    // As bash calls it, with what it sets.
    const COMPLETE: &str = r#"
        eval "$SCRIPT"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        function=$(complete -p anywire | sed 's/.*-F \([^ ]*\) .*/\1/')
        "$function" anywire "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let output = Command::new("bash")
        .args(["--norc", "-c", COMPLETE, "bash"])
        .args(words)
        .env("SCRIPT", script("bash"))
        .output()
        .unwrap();
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_services_options_and_their_values() {
    let accepted = Command::new("bash").args(["-n", "-c", &script("bash")]).output().unwrap();
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));

    assert_eq!(completed(&["anywire", "co"]), ["connect", "completions"]);
    assert_eq!(completed(&["anywire", "serve", "h"]), ["hello"]);
    assert_eq!(completed(&["anywire", "serve", "echo", "up"]), ["upload"]);
    assert_eq!(completed(&["anywire", "-v", "serve", "echo", "--sch"]), ["--schema"]);
    assert_eq!(completed(&["anywire", "serve", "typed", "--schema", "cl"]), ["close"]);
    assert_eq!(completed(&["anywire", "client", "rep"]), ["report-size"]);
    assert_eq!(completed(&["anywire", "completions", "z"]), ["zsh"]);
    let all = completed(&["anywire", "serve", ""]);
    assert!(services().iter().all(|name| all.iter().any(|word| word == name)), "{all:?}");
}
