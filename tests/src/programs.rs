//! The built programs, as a user runs them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use crate::skip::skip;

/// Where cargo has put the programs, brought up to date once.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        // target/PROFILE/deps/test
        let directory = test.ancestors().nth(2).expect("a test is in target/PROFILE/deps");
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--quiet", "--bins"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        build.arg("--workspace");
        if directory.ends_with("release") {
            build.arg("--release");
        }
        let built = build.status().expect("cargo can be run");
        assert!(built.success(), "the programs cannot be built");
        directory.into()
    })
}

/// A command for one of the programs.
pub fn program(name: &str) -> Command {
    Command::new(directory().join(name))
}

/// `cargo xtask tap shell`, to which the command is to be added that runs there. `None`: it cannot be had, which was told.
pub fn in_tap_shell() -> Option<Command> {
    let shell = || {
        let mut shell = program("xtask");
        shell.args(["tap", "shell", "--"]);
        shell
    };
    let tried = shell().arg("true").output().expect("xtask can be run");
    if !tried.status.success() {
        skip(&format!("there is no TAP: {}", String::from_utf8_lossy(&tried.stderr)), "tap");
        return None;
    }
    Some(shell())
}

/// There is no `python3`, which was told.
pub fn python_is_missing() -> bool {
    let missing = Command::new("python3").arg("--version").output().is_err();
    if missing {
        skip("there is no python3", "python");
    }
    missing
}

/// The folder of the interop suite.
pub fn interop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interop")
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub struct Served {
    /// The process.
    pub child: Child,
    ports: Vec<(String, u16)>,
    _stdout: BufReader<ChildStdout>,
}

impl Served {
    /// Runs `command`, and waits until it listens on so many endpoints.
    pub fn start(mut command: Command, endpoints: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut ports = Vec::new();
        while ports.len() < endpoints {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).expect("its output is text");
            assert!(read > 0, "the server ended before it listened");
            // listening SERVICE PROTO ADDR:PORT
            let words: Vec<_> = line.split_whitespace().collect();
            assert_eq!(words.first(), Some(&"listening"), "{line}");
            let port = words[3].rsplit_once(':').expect("an address and a port").1;
            ports.push((format!("{} {}", words[1], words[2]), port.parse().expect("a port")));
        }
        Self { child, ports, _stdout: stdout }
    }

    /// The port of `"echo tcp"`, say.
    pub fn port(&self, endpoint: &str) -> u16 {
        self.ports.iter().find(|(name, _)| name == endpoint).expect("it listens there").1
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
