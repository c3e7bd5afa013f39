//! Clients that ask, or take turns: date, message, greet, fixed, knock.

use anywire_core::client::{date, fixed, greet, knock, message};
use anywire_core::event::End;
use anywire_core::session::{Reason, Session};
use anywire_core::store::NoStore;

use super::play::{Play, Played, play};
use super::{ROOMS, cuts};

/// Plays it with every cut and every room, ends with the last byte and behind it, and expects the same of each.
fn always(given: &Play<'_>, run: impl Fn(&Play<'_>) -> Played, check: impl Fn(&Played)) {
    for cuts in cuts(given.input.len()) {
        for rooms in ROOMS {
            for (end_with_last, ring) in [(false, false), (true, false), (true, true)] {
                let given = Play { cuts: &cuts, rooms, end_with_last, ring, ..given.clone() };
                check(&run(&given));
            }
        }
    }
}

fn run<S: Session>(session: S, given: &Play<'_>) -> Played {
    play(session, &mut NoStore, given)
}

#[test]
fn date_asks_and_tells_what_comes_to_the_newline_or_the_end() {
    let told = ["message 2026-11-21T09:30:00+01:00"];
    for input in [
        &b"2026-11-21T09:30:00+01:00\n"[..],
        b"2026-11-21T09:30:00+01:00\r\n",
        b"2026-11-21T09:30:00+01:00",
        b"2026-11-21T09:30:00+01:00\nand more",
    ] {
        let ask = |given: &Play<'_>| run(date::Session::default(), given);
        always(&Play::of(input), ask, |played| {
            assert_eq!(
                (played.end, &played.told[..]),
                (End::Finished, &told.map(String::from)[..])
            );
            assert_eq!(played.text(), "What time is it?");
        });
    }
    // It does not wait for the end behind a newline, nor take silence for one.
    let given = Play { end: false, ..Play::of(b"12:00\n") };
    assert_eq!(run(date::Session::default(), &given).end, End::Finished);
    let given = Play { cuts: &[3], gap: 1000, ..Play::of(b"12:00\n") };
    assert_eq!(run(date::Session::default(), &given).told, ["message 12:00"]);
}

#[test]
fn date_without_an_answer_is_a_failure() {
    let session = date::Session::default;
    assert_eq!(run(session(), &Play::of(b"")).end, End::Aborted(Reason::NoAnswer));
    for input in [&b""[..], b"12:"] {
        let given = Play { end: false, ..Play::of(input) };
        assert_eq!(run(session(), &given).end, End::Aborted(Reason::Idle));
    }
    let played = run(session(), &Play::of(&[b'x'; 1024]));
    assert_eq!((played.end, played.told.len()), (End::Aborted(Reason::WrongAnswer), 0));
    let longest = [&[b'x'; 1023][..], b"\n"].concat();
    assert_eq!(run(session(), &Play::of(&longest)).end, End::Finished);
}

#[test]
fn message_takes_turns_and_a_silence_ends_a_reply() {
    let given = Play {
        line: Some(b"a"),
        more: &[b"", b"c"],
        cuts: &[10, 9, 10],
        gap: 300,
        ..Play::of(b"Message: aMessage: Message: c")
    };
    for rooms in ROOMS {
        let played = run(message::Session::default(), &Play { rooms, ..given.clone() });
        assert_eq!((played.end, played.text()), (End::Finished, "a\\n\\nc\\n".into()));
        assert_eq!(played.told, ["message Message: a", "message Message: ", "message Message: c"]);
        assert_eq!(played.writes, [2, 1, 2]);
    }
}

#[test]
fn message_makes_one_reply_of_what_comes_in_pieces() {
    let one = Play { line: Some(b"x"), gap: 3, ..Play::of(b"Message: x") };
    let talk = |given: &Play<'_>| run(message::Session::default(), given);
    for end in [true, false] {
        always(&Play { end, ..one.clone() }, talk, |played| {
            assert_eq!((played.end, played.text()), (End::Finished, "x\\n".into()));
            assert_eq!(played.told, ["message Message: x"]);
        });
    }
    // The rest of a reply that paused for too long is shown, too.
    let given = Play { cuts: &[4], gap: 390, ..one };
    assert_eq!(talk(&given).told, ["message Mess", "message age:"]);
}

#[test]
fn message_finishes_when_there_are_no_lines_or_no_server() {
    let talk = |given: &Play<'_>| run(message::Session::default(), given);
    let played = talk(&Play { end: false, ..Play::of(b"") });
    assert_eq!((played.end, played.output.len()), (End::Finished, 0));
    // One answer, and the end: the second line is never asked for.
    let given = Play { line: Some(b"a"), more: &[b"b"], ..Play::of(b"only") };
    let played = talk(&given);
    assert_eq!((played.end, played.text()), (End::Finished, "a\\n".into()));
    // An end before the answer, and none at all.
    let given = Play { line: Some(b"a"), ..Play::of(b"") };
    assert_eq!(talk(&given).end, End::Aborted(Reason::NoAnswer));
    let given = Play { end: false, ..given };
    assert_eq!(talk(&given).end, End::Aborted(Reason::Idle));
}

#[test]
fn message_cuts_lines_and_tells_long_replies_in_pieces() {
    let long = [b'l'; 5000];
    let reply = [b'r'; 8192 + 10];
    let given = Play { line: Some(&long), end: false, ..Play::of(&reply) };
    let played = run(message::Session::default(), &given);
    assert_eq!((played.end, played.output.len()), (End::Finished, 4097));
    let lens: Vec<_> = played.told.iter().map(|told| told.len() - "message ".len()).collect();
    assert_eq!(lens, [8192, 10]);
    let given = Play { input: &reply[..8192], ..given };
    let played = run(message::Session::default(), &given);
    assert_eq!((played.end, played.told.len()), (End::Finished, 1));
}

#[test]
fn greet_takes_turns_and_answers_end_at_lf() {
    let given = Play {
        line: Some(b"Hello"),
        more: &[b"", b"\xffx"],
        ..Play::of(b"Hello Ali\r\n Ali\n\xff\xffx Ali\r\n")
    };
    let talk = |given: &Play<'_>| run(greet::Session::new(), given);
    let check = |played: &Played| {
        assert_eq!(played.end, End::Finished);
        assert_eq!(played.told, ["message Hello Ali", "message  Ali", "message \\xffx Ali"]);
    };
    always(&Play { polite: true, ..given.clone() }, talk, check);
    let played = talk(&Play { polite: true, ..given.clone() });
    assert_eq!((played.text(), played.writes), ("Hello\\n\\n\\xff\\xffx\\n".into(), vec![6, 1, 4]));
    // What nobody has asked for is shown behind the rest, and not waited for.
    let given = Play { line: Some(b"x"), more: &[], end: false, ..given };
    check(&talk(&given));
    assert_eq!(talk(&given).millis, 2200);
}

#[test]
fn greet_leaves_out_what_is_telnets() {
    // WILL ECHO, then a subnegotiation with a newline in it, then the answer.
    let input = b"\xff\xfb\x01\xff\xfa\x18\n\xff\xf0Hi Ali\r\n";
    let given = Play { line: Some(b"Hi"), ..Play::of(input) };
    let talk = |given: &Play<'_>| run(greet::Session::new(), given);
    always(&given, talk, |played| {
        assert_eq!((played.end, &played.told[..]), (End::Finished, &["message Hi Ali".into()][..]));
    });
}

#[test]
fn greet_without_an_answer_is_a_failure_and_one_without_a_newline_is_not() {
    let talk = |given: &Play<'_>| run(greet::Session::new(), given);
    let given = Play { line: Some(b"Hi"), more: &[b"again"], ..Play::of(b"Hi Ali") };
    let played = talk(&given);
    assert_eq!((played.end, &played.told[..]), (End::Finished, &["message Hi Ali".into()][..]));
    let given = Play { input: b"", ..given };
    assert_eq!(talk(&given).end, End::Aborted(Reason::NoAnswer));
    let given = Play { input: b"Hi Ali", end: false, ..given };
    assert_eq!(talk(&given).end, End::Aborted(Reason::Idle));
    let long = [b'x'; 2049];
    let played = talk(&Play { input: &long, ..given.clone() });
    assert_eq!(played.end, End::Aborted(Reason::WrongAnswer));
    let longest = [&long[..2048], b"\n"].concat();
    let played = talk(&Play { input: &longest, more: &[], end: true, ..given });
    assert_eq!((played.end, played.told.len()), (End::Finished, 1));
    // The longest line, of bytes that telnet doubles.
    let line = [0xff; 2000];
    let played = talk(&Play { line: Some(&line), more: &[], ..Play::of(b"\n") });
    assert_eq!((played.end, played.output.len()), (End::Finished, 2 * 1023 + 1));
}

fn send(len: usize, given: &Play<'_>) -> Played {
    let mut room = vec![b'?'; len];
    run(fixed::Session::new(&mut room), given)
}

#[test]
fn fixed_sends_whole_messages_and_they_come_back() {
    let given = Play { line: Some(b"abcd"), more: &[b"e"], ..Play::of(b"abcde\0\0\0") };
    always(
        &given,
        |given| send(4, given),
        |played| {
            assert_eq!((played.end, played.text()), (End::Finished, "abcde\\x00\\x00\\x00".into()));
            assert_eq!(played.told, ["message abcd", "message e\\x00\\x00\\x00"]);
            assert_eq!(played.writes, [4, 4]);
        },
    );
    for len in [1, 1234, 65_536] {
        let body: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let given = Play { cuts: &[1000], line: Some(&body), ..Play::of(&body) };
        let played = send(len, &given);
        assert_eq!((played.end, played.told.len()), (End::Finished, 1));
        assert_eq!(played.output, body);
    }
    for len in [0, 4] {
        let played = send(len, &Play::of(b""));
        assert_eq!((played.end, played.output.len()), (End::Finished, 0));
    }
}

#[test]
fn fixed_says_where_another_byte_came_back() {
    for message in 0..2 {
        for at in 0..4 {
            let mut input = *b"abcdefgh";
            input[message * 4 + at] ^= 1;
            let given = Play { line: Some(b"abcd"), more: &[b"efgh"], ..Play::of(&input) };
            let reason = Reason::Differs { message: message as u64 + 1, at: at as u64 };
            always(
                &given,
                |given| send(4, given),
                |played| {
                    assert_eq!((played.end, played.told.len()), (End::Aborted(reason), message));
                },
            );
        }
    }
}

#[test]
fn fixed_wants_all_of_it_and_no_more() {
    let given = Play { line: Some(b"abcd"), ..Play::of(b"abcdx") };
    assert_eq!(send(4, &given).end, End::Aborted(Reason::WrongAnswer));
    for got in 0..4 {
        let given = Play { input: &b"abcd"[..got], ..given.clone() };
        let reason = Reason::EndedEarly { got: got as u64, want: 4 };
        assert_eq!(send(4, &given).end, End::Aborted(reason));
        let given = Play { end: false, ..given };
        assert_eq!(send(4, &given).end, End::Aborted(Reason::Idle));
    }
    // A server that does not end has not said that this was all.
    let given = Play { end: false, input: b"abcd", ..given };
    assert_eq!(send(4, &given).end, End::Aborted(Reason::Idle));
}

#[test]
fn knock_waits_for_the_end_whatever_comes_before() {
    for input in [&b""[..], b"go away"] {
        always(
            &Play::of(input),
            |given| run(knock::Session, given),
            |played| {
                assert_eq!((played.end, played.output.len()), (End::Finished, 0));
            },
        );
    }
    let given = Play { end: false, ..Play::of(b"") };
    assert_eq!(run(knock::Session, &given).end, End::Aborted(Reason::Idle));
}
