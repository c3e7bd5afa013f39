//! The services, whole, over real frames.

use anywire_core::event::End;
use anywire_core::service::echo::Echo;
use anywire_core::service::file;
use anywire_core::service::hello::Hello;

use super::packets::{ethernet, inject};
use super::*;

const ECHO: u16 = 9900;
const HELLO: u16 = 65432;
const FILE: u16 = 6565;

fn all() -> Sim {
    Sim::new(|stack| {
        vec![
            pool(stack, Watched(Echo), 4, (4096, 4096), Settings::default()),
            pool(stack, Watched(Hello), 4, (2048, 2048), Settings::default()),
            pool(stack, Watched(file::File), 4, (2048, 4096), Settings::default()),
        ]
    })
}

#[test]
fn echo_gives_every_byte_back_and_ends_when_the_peer_does() {
    for len in [0, 1, 1459, 1460, 1461, 65_536] {
        let mut sim = all();
        let text = pattern(len);
        let at = sim.connect(ECHO);
        let peer = sim.peer(at);
        let (mut sent, mut got) = (0, Vec::new());
        while got.len() < len {
            let part = (len - sent).min(30_000);
            sim.send(at, &text[sent..sent + part]);
            sent += part;
            got.extend(sim.read_exact(at, part));
        }
        sim.shutdown(at);
        assert_eq!(sim.read_all(at), Ok(Vec::new()));
        assert_eq!(got, text);
        let len = len as u64;
        let told = [Told::Connected, Told::Ended(End::Finished, len, len)];
        assert_eq!(sim.log.of(peer), told);
        assert_eq!(sim.counts().listening, 4, "it listens again");
    }
}

#[test]
fn half_close_still_brings_every_reply_that_is_owed() {
    let mut sim = all();
    let text = pattern(40_000);
    let at = sim.connect(ECHO);
    sim.send(at, &text);
    sim.shutdown(at);
    assert_eq!(sim.read_all(at), Ok(text));
}

#[test]
fn hello_answers_what_one_receive_returned() {
    let mut sim = all();
    let at = sim.connect(HELLO);
    for name in ["Ali", "", "a longer one"].into_iter().filter(|name| !name.is_empty()) {
        sim.send(at, name.as_bytes());
        let reply = format!("I got \"{name}\" from you and I am sending it back.");
        assert_eq!(sim.read_exact(at, reply.len()), reply.as_bytes());
    }
    sim.shutdown(at);
    assert_eq!(sim.read_all(at), Ok(Vec::new()));
}

#[test]
fn file_is_sent_whole_and_its_end_says_so() {
    for len in [0, 1, 55_696] {
        let mut sim = all();
        let bytes = pattern(len);
        sim.file("some.bin", &bytes);
        let at = sim.connect(FILE);
        let peer = sim.peer(at);
        sim.send(at, b"some.bin");
        sim.shutdown(at);
        assert_eq!(sim.read_all(at), Ok(bytes));
        let ended = Told::Ended(End::Finished, 8, len as u64);
        assert_eq!(sim.log.of(peer).last(), Some(&ended));
        sim.file("some.bin", b"newer");
        assert_eq!(sim.net.a.store.in_use(), 1, "nobody reads the old one any more");
    }
}

#[test]
fn a_name_is_whole_after_a_silence_too_and_an_answer_beats_a_peer_that_stays() {
    let mut sim = all();
    sim.file("some.bin", b"content");
    let at = sim.connect(FILE);
    sim.send(at, b"some");
    sim.net.run(MS * 50);
    sim.send(at, b".bin");
    let before = sim.net.now();
    assert_eq!(sim.read_all(at), Ok(b"content".to_vec()));
    let waited = sim.net.now().saturating_since(before);
    assert!(waited >= MS * 99 && waited < MS * 120, "{waited:?}");
}

#[test]
fn a_file_that_is_not_there_is_a_reset_and_not_an_empty_file() {
    for name in ["nothing.bin", "../secret", ".hidden"] {
        let mut sim = all();
        let at = sim.connect(FILE);
        sim.send(at, name.as_bytes());
        sim.shutdown(at);
        assert_eq!(sim.read_all(at), Err(StreamError::Reset), "{name}");
        sim.net.run(MS * 10);
        assert!(matches!(sim.log.ends()[..], [End::Aborted(_)]));
    }
}

#[test]
fn the_same_run_is_the_same_to_the_byte() {
    let run = |text: &[u8]| {
        let mut sim = all();
        let at = sim.connect(ECHO);
        sim.send(at, text);
        sim.read_exact(at, text.len());
        (sim.net.wire.trace(), sim.net.wire.frames(), sim.net.now())
    };
    assert_eq!(run(b"text"), run(b"text"));
    assert_ne!(run(b"text"), run(b"texT"));
}

#[test]
fn ipv6_works_as_ipv4_does() {
    let mut sim = all();
    let at = sim.stream(4096, 4096);
    let peer: SocketAddr = format!("[fd00::1]:{ECHO}").parse().unwrap();
    sim.streams[at].connect(&mut sim.net.b.stack, peer, 0).unwrap();
    sim.connected(at).unwrap();
    sim.send(at, b"six");
    assert_eq!(sim.read_exact(at, 3), b"six");
}

#[test]
fn a_reply_leaves_on_the_acknowledgement_without_a_delay() {
    let mut sim = all();
    sim.net.wire.link(Side::A).delay = MS;
    sim.net.wire.link(Side::B).delay = MS;
    let at = sim.connect(ECHO);
    sim.net.run(SECOND);
    let (before, frames) = (sim.net.now(), sim.net.wire.frames());
    for _ in 0..10 {
        sim.send(at, b"ping");
        sim.read_exact(at, 4);
    }
    assert_eq!(sim.net.now().saturating_since(before), MS * 20);
    // Question, answer; the acknowledgement rides on the next question, or has a frame of its own.
    assert!(sim.net.wire.frames() - frames <= 30);
}

/// The rest of a name arrives just when silence would end it, behind more frames than the stack takes at once.
#[test]
fn what_has_arrived_beats_a_deadline_though_other_frames_come_first() {
    for others in [255, 256, 257, 600] {
        let mut sim = all();
        sim.file("name", b"content");
        let at = sim.connect(FILE);
        let silence = sim.net.now() + MS * 100;
        sim.send(at, b"na");
        sim.net.run(MS);
        for _ in 0..others {
            inject(&mut sim, &ethernet(9, b"no packet"));
        }
        assert_eq!(sim.streams[at].write(&mut sim.net.b.stack, b"me\n"), Poll::Ready(Ok(3)));
        sim::Station::poll(&mut sim.net.b, silence, &mut sim.net.wire.end(Side::B));
        sim::Station::poll(&mut sim.net.a, silence, &mut sim.net.wire.end(Side::A));
        assert_eq!(sim.read_all(at).unwrap(), b"content", "{others}");
    }
}

#[test]
fn bodies_go_into_the_store_and_nothing_behind_them() {
    use anywire_core::service::upload::Upload;
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(Upload), 1, (8192, 2048), Settings::default())]);
    let at = sim.connect(Upload::ABOUT.port);
    let bodies = [pattern(30_000), Vec::new(), pattern(5000)];
    for (name, body) in ["a", "b", "c"].into_iter().zip(&bodies) {
        sim.send(at, &[&[1, 1, 0], name.as_bytes()].concat());
        assert_eq!(sim.read_exact(at, 2), b"OK");
        let len = (body.len() as u32).to_le_bytes();
        // In pieces, of which the first one is the head and a byte of the body.
        let all = [&[5], &len[..], body].concat();
        let (front, back) = all.split_at(all.len().min(6));
        sim.send(at, front);
        sim.net.run(MS);
        sim.send(at, back);
    }
    sim.shutdown(at);
    assert_eq!(sim.read_all(at), Ok(Vec::new()));
    for (name, body) in ["a", "b", "c"].into_iter().zip(&bodies) {
        let name = FileName::new(name.as_bytes()).unwrap();
        assert!(sim.net.a.store.get(name) == Some(&body[..]), "{name}");
    }
    // A body that does not come to its end is not stored, and its place is free again.
    let at = sim.connect(Upload::ABOUT.port);
    sim.send(at, b"\x01\x01\0d");
    assert_eq!(sim.read_exact(at, 2), b"OK");
    sim.send(at, b"\x05\xff\0\0\0short");
    sim.shutdown(at);
    assert_eq!(sim.read_all(at), Err(StreamError::Reset));
    assert_eq!((sim.net.a.store.len(), sim.net.a.store.in_use()), (3, 3));
}
