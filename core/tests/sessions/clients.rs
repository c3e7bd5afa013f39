//! The client's side of each service.

use anywire_core::client::{echo, file, hello};
use anywire_core::event::End;
use anywire_core::ram::RamStore;
use anywire_core::request::{Refusal, Stop};
use anywire_core::session::Reason;
use anywire_core::store::NoStore;

use super::play::{Play, play};
use super::{cuts, name};

const TEXT: &[u8] = b"Test message. This will be echoed";

#[test]
fn echo_hears_parts_of_16_bytes_however_they_come() {
    // What comes behind the text is nobody's.
    let trailing = [TEXT, b"and more"].concat();
    for input in [TEXT, &trailing] {
        for cuts in cuts(input.len()) {
            for rooms in [&[0][..], &[1, 4], &[]] {
                let given = Play { cuts: &cuts, rooms, ..Play::of(input) };
                let played = play(echo::Session::new(TEXT), &mut NoStore, &given);
                assert_eq!((played.end, &played.output[..]), (End::Finished, TEXT));
                assert_eq!(
                    played.told,
                    ["data Test message. Th", "data is will be echoe", "data d"]
                );
            }
        }
    }
}

#[test]
fn echo_that_ends_early_is_a_failure() {
    for len in 0..TEXT.len() {
        for cuts in [&[][..], &[1], &[7]] {
            let given = Play { cuts, ..Play::of(&TEXT[..len]) };
            let played = play(echo::Session::new(TEXT), &mut NoStore, &given);
            let (got, want) = (len as u64, TEXT.len() as u64);
            assert_eq!(played.end, End::Aborted(Reason::EndedEarly { got, want }));
        }
    }
}

#[test]
fn echo_sends_no_more_than_a_window_ahead() {
    let text = [b'x'; 10_000];
    let given = Play { end: false, ..Play::of(b"") };
    let played = play(echo::Session::new(&text), &mut NoStore, &given);
    assert_eq!((played.end, played.output.len()), (End::Aborted(Reason::Idle), 4096));
    let played = play(echo::Session::new(&text), &mut NoStore, &Play::of(&text));
    assert_eq!((played.end, played.output.len()), (End::Finished, 10_000));
    assert_eq!(play(echo::Session::new(b""), &mut NoStore, &Play::of(b"")).end, End::Finished);
}

#[test]
fn hello_sends_its_text_in_any_room_and_tells_the_reply() {
    let long = [b'y'; 5000];
    for text in [&b"hello"[..], b"", &long] {
        for rooms in [&[0][..], &[1], &[]] {
            let given = Play { rooms, ..Play::of(b"I got it") };
            let played = play(hello::Session::new(Some(text)), &mut NoStore, &given);
            assert_eq!((played.end, &played.output[..]), (End::Finished, text));
            assert_eq!(played.told, ["message I got it"]);
        }
    }
}

#[test]
fn hello_makes_one_message_of_a_reply_that_comes_in_pieces() {
    let reply = b"I got \"x\" from you and I am sending it back.";
    let told = [format!("message {}", reply.escape_ascii())];
    for cuts in cuts(reply.len()) {
        for end_with_last in [false, true] {
            let given = Play { cuts: &cuts, end_with_last, gap: 150, ..Play::of(reply) };
            let played = play(hello::Session::new(Some(b"x")), &mut NoStore, &given);
            assert_eq!((played.end, &played.told[..]), (End::Finished, &told[..]));
        }
    }
}

#[test]
fn hello_does_not_wait_for_the_end_of_a_server_that_has_answered() {
    let given = Play { end: false, ..Play::of(b"reply") };
    let played = play(hello::Session::new(Some(b"x")), &mut NoStore, &given);
    assert_eq!((played.end, &played.told[..]), (End::Finished, &["message reply".into()][..]));
    // 200 ms of silence, 2 s of draining.
    assert_eq!(played.millis, 2200);
    // But a reply that is cut by its length goes on.
    let long = [b'r'; 4100];
    let played = play(hello::Session::new(Some(b"x")), &mut NoStore, &Play::of(&long));
    assert_eq!((played.end, played.told.len()), (End::Finished, 2));
    // And one that is just as long ends with a silence like any other.
    let given = Play { end: false, ..Play::of(&[b'r'; 4096]) };
    let played = play(hello::Session::new(Some(b"x")), &mut NoStore, &given);
    assert_eq!((played.end, played.told.len(), played.millis), (End::Finished, 1, 2200));
}

#[test]
fn hello_without_an_answer_is_a_failure() {
    let played = play(hello::Session::new(Some(b"x")), &mut NoStore, &Play::of(b""));
    assert_eq!(played.end, End::Aborted(Reason::NoAnswer));
    let given = Play { end: false, ..Play::of(b"") };
    let played = play(hello::Session::new(Some(b"x")), &mut NoStore, &given);
    assert_eq!(played.end, End::Aborted(Reason::Idle));
}

#[test]
fn hello_asks_for_what_it_was_not_told() {
    for (line, sent) in [(Some(&b"typed"[..]), &b"typed"[..]), (Some(b""), b""), (None, b"")] {
        for rooms in [&[0][..], &[]] {
            let given = Play { line, rooms, ..Play::of(b"reply") };
            let played = play(hello::Session::new(None), &mut NoStore, &given);
            assert_eq!((played.end, &played.output[..]), (End::Finished, sent));
        }
    }
}

fn fetch(store: &mut RamStore<2, 64>, given: &Play<'_>) -> End {
    play(file::Session::new(b"their name", name("mine")), store, given).end
}

#[test]
fn a_file_is_stored_the_same_for_every_cut_and_every_room() {
    let body = b"all of the file, and\nnothing else";
    for body in [&body[..], b""] {
        for cuts in cuts(body.len()) {
            for rooms in [&[0][..], &[2, 7], &[]] {
                for end_with_last in [false, true] {
                    let given = Play { cuts: &cuts, rooms, end_with_last, ..Play::of(body) };
                    let mut store = RamStore::<2, 64>::new();
                    let session = file::Session::new(b"their name", name("mine"));
                    let played = play(session, &mut store, &given);
                    assert_eq!(played.end, End::Finished);
                    assert_eq!(played.output, b"their name");
                    assert_eq!(played.told, [format!("stored {}", body.len())]);
                    assert_eq!(store.get(name("mine")), Some(body));
                }
            }
        }
    }
}

#[test]
fn a_file_that_came_in_part_leaves_nothing() {
    for stop in [Stop::Reset, Stop::TimedOut, Stop::Store(Refusal::Failed)] {
        let mut store = RamStore::new();
        let given = Play { stop: Some((0, stop)), ..Play::of(b"some") };
        assert_eq!(fetch(&mut store, &given), End::Aborted(Reason::Cut { moved: 0, stop }));
        assert_eq!(store.in_use(), 0);
    }
    let mut store = RamStore::new();
    let given = Play { cuts: &[10], ..Play::of(&[7; 65]) };
    let stop = Stop::Store(Refusal::TooLarge { max: 64 });
    assert_eq!(fetch(&mut store, &given), End::Aborted(Reason::Cut { moved: 64, stop }));
    assert_eq!(store.in_use(), 0);
    // A server that neither goes on nor ends.
    let mut store = RamStore::new();
    let given = Play { end: false, ..Play::of(b"some") };
    let stop = Stop::TimedOut;
    assert_eq!(fetch(&mut store, &given), End::Aborted(Reason::Cut { moved: 4, stop }));
    assert_eq!(store.in_use(), 0);
}

#[test]
fn what_fails_here_never_troubles_the_server() {
    let mut store = RamStore::<2, 64>::new();
    store.put(name("one"), b"").unwrap();
    store.put(name("two"), b"").unwrap();
    let played = play(file::Session::new(b"x", name("mine")), &mut store, &Play::of(b"body"));
    assert_eq!(played.end, End::Aborted(Reason::Refused(Refusal::Full)));
    assert_eq!((played.output.len(), played.untaken), (0, 4));
}
