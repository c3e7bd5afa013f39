//! Any messages, whole or not, and any store: upload and typed store what was whole, and nothing else.

use anywire_core::event::End;
use anywire_core::name::FileName;
use anywire_core::schema::Schema;
use anywire_core::service::{StreamService, typed, upload};
use proptest::collection::vec;
use proptest::prelude::*;

use super::any::{Given, given};
use super::moody::Moody;
use super::play::{Play, play};

/// A length, in as many bytes as the tag has it.
fn length_size(tag: u8) -> Option<usize> {
    [2, 1, 2, 3, 4, 8].get(usize::from(tag).checked_sub(1)?).copied()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u64).to_le_bytes();
    [&[tag], &len[..length_size(tag).unwrap()], body].concat()
}

/// Names, files, and now and then something that is out of place, or half of it.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![8 => "[a-c]", 1 => "[./a]{0,3}"];
    let name = name.prop_map(|name| message(1, name.as_bytes()));
    let body = vec(any::<u8>(), 0..60);
    let data = (2..=6_u8, body).prop_map(|(tag, body)| message(tag, &body));
    let pair = (name.clone(), data.clone()).prop_map(|(name, data)| [name, data].concat());
    let noise = vec(any::<u8>(), 0..6);
    let part = prop_oneof![12 => pair, 1 => name, 1 => data, 1 => noise];
    (vec(part, 0..6), any::<bool>(), any::<prop::sample::Index>()).prop_map(|(parts, cut, at)| {
        let mut stream = parts.concat();
        if cut && !stream.is_empty() {
            stream.truncate(at.index(stream.len()));
        }
        stream
    })
}

type Files = Vec<(Vec<u8>, Vec<u8>)>;

/// The message at the front of `stream`, if it is whole: its tag and its body, and what is behind it.
fn split(stream: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = stream.split_first()?;
    let (len, rest) = rest.split_at_checked(length_size(tag)?)?;
    let len = len.iter().rev().fold(0, |len, &byte| len << 8 | u64::from(byte));
    let (body, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((tag, body, rest))
}

/// The files that are whole in a stream of upload's, up to the first thing that is wrong.
fn whole(mut stream: &[u8]) -> Files {
    let mut files = Files::new();
    while let Some((1, name, rest)) = split(stream)
        && name.len() <= 4096
        && FileName::new(name).is_ok()
        && let Some((2..=6, body, rest)) = split(rest)
    {
        files.push((name.to_vec(), body.to_vec()));
        stream = rest;
    }
    files
}

/// A peer that says all it has, and ends.
fn says(given: &Given, input: Vec<u8>) -> Given {
    let play =
        Play { end: true, polite: false, entropy: true, gap: 0, stop: None, ..given.play.clone() };
    Given { input, play, ..given.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn upload_stores_nothing_that_was_not_whole(given in given(), input in messages(), moods in vec(any::<u8>(), 1..8)) {
        let given = Given { input, ..given };
        let mut store = Moody::new(moods);
        let played = play(upload::Session::default(), &mut store, &given.play());
        prop_assert_eq!(store.open, 0, "a file stays open");
        let whole = whole(&given.input);
        prop_assert!(whole.starts_with(&store.stored), "{:?} of {:?}", store.stored, whole);
        // Each has had its `OK`, and the one after it, or the end, is its proof.
        let oks = played.output.chunks(2).take_while(|answer| answer == b"OK").count();
        prop_assert!(oks >= store.stored.len());
        if played.end == End::Finished && played.output.len() == 2 * oks {
            prop_assert_eq!(oks, store.stored.len());
        }
    }

    #[test]
    fn upload_stores_all_that_is_whole(given in given(), input in messages(), moods in vec(4..=u8::MAX, 1..4)) {
        let given = says(&given, input);
        let run = |given: &Play<'_>| {
            let mut store = Moody::new(moods.clone());
            (play(upload::Session::default(), &mut store, given), store.stored)
        };
        let (cut, stored) = run(&given.play());
        prop_assert_eq!(&stored, &whole(&given.input));
        let (once, same) = run(&Play { end: true, ..Play::of(&given.input) });
        prop_assert_eq!((cut.end, cut.output, cut.told), (once.end, once.output, once.told));
        prop_assert_eq!(stored, same);
    }

    #[test]
    fn typed_stores_nothing_that_was_not_whole(given in given(), input in messages(), close: bool, moods in vec(any::<u8>(), 1..8)) {
        let given = Given { input, ..given };
        let schema = if close { Schema::Close } else { Schema::Sized };
        let mut store = Moody::new(moods);
        let played = play(typed::Typed { schema }.open(), &mut store, &given.play());
        prop_assert_eq!(store.open, 0, "a file stays open");
        prop_assert!(played.output.is_empty());
        let whole = body(schema, &given.input, given.play.end);
        prop_assert!(store.stored.iter().all(|file| Some(&file.1[..]) == whole));
        let stored = played.told.last().is_some_and(|told| told.starts_with("stored"));
        prop_assert_eq!(stored, !store.stored.is_empty());
        prop_assert!(!stored || played.end == End::Finished);
    }

    #[test]
    fn typed_stores_what_is_whole(given in given(), input in messages(), close: bool, moods in vec(4..=u8::MAX, 1..4)) {
        let given = says(&given, input);
        let schema = if close { Schema::Close } else { Schema::Sized };
        let run = |given: &Play<'_>| {
            let mut store = Moody::new(moods.clone());
            (play(typed::Typed { schema }.open(), &mut store, given), store.stored)
        };
        let (cut, stored) = run(&given.play());
        let bodies: Vec<_> = stored.iter().map(|file| &file.1[..]).collect();
        prop_assert_eq!(bodies, Vec::from_iter(body(schema, &given.input, true)));
        let (once, same) = run(&Play { end: true, ..Play::of(&given.input) });
        prop_assert_eq!((cut.end, cut.told), (once.end, once.told));
        prop_assert_eq!(stored, same);
    }
}

/// The body of the data in a stream of typed's, if it is whole.
fn body(schema: Schema, stream: &[u8], ends: bool) -> Option<&[u8]> {
    match (schema, stream.first()) {
        (Schema::Close, Some(2)) => ends.then_some(&stream[1..]),
        (Schema::Sized, Some(2..=6)) => split(stream).map(|message| message.1),
        _ => None,
    }
}
