//! Stores of the tests' own: slow ones, others, and files that change.

use std::io::{ErrorKind, Read, Write};

use anywire_core::event::End;
use anywire_core::request::Stop;
use anywire_core::service::file::File;
use anywire_core::session::Reason;
use anywire_std::engine::Options;

use super::hooked::serve_gated;
use super::{Watched, serve};

#[test]
fn files_that_cannot_be_sent_by_the_system_are_copied() {
    let server = serve_gated(Options::default(), Watched(File), &[]).0;
    let content: Vec<u8> = (0..3_000_000u32).map(|i| ((i * 13) >> 2) as u8).collect();
    std::fs::write(server.dir.path().join("a"), &content).unwrap();
    let mut stream = server.connect();
    stream.write_all(b"a\n").unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert!(got == content);
}

#[test]
fn a_file_that_grows_is_sent_as_long_as_it_was() {
    const LEN: u64 = 32 << 20;
    let server = serve(Options::default(), Watched(File));
    let file = std::fs::File::create(server.dir.path().join("a")).unwrap();
    // The last piece is no whole one.
    file.set_len(LEN - 1000).unwrap();
    let mut stream = server.connect();
    stream.write_all(b"a\n").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    // It is open, and so much is not on its way yet.
    file.set_len(LEN).unwrap();
    let rest = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    assert_eq!(rest, LEN - 1000 - 1);
    assert_eq!(server.end(), End::Finished);
}

#[test]
fn a_file_that_becomes_shorter_is_a_reset() {
    let server = serve(Options::default(), Watched(File));
    let path = server.dir.path().join("a");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    let mut stream = server.connect();
    stream.write_all(b"a\n").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    file.set_len(1000).unwrap();
    let mut got = Vec::new();
    let error = stream.read_to_end(&mut got).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(matches!(server.end(), End::Aborted(Reason::Cut { stop: Stop::FileShort, .. })));
}
