//! `client report-size`: a file's length, found out in a thread, is told over a connection that was there before.

use std::io::{Read, Write};
use std::process::Output;

use crate::harness::{Server, anywire, assert_output, nobody, peer, read_all, reset, run, text};

fn report(hello: &str, file: &str, args: &[&str], input: &[u8]) -> Output {
    let ports = ["client", "report-size", "--hello-port", hello, "--file-port", file];
    let here = tempfile::tempdir().unwrap();
    let mut command = anywire(&[&ports, args].concat());
    command.current_dir(here.path());
    let output = run(command, input);
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0, "it keeps no file");
    output
}

#[track_caller]
fn assert_fails(output: &Output, why: &str) {
    assert_output(output, 1, "");
    let said = text(&output.stderr);
    assert!(said.starts_with("anywire: ") && said.contains(why), "{said}");
}

#[test]
fn it_says_how_long_the_file_is() {
    let server = Server::start(&["hello=0", "file=0"], 2);
    let (hello, file) = (server.port(0), server.port(1));
    for len in [0, 583_163] {
        std::fs::write(server.folder.path().join("photo.jpg"), vec![7; len]).unwrap();
        let expected = format!(
            "Server says: I got \"The size of photo.jpg is {len}\" from you and I am sending it \
             back.\n"
        );
        assert_output(&report(&hello, &file, &["photo.jpg"], b""), 0, &expected);
        assert_output(&report(&hello, &file, &[], b"photo.jpg\nmore\n"), 0, &expected);
    }
    assert_fails(&report(&hello, &file, &["absent"], b""), "it has no such file");
    assert_fails(&report(&hello, &file, &[], b""), "no name was given");
}

#[test]
fn hello_is_there_first_and_hears_nothing_until_the_file_has_come() {
    let (hello, hellos) = peer(|mut stream| {
        let said = read_all(&mut stream);
        stream.write_all(b"thanks").unwrap();
        said
    });
    let (file, files) = peer(|mut stream| {
        let name = read_all(&mut stream);
        stream.write_all(b"12345").unwrap();
        name
    });
    assert_output(&report(&hello, &file, &["a b"], b""), 0, "Server says: thanks\n");
    assert_eq!(files.join().unwrap(), b"a b");
    assert_eq!(hellos.join().unwrap(), b"The size of a b is 5");
    // Without hello nobody is asked for a name, and no file is fetched.
    let output = report(&nobody(), &nobody(), &[], b"");
    assert_fails(&output, "cannot connect to 127.0.0.1 port");
}

#[test]
fn a_file_that_was_cut_is_not_reported() {
    let (hello, hellos) =
        peer(|mut stream| stream.read_to_end(&mut Vec::new()).map_err(|e| e.kind()));
    let (file, files) = peer(|mut stream| {
        read_all(&mut stream);
        stream.write_all(&[1; 1000]).unwrap();
        reset(stream);
    });
    assert_fails(&report(&hello, &file, &["x"], b""), &format!("port {file} reset the connection"));
    files.join().unwrap();
    // An end in good order would have said that there is nothing to say.
    assert_eq!(hellos.join().unwrap(), Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn hellos_silence_and_reset_are_failures_of_hello() {
    let server = Server::start(&["file=0"], 1);
    std::fs::write(server.folder.path().join("x"), b"x").unwrap();
    let file = server.port(0);
    let (hello, silent) = peer(|stream| stream);
    let output = report(&hello, &file, &["x", "--timeout", "0.2"], b"");
    assert_fails(&output, &format!("port {hello} did not answer within 0.2 s"));
    drop(silent.join().unwrap());
    let (hello, resetting) = peer(|mut stream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        reset(stream);
    });
    let output = report(&hello, &file, &["x"], b"");
    assert_fails(&output, &format!("port {hello} reset the connection"));
    resetting.join().unwrap();
}
