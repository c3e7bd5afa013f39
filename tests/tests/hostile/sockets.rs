//! Each system call that a connection takes fails in its turn, on each engine: an answer is whole, or the connection is reset; no failure
//! looks like an end. What can be tried again harms nobody, and whatever fails once, the next connections are served.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::process::Stdio;

use anywire_tests::injected::{self, Mortal};
use anywire_tests::uploads::{Reply, Uploader, connect, content, temporaries, until, version};
use rustix::process::{Pid, Signal, kill_process};

const LEN: usize = 300_000;

/// What a failure may do to the connection that it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// Nothing: it is tried again, or done in another way.
    None,
    /// A reset.
    Reset,
}

/// Whether the conversation was as it should be; `false`: it was reset. Anything else fails the test.
fn whole(answer: io::Result<Vec<u8>>, expected: &[u8], what: &str) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    match answer {
        Ok(answer) => {
            assert!(answer == expected, "{what}: an end behind {} bytes", answer.len());
            true
        }
        Err(error) => {
            let reset = [BrokenPipe, ConnectionReset, NotConnected].contains(&error.kind());
            assert!(reset, "{what}: {error}");
            false
        }
    }
}

/// Asks, and ends first if `half_close`; otherwise the server does.
fn ask(port: u16, question: &[u8], half_close: bool) -> io::Result<Vec<u8>> {
    let mut stream = connect(port);
    stream.write_all(question)?;
    if half_close {
        stream.shutdown(Shutdown::Write)?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map(|_| answer)
}

/// Conversations with hello, echo, file and upload. How many of them were reset.
fn converse(ports: [u16; 4], dir: &Path, what: &str) -> usize {
    let [hello, echo, file, upload] = ports;
    let (served, sent) = (content("served", 1, LEN), content("sent", 2, LEN));
    let mut good = Vec::new();
    let reply = b"I got \"x\" from you and I am sending it back.";
    good.push(whole(ask(hello, b"x", true), reply, what));
    good.push(whole(ask(echo, &sent[..5000], true), &sent[..5000], what));
    for half_close in [true, false] {
        good.push(whole(ask(file, b"served\n", half_close), &served, what));
    }
    let stored = match Uploader::connect(upload).store("sent", &sent) {
        Reply::End => 2,
        Reply::Err(why) => {
            assert_eq!(why, "the store failed", "{what}");
            0
        }
        other => {
            assert_eq!(other, Reply::Reset, "{what}");
            0
        }
    };
    assert!(version("sent", &std::fs::read(dir.join("sent")).unwrap()) >= stored, "{what}");
    good.push(stored > 0);
    good.iter().filter(|good| !**good).count()
}

/// What came of a server.
enum Outcome {
    /// There is no strace.
    Untraced,
    NotStarted,
    /// No call was the one to fail any more.
    Unharmed,
    /// So many conversations were reset.
    Harmed(usize),
}

fn fail_at(engine: &str, call: &str, error: &str, turn: usize) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(dir.path().join("served"), content("served", 1, LEN)).unwrap();
    std::fs::write(dir.path().join("sent"), content("sent", 1, LEN)).unwrap();
    let injection = format!("{call}:error={error}:when={turn}");
    let what = &format!("{engine}: {injection}");
    let Some(mut server) = injected::anywire_logged(&injection, log.path()) else {
        return Outcome::Untraced;
    };
    server.args(["serve", "-q", "--engine", engine, "--no-sync"]);
    server.args(["--workers", "1", "--file-threads", "1"]);
    server.args(["hello=0", "echo=0", "file=0", "upload=0", "--dir"]).arg(dir.path());
    let server = server.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut server = Mortal(server.unwrap());
    let lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let ports = lines.take(5).filter(|line| line.contains(" tcp "));
    let ports: Vec<u16> = ports.filter_map(|line| line.rsplit_once(':')?.1.parse().ok()).collect();
    let Ok(ports) = <[u16; 4]>::try_from(ports) else {
        // It failed before it listened, and says so.
        let mut error = String::new();
        server.0.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert!(!server.0.wait().unwrap().success() && !error.is_empty(), "{what}");
        return Outcome::NotStarted;
    };
    // The turns are counted for each thread: of one that serves one connection, the next connection's fails too.
    let recovers = engine == "poll";
    let mut harmed = 0;
    for round in 0.. {
        let now = converse(ports, dir.path(), what);
        harmed += now;
        if now == 0 || (!recovers && round > 0) {
            break;
        }
        assert!(round < 4, "{what}: it does not recover");
    }
    until("no temporary file", || temporaries(dir.path()).is_empty());
    let failed = std::fs::read_to_string(log.path()).unwrap().contains("(INJECTED)");
    assert_eq!(server.0.try_wait().unwrap(), None, "{what}");
    // What wakes up a thread that waits for signals can fail like that in a test only.
    if !["recvfrom", "sendto"].contains(&call) {
        kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
        assert_eq!(server.0.wait().unwrap().code(), Some(0), "{what}");
    }
    if failed { Outcome::Harmed(harmed) } else { Outcome::Unharmed }
}

fn each_may_fail(engine: &str, cases: &[(&str, &str, Harm)]) {
    for &(call, error, harm) in cases {
        let (mut failed, mut total) = (0, 0);
        for turn in 1.. {
            match fail_at(engine, call, error, turn) {
                Outcome::Untraced => return,
                Outcome::NotStarted => {}
                Outcome::Unharmed => break,
                Outcome::Harmed(harmed) => {
                    (failed, total) = (failed + 1, total + harmed);
                    let may = harm == Harm::Reset || harmed == 0;
                    assert!(may, "{engine}: {harmed} reset by {call}, {error}, turn {turn}");
                }
            }
        }
        assert!(failed > 0, "{engine}: {call} never failed with {error}");
        assert_eq!(total > 0, harm == Harm::Reset, "{engine}: {call}, {error}");
    }
}

use Harm::{None as Nothing, Reset};

#[test]
fn of_an_event_loop() {
    each_may_fail(
        "poll",
        &[
            ("accept4", "ECONNABORTED", Nothing),
            ("accept4", "EMFILE", Nothing),
            ("accept4", "ENOBUFS", Nothing),
            ("epoll_wait", "EINTR", Nothing),
            ("epoll_ctl", "ENOMEM", Reset),
            ("recvfrom", "EINTR", Nothing),
            ("recvfrom", "ENOMEM", Reset),
            ("sendto", "EINTR", Nothing),
            ("sendto", "ENOBUFS", Reset),
            ("sendfile", "EINTR", Nothing),
            ("sendfile", "ENOMEM", Reset),
            ("splice", "EINTR", Nothing),
            ("splice", "ENOMEM", Reset),
            ("shutdown", "ENOBUFS", Reset),
        ],
    );
}

#[test]
fn of_threads() {
    each_may_fail(
        "threads",
        &[
            ("accept4", "ENFILE", Nothing),
            ("ppoll", "EINTR", Nothing),
            ("ppoll", "ENOMEM", Reset),
            ("recvfrom", "ENOMEM", Reset),
            ("sendto", "ENOBUFS", Reset),
            ("clone3", "EAGAIN", Nothing),
        ],
    );
}

#[test]
fn of_processes() {
    each_may_fail(
        "processes",
        &[
            ("accept4", "ENFILE", Nothing),
            ("ppoll", "ENOMEM", Reset),
            ("sendto", "ENOBUFS", Reset),
            ("socketpair", "EMFILE", Nothing),
            ("clone3", "EAGAIN", Nothing),
        ],
    );
}
