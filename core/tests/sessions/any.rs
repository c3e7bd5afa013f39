//! Any segmentation, any room, any answer: nobody breaks the contract, and what must not depend on it does not.

use std::time::Duration;

use anywire_core::client;
use anywire_core::client::typed::Message;
use anywire_core::event::End;
use anywire_core::frame::{Found, Overflow, UntilQuiet, Watch};
use anywire_core::instant::Instant;
use anywire_core::name::FileName;
use anywire_core::request::{Refusal, Stop};
use anywire_core::schema::Schema;
use anywire_core::service::{StreamService, echo, file, hello, typed, upload};
use anywire_core::store::{NoStore, Store};
use proptest::collection::vec;
use proptest::prelude::*;
use std::convert::Infallible;

use super::moody::Moody;
use super::name;
use super::play::{Play, Played, play};

/// What a peer and a driver can do, to be lent as a [`Play`].
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) input: Vec<u8>,
    pub(crate) cuts: Vec<usize>,
    pub(crate) rooms: Vec<usize>,
    pub(crate) line: Option<Vec<u8>>,
    pub(crate) play: Play<'static>,
}

impl Given {
    pub(crate) fn play(&self) -> Play<'_> {
        Play {
            input: &self.input,
            cuts: &self.cuts,
            rooms: &self.rooms,
            line: self.line.as_deref(),
            ..self.play.clone()
        }
    }
}

/// Bytes among which newlines, and names that are right, are not rare.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(b'a'), 1 => Just(b'\n'), 1 => Just(b'\r'), 1 => any::<u8>()];
    prop_oneof![3 => vec(byte, 0..60), 1 => vec(any::<u8>(), 0..5000)]
}

fn stop() -> impl Strategy<Value = Option<(u64, Stop)>> {
    let stop = prop_oneof![
        Just(Stop::Reset),
        Just(Stop::FileShort),
        Just(Stop::TimedOut),
        Just(Stop::Store(Refusal::Failed))
    ];
    prop_oneof![3 => Just(None), 1 => (0..50_u64, stop).prop_map(Some)]
}

pub(crate) fn given() -> impl Strategy<Value = Given> {
    let cut = prop_oneof![1..10_usize, 1..2000_usize];
    let room = prop_oneof![0..3_usize, 0..3000_usize];
    let line = prop::option::of(vec(any::<u8>(), 0..5000));
    let flags = (any::<[bool; 5]>(), prop::bool::weighted(0.9), 0..300_u64, stop());
    (stream(), vec(cut, 1..6), vec(room, 1..6), line, flags).prop_map(
        |(
            input,
            cuts,
            rooms,
            line,
            ([end, polite, end_with_last, ring, entropy], clock, gap, stop),
        )| {
            Given {
                input,
                cuts,
                rooms,
                line,
                play: Play {
                    end,
                    polite,
                    end_with_last,
                    ring,
                    entropy,
                    clock,
                    gap,
                    stop,
                    ..Play::of(b"")
                },
            }
        },
    )
}

/// Plays every session there is: `play` panics when one breaks the contract, or never ends.
fn play_all(given: &Play<'_>, text: &[u8], store: &mut Moody) -> Vec<Played> {
    let mut played = vec![
        play(echo::Session, store, given),
        play(hello::Session::default(), store, given),
        play(file::Session::default(), store, given),
        play(client::echo::Session::new(text), store, given),
        play(client::hello::Session::new(Some(text)), store, given),
        play(client::hello::Session::new(None), store, given),
    ];
    played.push(play(client::date::Session::default(), store, given));
    played.push(play(client::knock::Session, store, given));
    for more in [&[][..], &[text, b"\xff", b""]] {
        let given = Play { more, ..given.clone() };
        played.push(play(client::message::Session::default(), store, &given));
        played.push(play(client::greet::Session::new(), store, &given));
        // What was typed may come back.
        for input in [given.input, given.line.unwrap_or_default()] {
            let given = Play { input, ..given.clone() };
            played.push(play(client::fixed::Session::new(&mut [0; 50]), store, &given));
        }
    }
    let file = client::file::Session::new(text, name("mine"));
    played.push(play(file, store, given));
    played.push(play(upload::Session::default(), store, given));
    for answers in [&b""[..], b"OK", b"OKOK", b"OKERR "] {
        let input = [answers, given.input].concat();
        let more: &[&[u8]] = &[b"mine", b"yours", b"others"];
        let given = Play { input: &input, more, ..given.clone() };
        played.push(play(client::upload::Session::new(), store, &given));
    }
    for schema in [Schema::Sized, Schema::Close] {
        played.push(play(typed::Typed { schema }.open(), store, given));
        for message in [Message::Text(text), Message::File(name("mine"))] {
            played.push(play(client::typed::Session::new(schema, message), store, given));
        }
    }
    played
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn nobody_breaks_the_contract(given in given(), text in stream(), moods in vec(any::<u8>(), 1..8)) {
        let mut store = Moody::new(moods);
        play_all(&given.play(), &text, &mut store);
        prop_assert_eq!(store.open, 0, "a file stays open");
    }

    #[test]
    fn echo_depends_on_nothing_but_its_input(given in given()) {
        let given = Given { play: Play { gap: 0, end: true, polite: false, ..given.play }, ..given };
        let played = play(echo::Session, &mut NoStore, &given.play());
        prop_assert_eq!(played.end, End::Finished);
        prop_assert_eq!(played.output, given.input);
    }

    #[test]
    fn file_depends_on_nothing_but_its_input(given in given(), name in "[a-z]{1,20}", moods in vec(4..=u8::MAX, 1..4)) {
        let input = [name.as_bytes(), b"\n", &given.input].concat();
        let end = Play { gap: 0, polite: false, stop: None, ..given.play.clone() };
        let given = Given { input, play: end, ..given };
        let run = |given: Play<'_>| {
            let mut store = Sized(moods[0].into());
            play(file::Session::default(), &mut store, &given)
        };
        let (cut, whole) = (run(given.play()), run(Play { end: given.play.end, ..Play::of(&given.input) }));
        prop_assert_eq!(cut.output.len(), usize::from(moods[0]));
        prop_assert_eq!((cut.end, cut.output, cut.told), (whole.end, whole.output, whole.told));
    }

    #[test]
    fn lines_depend_on_nothing_but_the_stream(stream in stream(), cuts in vec(1..40_usize, 1..8), max in 1..20_usize, split: bool) {
        let overflow = if split { Overflow::Split } else { Overflow::Drop };
        let framing = UntilQuiet { max, quiet: None, newline: true, overflow };
        let whole = messages(framing, &stream, &[stream.len().max(1)]);
        prop_assert_eq!(&messages(framing, &stream, &cuts), &whole);
        prop_assert!(whole.iter().all(|message| message.len() <= max && !message.contains(&b'\n')));
        if split {
            // Nothing is lost but line ends.
            let kept: usize = whole.iter().map(Vec::len).sum();
            let ends = stream.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count();
            prop_assert!(kept <= stream.len() && kept + ends >= stream.len());
        }
    }

    #[test]
    fn no_framing_panics_or_holds_more_than_it_may(
        stream in stream(), cuts in vec(1..40_usize, 1..8), max in 1..20_usize,
        quiet in prop::option::of(0..3_u64), newline: bool, split: bool,
    ) {
        let overflow = if split { Overflow::Split } else { Overflow::Drop };
        let quiet = quiet.map(Duration::from_millis);
        messages(UntilQuiet { max, quiet, newline, overflow }, &stream, &cuts);
    }
}

/// A store in which every file has that many bytes.
struct Sized(u64);

impl Store for Sized {
    type Reader = u64;
    type Writer = Infallible;

    fn open(&mut self, _: FileName<'_>) -> Result<(u64, u64), Refusal> {
        Ok((self.0, self.0))
    }

    fn create(&mut self, _: FileName<'_>, _: bool) -> Result<Infallible, Refusal> {
        Err(Refusal::Unsupported)
    }

    fn read(&mut self, left: &mut u64, buf: &mut [u8]) -> Result<usize, Refusal> {
        let len = buf.len().min(*left as usize);
        buf.iter_mut().zip((0..*left).rev()).for_each(|(to, at)| *to = at as u8);
        *left -= len as u64;
        Ok(len)
    }

    fn close(&mut self, _: u64) {}

    fn write(&mut self, none: &mut Infallible, _: &[u8]) -> Result<usize, Refusal> {
        match *none {}
    }

    fn commit(&mut self, none: Infallible) -> Result<(), Refusal> {
        match none {}
    }

    fn abandon(&mut self, none: Infallible) {
        match none {}
    }
}

/// The messages in a stream that comes in pieces, one each millisecond, and ends.
fn messages(framing: UntilQuiet, stream: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let (mut watch, mut held, mut found) = (Watch::default(), Vec::new(), Vec::new());
    let mut cuts = cuts.iter().cycle();
    let mut rest = stream;
    for millis in 0.. {
        let (piece, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        held.extend_from_slice(piece);
        rest = later;
        let now = Instant::from_micros(millis * 1000);
        loop {
            match framing.find(&mut watch, &held, rest.is_empty(), now) {
                Found::Message(message) => {
                    found.push(message.text.to_vec());
                    let len = message.len;
                    watch.next(&message);
                    held.drain(..len);
                }
                Found::Skip(len) => drop(held.drain(..len)),
                Found::More { quiet_at } => {
                    assert!(!rest.is_empty(), "waits after the end");
                    assert!(quiet_at.is_none_or(|at| at > now));
                    assert!(held.len() < framing.max);
                    break;
                }
                Found::End => {
                    assert!(held.is_empty() && rest.is_empty());
                    return found;
                }
            }
        }
    }
    found
}
