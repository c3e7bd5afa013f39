//! A server killed in the middle of a file is a failure at the client, not a short file.

use std::fs::File;
use std::process::Stdio;

use anywire_tests::programs::{Served, program};

/// Longer than all buffers between, so that the server is in the middle when the client has begun.
const LEN: u64 = 1 << 30;

#[test]
fn a_server_killed_in_the_middle_of_a_file_is_a_failure_and_no_file() {
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join("large.bin")).unwrap().set_len(LEN).unwrap();
    let mut command = program("anywire");
    command.args(["serve", "-q", "file=0", "--dir"]).arg(dir.path());
    let mut served = Served::start(command, 1);
    let port = served.port("file tcp").to_string();

    // The client writes into a pipe that is not read on: it is in the middle for as long as we like.
    let mut client = program("anywire");
    client.args(["client", "file", "large.bin", "-o", "-", "--port", &port]);
    client.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut got = client.stdout.take().unwrap();
    std::io::copy(&mut std::io::Read::take(&mut got, 1 << 20), &mut std::io::sink()).unwrap();
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    let rest = std::io::copy(&mut got, &mut std::io::sink()).unwrap();
    let output = client.wait_with_output().unwrap();
    assert!((1 << 20) + rest < LEN, "the server was killed too late to show anything");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("reset"), "{error}");
}

#[test]
fn a_download_that_fails_leaves_no_file() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // A file that ends before it should: the server must abort.
    let file = File::create(dir.path().join("large.bin")).unwrap();
    file.set_len(LEN).unwrap();
    let mut command = program("anywire");
    command.args(["serve", "-q", "file=0", "--dir"]).arg(dir.path());
    let mut served = Served::start(command, 1);
    let port = served.port("file tcp").to_string();
    let mut client = program("anywire");
    client.args(["client", "file", "large.bin", "--port", &port]).current_dir(out.path());
    let mut client = client.stderr(Stdio::piped()).spawn().unwrap();
    // As soon as anything is there of the file, under whatever name, the server dies.
    while std::fs::read_dir(out.path()).unwrap().next().is_none() {
        assert!(client.try_wait().unwrap().is_none(), "the client ended before it began");
        std::thread::yield_now();
    }
    served.child.kill().unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(1));
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}
