//! Threads come with connections, and go with them.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use anywire_core::event::End;
use anywire_core::service::{About, StreamService, hello::Hello, upload::Upload};
use anywire_core::session::Reason;
use anywire_std::engine::Options;

use crate::engine::hooked::serve_gated;
use crate::engine::uploads::{head, name};
use crate::engine::{REPLY, Watched, is_reset, options, serve};

/// hello, under a name that no other test has.
#[derive(Clone, Copy)]
struct Counted;

impl StreamService for Counted {
    type Session = <Hello as StreamService>::Session;
    const ABOUT: About = About { name: "counted", ..Hello::ABOUT };
    fn open(&self) -> Self::Session {
        Hello.open()
    }
}

/// How many threads of this process have that name: a connection's has its service's.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    // One that has just ended is none.
    names.filter(|comm| comm.as_ref().is_ok_and(|comm| comm.trim_end() == name)).count()
}

fn wait_for_threads(name: &str, count: usize) {
    let begun = Instant::now();
    while threads(name) != count {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{} threads, not {count}",
            threads(name)
        );
        std::thread::yield_now();
    }
}

#[test]
fn there_are_as_many_threads_as_connections() {
    let server = serve(options(), Watched(Counted));
    let mut streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for stream in &mut streams {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; REPLY.len()]).unwrap();
    }
    wait_for_threads("counted", 50);
    streams.truncate(10);
    for _ in 0..40 {
        assert_eq!(server.end(), End::Finished);
    }
    wait_for_threads("counted", 10);
    server.stopper.stop();
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        stream.shutdown(Shutdown::Write).unwrap();
    }
    wait_for_threads("counted", 0);
}

#[test]
fn a_server_that_stops_waits_for_what_a_thread_is_at_and_then_aborts() {
    let options = Options { grace: Duration::ZERO, ..options() };
    let (mut server, gate) = serve_gated(options, Watched(Upload), &["write"]);
    let mut stream = server.connect();
    stream.write_all(&[name("a"), head(4), b"bo".to_vec()].concat()).unwrap();
    gate.entered("write");
    server.stopper.stop();
    let thread = server.thread.replace(std::thread::spawn(|| {})).unwrap();
    gate.go();
    assert_eq!(server.end(), End::Aborted(Reason::Stopped));
    thread.join().unwrap();
    let mut said = Vec::new();
    assert!(is_reset(stream.read_to_end(&mut said)));
    assert_eq!(std::fs::read_dir(server.dir.path()).unwrap().count(), 0);
}
