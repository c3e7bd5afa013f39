//! SIGTERM in the middle of uploads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anywire_tests::uploads::{
    FileServer, Reply, Uploader, content, head, names, temporaries, until, version,
};

/// Waits until half of it has gone, so that it is in the middle.
fn halfway(server: &FileServer, name: &str, body: &[u8]) -> Uploader {
    let mut stream = server.upload();
    assert_eq!(stream.name(name), Reply::Ok);
    stream.send(&head(body.len())).unwrap();
    stream.send(&body[..body.len() / 2]).unwrap();
    stream
}

/// What has been named by clients is begun; the server is stopping once it has said so to who was idle.
fn stop(server: &FileServer, mut idle: Uploader) {
    server.terminate();
    assert_eq!(idle.reply(), Reply::End);
}

fn those_that_can_finish_do_and_the_rest_are_reset_and_store_nothing(engine: &str) {
    // A machine that is busy with something else may take longer than a second for those that can finish.
    let in_time = [1, 10, 60].into_iter().any(|grace| some_can_finish(engine, grace));
    assert!(in_time, "nobody has a minute to finish");
}

/// Says whether they had the time to.
fn some_can_finish(engine: &str, grace: u64) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let mut server =
        FileServer::start(dir.path(), &["--engine", engine, "--grace", &grace.to_string()]);
    assert_eq!(server.store("stuck-0", &content("stuck-0", 1, 1000)), Reply::End);
    let begin = |kind: &str| -> Vec<_> {
        let clients = (0..10).map(|at| {
            let name = format!("{kind}-{at}");
            let body = content(&name, 2, 300_000);
            (halfway(&server, &name, &body), name, body)
        });
        clients.collect()
    };
    let (ready, stuck) = (begin("ready"), begin("stuck"));
    let begun = Instant::now();
    stop(&server, server.upload());
    for (mut stream, name, body) in ready {
        let end = match stream.send(&body[body.len() / 2..]) {
            Ok(()) => stream.end(),
            Err(_) => Reply::Reset,
        };
        if end == Reply::Reset && begun.elapsed().as_secs() >= grace {
            return false;
        }
        assert_eq!(end, Reply::End, "{name}");
        assert_eq!(version(&name, &std::fs::read(dir.path().join(&name)).unwrap()), 2);
    }
    for (mut stream, name, _) in stuck {
        assert_eq!(stream.reply(), Reply::Reset, "{name}");
    }
    assert!(server.wait().success());
    assert_eq!(version("stuck-0", &std::fs::read(dir.path().join("stuck-0")).unwrap()), 1);
    let stored = (0..10).map(|at| format!("ready-{at}"));
    assert!(names(dir.path()).into_iter().eq(stored.chain(["stuck-0".into()])));
    true
}

/// Bodies that move all the time: when the grace is over, other threads are at work on them.
fn bodies_on_the_move_when_the_grace_is_over_leave_nothing_behind(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut server = FileServer::start(dir.path(), &["--engine", engine, "--grace", "0.3"]);
    let (begun, moved) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (mut stream, begun, moved) = (server.upload(), &begun, &moved);
            scope.spawn(move || {
                assert_eq!(stream.name(&format!("endless-{at}")), Reply::Ok);
                stream.send(&head(u32::MAX as usize)).unwrap();
                begun.fetch_add(1, Ordering::Relaxed);
                // It could go on for 4 GiB, but does not fill the disk: the same rhythm, less of it.
                let piece = vec![at; 16 << 10];
                while stream.send(&piece).is_ok() {
                    moved.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                }
            });
        }
        until("bodies on the move", || {
            begun.load(Ordering::Relaxed) == 8 && moved.load(Ordering::Relaxed) > 100
        });
        server.terminate();
        assert!(server.wait().success());
    });
    assert_eq!(temporaries(dir.path()), [""; 0]);
    assert_eq!(names(dir.path()), [""; 0]);
}

on_each_engine! {
    those_that_can_finish_do_and_the_rest_are_reset_and_store_nothing
    bodies_on_the_move_when_the_grace_is_over_leave_nothing_behind
}
