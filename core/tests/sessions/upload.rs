//! upload, its server's side and its client's, and what the one makes of the other.

use anywire_core::client;
use anywire_core::event::End;
use anywire_core::frame::FrameError;
use anywire_core::ram::RamStore;
use anywire_core::request::{Refusal, Stop};
use anywire_core::schema::{SIZED, Schema};
use anywire_core::service::upload;
use anywire_core::session::Reason;

use super::play::{Play, Played, play};
use super::{ROOMS, cuts, name};

type Files = RamStore<4, 300>;

/// With an older version of `a`.
fn files() -> Files {
    let mut store = Files::new();
    store.put(name("a"), b"older").unwrap();
    store
}

/// Plays the service, and sees that every file was given back.
fn serve(given: &Play<'_>) -> (Played, Files) {
    let mut store = files();
    let played = play(upload::Session::default(), &mut store, given);
    assert_eq!(store.in_use(), store.len(), "{given:?}");
    (played, store)
}

/// Plays it with every cut, in every room.
fn serve_all(input: &[u8], check: impl Fn(&Played, &Files)) {
    for cuts in cuts(input.len()) {
        for rooms in ROOMS {
            for (end_with_last, ring) in [(false, false), (true, false), (true, true)] {
                let given = Play { cuts: &cuts, rooms, end_with_last, ring, ..Play::of(input) };
                let (played, store) = serve(&given);
                check(&played, &store);
            }
        }
    }
}

const A: &[u8] = b"\x01\x01\0a";
const B: &[u8] = b"\x01\x01\0b";

#[test]
fn files_are_stored_the_same_for_every_cut_and_every_room() {
    let input = [A, b"\x03\x05\0newer", B, b"\x06\0\0\0\0\0\0\0\0", A, b"\x02\x04last"].concat();
    serve_all(&input, |played, store| {
        assert_eq!((played.end, played.text().as_str()), (End::Finished, "OKOKOK"));
        assert_eq!(played.writes, [2, 2, 2], "an answer is one write");
        let told = ["created a", "stored 5", "created b", "stored 0", "created a", "stored 4"];
        assert_eq!(played.told, told);
        assert_eq!(store.get(name("a")), Some(&b"last"[..]));
        assert_eq!(store.get(name("b")), Some(&b""[..]));
        assert_eq!(played.received, input.len() as u64);
    });
}

#[test]
fn a_name_that_is_refused_is_answered_in_words_and_the_rest_is_nobodys() {
    let input = [A, b"\x02\x05newer", b"\x01\x03\0../", b"\x02\x04more", B].concat();
    serve_all(&input, |played, store| {
        let text = "OKERR a name has no / or \\\\ in it\\n";
        assert_eq!((played.end, played.text().as_str()), (End::Finished, text));
        let told = ["created a", "stored 5", "refused ../: a name has no / or \\ in it"];
        assert_eq!(played.told, told);
        assert_eq!((store.get(name("a")), store.len()), (Some(&b"newer"[..]), 1));
    });
}

/// Every prefix of a conversation, with the end behind it: nothing is stored that was not whole.
#[test]
fn an_end_anywhere_stores_what_was_whole() {
    let input = [A, b"\x02\x05newer", B, b"\x04\x03\0\0abc"].concat();
    // What is whole after so many bytes: names and files.
    for len in 0..=input.len() {
        let front = &input[..len];
        let (a, b) = (len >= 11, len == input.len());
        let end = match len {
            0 | 11 | 22 => End::Finished,
            1..4 | 12..15 => {
                let got = (len - if len < 12 { 0 } else { 11 }) as u64;
                let want = if got < 3 { 3 } else { 4 };
                End::Aborted(Reason::Frame(FrameError::Ended { got, want }))
            }
            4 | 15 => End::Aborted(Reason::Frame(FrameError::Ended { got: 0, want: 2 })),
            5 => End::Aborted(Reason::Frame(FrameError::Ended { got: 1, want: 2 })),
            16..19 => {
                let got = len as u64 - 15;
                End::Aborted(Reason::Frame(FrameError::Ended { got, want: 4 }))
            }
            _ => {
                let moved = (len - if len < 11 { 6 } else { 19 }) as u64;
                End::Aborted(Reason::Cut { moved, stop: Stop::Ended })
            }
        };
        for cuts in [&[][..], &[1], &[3]] {
            for end_with_last in [false, true] {
                let (played, store) = serve(&Play { cuts, end_with_last, ..Play::of(front) });
                assert_eq!(played.end, end, "after {len} bytes");
                let expected = if a { &b"newer"[..] } else { b"older" };
                assert_eq!(store.get(name("a")), Some(expected), "after {len} bytes");
                assert_eq!(store.get(name("b")), b.then_some(&b"abc"[..]));
            }
        }
    }
}

#[test]
fn what_is_no_message_is_an_abort_in_every_room() {
    let tag = |found, allowed| Reason::Frame(FrameError::Tag { found, allowed });
    let (names, datas) = (SIZED.only(0, 1).rows, Schema::Sized.data().rows);
    let long = FrameError::TooLong { name: "STRING", len: 4097, max: 4096 };
    let too_large = Stop::Store(Refusal::TooLarge { max: 300 });
    let cases: [(&[u8], Reason); 7] = [
        (b"\x02\x01x", tag(2, names)),
        (b"\0", tag(0, names)),
        (b"\x01\x01\0a\x01\x01\0b", tag(1, datas)),
        (b"\x01\x01\0a\x10", tag(16, datas)),
        (b"\x01\x01\x10", Reason::Frame(long)),
        (b"\x01\x01\0a\x03\x2d\x01xx", Reason::Cut { moved: 0, stop: too_large }),
        (
            b"\x01\x01\0a\x06\xff\xff\xff\xff\xff\xff\xff\xffxx",
            Reason::Cut { moved: 0, stop: too_large },
        ),
    ];
    for (input, reason) in cases {
        serve_all(input, |played, store| {
            assert_eq!(played.end, End::Aborted(reason));
            assert_eq!((store.get(name("a")), store.len()), (Some(&b"older"[..]), 1));
        });
    }
}

#[test]
fn a_silence_ends_the_conversation_as_its_stage_has_it() {
    let timed_out = |moved| End::Aborted(Reason::Cut { moved, stop: Stop::TimedOut });
    // A head counts from its first byte; 10 s and 300 s, and 2 s for the peer's end.
    let cases: [(&[u8], End, u64); 7] = [
        (b"", End::Idle, 302_000),
        (b"\x01\x01", End::Aborted(Reason::HeadTimeout), 10_000),
        (A, End::Aborted(Reason::Idle), 300_000),
        (b"\x01\x01\0a\x04\x01", End::Aborted(Reason::HeadTimeout), 10_000),
        (b"\x01\x01\0a\x02\x05", timed_out(0), 300_000),
        (b"\x01\x01\0a\x02\x05newe", timed_out(4), 300_000),
        (b"\x01\x01\0a\x02\x05newer", End::Idle, 302_000),
    ];
    for (input, end, millis) in cases {
        for cuts in [&[][..], &[1]] {
            let (played, store) = serve(&Play { cuts, end: false, ..Play::of(input) });
            assert_eq!((played.end, played.millis), (end, millis), "{}", input.escape_ascii());
            let expected = if input.ends_with(b"r") { b"newer" } else { b"older" };
            assert_eq!(store.get(name("a")), Some(&expected[..]));
        }
    }
}

#[test]
fn a_body_that_stops_is_an_abort_and_leaves_nothing() {
    let input = [A, b"\x02\x05newer", B, b"\x02\x04more"].concat();
    for stop in [Stop::Reset, Stop::TimedOut, Stop::Store(Refusal::Full)] {
        for after in 0..9 {
            let (played, store) = serve(&Play { stop: Some((after, stop)), ..Play::of(&input) });
            let moved = if after < 5 { after } else { after - 5 };
            assert_eq!(played.end, End::Aborted(Reason::Cut { moved, stop }));
            let expected = if after < 5 { &b"older"[..] } else { b"newer" };
            assert_eq!((store.get(name("a")), store.len()), (Some(expected), 1));
        }
    }
}

/// The client's files: `mine` and `empty`.
fn mine() -> Files {
    let mut store = Files::new();
    store.put(name("mine"), &[7; 300]).unwrap();
    store.put(name("empty"), b"").unwrap();
    store
}

const SENT: &[&[u8]] = &[b"\x01\x04\0mine\x03\x2c\x01", &[7; 300], b"\x01\x05\0empty\x02\0"];

fn ask(given: &Play<'_>) -> Played {
    let mut store = mine();
    let played = play(client::upload::Session::new(), &mut store, given);
    assert_eq!((store.in_use(), store.len()), (2, 2), "{given:?}");
    store.put(name("mine"), b"").unwrap();
    assert_eq!(store.in_use(), 2, "the file is open still");
    played
}

#[test]
fn the_client_tells_a_file_as_stored_when_that_is_proven() {
    for cuts in cuts(4) {
        for rooms in ROOMS {
            for end_with_last in [false, true] {
                let more: &[&[u8]] = &[b"empty"];
                let given = Play {
                    line: Some(b"mine"),
                    more,
                    cuts: &cuts,
                    rooms,
                    end_with_last,
                    polite: true,
                    ..Play::of(b"OKOK")
                };
                let played = ask(&given);
                assert_eq!((played.end, &played.output), (End::Finished, &SENT.concat()));
                let told = ["opened mine of 300", "stored 300", "opened empty of 0", "stored 0"];
                // A server may say more than it was asked, and sooner; what it proves is the file before.
                assert_eq!(played.told.len(), 4);
                assert!(told.iter().all(|told| played.told.contains(&(*told).into())));
                let at = |what: &str| played.told.iter().position(|told| told == what);
                assert!(at("opened mine of 300") < at("stored 300"));
                assert!(at("stored 300") < at("stored 0"));
            }
        }
    }
}

#[test]
fn a_name_that_is_wrong_here_is_told_and_the_next_asked_for() {
    let long = [b'n'; 256];
    let more: &[&[u8]] = &[b"absent", &long, b"", b"empty"];
    let given = Play { line: Some(b"a/b"), more, polite: true, ..Play::of(b"OK") };
    let played = ask(&given);
    assert_eq!((played.end, &played.output[..]), (End::Finished, &b"\x01\x05\0empty\x02\0"[..]));
    let told = [
        "refused a/b: a name has no / or \\ in it".into(),
        "refused absent: no such file".into(),
        format!("refused {}: the name has 256 bytes, 255 are allowed", "n".repeat(256)),
        "refused : a name is needed".into(),
        "opened empty of 0".into(),
        "stored 0".into(),
    ];
    assert_eq!(played.told, told);
}

#[test]
fn what_the_server_declines_is_told_in_its_words() {
    for (answer, words) in
        [(&b"ERR no room left\n"[..], "no room left"), (b"ERR why", "why"), (b"ERR \nx", "")]
    {
        for cuts in cuts(answer.len()) {
            let more: &[&[u8]] = &[b"empty"];
            let given = Play { line: Some(b"mine"), more, cuts: &cuts, ..Play::of(answer) };
            let played = ask(&given);
            assert_eq!((played.end, &played.output[..]), (End::Finished, &SENT[0][..7]));
            assert_eq!(played.told, ["opened mine of 300".into(), format!("declined {words}")]);
        }
    }
    // `ERR` proves the file before it.
    let more: &[&[u8]] = &[b"empty"];
    let played =
        ask(&Play { line: Some(b"mine"), more, cuts: &[2, 50], ..Play::of(b"OKERR no\n") });
    assert_eq!(played.end, End::Finished);
    let told = ["opened mine of 300", "opened empty of 0", "declined no", "stored 300"];
    assert_eq!(played.told, told);
}

#[test]
fn an_answer_that_is_none_is_a_failure_and_proves_nothing() {
    for (answer, reason) in [
        (&b""[..], Reason::NoAnswer),
        (b"O", Reason::NoAnswer),
        (b"ER", Reason::NoAnswer),
        (b"NO", Reason::WrongAnswer),
        (b"ERROR", Reason::WrongAnswer),
    ] {
        for cuts in [&[][..], &[1]] {
            let played = ask(&Play { line: Some(b"mine"), cuts, ..Play::of(answer) });
            assert_eq!(played.end, End::Aborted(reason), "{}", answer.escape_ascii());
            let (first, said) = played.told.split_first().unwrap();
            assert_eq!(first, "opened mine of 300");
            // What it said instead is told.
            assert_eq!(said.len(), usize::from(reason == Reason::WrongAnswer), "{said:?}");
        }
    }
    // Its end comes before ours: that says nothing of the file.
    let played = ask(&Play { line: Some(b"mine"), ..Play::of(b"OK") });
    assert_eq!(played.end, End::Aborted(Reason::NoAnswer));
    assert_eq!(played.told, ["opened mine of 300"]);
    // It takes the body, and never says that it has it.
    let played = ask(&Play { line: Some(b"mine"), end: false, ..Play::of(b"OK") });
    assert_eq!(played.end, End::Aborted(Reason::Idle));
    assert_eq!(played.told, ["opened mine of 300"]);
    // The connection, or the file, fails within it.
    for stop in [Stop::Reset, Stop::FileShort, Stop::TimedOut, Stop::Store(Refusal::Failed)] {
        let given = Play { line: Some(b"mine"), stop: Some((60, stop)), ..Play::of(b"OK") };
        let played = ask(&given);
        assert_eq!(played.end, End::Aborted(Reason::Cut { moved: 50, stop }));
        assert_eq!(played.told, ["opened mine of 300"]);
    }
}

#[test]
fn what_the_client_sends_the_server_stores() {
    let more: &[&[u8]] = &[b"empty"];
    let sent =
        ask(&Play { line: Some(b"mine"), more, rooms: &[0, 7], polite: true, ..Play::of(b"OKOK") });
    for cuts in [vec![], vec![1], vec![10, 300]] {
        let (played, store) = serve(&Play { cuts: &cuts, ..Play::of(&sent.output) });
        assert_eq!((played.end, played.text().as_str()), (End::Finished, "OKOK"));
        assert_eq!(store.get(name("mine")), Some(&[7; 300][..]));
        assert_eq!(store.get(name("empty")), Some(&b""[..]));
    }
}
