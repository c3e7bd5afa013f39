//! The children of `--engine processes`: killed, stopped, orphaned, heard.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustix::process::{Pid, Signal, kill_process};

use crate::engines::{connect, greet, idle_and_busy, start};
use crate::harness::{read_all, summed};
use crate::procfs::{await_that, children, status};

#[test]
fn a_child_that_is_killed_harms_nobody_else() {
    let mut server = start("processes", &["file=0", "hello=0"], 2);
    let mut other = TcpStream::connect(&server.listening[1][2]).unwrap();
    greet(&mut other);
    let others = children(server.id()).0;
    let mut stream = connect(&server);
    await_that("there is a child for it", || children(server.id()).0.len() == 2);
    let child = *children(server.id()).0.iter().find(|child| !others.contains(child)).unwrap();
    // Once it says who it is it has armed its socket, too; that was armed before.
    kill_process(Pid::from_raw(child as i32).unwrap(), Signal::KILL).unwrap();
    let end = stream.read(&mut [0]).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    await_that("it is waited for", || children(server.id()) == (others.clone(), 0));
    greet(&mut other);
    std::fs::write(server.folder.path().join("a"), b"content").unwrap();
    let mut next = connect(&server);
    next.write_all(b"a\n").unwrap();
    assert_eq!(read_all(&mut next), b"content");
    drop((next, other));
    let log = server.stop().1;
    assert_eq!(log.matches("its process has died: signal: 9").count(), 1, "{log}");
}

#[test]
fn children_that_do_not_react_are_killed_when_the_server_should_have_ended() {
    let args = ["hello=0", "file=0", "--grace", "0.5", "--workers", "2"];
    let mut server = start("processes", &args, 2);
    std::fs::write(server.folder.path().join("big"), vec![0; 64 << 20]).unwrap();
    let mut idle = [connect(&server), connect(&server)];
    idle.iter_mut().for_each(greet);
    let mut busy = TcpStream::connect(&server.listening[1][2]).unwrap();
    busy.write_all(b"big\n").unwrap();
    busy.read_exact(&mut [0; 1]).unwrap();
    let stopped = children(server.id()).0;
    assert_eq!(stopped.len(), 3);
    for child in &stopped {
        kill_process(Pid::from_raw(*child as i32).unwrap(), Signal::STOP).unwrap();
    }
    let mut other = connect(&server);
    greet(&mut other);
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(stopped.iter().all(|child| status(*child, "State").is_none()), "one is left");
    assert!(read_all(&mut other).is_empty());
    let end = std::io::copy(&mut busy, &mut std::io::sink()).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    assert_eq!(
        log.matches("did not react when the server stopped, and were killed: 3").count(),
        1,
        "{log}"
    );
    let counts = ["hello", "file"].map(|service| summed(&log, service, "aborted"));
    assert_eq!((counts, summed(&log, "hello", "stopped")), ([2, 1], 1), "{log}");
}

/// To start a process takes long: in between there is time for whatever else there is to do.
#[test]
fn connections_that_wait_do_not_keep_a_server_of_processes_from_stopping() {
    const EACH: usize = 100;
    let served = || {
        let mut server = start("processes", &["hello=0", "hello=0", "hello=0"], 3);
        server.signal(Signal::STOP);
        let waiting: Vec<_> = (0..3 * EACH).map(|at| server.connect(at % 3)).collect();
        server.signal(Signal::TERM);
        server.signal(Signal::CONT);
        let (code, log) = server.end();
        assert_eq!(code, Some(0));
        drop(waiting);
        summed(&log, "hello", "conversations")
    };
    // Who is to hear the signal may have to wait for a processor.
    let few = std::iter::repeat_with(served).take(5).any(|served| served < EACH as u64);
    assert!(few, "all that the workers accept in one go were served first");
}

#[test]
fn children_do_not_outlive_a_parent_that_is_killed() {
    let args = ["hello=0", "file=0", "--grace", "1"];
    let mut server = start("processes", &args, 2);
    let (mut idle, mut busy) = idle_and_busy(&server);
    let kids = children(server.id()).0;
    assert_eq!(kids.len(), 2);
    server.signal(Signal::KILL);
    server.end();
    // In good order, as when the server stops.
    assert!(read_all(&mut idle).is_empty());
    drop(idle);
    await_that("all have ended", || kids.iter().all(|kid| status(*kid, "State").is_none()));
    let end = std::io::copy(&mut busy, &mut std::io::sink()).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_a_child_has_to_say_is_in_the_log_and_in_the_transcript() {
    let mut server =
        start("processes", &["message=0", "--reply-prefix", "- ", "--transcript", "-v"], 1);
    let mut stream = connect(&server);
    let addr = format!("('127.0.0.1', {})", stream.local_addr().unwrap().port());
    stream.write_all(b"a\x1bb\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"- a\x1bb");
    drop(stream);
    assert_eq!(server.line(), format!(r"{addr}: a\x1bb"));
    let log = server.stop().1;
    let said =
        ["connected", r#""a\x1bb", 4 bytes in, 5 out"#].map(|said| log.matches(said).count());
    assert_eq!(said, [1, 1], "{log}");
}
