//! `client fixed`: a file goes and comes back, in messages of one length.

use std::io::{Read, Write};
use std::process::Output;

use crate::harness::{Server, anywire, assert_output, nobody, peer, read_all, reset, run, text};

fn fixed(port: &str, args: &[&str], input: &[u8]) -> Output {
    run(anywire(&[&["client", "fixed", "--port", port], args].concat()), input)
}

fn came_back(messages: usize, len: usize) -> String {
    format!("{messages} messages of {len} bytes came back\n")
}

#[track_caller]
fn assert_fails(output: &Output, why: &str) {
    assert_output(output, 1, "");
    let said = text(&output.stderr);
    assert!(said.starts_with("anywire: ") && said.contains(why), "{said}");
}

#[test]
fn a_file_or_standard_input_comes_back() {
    let server = Server::start(&["fixed=0"], 1);
    let port = server.port(0);
    let body: Vec<u8> = (0..2_000_000_u32).map(|at| ((at * 7) >> 3) as u8).collect();
    let file = server.folder.path().join("body");
    for (len, messages) in [(0, 0), (1, 1), (1234, 1), (1235, 2), (2_000_000, 1621)] {
        std::fs::write(&file, &body[..len]).unwrap();
        let expected = came_back(messages, 1234);
        assert_output(&fixed(&port, &[file.to_str().unwrap()], b""), 0, &expected);
        assert_output(&fixed(&port, &["-"], &body[..len]), 0, &expected);
        assert_output(&fixed(&port, &[], &body[..len]), 0, &expected);
    }
}

#[test]
fn messages_of_any_length_come_back() {
    let body = [b'x'; 200_000];
    for (length, messages) in [("1", 300), ("65536", 4)] {
        let server = Server::start(&["fixed=0", "--length", length], 1);
        let len: usize = length.parse().unwrap();
        let body = &body[..200_000.min(len * messages)];
        let output = fixed(&server.port(0), &["--length", length], body);
        assert_output(&output, 0, &came_back(messages, len));
    }
}

#[test]
fn the_last_message_is_padded_with_zeros() {
    let (port, peer) = peer(|mut stream| {
        let mut message = [0xff; 6];
        for _ in 0..2 {
            stream.read_exact(&mut message).unwrap();
            // Only then: it takes turns. And in pieces.
            stream.write_all(&message[..1]).unwrap();
            stream.write_all(&message[1..]).unwrap();
        }
        assert_eq!(read_all(&mut stream), b"");
        message
    });
    let output = fixed(&port, &["--length", "6"], b"abcdefg");
    assert_output(&output, 0, "2 messages of 6 bytes came back\n");
    assert_eq!(peer.join().unwrap(), *b"g\0\0\0\0\0");
}

#[test]
fn another_byte_is_told_by_its_message_and_its_offset() {
    let (port, peer) = peer(|mut stream| {
        let mut message = [0; 6];
        stream.read_exact(&mut message).unwrap();
        stream.write_all(&message).unwrap();
        stream.read_exact(&mut message).unwrap();
        message[4] = b'?';
        stream.write_all(&message).unwrap();
        let _ = stream.read(&mut message);
    });
    let output = fixed(&port, &["--length", "6"], b"abcdefghijkl");
    assert_fails(&output, "message 2 came back with another byte at offset 4; 1 messages");
    peer.join().unwrap();
}

#[test]
fn less_or_more_than_was_sent_is_a_failure() {
    for (reply, why) in [
        (&b""[..], "the stream ended after 0 of 4 bytes: 4 are missing"),
        (b"abc", "the stream ended after 3 of 4 bytes: 1 are missing"),
        (b"abcde", "what came is no answer"),
    ] {
        let (port, peer) = peer(|mut stream| {
            stream.read_exact(&mut [0; 4]).unwrap();
            stream.write_all(reply).unwrap();
        });
        assert_fails(&fixed(&port, &["--length", "4"], b"abcd"), why);
        peer.join().unwrap();
    }
    // The server has another length.
    let server = Server::start(&["fixed=0"], 1);
    assert_fails(&fixed(&server.port(0), &["--length", "1000"], b"abc"), "reset the connection");
}

#[test]
fn nobody_a_reset_and_silence_are_failures() {
    assert_fails(&fixed(&nobody(), &[], b""), "cannot connect to 127.0.0.1 port");
    let (port, resetting) = peer(|mut stream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        reset(stream);
    });
    assert_fails(&fixed(&port, &[], b"abc"), "reset the connection");
    resetting.join().unwrap();
    let (port, silent) = peer(|stream| stream);
    assert_fails(&fixed(&port, &["--timeout", "0.2"], b"abc"), "did not answer within 0.2 s");
    drop(silent.join().unwrap());
}

#[test]
fn what_cannot_be_read_is_said_and_sent_to_nobody() {
    let here = tempfile::tempdir().unwrap();
    let absent = here.path().join("absent");
    for path in [absent.to_str().unwrap(), here.path().to_str().unwrap()] {
        assert_fails(&fixed(&nobody(), &[path], b""), &format!("cannot read {path}: "));
    }
}
