//! `client guess`: a number over UDP.

use std::net::UdpSocket;
use std::process::Output;
use std::thread::JoinHandle;

use crate::harness::{Server, anywire, assert_output, nobody, run, text};

fn guess(port: &str, args: &[&str], input: &[u8]) -> Output {
    run(anywire(&[&["client", "guess", "--port", port], args].concat()), input)
}

#[track_caller]
fn assert_fails(output: &Output, stdout: &str, why: &str) {
    assert_output(output, 1, stdout);
    let said = text(&output.stderr);
    assert!(said.starts_with("anywire: ") && said.contains(why), "{said}");
}

/// A server that answers `times` with the same words, and returns what it was asked.
fn stubborn(times: usize, words: &'static [u8]) -> (String, JoinHandle<Vec<Vec<u8>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || {
        let asked = (0..times).map(|_| {
            let mut buf = [0; 64];
            let (len, peer) = socket.recv_from(&mut buf).unwrap();
            socket.send_to(words, peer).unwrap();
            buf[..len].to_vec()
        });
        asked.collect()
    });
    (port, server)
}

#[test]
fn it_asks_until_the_number_is_correct() {
    let server = Server::start(&["guess=0", "--secret", "63"], 1);
    let output = guess(&server.port(0), &[], b"50\n 75 \n\nsixty\n+63\r\n64\n");
    assert_output(
        &output,
        0,
        "50: HIGHER\n75: LOWER\n: INVALID: there is no number\n\
         sixty: INVALID: that is no decimal number\n+63: CORRECT\n",
    );
    let output = guess(&server.port(0), &[], b"50\n");
    assert_fails(&output, "50: HIGHER\n", "the number was not found: there are no more guesses");
}

#[test]
fn auto_needs_at_most_7_questions() {
    for secret in ["1", "50", "63", "98", "99"] {
        let server = Server::start(&["guess=0", "--secret", secret], 1);
        let output = guess(&server.port(0), &["--auto"], b"");
        let said = text(&output.stdout);
        assert_output(&output, 0, &said);
        assert!(said.starts_with("50: "), "{said}");
        assert!(said.ends_with(&format!("{secret}: CORRECT\n")), "{said}");
        assert!(said.lines().count() <= 7, "{said}");
    }
}

#[test]
fn auto_gives_up_on_a_server_that_makes_no_sense() {
    let (port, server) = stubborn(7, b"HIGHER");
    let output = guess(&port, &["--auto"], b"");
    let said: String =
        [50, 75, 87, 93, 96, 98, 99].map(|guess| format!("{guess}: HIGHER\n")).concat();
    assert_fails(&output, &said, "no number fits all answers of 127.0.0.1 port");
    assert_eq!(server.join().unwrap().len(), 7);
    let (port, server) = stubborn(1, b"what?");
    assert_fails(&guess(&port, &["--auto"], b""), "50: what?\n", "does not say how 50 is");
    assert_eq!(server.join().unwrap(), [b"50"]);
}

#[test]
fn no_answer_is_exit_status_1() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    for args in [&["--timeout", "0.2"][..], &["--timeout", "0.2", "--auto"]] {
        let output = guess(&port, args, b"50\n");
        assert_fails(
            &output,
            "",
            &format!("cannot ask 127.0.0.1 port {port}: no answer within 0.2 s"),
        );
    }
    let output = guess(&nobody(), &["--auto"], b"");
    assert_fails(&output, "", "cannot ask 127.0.0.1 port");
}
