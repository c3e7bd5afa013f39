//! A folder without rights, a folder that is gone, a folder that is another.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anywire_tests::programs::program;
use anywire_tests::uploads::{FileServer, Reply, head, names, temporaries};

/// A server that is nobody, and a folder that is nobody's, in one that everybody may look into. Root would be let in
/// everywhere.
fn as_nobody(engine: &str) -> (FileServer, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    let anywire = program("anywire");
    let server = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&files, Some(65534), Some(65534)).unwrap();
        // A copy: nobody need not be able to reach the original.
        let copy = dir.path().join("anywire");
        fs::copy(anywire.get_program(), &copy).unwrap();
        let mut wrapper = Command::new("setpriv");
        wrapper.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
        FileServer::wrapped(wrapper, &files, &["--engine", engine])
    } else {
        FileServer::start(&files, &["--engine", engine])
    };
    (server, dir)
}

fn permit(dir: &Path, mode: u32) {
    fs::set_permissions(dir, Permissions::from_mode(mode)).unwrap();
}

fn a_folder_that_may_not_be_written_refuses_until_it_may(engine: &str) {
    let (server, dir) = as_nobody(engine);
    let files = dir.path().join("files");
    assert_eq!(server.store("a", b"first"), Reply::End);
    // One is on its way, and will be whole when its name cannot be had.
    let mut midway = server.upload();
    assert_eq!(midway.name("a"), Reply::Ok);
    midway.send(&head(6)).unwrap();
    midway.send(b"sec").unwrap();
    permit(&files, 0o555);
    assert_eq!(server.store("a", b"second"), Reply::Err("permission denied".into()));
    assert_eq!(server.store("b", b"second"), Reply::Err("permission denied".into()));
    midway.send(b"ond").unwrap();
    assert_eq!(midway.end(), Reply::Reset);
    assert_eq!(server.fetch("a").unwrap(), b"first");
    server.wait_for_rest();

    permit(&files, 0o755);
    assert_eq!(server.store("a", b"second"), Reply::End);
    assert_eq!(fs::read(files.join("a")).unwrap(), b"second");
    // Its temporary file could not be removed when it failed: as after a crash, the next start does that.
    assert_eq!(temporaries(&files).len(), 1);
    let _sibling = FileServer::start(&files, &["--engine", engine]);
    assert_eq!(names(&files), ["a"]);
}

fn a_file_that_may_not_be_read_is_not_served_and_others_are(engine: &str) {
    let (server, dir) = as_nobody(engine);
    let files = dir.path().join("files");
    assert_eq!(server.store("a", b"secret"), Reply::End);
    assert_eq!(server.store("b", b"open"), Reply::End);
    permit(&files.join("a"), 0);
    assert!(server.fetch("a").is_err());
    assert_eq!(server.fetch("b").unwrap(), b"open");
    assert_eq!(server.store("a", b"newer"), Reply::End);
    assert_eq!(server.fetch("a").unwrap(), b"newer");
}

fn a_folder_that_is_removed_is_an_err_and_no_crash(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    let server = FileServer::start(&files, &["--engine", engine]);
    assert_eq!(server.store("a", b"first"), Reply::End);
    let mut midway = server.upload();
    assert_eq!(midway.name("a"), Reply::Ok);
    fs::remove_dir_all(&files).unwrap();
    midway.data(b"second").unwrap();
    assert_eq!(midway.end(), Reply::Reset);
    for _ in 0..20 {
        assert_eq!(server.store("a", b"second"), Reply::Err("the store failed".into()));
        assert!(server.fetch("a").is_err());
    }
    server.wait_for_rest();
    assert_eq!(names(dir.path()), [""; 0]);
}

fn a_server_keeps_to_its_folder_when_another_takes_its_place(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (files, moved) = (dir.path().join("files"), dir.path().join("moved"));
    let server = FileServer::start(&files, &["--engine", engine]);
    assert_eq!(server.store("a", b"first"), Reply::End);
    let mut midway = server.upload();
    assert_eq!(midway.name("b"), Reply::Ok);
    fs::rename(&files, &moved).unwrap();
    // One that leads out, of all things.
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &files).unwrap();
    midway.data(b"on its way").unwrap();
    assert_eq!(midway.end(), Reply::End);
    assert_eq!(server.store("c", b"later"), Reply::End);
    assert_eq!(server.fetch("a").unwrap(), b"first");
    assert_eq!(names(&moved), ["a", "b", "c"]);
    assert_eq!(names(&elsewhere), [""; 0]);
}

on_each_engine! {
    a_folder_that_may_not_be_written_refuses_until_it_may
    a_file_that_may_not_be_read_is_not_served_and_others_are
    a_folder_that_is_removed_is_an_err_and_no_crash
    a_server_keeps_to_its_folder_when_another_takes_its_place
}
