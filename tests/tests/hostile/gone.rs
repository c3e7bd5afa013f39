//! Clients that are gone in the middle.

use std::io::{Read, Write};
use std::path::Path;

use anywire_tests::uploads::{
    FileServer, Reply, Uploader, connect, content, head, name_frame, names, version,
};

const LEN: usize = 3 << 20;

/// Begins an upload of `name`, goes on for so many bytes, and is gone. With `wait`, the answer to the name is waited for.
fn begin(mut stream: Uploader, name: &str, body: &[u8], bytes: usize, wait: bool) {
    let frame = name_frame(name);
    let all = [&frame, &head(body.len())[..], body].concat();
    let bytes = bytes.min(all.len());
    // What cannot be sent any more need not be.
    if wait && bytes > frame.len() {
        assert_eq!(stream.name(name), Reply::Ok);
        let _ = stream.send(&all[frame.len()..bytes]);
    } else {
        let _ = stream.send(&all[..bytes]);
    }
    stream.reset();
}

/// A place in such a conversation: in the name, in the head, anywhere in the body, behind the end of it.
fn place(random: &mut fastrand::Rng) -> usize {
    match random.u8(..8) {
        0 => random.usize(..12),
        1 => random.usize(12..20),
        2 => random.usize(20..4096),
        3 => usize::MAX,
        _ => random.usize(4096..LEN),
    }
}

/// `a` is the older file or a newer one, whole, and nothing else is there.
fn assert_whole(dir: &Path) {
    assert_eq!(names(dir), ["a"]);
    assert_eq!(version("a", &std::fs::read(dir.join("a")).unwrap()), 1);
}

fn clients_that_reset_in_the_middle_leave_nothing_behind(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = FileServer::start(dir.path(), &["--engine", engine, "--no-sync"]);
    let body = content("a", 1, LEN);
    assert_eq!(server.store("a", &body), Reply::End);
    let mut random = fastrand::Rng::with_seed(7);
    let mut resident = 0;
    for round in 0..250 {
        begin(server.upload(), "a", &body, place(&mut random), random.bool());
        if round == 50 {
            server.wait_for_rest();
            resident = server.resident();
        }
    }
    server.wait_for_rest();
    assert_whole(dir.path());
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 4 << 20, "{grown} bytes more after 200 connections more");
    assert_eq!(server.store("a", &body), Reply::End);
}

fn many_that_reset_at_once_leave_nothing_behind(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server =
        FileServer::start(dir.path(), &["--engine", engine, "--no-sync", "--workers", "2"]);
    let body = content("a", 1, LEN);
    assert_eq!(server.store("a", &body), Reply::End);
    std::thread::scope(|scope| {
        for seed in 0..20 {
            let (server, body) = (&server, &body);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..10 {
                    begin(server.upload(), "a", body, place(&mut random), random.bool());
                }
            });
        }
    });
    server.wait_for_rest();
    assert_whole(dir.path());
    assert_eq!(server.store("a", &body), Reply::End);
}

/// An end is not a reset, but it is as early.
fn a_body_that_ends_early_is_answered_with_a_reset_and_stores_nothing(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = FileServer::start(dir.path(), &["--engine", engine, "--no-sync"]);
    let body = content("a", 1, LEN);
    assert_eq!(server.store("a", &body), Reply::End);
    let newer = [&head(LEN)[..], &content("a", 2, LEN)].concat();
    for bytes in [0, 1, 4, 5, 6, 5000, 1 << 20, LEN, LEN + 4] {
        let mut stream = server.upload();
        assert_eq!(stream.name("a"), Reply::Ok);
        stream.send(&newer[..bytes]).unwrap();
        assert_eq!(stream.end(), Reply::Reset, "{bytes}");
    }
    server.wait_for_rest();
    assert_whole(dir.path());
}

fn downloads_that_are_reset_in_the_middle_leave_nothing_behind(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = FileServer::start(dir.path(), &["--engine", engine, "--no-sync"]);
    let body = content("a", 1, LEN);
    std::fs::write(dir.path().join("a"), &body).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..100 {
        let mut stream = connect(server.port("file"));
        stream.write_all(b"a\n").unwrap();
        let len = random.u64(..LEN as u64 - 1);
        let read = std::io::copy(&mut stream.take(len), &mut std::io::sink());
        // What is closed with something unread is reset.
        assert_eq!(read.unwrap(), len);
    }
    server.wait_for_rest();
    assert!(server.fetch("a").unwrap() == body);
}

on_each_engine! {
    clients_that_reset_in_the_middle_leave_nothing_behind
    many_that_reset_at_once_leave_nothing_behind
    a_body_that_ends_early_is_answered_with_a_reset_and_stores_nothing
    downloads_that_are_reset_in_the_middle_leave_nothing_behind
}
