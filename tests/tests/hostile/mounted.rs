//! A disk that is full, or read-only for a while.

use std::fs::File;
use std::io::Write;
use std::sync::Barrier;

use anywire_tests::mounts::Mounted;
use anywire_tests::uploads::{Reply, content, head, names, temporaries, until, version};

/// What is left of a disk's room.
fn fill(mounted: &Mounted) {
    let mut filler = File::create(mounted.dir().join("filler")).unwrap();
    while filler.write_all(&[7; 4096]).is_ok() {}
}

fn a_full_disk_is_an_err_or_an_abort_and_costs_no_older_file(engine: &str) {
    let Some(mounted) = Mounted::start("size=1m", &["--engine", engine]) else { return };
    let (server, dir) = (&mounted.server, mounted.dir());
    let old = content("old", 1, 200_000);
    assert_eq!(server.store("old", &old), Reply::End);

    // Known at the length: no byte of the body is waited for.
    let mut stream = server.upload();
    assert_eq!(stream.name("old"), Reply::Ok);
    stream.send(&head(2 << 20)).unwrap();
    assert_eq!(stream.reply(), Reply::Reset);

    // Each would fit, not all do: they are found out in the middle.
    const EACH: usize = 300_000;
    let halfway = Barrier::new(8);
    let replies: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|at| {
                let (halfway, mut stream) = (&halfway, server.upload());
                scope.spawn(move || {
                    let name = format!("many-{at}");
                    let bytes = content(&name, 1, EACH);
                    assert_eq!(stream.name(&name), Reply::Ok);
                    stream.send(&head(EACH)).unwrap();
                    let _ = stream.send(&bytes[..50_000]);
                    halfway.wait();
                    let sent = stream.send(&bytes[50_000..]);
                    (name, sent.map_or(Reply::Reset, |()| stream.end()))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut expected = vec!["old".to_owned()];
    for (name, reply) in &replies {
        assert!([Reply::End, Reply::Reset].contains(reply), "{name}: {reply:?}");
        if *reply == Reply::End {
            expected.insert(0, name.clone());
        }
    }
    assert!(expected.len() < 4, "eight files of 300 KB do not fit into 800 KB");
    expected.sort();
    server.wait_for_rest();
    assert_eq!(names(&dir), expected);
    for name in &expected {
        assert_eq!(version(name, &std::fs::read(dir.join(name)).unwrap()), 1);
    }

    // Not a byte is free: known before OK.
    fill(&mounted);
    for _ in 0..20 {
        assert_eq!(server.store("old", b"new"), Reply::Err("no room left".into()));
    }
    assert!(server.fetch("old").unwrap() == old);
    server.wait_for_rest();
    assert_eq!(temporaries(&dir), [""; 0]);

    std::fs::remove_file(dir.join("filler")).unwrap();
    let new = content("old", 2, 100_000);
    assert_eq!(server.store("old", &new), Reply::End);
    assert!(std::fs::read(dir.join("old")).unwrap() == new);
}

fn the_last_bytes_of_a_disk_go_while_a_file_is_on_its_way(engine: &str) {
    let Some(mounted) = Mounted::start("size=1m", &["--engine", engine]) else { return };
    let (server, dir) = (&mounted.server, mounted.dir());
    assert_eq!(server.store("old", b"older"), Reply::End);
    let mut stream = server.upload();
    assert_eq!(stream.name("old"), Reply::Ok);
    stream.send(&head(100_000)).unwrap();
    stream.send(&[1; 50_000]).unwrap();
    let arrived = || {
        let temporary = temporaries(&dir).pop();
        temporary.is_some_and(|name| dir.join(name).metadata().unwrap().len() == 50_000)
    };
    until("half the file", arrived);
    fill(&mounted);
    let sent = stream.send(&[2; 50_000]);
    assert_eq!(sent.map_or(Reply::Reset, |()| stream.end()), Reply::Reset);
    server.wait_for_rest();
    assert_eq!(names(&dir), ["filler", "old"]);
    assert_eq!(std::fs::read(dir.join("old")).unwrap(), b"older");
}

fn without_inodes_there_is_no_room_either(engine: &str) {
    let Some(mounted) = Mounted::start("size=1m,nr_inodes=12", &["--engine", engine]) else {
        return;
    };
    let (server, dir) = (&mounted.server, mounted.dir());
    let stored = (0..12).take_while(|at| server.store(&format!("f{at}"), b"x") == Reply::End);
    let stored = stored.count();
    assert!((2..12).contains(&stored), "{stored}");
    assert_eq!(server.store("f0", b"y"), Reply::Err("no room left".into()));
    server.wait_for_rest();
    assert_eq!(names(&dir).len(), stored);
    std::fs::remove_file(dir.join("f1")).unwrap();
    assert_eq!(server.store("f0", b"y"), Reply::End);
    assert_eq!(std::fs::read(dir.join("f0")).unwrap(), b"y");
}

fn a_disk_that_turns_read_only_refuses_serves_and_stores_again(engine: &str) {
    let Some(mounted) = Mounted::start("size=1m", &["--engine", engine]) else { return };
    let (server, dir) = (&mounted.server, mounted.dir());
    assert_eq!(server.store("a", b"first"), Reply::End);
    let remounted = mounted.remount("ro");
    assert!(remounted.status.success(), "{remounted:?}");
    for name in ["a", "b"] {
        assert_eq!(server.store(name, b"second"), Reply::Err("permission denied".into()));
    }
    assert_eq!(server.fetch("a").unwrap(), b"first");
    server.wait_for_log("Read-only file system");
    let remounted = mounted.remount("rw");
    assert!(remounted.status.success(), "{remounted:?}");
    assert_eq!(server.store("a", b"second"), Reply::End);
    assert_eq!(server.fetch("a").unwrap(), b"second");
    server.wait_for_rest();
    assert_eq!(names(&dir), ["a"]);
}

on_each_engine! {
    a_full_disk_is_an_err_or_an_abort_and_costs_no_older_file
    the_last_bytes_of_a_disk_go_while_a_file_is_on_its_way
    without_inodes_there_is_no_room_either
    a_disk_that_turns_read_only_refuses_serves_and_stores_again
}
