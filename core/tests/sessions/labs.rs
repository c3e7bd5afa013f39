//! The smaller services of the labs: message, fixed, knock, date, greet.

use anywire_core::date::Zone;
use anywire_core::event::End;
use anywire_core::frame;
use anywire_core::service::{StreamService, date, fixed, greet, knock, message};
use anywire_core::session::{Reason, Session};
use anywire_core::store::NoStore;

use super::play::{Play, Played, play};
use super::{ROOMS, cuts};

/// Plays `input` in every way to cut it, in every room: the outcome must be the same, and each answer one write.
fn always<S: Session>(open: impl Fn() -> S, input: &[u8], answers: &[&[u8]]) {
    for cuts in cuts(input.len()) {
        for rooms in ROOMS {
            for (end_with_last, ring) in [(false, false), (true, false), (true, true)] {
                let given = Play { cuts: &cuts, rooms, end_with_last, ring, ..Play::of(input) };
                let played = play(open(), &mut NoStore, &given);
                assert_eq!(played.end, End::Finished, "{given:?}");
                assert_eq!(played.output, answers.concat(), "{given:?}");
                // Several answers may share a write; none is in two.
                assert!(played.writes.len() <= answers.len(), "{given:?}");
            }
        }
    }
}

fn once<S: Session>(session: S, input: &[u8]) -> Played {
    play(session, &mut NoStore, &Play::of(input))
}

#[test]
fn message_answers_each_line() {
    let open = || message::Message::default().open();
    always(
        open,
        b"one\ntwo\r\n\nlast",
        &[b"Message: one", b"Message: two", b"Message: ", b"Message: last"],
    );
    always(open, b"\xff\0\n", &[b"Message: \xff\0"]);
    assert_eq!(once(open(), b"").output, b"");
}

#[test]
fn message_ends_at_a_silence_and_an_lf_that_comes_late_is_none() {
    let input = b"one\r\ntwo";
    let given = Play { cuts: &[4, 1, 3], gap: 60, ..Play::of(input) };
    let played = play(message::Message::default().open(), &mut NoStore, &given);
    assert_eq!(played.told, ["message one\\r", "message two"]);
    let given = Play { cuts: &[1], gap: 49, ..Play::of(b"slow") };
    let played = play(message::Message::default().open(), &mut NoStore, &given);
    assert_eq!(played.text(), "Message: slow");
}

#[test]
fn message_drops_what_is_too_long() {
    let open = || message::Message::default().open();
    for len in [4095, 4096, 4097, 10_000] {
        let input = [&vec![b'x'; len][..], b"\nnext\n"].concat();
        for cuts in [&[][..], &[1000], &[4096], &[4097, 1]] {
            let played = play(open(), &mut NoStore, &Play { cuts, ..Play::of(&input) });
            let kept = "x".repeat(len.min(4096));
            assert_eq!(played.text(), format!("Message: {kept}Message: next"), "{len} {cuts:?}");
        }
    }
}

#[test]
fn message_with_its_settings() {
    let mut service = message::Message::default();
    service.set("reply-prefix", "I have received: ").unwrap();
    service.set("close-after-reply", "true").unwrap();
    let played = once(service.open(), b"one\ntwo\n");
    assert_eq!((played.end, played.text().as_str()), (End::Finished, "I have received: one"));
    let long: &'static str = "x".repeat(257).leak();
    assert!(service.set("reply-prefix", long).is_err());
    assert!(service.set("length", "1").is_err());
    // One that was made by hand is cut, and breaks nothing.
    let service = message::Message { prefix: long, ..message::Message::default() };
    assert_eq!(once(service.open(), b"one\n").output.len(), 256 + 3);
}

#[test]
fn fixed_sends_back_whole_messages_and_aborts_a_part_of_one() {
    let short = || fixed::Fixed { framing: frame::Fixed { len: 4 } }.open();
    for input in [&b""[..], b"abcd", b"abcdefgh"] {
        for rooms in ROOMS {
            for cuts in cuts(input.len()) {
                let given = Play { cuts: &cuts, rooms, ..Play::of(input) };
                let played = play(short(), &mut NoStore, &given);
                assert_eq!((played.end, &played.output[..]), (End::Finished, input));
            }
        }
    }
    for (input, got) in [(&b"a"[..], 1), (b"abc", 3), (b"abcdef", 2)] {
        let played = once(short(), input);
        assert_eq!(played.end, End::Aborted(Reason::EndedEarly { got, want: 4 }));
        assert!(input.starts_with(&played.output));
    }
    let input = [7; 2 * fixed::Fixed::LEN];
    assert_eq!(once(fixed::Fixed::default().open(), &input).output, input);
}

#[test]
fn fixed_is_idle_between_messages_only() {
    let short = || fixed::Fixed { framing: frame::Fixed { len: 4 } }.open();
    for (input, end) in [(&b"abcd"[..], End::Idle), (b"abcde", End::Aborted(Reason::Idle))] {
        let played = play(short(), &mut NoStore, &Play { end: false, ..Play::of(input) });
        assert_eq!(played.end, end);
    }
    let mut service = fixed::Fixed::default();
    for wrong in ["0", "65537", "-1", "x", ""] {
        assert!(service.set("length", wrong).is_err(), "{wrong}");
    }
    service.set("length", "65536").unwrap();
    assert_eq!(service.framing.len, 65_536);
}

#[test]
fn knock_ends_at_once_and_discards_what_comes() {
    for input in [&b""[..], b"who is there?"] {
        let played = once(knock::Session, input);
        assert_eq!((played.end, played.output.len()), (End::Finished, 0));
    }
}

#[test]
fn date_answers_whatever_is_asked() {
    let local = date::Date::default();
    for rooms in ROOMS {
        let given = Play { rooms, ..Play::of(b"What time is it?") };
        let played = play(local.open(), &mut NoStore, &given);
        assert_eq!(played.text(), "2026-11-21T09:30:00+01:00\\n");
        assert_eq!(played.writes, [26]);
    }
    let mut utc = date::Date::default();
    utc.set("utc", "true").unwrap();
    assert_eq!(utc.zone, Zone::Utc);
    assert_eq!(once(utc.open(), b"?").text(), "2026-11-21T08:30:00Z\\n");
    let played = play(utc.open(), &mut NoStore, &Play { cuts: &[1], ..Play::of(b"ab") });
    assert_eq!(played.told.len(), 2);
}

#[test]
fn greet_leaves_out_what_telnet_negotiates_wherever_it_is_cut() {
    let open = || greet::Greet::default().open();
    always(open, b"Hello\r\nWorld\n", &[b"Hello Ali\r\n", b"World Ali\r\n"]);
    always(
        open,
        b"\xff\xfb\x01He\xff\xfa\x18\x00\xff\xf0llo\xff\xfd\x03\r\n\xff\xf1\xff\xff\n",
        &[b"Hello Ali\r\n", b"\xff\xff Ali\r\n"],
    );
    // Options alone are no message.
    always(open, b"\xff\xfb\x01\xff\xfd\x03", &[]);
}

#[test]
fn greet_counts_what_is_left_after_filtering() {
    let open = || greet::Greet { name: "B" }.open();
    let option = b"\xff\xfb\x01";
    let text: Vec<u8> = (0..1024).flat_map(|_| [&b"x"[..], option].concat()).collect();
    for (input, answers) in [
        // The line's end is not in the first 1024: an empty message follows.
        (
            [&text[..], b"\n"].concat(),
            vec![format!("{} B\\r\\n", "x".repeat(1024)), " B\\r\\n".into()],
        ),
        ([&text[8..], b"\r\n"].concat(), vec![format!("{} B\\r\\n", "x".repeat(1022))]),
    ] {
        for cuts in [&[][..], &[7], &[1024, 3]] {
            let played = play(open(), &mut NoStore, &Play { cuts, ..Play::of(&input) });
            assert_eq!(played.text(), answers.concat());
        }
    }
    let twice = [b'\xff'; 2048];
    let played = once(open(), &twice);
    assert_eq!(played.output, [&twice[..], b" B\r\n"].concat());
}

#[test]
fn greet_ends_a_message_at_a_silence_and_options_are_none() {
    let given = Play { cuts: &[2], gap: 150, end: false, ..Play::of(b"ab\xff\xf1\xff\xf1cd") };
    let played = play(greet::Greet::default().open(), &mut NoStore, &given);
    assert_eq!(played.told, ["message abcd"]);
    let given = Play { cuts: &[2], gap: 250, end: false, ..Play::of(b"ab\xff\xf1\xff\xf1cd") };
    let played = play(greet::Greet::default().open(), &mut NoStore, &given);
    assert_eq!(played.told, ["message ab", "message cd"]);
    let given = Play { cuts: &[2], gap: 150, ..Play::of(b"abcd") };
    let played = play(greet::Greet::default().open(), &mut NoStore, &given);
    assert_eq!(played.told, ["message abcd"]);
}
