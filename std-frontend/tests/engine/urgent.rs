//! Urgent data: to us it is data like any other, and the rest of the stream is not lost behind it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;

use anywire_core::event::End;
use anywire_core::schema::Schema;
use anywire_core::service::echo::Echo;
use anywire_core::service::typed::Typed;
use anywire_std::engine::Options;
use socket2::SockRef;

use super::{Watched, serve};

fn send_around_an_urgent_byte(peer: &mut TcpStream, before: &[u8], after: &[u8]) {
    peer.write_all(before).unwrap();
    assert_eq!(SockRef::from(&*peer).send_out_of_band(b"!").unwrap(), 1);
    peer.write_all(after).unwrap();
}

/// How long the files in there are.
fn lens(dir: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(dir).unwrap();
    // One that has just got another name is no more there under this one.
    entries.filter_map(|entry| Some(entry.unwrap().metadata().ok()?.len())).collect()
}

#[test]
fn a_body_is_whole_with_its_urgent_byte_and_what_comes_behind_it() {
    let server = serve(Options::default(), Watched(Typed { schema: Schema::Close }));
    for round in 0..20 {
        let mut peer = server.connect();
        peer.write_all(b"\x02").unwrap();
        if round % 2 == 0 {
            // So that the body is already being moved: this much of it is in the file.
            peer.write_all(&[b'a'; 10_000]).unwrap();
            while lens(server.dir.path()) != [10_000] {
                std::thread::yield_now();
            }
        }
        send_around_an_urgent_byte(&mut peer, &[b'b'; 1000], &[b'c'; 5000]);
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(server.end(), End::Finished);
        let whole = if round % 2 == 0 { 16_001 } else { 6001 };
        for file in std::fs::read_dir(server.dir.path()).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), whole, "round {round}");
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn what_comes_behind_an_urgent_byte_comes_back_at_once() {
    let server = serve(Options::default(), Watched(Echo));
    for _ in 0..50 {
        let mut peer = server.connect();
        send_around_an_urgent_byte(&mut peer, b"abc", b"def");
        let mut back = [0; 7];
        peer.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"abc!def");
    }
}
