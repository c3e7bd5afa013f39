//! Bodies that come in: through the system and through the program, beside others, up to the limit.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use anywire_core::event::End;
use anywire_core::request::{Refusal, Stop};
use anywire_core::schema::Schema;
use anywire_core::service::echo::Echo;
use anywire_core::service::typed::Typed;
use anywire_core::service::upload::Upload;
use anywire_core::session::Reason;
use anywire_std::engine::{Options, Server};
use anywire_std::folder::{FolderOptions, FolderStore};

use super::hooked::{Hooked, serve_gated};
use super::{TIMEOUT, Watched, is_reset, options, serve, serve_within};

pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

pub(crate) fn name(name: &str) -> Vec<u8> {
    let len = u16::try_from(name.len()).unwrap().to_le_bytes();
    [&[1], &len[..], name.as_bytes()].concat()
}

pub(crate) fn head(len: usize) -> Vec<u8> {
    [&[5], &u32::try_from(len).unwrap().to_le_bytes()[..]].concat()
}

fn content(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn whatever_a_store_is_busy_with_others_on_the_same_worker_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let inner = FolderStore::open(dir.path(), FolderOptions::default()).unwrap();
    const CALLS: [&str; 4] = ["create", "expect", "write", "commit"];
    let (store, gate) = Hooked::gated(inner, &CALLS);
    let mut server = Server::new(options(), store, Arc::new(())).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let upload = server.bind_stream(Watched(Upload), any).unwrap();
    let echo = server.bind_stream(Watched(Echo), any).unwrap();
    let stopper = server.stopper();
    let thread = std::thread::spawn(move || server.run().unwrap());

    let mut uploads = connect(upload);
    uploads.write_all(&[name("a"), head(5), b"hello".to_vec()].concat()).unwrap();
    uploads.shutdown(Shutdown::Write).unwrap();
    let mut other = connect(echo);
    for call in CALLS {
        gate.entered(call);
        for _ in 0..100 {
            other.write_all(b"ping").unwrap();
            other.read_exact(&mut [0; 4]).unwrap();
        }
        assert!(!dir.path().join("a").exists());
        gate.go();
    }
    let mut said = Vec::new();
    uploads.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"OK");
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"hello");
    stopper.stop();
    thread.join().unwrap();
}

/// Several turns of a body, sent in pieces of many sizes, with another pair behind it.
fn two_files(addr: SocketAddr, dir: &std::path::Path) {
    let large = content((17 << 20) + 12_345);
    let stream = [name("large"), head(large.len()), large.clone(), name("b"), head(1)].concat();
    let mut peer = connect(addr);
    let (mut left, mut piece) = (stream.as_slice(), 1);
    while !left.is_empty() {
        let (now, later) = left.split_at(left.len().min(piece));
        peer.write_all(now).unwrap();
        (left, piece) = (later, piece * 3 % 3_000_017);
    }
    // The name and what is behind the first body were answered in their turn.
    let mut said = [0; 4];
    peer.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"OKOK");
    assert!(std::fs::read(dir.join("large")).unwrap() == large);
    peer.write_all(b"x").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(std::fs::read(dir.join("b")).unwrap(), b"x");
}

#[test]
fn bodies_are_moved_by_the_system() {
    let server = serve(Options::default(), Watched(Upload));
    two_files(server.addr, server.dir.path());
    assert_eq!(server.end(), End::Finished);
}

#[test]
fn bodies_pass_through_the_program_where_the_system_cannot() {
    let (server, _) = serve_gated(Options::default(), Watched(Upload), &[]);
    two_files(server.addr, server.dir.path());
    assert_eq!(server.end(), End::Finished);
}

#[test]
fn a_body_to_the_end_of_the_stream_may_have_as_many_bytes_as_are_allowed() {
    const MAX: usize = 100_000;
    let typed = Watched(Typed { schema: Schema::Close });
    let folder = FolderOptions { max_file: MAX as u64, ..FolderOptions::default() };
    let server = serve_within(folder, Options::default(), typed, |store| store);
    let send = |len: usize| {
        let mut peer = connect(server.addr);
        peer.write_all(&[2]).unwrap();
        let _ = peer.write_all(&content(len));
        let _ = peer.shutdown(Shutdown::Write);
        peer.read(&mut [0; 1])
    };
    assert_eq!(send(MAX).unwrap(), 0);
    assert_eq!(server.end(), End::Finished);
    assert!(is_reset(send(MAX + 1)));
    let stop = Stop::Store(Refusal::TooLarge { max: MAX as u64 });
    assert_eq!(server.end(), End::Aborted(Reason::Cut { moved: MAX as u64, stop }));
    let files: Vec<_> = std::fs::read_dir(server.dir.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}
