//! Any stream to the smaller services of the labs, with any settings: nobody breaks the contract, and what must not depend on the cuts
//! does not.

use anywire_core::date::Zone;
use anywire_core::event::End;
use anywire_core::frame;
use anywire_core::request::Refusal;
use anywire_core::service::{StreamService, date, fixed, greet, knock, logdate, message};
use anywire_core::session::{Reason, Session};
use anywire_core::store::NoStore;
use proptest::collection::vec;
use proptest::prelude::*;

use super::any::{Given, given};
use super::moody::Moody;
use super::play::{Play, Played, REFUSALS, play};

/// Words of an owner's, up to more than are taken.
fn words() -> impl Strategy<Value = &'static str> {
    const LONG: &str = {
        const BYTES: [u8; 300] = [b'w'; 300];
        match std::str::from_utf8(&BYTES) {
            Ok(long) => long,
            Err(_) => panic!("letters are UTF-8"),
        }
    };
    prop_oneof![3 => Just("Message: "), 1 => Just(""), 1 => Just("\u{ff}\r\n"), 1 => Just(LONG)]
}

fn zone() -> impl Strategy<Value = Zone> {
    prop_oneof![Just(Zone::Local), Just(Zone::Utc)]
}

/// Lines with options between, and pieces of options; now and then more than a message has.
fn telnet() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => "[a-c]{0,5}".prop_map(String::into_bytes),
        3 => prop::sample::select(vec![&b"\n"[..], b"\r\n", b"\r"]).prop_map(<[u8]>::to_vec),
        2 => prop::sample::select(vec![&b"\xff\xff"[..], b"\xff\xfb\x01", b"\xff\xf1", b"\xff\xfa\x18\xff\xff\xff\xf0"])
            .prop_map(<[u8]>::to_vec),
        1 => prop::sample::select(vec![&b"\xff"[..], b"\xfb", b"\xff\xfa", b"\xff\xf0"]).prop_map(<[u8]>::to_vec),
        1 => (900..1100_usize).prop_map(|len| vec![b'l'; len]),
    ];
    vec(part, 0..20).prop_map(|parts| parts.concat())
}

/// Lines of about as many bytes as message takes.
fn long_lines() -> impl Strategy<Value = Vec<u8>> {
    let line = (4090..4100_usize, prop::sample::select(vec![&b"\n"[..], b"\r\n", b"\r", b""]));
    vec(line.prop_map(|(len, end)| [&vec![b'l'; len], end].concat()), 0..4)
        .prop_map(|lines| lines.concat())
}

/// The data of a telnet stream, by RFC 854 and 855, read all at once.
fn data(stream: &[u8]) -> Vec<u8> {
    let (mut data, mut rest) = (Vec::new(), stream);
    loop {
        rest = match rest {
            [] | [255] | [255, 251..=254] => return data,
            [255, 255, rest @ ..] => {
                data.push(255);
                rest
            }
            [255, 251..=254, _, rest @ ..] => rest,
            [255, 250, inside @ ..] => {
                let mut inside = inside;
                loop {
                    inside = match inside {
                        [] | [255] => return data,
                        [255, 240, rest @ ..] => break rest,
                        [255, _, rest @ ..] | [_, rest @ ..] => rest,
                    };
                }
            }
            [255, _, rest @ ..] => rest,
            [byte, rest @ ..] => {
                data.push(*byte);
                rest
            }
        };
    }
}

/// The messages of a stream that came without a silence and has ended: lines of at most `max` bytes, what is longer split, or dropped up to
/// the line's end.
fn lines(mut stream: &[u8], max: usize, split: bool) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while !stream.is_empty() {
        let end = stream.iter().position(|&byte| byte == b'\n');
        let len = end.unwrap_or(stream.len());
        if len >= max {
            lines.push(stream[..max].to_vec());
            let next = if split { max } else { end.map_or(stream.len(), |end| end + 1) };
            stream = &stream[next..];
        } else {
            let line = &stream[..len];
            let line = if end.is_some() { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
            lines.push(line.to_vec());
            stream = &stream[stream.len().min(len + 1)..];
        }
    }
    lines
}

/// A peer that says all it has without a silence, and ends.
fn says(given: Given) -> Given {
    let play = Play { end: true, polite: false, clock: true, gap: 0, ..given.play };
    Given { play, ..given }
}

fn without_store<S: Session>(session: S, given: &Given) -> Played {
    play(session, &mut NoStore, &given.play())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn nobody_breaks_the_contract(
        given in given(), telnet in telnet(), words in words(), close_after_reply: bool,
        len in prop_oneof![1..10_usize, 1..=65_536_usize], zone in zone(), moods in vec(any::<u8>(), 1..8),
    ) {
        let mut store = Moody::new(moods);
        let telnet = Given { input: telnet, ..given.clone() };
        for given in [&given, &telnet] {
            let given = given.play();
            play(message::Message { prefix: words, close_after_reply }.open(), &mut store, &given);
            play(fixed::Fixed { framing: frame::Fixed { len } }.open(), &mut store, &given);
            play(knock::Knock.open(), &mut store, &given);
            play(date::Date { zone }.open(), &mut store, &given);
            play(logdate::LogDate { zone }.open(), &mut store, &given);
            play(greet::Greet { name: words }.open(), &mut store, &given);
        }
    }

    #[test]
    fn message_depends_on_nothing_but_its_input(given in given(), long in long_lines(), some: bool, prefix in words(), close_after_reply: bool) {
        let given = says(if some { given } else { Given { input: long, ..given } });
        let played = without_store(message::Message { prefix, close_after_reply }.open(), &given);
        let mut messages = lines(&given.input, 4096, false);
        if close_after_reply {
            messages.truncate(1);
        }
        let prefix = &prefix.as_bytes()[..prefix.len().min(256)];
        let expected: Vec<_> = messages.iter().flat_map(|text| [prefix, text].concat()).collect();
        prop_assert_eq!(played.output.escape_ascii().to_string(), expected.escape_ascii().to_string());
        prop_assert_eq!(played.end, End::Finished);
        prop_assert_eq!(played.told.len(), messages.len());
    }

    #[test]
    fn fixed_sends_back_what_comes_and_knows_where_it_ends(given in given(), len in 1..3000_usize, whole: bool) {
        let mut given = says(given);
        if whole {
            given.input.truncate(given.input.len() / len * len);
        }
        let played = without_store(fixed::Fixed { framing: frame::Fixed { len } }.open(), &given);
        let (got, want) = ((given.input.len() % len) as u64, len as u64);
        if got == 0 {
            prop_assert_eq!(played.end, End::Finished);
            prop_assert_eq!(played.output, given.input);
        } else {
            prop_assert_eq!(played.end, End::Aborted(Reason::EndedEarly { got, want }));
            prop_assert!(given.input.starts_with(&played.output));
        }
    }

    #[test]
    fn knock_takes_nothing_and_says_nothing(given in given()) {
        let played = without_store(knock::Knock.open(), &given);
        prop_assert_eq!((played.end, played.output.len(), played.received), (End::Finished, 0, 0));
    }

    #[test]
    fn date_answers_each_question_once(given in given(), zone in zone()) {
        let given = says(given);
        let played = without_store(date::Date { zone }.open(), &given);
        let date: &[u8] = match zone {
            Zone::Local => b"2026-11-21T09:30:00+01:00\n",
            Zone::Utc => b"2026-11-21T08:30:00Z\n",
        };
        prop_assert_eq!(played.end, End::Finished);
        prop_assert_eq!(&played.output, &date.repeat(played.told.len()));
        let asked: String = played.told.iter().filter_map(|told| told.strip_prefix("message ")).collect();
        prop_assert_eq!(asked, given.input.escape_ascii().to_string());
    }

    #[test]
    fn logdate_answers_nothing_that_is_not_in_the_log(given in given(), zone in zone(), moods in vec(any::<u8>(), 1..8)) {
        let mut store = Moody::new(moods);
        let played = play(logdate::LogDate { zone }.open(), &mut store, &given.play());
        let answers: Vec<_> = played.output.split_inclusive(|&byte| byte == b'\n').collect();
        // One that was logged may not have been answered: after a refusal of the next nothing is promised.
        prop_assert!(answers.len() <= store.logged.len());
        let log: Vec<_> = store.logged.iter().map(|(time, _)| [time, &b"\n"[..]].concat()).collect();
        prop_assert!(log.iter().zip(&answers).all(|(logged, answer)| logged == answer));
        let asked: Vec<_> = store.logged.iter().flat_map(|(_, text)| text.clone()).collect();
        prop_assert!(given.input.starts_with(&asked));
        match played.end {
            End::Finished | End::Idle => prop_assert_eq!(answers.len(), store.logged.len()),
            End::Aborted(Reason::Refused(why)) => prop_assert!(REFUSALS.contains(&why)),
            end => prop_assert_eq!(end, End::Aborted(Reason::NoClock)),
        }
        if played.end == End::Finished {
            prop_assert_eq!(asked, given.input);
        }
    }

    #[test]
    fn logdate_without_a_log_answers_nothing(given in given(), zone in zone()) {
        let given = says(given);
        let played = without_store(logdate::LogDate { zone }.open(), &given);
        prop_assert!(played.output.is_empty());
        let refused = End::Aborted(Reason::Refused(Refusal::Unsupported));
        prop_assert_eq!(played.end, if given.input.is_empty() { End::Finished } else { refused });
    }

    #[test]
    fn greet_depends_on_nothing_but_its_input(given in given(), telnet in telnet(), name in words()) {
        let given = says(Given { input: telnet, ..given });
        let played = without_store(greet::Greet { name }.open(), &given);
        let messages = lines(&data(&given.input), 1024, true);
        let name = &name.as_bytes()[..name.len().min(256)];
        let mut expected = Vec::new();
        for text in &messages {
            // Data that is 255 is two of it on the wire.
            expected.extend(text.iter().flat_map(|&byte| vec![byte; if byte == 255 { 2 } else { 1 }]));
            expected.extend([b" ", name, b"\r\n"].concat());
        }
        prop_assert_eq!(played.output.escape_ascii().to_string(), expected.escape_ascii().to_string());
        prop_assert_eq!(played.end, End::Finished);
        prop_assert_eq!(played.told.len(), messages.len());
    }
}
