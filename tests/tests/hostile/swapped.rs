//! A name that is a file, a link that leads out, a folder, nothing, in turn, as fast as a thread can: between a look and a
//! leap nothing outside is ever read or written.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anywire_tests::uploads::{FileServer, Reply, Until, content, fetch, names, version};

const DURATION: Duration = Duration::from_secs(2);

const SECRET: &[u8] = b"nobody may read this";

/// Puts something else under `name`, whatever is there: a file of version 0, a link to a file outside, one to a file that is not
/// there, one to a folder outside, a folder, nothing.
fn swap(dir: &Path, outside: &Path, turn: usize) {
    let name = dir.join("name");
    let gone = fs::remove_file(&name).or_else(|_| fs::remove_dir(&name));
    if let Err(error) = gone {
        // An upload comes between, and makes a file of a folder that is just removed.
        let known = [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::IsADirectory];
        assert!(known.contains(&error.kind()), "{error}");
    }
    // Here too an upload may have been faster.
    let _ = match turn % 6 {
        0 => {
            let whole = dir.parent().unwrap().join("whole");
            fs::write(&whole, content("name", 0, 5000)).unwrap();
            fs::rename(whole, name)
        }
        1 => std::os::unix::fs::symlink(outside.join("secret"), name),
        2 => std::os::unix::fs::symlink(outside.join("new"), name),
        3 => std::os::unix::fs::symlink(outside, name),
        4 => fs::create_dir(name),
        _ => Ok(()),
    };
}

/// How often each came out.
#[derive(Default)]
struct Counts {
    swaps: AtomicUsize,
    stored: AtomicUsize,
    refused: AtomicUsize,
    aborted: AtomicUsize,
    sent: AtomicUsize,
    not_sent: AtomicUsize,
}

fn count(what: &AtomicUsize) {
    what.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_link_that_comes_while_we_look_leads_nowhere() {
    let base = tempfile::tempdir().unwrap();
    let (dir, outside) = (base.path().join("files"), base.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), SECRET).unwrap();
    let server = FileServer::start(&dir, &["--no-sync"]);
    let (over, counts) = (AtomicBool::new(false), Counts::default());
    std::thread::scope(|scope| {
        let go_on = || !over.load(Ordering::Relaxed);
        for client in 1..4 {
            let (server, counts) = (&server, &counts);
            scope.spawn(move || {
                while go_on() {
                    count(match server.store("name", &content("name", client, 7000)) {
                        Reply::End => &counts.stored,
                        Reply::Err(why) => {
                            assert_eq!(why, "not a regular file");
                            &counts.refused
                        }
                        // After OK it became something else.
                        Reply::Reset => &counts.aborted,
                        Reply::Ok => panic!("OK is not an end"),
                    });
                }
            });
            scope.spawn(move || {
                while go_on() {
                    count(match fetch(server.port("file"), "name") {
                        Ok(bytes) => {
                            assert!(version("name", &bytes) < 4);
                            &counts.sent
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                            &counts.not_sent
                        }
                    });
                }
            });
        }
        let (_until, begun) = (Until(&over), Instant::now());
        for turn in 0.. {
            if begun.elapsed() > DURATION {
                break;
            }
            swap(&dir, &outside, turn);
            count(&counts.swaps);
        }
    });
    let Counts { swaps, stored, refused, aborted, sent, not_sent } = counts;
    for (what, count) in [
        ("swaps", swaps),
        ("stored", stored),
        ("refused", refused),
        ("aborted", aborted),
        ("sent", sent),
        ("not sent", not_sent),
    ] {
        assert!(count.load(Ordering::Relaxed) > 0, "it showed nothing: {what} never happened");
    }
    server.wait_for_rest();
    assert_eq!(fs::read(outside.join("secret")).unwrap(), SECRET);
    assert_eq!(names(&outside), ["secret"]);
    assert_eq!(names(base.path()), ["files", "outside"]);
    swap(&dir, &outside, 5);
    assert_eq!(names(&dir), [""; 0]);
    assert_eq!(server.store("name", b"and it goes on"), Reply::End);
}
