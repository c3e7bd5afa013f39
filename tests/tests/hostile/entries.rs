//! Each system call that an entry of logdate's takes fails in its turn, with each error that it may have: who has an answer is in the log, who
//! is not answered sees a reset, nothing unfinished is left, and the next questions are answered.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::process::{Command, Stdio};

use anywire_tests::injected::{self, Mortal};
use anywire_tests::programs::{Served, program};
use anywire_tests::uploads::{connect, names, temporaries, until};

/// Names as strace has them, and whether the call is made again when a signal has come between. (What writes the entry writes other things
/// too: for that there is a limit.)
const CALLS: [(&str, bool); 6] = [
    ("getrandom", true),
    ("openat", true),
    ("flock", false),
    ("?fstat,?fstat64", false),
    ("fsync", true),
    ("?renameat2", false),
];

const ERRORS: [&str; 7] = ["EIO", "ENOSPC", "EDQUOT", "EMFILE", "ENOMEM", "EACCES", "EROFS"];

/// The turns are counted for each thread: that which begins, and the one that stores.
const THREADS: usize = 2;

/// Asks, and ends: the time, or `None` for a reset.
fn ask(port: u16, question: &str) -> Option<String> {
    let mut stream = connect(port);
    stream.write_all(question.as_bytes()).unwrap();
    // It may be reset already.
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Ok(_) => Some(answer.strip_suffix('\n').expect("an answer is a line").into()),
        Err(error) => {
            assert_eq!((error.kind(), &*answer), (ErrorKind::ConnectionReset, ""));
            None
        }
    }
}

/// The entries for this question.
fn entries(logs: &Path, question: &str) -> Vec<String> {
    let all = names(logs).into_iter().filter(|name| !name.starts_with('.'));
    let all = all.map(|name| std::fs::read_to_string(logs.join(name)).unwrap());
    all.filter(|entry| entry.ends_with(&format!(" \"{question}\"\n"))).collect()
}

enum Outcome {
    /// There is no strace.
    Untraced,
    NotStarted,
    /// So many questions were reset.
    Harmed(usize),
}

fn fail_at(calls: &str, error: &str, turn: usize) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let what = format!("{calls}:error={error}:when={turn}");
    let Some(mut server) = injected::anywire(&what) else { return Outcome::Untraced };
    server.args(["serve", "-q", "logdate=0", "--file-threads", "1", "--log-dir"]).arg(&logs);
    let mut server = Mortal(server.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Some(port) = line.trim().rsplit_once(':').and_then(|(_, port)| port.parse().ok()) else {
        // It failed before it listened, and says so.
        let mut said = String::new();
        server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(!server.0.wait().unwrap().success() && !said.is_empty(), "{what}");
        return Outcome::NotStarted;
    };
    let mut harmed = 0;
    for at in 0..THREADS + 3 {
        let question = format!("question {at}");
        let answer = ask(port, &question);
        let entries = entries(&logs, &question);
        match answer {
            Some(time) => {
                assert_eq!(entries.len(), 1, "{what}: {question}");
                assert!(
                    entries[0].starts_with(&format!("{time} 127.0.0.1:")),
                    "{what}: {entries:?}"
                );
            }
            None => {
                harmed += 1;
                // When the folder cannot be synced the entry has its name already.
                assert!(entries.is_empty() || calls == "fsync", "{what}: {entries:?}");
            }
        }
    }
    assert!(harmed <= THREADS, "{what}: it does not recover");
    until("no temporary file", || temporaries(&logs).is_empty());
    assert_eq!(server.0.try_wait().unwrap(), None, "{what}");
    Outcome::Harmed(harmed)
}

#[test]
fn each_call_of_an_entry_may_fail_with_each_error() {
    for (calls, again) in CALLS {
        // To start takes some calls too.
        for turn in 1.. {
            match fail_at(calls, ERRORS[0], turn) {
                Outcome::Untraced => return,
                Outcome::NotStarted | Outcome::Harmed(0) if turn < 200 => continue,
                Outcome::NotStarted | Outcome::Harmed(0) => panic!("{calls} harms nobody"),
                Outcome::Harmed(_) => {}
            }
            // That is the first one that counts. An entry takes two of fsync.
            let last = if calls == "fsync" { turn + 1 } else { turn };
            for turn in turn..=last {
                for error in ERRORS {
                    let outcome = fail_at(calls, error, turn);
                    assert!(matches!(outcome, Outcome::Harmed(1..)), "{calls} {error} {turn}");
                }
                if again {
                    let outcome = fail_at(calls, "EINTR", turn);
                    assert!(matches!(outcome, Outcome::Harmed(0)), "{calls} EINTR {turn}");
                }
            }
            break;
        }
    }
}

#[test]
fn what_cannot_be_written_is_no_entry_and_then_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -S -f 0; exec "$@""#, "sh"]);
    shell.arg(program("anywire").get_program());
    shell.args(["serve", "-q", "logdate=0", "--log-dir"]).arg(&logs);
    shell.stderr(Stdio::null());
    let server = Served::start(shell, 1);
    let port = server.port("logdate tcp");
    for _ in 0..20 {
        assert_eq!(ask(port, "small?"), None);
    }
    until("no temporary file", || names(&logs).is_empty());

    let pid = server.child.id().to_string();
    let freed = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(freed.unwrap().success());
    assert!(ask(port, "large?").is_some());
    assert_eq!(entries(&logs, "large?").len(), 1);
    assert_eq!(names(&logs).len(), 1);
}
