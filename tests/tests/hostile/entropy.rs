//! No random numbers for a while: guess has no secret, says nothing, and goes on.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::Stdio;

use anywire_tests::injected::{self, Mortal};
use anywire_tests::uploads::TIMEOUT;

/// How often it fails, and how often it is asked for.
const FAILURES: usize = 5;
const GUESSES: usize = 20;

/// How many of the guesses were answered, where the calls from `turn` on fail. `None`: it did not begin to listen.
fn answered(turn: usize) -> Option<usize> {
    let what = format!("getrandom:error=EIO:when={turn}..{}", turn + FAILURES - 1);
    let mut server = injected::anywire(&what)?;
    server.args(["serve", "-q", "guess=0"]).stderr(Stdio::null());
    let mut server = Mortal(server.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Some((_, port)) = line.trim().rsplit_once(':') else {
        assert!(!server.0.wait().unwrap().success(), "{what}");
        return None;
    };
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    peer.set_read_timeout(Some(TIMEOUT)).unwrap();
    for _ in 0..GUESSES {
        peer.send(b"50").unwrap();
    }
    // They are answered in turn: behind the answer to this one there are no others.
    peer.send(b"the last").unwrap();
    for answered in 0.. {
        let mut answer = [0; 64];
        let len = peer.recv(&mut answer).unwrap();
        match &answer[..len] {
            b"HIGHER" | b"LOWER" | b"CORRECT" => {}
            _ => return Some(answered),
        }
    }
    None
}

#[test]
fn guess_says_nothing_without_entropy_and_goes_on_with_it() {
    if injected::anywire("getrandom:error=EIO").is_none() {
        return;
    }
    // To start takes some too: the library's first look may be one of those that fail, and harms nothing.
    let answered: Vec<_> = (1..100).map(answered).take_while(|&got| got != Some(GUESSES)).collect();
    let listening: Vec<_> = answered.into_iter().flatten().collect();
    assert!(!listening.is_empty() && listening.len() <= 2 * FAILURES, "{listening:?}");
    let most = *listening.iter().min().unwrap();
    assert!([GUESSES - FAILURES, GUESSES - FAILURES + 1].contains(&most), "{listening:?}");
}
