//! The server's side of each service.

use anywire_core::event::End;
use anywire_core::name::NameError;
use anywire_core::ram::RamStore;
use anywire_core::request::{Refusal, Stop};
use anywire_core::service::{echo, file, hello};
use anywire_core::session::Reason;
use anywire_core::store::NoStore;

use super::play::{Play, Played, play};
use super::{ROOMS, cuts, name};

#[test]
fn echo_is_the_same_for_every_cut_and_every_room() {
    let input = b"every byte comes back";
    for cuts in cuts(input.len()) {
        for rooms in ROOMS {
            for (end_with_last, ring) in [(false, false), (true, false), (true, true)] {
                let given = Play { cuts: &cuts, rooms, end_with_last, ring, ..Play::of(input) };
                let played = play(echo::Session, &mut NoStore, &given);
                assert_eq!((played.end, &played.output[..]), (End::Finished, &input[..]));
                let told: String =
                    played.told.iter().map(|told| told.strip_prefix("data ").unwrap()).collect();
                assert_eq!(told.as_bytes(), input);
            }
        }
    }
}

#[test]
fn echo_of_nothing_is_nothing() {
    let played = play(echo::Session, &mut NoStore, &Play::of(b""));
    assert_eq!((played.end, played.output.len(), played.told.len()), (End::Finished, 0, 0));
    let silent = play(echo::Session, &mut NoStore, &Play { end: false, ..Play::of(b"") });
    assert_eq!((silent.end, silent.millis), (End::Idle, 302_000));
}

/// What hello answers to those pieces.
fn answers(pieces: &[&[u8]]) -> String {
    let answer = |piece: &&[u8]| {
        format!("I got \\\"{}\\\" from you and I am sending it back.", piece.escape_ascii())
    };
    pieces.iter().filter(|piece| !piece.is_empty()).map(answer).collect()
}

#[test]
fn hello_answers_each_piece_in_one_write() {
    let input = b"Hello,\xff\n\"world\"";
    for at in 0..=input.len() {
        let (front, back) = input.split_at(at);
        let cuts = [at, input.len() - at];
        let cuts: &[usize] = if at == 0 { &[] } else { &cuts };
        for rooms in ROOMS {
            let played = play(
                hello::Session::default(),
                &mut NoStore,
                &Play { cuts, rooms, ..Play::of(input) },
            );
            assert_eq!((played.end, played.text()), (End::Finished, answers(&[front, back])));
            assert_eq!(played.writes.len(), played.told.len());
        }
    }
}

#[test]
fn hello_byte_by_byte() {
    let played =
        play(hello::Session::default(), &mut NoStore, &Play { cuts: &[1], ..Play::of(b"abc") });
    assert_eq!(played.text(), answers(&[b"a", b"b", b"c"]));
    assert_eq!(played.told, ["message a", "message b", "message c"]);
}

#[test]
fn hello_splits_after_1024_bytes_and_answers_an_end_with_an_end() {
    let input = [b'x'; 2050];
    for (rooms, ring) in ROOMS.into_iter().flat_map(|rooms| [(rooms, false), (rooms, true)]) {
        let given = Play { rooms, ring, ..Play::of(&input) };
        let played = play(hello::Session::default(), &mut NoStore, &given);
        let pieces: Vec<&[u8]> = input.chunks(1024).collect();
        assert_eq!((played.end, played.text()), (End::Finished, answers(&pieces)));
    }
    let played = play(hello::Session::default(), &mut NoStore, &Play::of(b""));
    assert_eq!((played.end, played.output.len()), (End::Finished, 0));
}

fn files() -> RamStore<2, 4096> {
    let mut store = RamStore::new();
    store.put(name("photo"), b"the photo's bytes").unwrap();
    store
}

fn fetch(given: &Play<'_>) -> Played {
    let mut store = files();
    let played = play(file::Session::default(), &mut store, given);
    // Nobody has it open.
    store.put(name("photo"), b"").unwrap();
    assert_eq!(store.in_use(), 1);
    played
}

#[test]
fn a_file_is_the_same_for_every_cut_and_every_room() {
    for input in [&b"photo\n"[..], b"photo\r\n", b"photo", b"photo\nand more\n", b"photo\n\n\n"] {
        for cuts in cuts(input.len()) {
            for rooms in ROOMS {
                for (end_with_last, ring) in [(false, false), (true, false), (true, true)] {
                    let given = Play { cuts: &cuts, rooms, end_with_last, ring, ..Play::of(input) };
                    let played = fetch(&given);
                    assert_eq!(played.end, End::Finished, "{given:?}");
                    assert_eq!(played.output, b"the photo's bytes");
                    assert_eq!(played.told, ["opened photo of 17"]);
                    // With what ended it, and no more.
                    let name = input.iter().position(|&byte| byte == b'\n').map_or(5, |at| at + 1);
                    assert_eq!(played.received, name as u64);
                }
            }
        }
    }
}

#[test]
fn a_silence_ends_a_name_too() {
    let given = Play { end: false, ..Play::of(b"photo") };
    let played = fetch(&given);
    assert_eq!((played.end, &played.output[..]), (End::Finished, &b"the photo's bytes"[..]));
    // 100 ms of silence, 2 s of draining.
    assert_eq!(played.millis, 2100);
    // Just not silent enough, and then too silent.
    let slow = Play { cuts: &[1], gap: 100, ..Play::of(b"photo\n") };
    assert_eq!(fetch(&slow).end, End::Finished);
    let slower = Play { cuts: &[1], gap: 101, ..Play::of(b"photo\n") };
    assert_eq!(fetch(&slower).told, ["refused p: no such file"]);
}

#[test]
fn a_name_that_is_wrong_is_a_reset_and_never_an_end() {
    let long = [b'x'; 3000];
    let cases: [(&[u8], Refusal); 7] = [
        (b"\n", NameError::Empty.into()),
        (b"", NameError::Empty.into()),
        (b"../etc/passwd\n", NameError::Separator.into()),
        (b".photo", NameError::LeadingDot.into()),
        (b"\xff\xfe\n", NameError::NotUtf8 { at: 0 }.into()),
        (&long, NameError::TooLong { len: 1024 }.into()),
        (b"other\n", Refusal::NotFound),
    ];
    for (input, refusal) in cases {
        for cut in [1, 7, 5000] {
            let played = fetch(&Play { cuts: &[cut], ..Play::of(input) });
            assert_eq!(played.end, End::Aborted(Reason::Refused(refusal)), "{input:?}");
            assert!(played.output.is_empty());
            assert_eq!(played.told.len(), 1, "{:?}", played.told);
        }
    }
}

#[test]
fn a_file_that_stops_short_is_a_reset() {
    for stop in [Stop::FileShort, Stop::Reset, Stop::TimedOut, Stop::Store(Refusal::Failed)] {
        for moved in [0, 1, 16] {
            let given = Play { stop: Some((moved, stop)), rooms: &[3], ..Play::of(b"photo\n") };
            let played = fetch(&given);
            assert_eq!(played.end, End::Aborted(Reason::Cut { moved, stop }));
            assert_eq!(played.output.len() as u64, moved);
        }
    }
}
