//! `connect`: both directions at once, nothing added.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Stdio;

use crate::harness::{
    Server, anywire, assert_output, nobody, peer, read_all, reset, run, text, unread,
};

#[test]
fn much_in_both_directions_does_not_deadlock() {
    let server = Server::start(&["echo=0"], 2);
    let body: Vec<u8> =
        (0..100_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let output = run(anywire(&["connect", "127.0.0.1", &server.port(0)]), &body);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert!(output.stdout == body);
}

#[test]
fn the_end_of_input_is_a_half_close_and_the_rest_is_shown() {
    let (port, peer) = peer(|mut stream| {
        let got = read_all(&mut stream);
        stream.write_all(b"first\0").unwrap();
        stream.write_all(b"\xffrest").unwrap();
        got
    });
    let output = run(anywire(&["connect", "localhost", &port]), b"all\r\n");
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"first\0\xffrest".to_vec()));
    assert_eq!(peer.join().unwrap(), b"all\r\n");
}

#[test]
fn an_ipv6_address_stands_in_brackets_or_not() {
    let server = Server::start(&["hello=[::1]:0"], 1);
    for host in ["::1", "[::1]"] {
        let output = run(anywire(&["connect", host, &server.port(0)]), b"x");
        assert_output(&output, 0, "I got \"x\" from you and I am sending it back.");
    }
}

#[test]
fn nobody_there_is_exit_status_1() {
    let output = run(anywire(&["connect", "127.0.0.1", &nobody()]), b"x");
    assert_output(&output, 1, "");
    let said = text(&output.stderr);
    assert!(said.starts_with("anywire: cannot connect to 127.0.0.1 port "), "{said}");
    assert!(said.contains("refused"), "{said}");
    let output = run(anywire(&["connect", "name.invalid", "1"]), b"");
    assert_output(&output, 1, "");
    assert!(text(&output.stderr).contains("cannot find the host name.invalid: "));
}

#[test]
fn send_stands_for_the_input() {
    let (port, peer) = peer(|mut stream| read_all(&mut stream));
    let args = ["connect", "127.0.0.1", &port, "--send", r"-GET\r\n\t\x00\xfFé\\"];
    assert_output(&run(anywire(&args), b"not this"), 0, "");
    assert_eq!(peer.join().unwrap(), b"-GET\r\n\t\0\xff\xc3\xa9\\");
}

#[test]
fn input_goes_on_after_the_peers_end() {
    let (port, peer) = peer(|mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(&mut stream)
    });
    let mut child = anywire(&["connect", "127.0.0.1", &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut bye = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut bye).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"but listen").unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(peer.join().unwrap(), b"but listen");
}

#[test]
fn a_reset_is_exit_status_1() {
    let (port, peer) = peer(|mut stream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        reset(stream);
    });
    let output = run(anywire(&["connect", "127.0.0.1", &port]), b"x");
    assert_output(&output, 1, "");
    let said = text(&output.stderr);
    assert!(said.contains("reset"), "{said}");
    peer.join().unwrap();
}

#[test]
fn standard_output_that_nobody_reads_ends_it() {
    let (port, peer) = peer(|mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
    let output = anywire(&["connect", "127.0.0.1", &port])
        .stdout(unread())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(141), ""));
    peer.join().unwrap();
}
