//! Each system call that a stored file takes fails in its turn: what was proven is there, what is there is
//! whole, the older file is there until then, and the next upload passes.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use anywire_tests::injected::{self, Mortal};
use anywire_tests::uploads::{Reply, Uploader, content, temporaries, until, version};

/// Names as strace has them; with `?` where an architecture may have only one of several.
const CALLS: [&str; 11] = [
    "openat",
    "?newfstatat,?fstatat64",
    "?fstat,?fstat64",
    "fstatfs",
    "flock",
    "splice",
    "fdatasync",
    "fsync",
    "?renameat,?renameat2",
    "unlinkat",
    "getrandom",
];

/// The turns are counted for each thread, and so many store files, or start the server. (With the other engines each connection has a
/// thread that begins to count, so this is about `poll`; that a store fails at each call in its turn is tested on `threads` in std-frontend.)
const THREADS: usize = 2;

/// A body of so many bytes is synced with its last piece, before it is committed.
const SYNCED: usize = 8 << 20;

const NAMES: [&str; 2] = ["small", "large"];

/// Replaces two files over one connection. How many were proven, and how it ended.
fn replace(port: u16, large: usize) -> (usize, Reply) {
    let mut stream = Uploader::connect(port);
    for (proven, (name, len)) in NAMES.into_iter().zip([500, large]).enumerate() {
        match stream.name(name) {
            Reply::Ok => {}
            // A refusal has an end behind it, which proves too.
            Reply::Err(why) => return (proven, Reply::Err(why)),
            other => return (proven.saturating_sub(1), other),
        }
        if stream.data(&content(name, 2, len)).is_err() {
            return (proven, Reply::Reset);
        }
    }
    match stream.end() {
        Reply::End => (2, Reply::End),
        other => (1, other),
    }
}

fn assert_kept(dir: &Path, proven: usize, what: &str) {
    for (at, name) in NAMES.into_iter().enumerate() {
        let found = version(name, &std::fs::read(dir.join(name)).unwrap());
        assert!(found == 2 || at >= proven, "{what}: {name} was proven");
    }
}

enum Outcome {
    /// There is no strace.
    Untraced,
    NotStarted,
    /// So many uploads were harmed.
    Harmed(usize),
}

fn fail_at(calls: &str, turn: usize) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    for name in NAMES {
        std::fs::write(dir.path().join(name), content(name, 1, 1000)).unwrap();
    }
    let what = format!("{calls}:error=EIO:when={turn}");
    let Some(mut server) = injected::anywire(&what) else { return Outcome::Untraced };
    server.args(["serve", "-q", "upload=0", "--dir"]).arg(dir.path());
    server.args(["--file-threads", "1"]);
    let large = if calls == "fdatasync" { SYNCED } else { 300_000 };
    if !["fsync", "fdatasync"].contains(&calls) {
        server.arg("--no-sync");
    }
    let server = server.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut server = Mortal(server.unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Some(port) = line.trim().rsplit_once(':').and_then(|(_, port)| port.parse().ok()) else {
        // It failed before it listened, and says so.
        let mut error = String::new();
        server.0.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert!(!server.0.wait().unwrap().success() && !error.is_empty(), "{what}");
        return Outcome::NotStarted;
    };
    let mut harmed = 0;
    for _ in 0..THREADS + 3 {
        let (proven, end) = replace(port, large);
        assert_kept(dir.path(), proven, &what);
        if end != Reply::End {
            let told = [Reply::Reset, Reply::Err("the store failed".into())];
            assert!(told.contains(&end), "{what}: {end:?}");
            harmed += 1;
        }
    }
    assert!(harmed <= THREADS, "{what}: it does not recover");
    // One that could not be removed is left to the next start.
    let left = if calls == "unlinkat" { THREADS } else { 0 };
    until("no temporary file", || temporaries(dir.path()).len() <= left);
    assert_eq!(server.0.try_wait().unwrap(), None, "{what}");
    Outcome::Harmed(harmed)
}

#[test]
fn each_call_may_fail() {
    for calls in CALLS {
        // To start takes some calls too.
        for turn in 1.. {
            match fail_at(calls, turn) {
                Outcome::Untraced => return,
                Outcome::NotStarted => {}
                Outcome::Harmed(times) => {
                    // Whether there is room is not worth a refusal when it cannot be known; and a name that cannot be removed
                    // is not missed.
                    let harmless = ["fstatfs", "unlinkat"].contains(&calls);
                    assert_eq!(times == 0, harmless, "{calls}: {times}");
                    break;
                }
            }
        }
    }
}
