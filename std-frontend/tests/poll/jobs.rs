//! Connections that end while another thread is at work for them.

use std::io::{Read, Write};
use std::time::Duration;

use anywire_core::event::End;
use anywire_core::request::Refusal;
use anywire_core::service::file::File;
use anywire_core::service::upload::Upload;
use anywire_core::session::Reason;
use anywire_std::engine::Options;

use crate::engine::hooked::serve_gated;
use crate::engine::uploads::{connect, head, name};
use crate::engine::{Watched, is_reset};

#[test]
fn an_answer_for_a_connection_that_is_gone_is_dropped_and_its_file_closed() {
    let (server, gate) = serve_gated(Options::default(), Watched(File), &["open", "close"]);
    std::fs::write(server.dir.path().join("a"), b"content").unwrap();
    let mut gone = server.connect();
    gone.write_all(b"a\n").unwrap();
    gate.entered("open");
    socket2::SockRef::from(&gone).set_linger(Some(Duration::ZERO)).unwrap();
    drop(gone);
    // The reset is noticed while the answer is still out.
    assert_eq!(server.end(), End::Reset);
    // The next connection takes the same slot, and must not get the first one's answer.
    let mut next = server.connect();
    next.write_all(b"absent\n").unwrap();
    gate.entered("open");
    // The first one's goes first.
    gate.go();
    gate.entered("close");
    gate.go();
    gate.go();
    assert!(is_reset(next.read(&mut [0; 1])));
    assert_eq!(server.end(), End::Aborted(Reason::Refused(Refusal::NotFound)));
}

#[test]
fn a_server_that_stops_aborts_a_body_that_another_thread_is_moving() {
    const CALLS: [&str; 3] = ["create", "expect", "write"];
    let options = Options { grace: std::time::Duration::from_millis(50), ..Options::default() };
    let (server, gate) = serve_gated(options, Watched(Upload), &CALLS);
    let mut peer = connect(server.addr);
    peer.write_all(&[name("a"), head(5), b"hell".to_vec()].concat()).unwrap();
    for call in CALLS {
        gate.entered(call);
        if call != "write" {
            gate.go();
        }
    }
    server.stopper.stop();
    // It is told at once, though the socket is another thread's.
    assert_eq!(server.end(), End::Aborted(Reason::Stopped));
    gate.go();
    let mut said = Vec::new();
    let reset = peer.read_to_end(&mut said).unwrap_err();
    assert_eq!((reset.kind(), said.as_slice()), (std::io::ErrorKind::ConnectionReset, &b"OK"[..]));
}
