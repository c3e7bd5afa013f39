//! A loop that is held up.

use std::io::{Read, Write};
use std::time::Instant;

use anywire_std::engine::Options;

use crate::engine::silences::{Held, QUIET};
use crate::engine::{TIMEOUT, serve};

#[test]
fn a_silence_begins_with_its_last_byte_however_late_the_loop_is() {
    let (held, entered, let_go) = Held::new();
    let server = serve(Options::default(), held);
    let [mut first, mut second, mut quiet] = [(); 3].map(|()| {
        let mut stream = server.connect();
        stream
            .write_all(
                b"x
",
            )
            .unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        stream
    });
    first.write_all(b"!\n").unwrap();
    entered.recv_timeout(TIMEOUT).unwrap();
    // The loop wakes up to both of these, and is held up by the one between.
    second.write_all(b"!\n").unwrap();
    quiet.write_all(b"hel").unwrap();
    let_go.send(()).unwrap();
    entered.recv_timeout(TIMEOUT).unwrap();
    std::thread::sleep(2 * QUIET);
    let last = Instant::now();
    quiet.write_all(b"lo").unwrap();
    let_go.send(()).unwrap();
    let mut answer = [0; 64];
    let len = quiet.read(&mut answer).unwrap();
    let took = last.elapsed();
    assert_eq!(&answer[..len], b"Message: hello");
    assert!(took >= QUIET, "answered {took:?} after the last byte");
}
