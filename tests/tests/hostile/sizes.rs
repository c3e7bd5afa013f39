//! Files that are too large, and servers with too few descriptors.

use std::process::Command;

use anywire_tests::programs::program;
use anywire_tests::uploads::{FileServer, Reply, content, head, names, version};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

fn a_file_may_have_as_many_bytes_as_allowed_and_not_one_more(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = FileServer::start(dir.path(), &["--engine", engine, "--max-file", "1K"]);
    assert_eq!(server.store("a", &[1; 1024]), Reply::End);
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), [1; 1024]);
    let eight = |len: u64| [&[6], &len.to_le_bytes()[..]].concat();
    for wrong in [head(1025), eight(1025), eight(1 << 40), eight(u64::MAX - 1), eight(u64::MAX)] {
        // The length is enough: no byte of the body has been sent.
        for name in ["a", "b"] {
            let mut stream = server.upload();
            assert_eq!(stream.name(name), Reply::Ok);
            stream.send(&wrong).unwrap();
            assert_eq!(stream.reply(), Reply::Reset, "{wrong:?}");
        }
    }
    server.wait_for_rest();
    assert_eq!(names(dir.path()), ["a"]);
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), [1; 1024]);
    assert_eq!(server.store("a", b""), Reply::End);
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"");
}

fn without_a_limit_that_matters_a_length_near_2_64_is_still_refused_at_once(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = FileServer::start(dir.path(), &["--engine", engine]);
    for len in [u64::MAX, u64::MAX - 1, 1 << 63, (4 << 30) + 1] {
        let mut stream = server.upload();
        assert_eq!(stream.name("a"), Reply::Ok);
        stream.send(&[&[6], &len.to_le_bytes()[..]].concat()).unwrap();
        assert_eq!(stream.reply(), Reply::Reset, "{len}");
    }
    server.wait_for_rest();
    assert_eq!(names(dir.path()), [""; 0]);
}

fn without_sync_files_are_stored_too(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = FileServer::start(dir.path(), &["--engine", engine, "--no-sync"]);
    for round in 1..4 {
        let bytes = content("a", round, 1_500_000);
        assert_eq!(server.store("a", &bytes), Reply::End);
        assert_eq!(version("a", &server.fetch("a").unwrap()), round);
    }
    assert_eq!(names(dir.path()), ["a"]);
}

/// All clients at once, each with one file of 50 KB; what became of each.
fn rush(server: &FileServer, clients: usize) -> Vec<(String, Reply)> {
    let streams: Vec<_> = (0..clients).map(|at| (format!("f{at}"), server.upload())).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = streams
            .into_iter()
            .map(|(name, stream)| {
                scope.spawn(move || {
                    let reply = stream.store(&name, &content(&name, 1, 50_000));
                    (name, reply)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn a_server_that_starts_with_few_descriptors_makes_wait_and_stores_all(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut wrapper = Command::new("sh");
    wrapper.args(["-c", r#"ulimit -n 64 && exec "$@""#, "sh"]);
    wrapper.arg(program("anywire").get_program());
    let server = FileServer::wrapped(wrapper, dir.path(), &["--engine", engine]);
    for (name, reply) in rush(&server, 100) {
        assert_eq!(reply, Reply::End, "{name}");
        assert_eq!(version(&name, &std::fs::read(dir.path().join(&name)).unwrap()), 1);
    }
    server.wait_for_rest();
    assert_eq!(names(dir.path()).len(), 100);
    assert!(!server.log().contains("Too many open files"), "it accepted more than it may");
}

/// The sockets of all clients alone are more than the server may have open now.
fn a_server_that_runs_out_of_descriptors_refuses_or_makes_wait_and_recovers(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = FileServer::start(dir.path(), &["--engine", engine]);
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
    // The hard limit stays as it is: to raise it again takes more than being the owner.
    let few = Rlimit { current: Some(40), maximum: getrlimit(Resource::Nofile).maximum };
    let before = prlimit(pid, Resource::Nofile, few).expect("the server is ours");
    let silent: Vec<_> = (0..60).map(|_| server.upload()).collect();
    server.wait_for_log("Too many open files");
    drop(silent);
    let mut expected = vec![];
    for (name, reply) in rush(&server, 100) {
        match reply {
            Reply::End => expected.push(name),
            Reply::Err(why) => assert_eq!(why, "the store failed"),
            Reply::Reset => {}
            Reply::Ok => panic!("OK is not an end"),
        }
    }
    server.wait_for_rest();
    expected.sort();
    assert_eq!(names(dir.path()), expected);
    for name in expected {
        assert_eq!(version(&name, &std::fs::read(dir.path().join(&name)).unwrap()), 1);
    }
    prlimit(pid, Resource::Nofile, before).expect("the server is ours");
    for (name, reply) in rush(&server, 100) {
        assert_eq!(reply, Reply::End, "{name}");
    }
    server.wait_for_rest();
    assert_eq!(names(dir.path()).len(), 100);
}

on_each_engine! {
    a_file_may_have_as_many_bytes_as_allowed_and_not_one_more
    without_a_limit_that_matters_a_length_near_2_64_is_still_refused_at_once
    without_sync_files_are_stored_too
    a_server_that_starts_with_few_descriptors_makes_wait_and_stores_all
    a_server_that_runs_out_of_descriptors_refuses_or_makes_wait_and_recovers
}
