//! A server that stops while another thread is at work for a connection.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anywire_core::event::End;
use anywire_core::service::upload::Upload;
use anywire_core::session::Reason;
use anywire_std::engine::Options;

use crate::engine::hooked::serve_gated;
use crate::engine::{Watched, is_reset};

/// Stops the server in the middle of that call of the store. `sent` of the body is there by then.
fn stop_within(call: &'static [&'static str; 1], sent: &[u8]) -> Vec<String> {
    let options = Options { grace: Duration::ZERO, ..Options::default() };
    let (mut server, gate) = serve_gated(options, Watched(Upload), call);
    let mut stream = server.connect();
    stream.write_all(b"\x01\x01\x00a").unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
    stream.write_all(&[b"\x05\x04\x00\x00\x00", sent].concat()).unwrap();
    gate.entered(call[0]);
    server.stopper.stop();
    assert_eq!(server.end(), End::Aborted(Reason::Stopped));
    // It must not be over yet, for as long as this takes: so the test waits for what should not come.
    let begun = Instant::now();
    let thread = server.thread.replace(std::thread::spawn(|| {})).unwrap();
    while begun.elapsed() < Duration::from_millis(200) {
        assert!(!thread.is_finished(), "the server ended within {call:?}");
        std::thread::yield_now();
    }
    gate.go();
    thread.join().unwrap();
    assert!(is_reset(stream.read(&mut [0; 1])));
    let entries = std::fs::read_dir(server.dir.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_server_ends_when_nobody_works_for_it_any_more_and_leaves_no_temporary_file() {
    assert!(stop_within(&["write"], b"bo").is_empty());
    // Whole, though nobody was told: its peer was reset while it got its name.
    assert_eq!(stop_within(&["commit"], b"body"), ["a"]);
}
