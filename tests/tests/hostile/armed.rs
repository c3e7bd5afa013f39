//! Killed between any two steps of a new connection: a server that dies must not say that it has ended, not even before it has
//! said anything. file's end of stream would be an empty file.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use anywire_tests::injected::{self, Mortal};
use anywire_tests::uploads::{TIMEOUT, connect, name_frame};

/// Whether a server is there and answers `question`.
fn answers(port: u16, question: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(question).is_ok() && stream.read_exact(&mut [0]).is_ok()
}

/// Some of what a server does with a new connection, and before.
const STEPS: [&str; 3] = ["accept4", "epoll_ctl", "setsockopt"];

fn silent_connection_is_reset(engine: &str, service: &str, question: &[u8]) {
    let resets = STEPS.map(|step| killed_at_each(step, engine, service, question));
    let some_or_untraced =
        resets.iter().all(Option::is_none) || resets.iter().flatten().any(|resets| *resets > 0);
    assert!(some_or_untraced, "it was never killed at a connection");
}

/// How often the connection was reset; `None`: that cannot be tried here.
fn killed_at_each(step: &str, engine: &str, service: &str, question: &[u8]) -> Option<usize> {
    let mut resets = 0;
    for at in 1.. {
        let killed = format!("{step}:signal=KILL:when={at}");
        let mut server = injected::anywire(&killed)?;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), b"content").unwrap();
        server
            .args(["serve", "-q", "--engine", engine, &format!("{service}=0"), "--dir"])
            .arg(dir.path());
        let mut server = Mortal(server.stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        // Without a port it was killed before it listened.
        if let Some(port) = port {
            // It says nothing: what lies unread would make a reset of any end.
            let mut silent = connect(port);
            if answers(port, question) {
                break;
            }
            let end = silent.read(&mut [0]).map_err(|error| error.kind());
            match end {
                // It was the parent of the child that serves it, who ends it in good order where an end answers nothing.
                Ok(0) if engine == "processes" && service == "upload" => {}
                end => {
                    assert_eq!(end, Err(ErrorKind::ConnectionReset), "killed at {step} {at}");
                    resets += 1;
                }
            }
        }
    }
    Some(resets)
}

fn a_connection_to_file_is_armed_from_the_first_moment(engine: &str) {
    silent_connection_is_reset(engine, "file", b"a\n");
}

fn a_connection_to_upload_is_armed_from_the_first_moment(engine: &str) {
    silent_connection_is_reset(engine, "upload", &name_frame("b"));
}

on_each_engine! {
    a_connection_to_file_is_armed_from_the_first_moment
    a_connection_to_upload_is_armed_from_the_first_moment
}
