//! What a start removes, and what it does not.

use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, Ordering};

use anywire_tests::uploads::{FileServer, Reply, Until, lock, names};
use rustix::fs::{FileType, Mode};

/// Nobody's any more: a start removes it.
const LEFT: &str = ".anywire-0123456789abcdef";

fn a_start_removes_what_a_crash_left_and_nothing_else(engine: &str) {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name);
    fs::write(at(LEFT), b"left").unwrap();
    fs::write(at(".anywire-ffffffffffffffff"), b"").unwrap();
    // Somebody writes this one.
    let locked = File::create(at(".anywire-1111111111111111")).unwrap();
    lock(&locked);
    // These only look like ours.
    fs::write(at(".anywire-notes"), b"notes").unwrap();
    fs::write(at(".anywire-0123456789abcde"), b"15 digits").unwrap();
    fs::write(at(".anywire-0123456789abcdef0"), b"17 digits").unwrap();
    fs::write(at(".anywire-0123456789abcdeg"), b"no digit").unwrap();
    fs::write(at("x.anywire-0123456789abcdef"), b"another name").unwrap();
    fs::create_dir(at(".anywire-2222222222222222")).unwrap();
    fs::write(at(".anywire-2222222222222222").join(LEFT), b"in a folder").unwrap();
    let target = outside.path().join("target");
    fs::write(&target, b"target").unwrap();
    std::os::unix::fs::symlink(&target, at(".anywire-3333333333333333")).unwrap();
    std::os::unix::fs::symlink("nowhere", at(".anywire-4444444444444444")).unwrap();
    let fifo = at(".anywire-5555555555555555");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();

    let mut expected = names(dir.path());
    expected.retain(|name| name != LEFT && name != ".anywire-ffffffffffffffff");
    for _ in 0..2 {
        let server = FileServer::start(dir.path(), &["--engine", engine]);
        assert_eq!(names(dir.path()), expected);
        assert_eq!(server.store("a", b"a"), Reply::End);
        fs::remove_file(at("a")).unwrap();
        server.wait_for_rest();
    }
    assert_eq!(fs::read(&target).unwrap(), b"target");
    assert_eq!(fs::read(at(".anywire-notes")).unwrap(), b"notes");
    assert_eq!(fs::read(at(".anywire-2222222222222222").join(LEFT)).unwrap(), b"in a folder");
    // Once its writer is gone, it goes too.
    drop(locked);
    let _server = FileServer::start(dir.path(), &["--engine", engine]);
    expected.retain(|name| name != ".anywire-1111111111111111");
    assert_eq!(names(dir.path()), expected);
}

fn no_client_can_ask_for_what_is_on_its_way(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = FileServer::start(dir.path(), &["--engine", engine]);
    let mut stream = server.upload();
    assert_eq!(stream.name("a"), Reply::Ok);
    let temporary = names(dir.path()).pop().unwrap();
    assert!(temporary.starts_with(".anywire-"), "{temporary}");
    assert!(server.fetch(&temporary).is_err());
    assert!(matches!(server.store(&temporary, b"x"), Reply::Err(_)));
    stream.data(b"a").unwrap();
    assert_eq!(stream.end(), Reply::End);
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"a");
}

/// Servers that start all the time take nothing from those that live.
fn starts_among_uploads_remove_nothing_that_is_alive(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = FileServer::start(dir.path(), &["--engine", engine, "--no-sync"]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (server, over) = (&server, &over);
            scope.spawn(move || {
                let mut stream = server.upload();
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(stream.name(&format!("f{client}")), Reply::Ok);
                    stream.data(b"content").unwrap();
                }
                assert_eq!(stream.end(), Reply::End);
            });
        }
        let _until = Until(&over);
        for _ in 0..20 {
            FileServer::start(dir.path(), &["--engine", engine]).kill();
        }
    });
    assert_eq!(names(dir.path()), ["f0", "f1", "f2", "f3"]);
}

on_each_engine! {
    a_start_removes_what_a_crash_left_and_nothing_else
    no_client_can_ask_for_what_is_on_its_way
    starts_among_uploads_remove_nothing_that_is_alive
}
