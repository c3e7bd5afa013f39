//! A name that is a file, a link that leads out, a folder, nothing, in turn, as fast as a thread can: between a look and a
//! leap nothing outside is ever read or written.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anywire_tests::uploads::{FileServer, Reply, Until, content, fetch, names, version};
use rustix::fs::{CWD, RenameFlags, renameat_with};

const DURATION: Duration = Duration::from_secs(2);

/// On a machine that is busy with something else it takes longer until all has happened once.
const PATIENCE: Duration = Duration::from_secs(120);

const SECRET: &[u8] = b"nobody may read this";

/// What changes places with a file under the name.
#[derive(Clone, Copy)]
enum Other {
    LinkToFile,
    LinkToNothing,
    LinkToFolder,
    Folder,
}

const OTHERS: [Other; 4] =
    [Other::LinkToFile, Other::LinkToNothing, Other::LinkToFolder, Other::Folder];

/// The two places, the second one outside the server's folder.
struct Places {
    name: PathBuf,
    spare: PathBuf,
    outside: PathBuf,
}

impl Places {
    fn clear(&self) {
        for path in [&self.name, &self.spare] {
            let gone = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
            // An upload comes between, and is at home here.
            let kind = gone.map_err(|error| error.kind());
            let fine = [Ok(()), Err(ErrorKind::NotFound), Err(ErrorKind::NotADirectory)];
            assert!(fine.contains(&kind), "{kind:?}");
        }
    }

    /// Nothing for a moment, then a file of version 0, which changes places with the other many times: a system call each.
    fn swap(&self, other: Other, times: usize) {
        self.clear();
        fs::write(&self.spare, content("name", 0, 5000)).unwrap();
        fs::rename(&self.spare, &self.name).unwrap();
        match other {
            Other::LinkToFile => symlink(self.outside.join("secret"), &self.spare),
            Other::LinkToNothing => symlink(self.outside.join("new"), &self.spare),
            Other::LinkToFolder => symlink(&self.outside, &self.spare),
            Other::Folder => fs::create_dir(&self.spare),
        }
        .unwrap();
        for _ in 0..times {
            renameat_with(CWD, &self.spare, CWD, &self.name, RenameFlags::EXCHANGE).unwrap();
        }
    }
}

/// How often each came out.
#[derive(Default)]
struct Counts {
    stored: AtomicUsize,
    refused: AtomicUsize,
    aborted: AtomicUsize,
    sent: AtomicUsize,
    not_sent: AtomicUsize,
}

impl Counts {
    /// What has never come out.
    fn missing(&self) -> Option<&'static str> {
        let Self { stored, refused, aborted, sent, not_sent } = self;
        let counts = [
            ("stored", stored),
            ("refused", refused),
            ("aborted", aborted),
            ("sent", sent),
            ("not sent", not_sent),
        ];
        let never = counts.into_iter().find(|(_, count)| count.load(Ordering::Relaxed) == 0);
        never.map(|(what, _)| what)
    }
}

fn count(what: &AtomicUsize) {
    what.fetch_add(1, Ordering::Relaxed);
}

fn a_link_that_comes_while_we_look_leads_nowhere(engine: &str) {
    let base = tempfile::tempdir().unwrap();
    let (dir, outside) = (base.path().join("files"), base.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), SECRET).unwrap();
    let server = FileServer::start(&dir, &["--engine", engine, "--no-sync"]);
    let (name, spare) = (dir.join("name"), base.path().join("spare"));
    let places = Places { name, spare, outside: outside.clone() };
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
            let enough = if counts.missing().is_none() { DURATION } else { PATIENCE };
            if begun.elapsed() > enough {
                break;
            }
            places.swap(OTHERS[turn % OTHERS.len()], 500);
        }
    });
    assert_eq!(counts.missing(), None, "it showed nothing: that never happened");
    server.wait_for_rest();
    assert_eq!(fs::read(outside.join("secret")).unwrap(), SECRET);
    assert_eq!(names(&outside), ["secret"]);
    places.clear();
    assert_eq!(names(base.path()), ["files", "outside"]);
    assert_eq!(names(&dir), [""; 0]);
    assert_eq!(server.store("name", b"and it goes on"), Reply::End);
}

on_each_engine! {
    a_link_that_comes_while_we_look_leads_nowhere
}
