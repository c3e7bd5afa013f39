//! What is sent is what is found, for each framing and every segmentation there is: short streams are cut at every set of places.

use std::time::Duration;

use anywire_core::client::file;
use anywire_core::event::End;
use anywire_core::frame::{
    Body, Fixed, Found, IAC, Order, Overflow, Row, Tag, Tagged, Telnet, UntilQuiet, Watch,
};
use anywire_core::instant::Instant;
use anywire_core::ram::RamStore;
use proptest::collection::vec;
use proptest::prelude::*;

use super::name;
use super::play::{Play, play};

/// The longest stream that is cut in every way: 2^9 ways.
const SHORT: usize = 10;

/// Every way to cut a stream of so many bytes, as the lengths of the pieces.
fn segmentations(len: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..1_u32 << len.saturating_sub(1)).map(move |cuts| {
        let ends = (1..len).filter(|at| cuts >> (at - 1) & 1 == 1).chain([len]);
        let mut begin = 0;
        ends.map(|end| end - std::mem::replace(&mut begin, end)).collect()
    })
}

/// Gives a stream to `decode` in every segmentation; it says how many bytes of what it is given it takes, 0 if it must have more.
fn for_every_cut(
    stream: &[u8],
    mut decode: impl FnMut(&[u8], bool, &mut Vec<Vec<u8>>) -> usize,
) -> Vec<Vec<u8>> {
    let mut found: Option<Vec<Vec<u8>>> = None;
    for segments in segmentations(stream.len()) {
        let (mut held, mut rest, mut messages) = (Vec::new(), stream, Vec::new());
        for len in segments {
            let (piece, later) = rest.split_at(len);
            held.extend_from_slice(piece);
            rest = later;
            loop {
                let taken = decode(&held, rest.is_empty(), &mut messages);
                assert!(taken <= held.len(), "it takes more than it was given");
                held.drain(..taken);
                if taken == 0 {
                    break;
                }
            }
        }
        assert!(held.is_empty(), "{} is left", held.escape_ascii());
        assert_eq!(found.get_or_insert_with(|| messages.clone()), &messages);
    }
    found.unwrap_or_default()
}

/// Bytes, ends of lines and IAC among them.
fn bytes(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(b'a'), Just(b'\r'), Just(b'\n'), Just(IAC), any::<u8>()], len)
}

/// As much of them as makes a short stream.
fn short<T>(items: Vec<T>, len: impl Fn(&T) -> usize) -> Vec<T> {
    let mut sum = 0;
    items
        .into_iter()
        .take_while(|item| {
            sum += len(item);
            sum <= SHORT
        })
        .collect()
}

fn until_quiet(max: usize, quiet: Option<u64>, newline: bool) -> UntilQuiet {
    let quiet = quiet.map(Duration::from_millis);
    UntilQuiet { max, quiet, newline, overflow: Overflow::Split }
}

const ROWS: &[Row] = &[
    Row::new(0, "EMPTY", Body::Fixed(0)),
    Row::new(7, "FIXED", Body::Fixed(3)),
    Row::new(8, "B1", Body::U8),
    Row::new(9, "B2", Body::U16).at_most(2),
    Row::new(10, "B3", Body::U24),
    Row::new(11, "B4", Body::U32),
    Row::new(12, "B8", Body::U64),
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn fixed((len, messages) in (1..4_usize).prop_flat_map(|len| (Just(len), vec(bytes(len), 0..8)))) {
        let framing = Fixed { len };
        let messages = short(messages, Vec::len);
        let found = for_every_cut(&messages.concat(), |held, ended, found| {
            let message = framing.message(held, ended).unwrap();
            assert!(message.is_some() || held.len() < len, "it has one and waits");
            found.extend(message.map(<[u8]>::to_vec));
            message.map_or(0, <[u8]>::len)
        });
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn tagged(wide: bool, big: bool, messages in vec((0..ROWS.len(), bytes(0..4)), 0..5)) {
        let tag = if wide { Tag::U16 } else { Tag::U8 };
        let table = Tagged { tag, order: if big { Order::Big } else { Order::Little }, rows: ROWS };
        let encoded = messages.into_iter().filter_map(|(row, body)| {
            let head = table.encode(ROWS[row].tag, body.len() as u64)?;
            Some(([head.as_bytes(), &body].concat(), body))
        });
        let encoded = short(encoded.collect(), |(message, _)| message.len());
        let (stream, bodies): (Vec<_>, Vec<_>) = encoded.into_iter().unzip();
        let found = for_every_cut(&stream.concat(), |held, ended, found| {
            let head = table.head(held, ended).unwrap();
            assert!(head.is_some() || held.len() < Tagged::HEAD_MAX, "it has a head and waits");
            let Some(frame) = table.frame(held, ended).unwrap() else { return 0 };
            found.push(frame.body.to_vec());
            frame.len
        });
        prop_assert_eq!(found, bodies);
    }

    #[test]
    fn lines(messages in vec((bytes(0..6), any::<bool>()), 0..6)) {
        let framing = until_quiet(SHORT, None, true);
        let mut encoded: Vec<_> = messages.into_iter().map(|(mut text, cr)| {
            text.retain(|byte| !b"\r\n".contains(byte));
            (text, if cr { &b"\r\n"[..] } else { b"\n" })
        }).collect();
        encoded = short(encoded, |(text, end)| text.len() + end.len());
        let stream: Vec<_> = encoded.iter().flat_map(|(text, end)| [text, *end].concat()).collect();
        let watch = std::cell::Cell::new(Watch::default());
        let found = for_every_cut(&stream, |held, ended, found| {
            let mut seen = watch.take();
            let taken = match framing.find(&mut seen, held, ended, Instant::ZERO) {
                Found::Message(message) => {
                    found.push(message.text.to_vec());
                    seen.next(&message);
                    message.len
                }
                Found::Skip(len) => len,
                Found::More { quiet_at } => {
                    assert!(quiet_at.is_none() && held.len() < framing.max);
                    0
                }
                Found::End => 0,
            };
            watch.set(seen);
            taken
        });
        let texts: Vec<_> = encoded.into_iter().map(|(text, _)| text).collect();
        prop_assert_eq!(found, texts);
    }

    /// Whoever sends a message, and waits, and sends another: however each of them is cut, if its pieces come soon enough.
    #[test]
    fn silences(messages in vec(bytes(1..6), 1..4), soon in 0..20_u64) {
        let framing = until_quiet(100, Some(20), false);
        let messages = short(messages, Vec::len);
        for segments in segmentations(messages.first().map_or(0, Vec::len)) {
            let (mut watch, mut found, mut now) = (Watch::default(), Vec::new(), 0);
            for message in &messages {
                // The others are cut as the first one, as far as they go.
                let (mut held, mut rest) = (Vec::new(), &message[..]);
                for len in segments.iter().copied().chain([usize::MAX]) {
                    if rest.is_empty() {
                        break;
                    }
                    let (piece, later) = rest.split_at(rest.len().min(len));
                    held.extend_from_slice(piece);
                    rest = later;
                    now += soon;
                    let at = Instant::from_micros(now * 1000);
                    let more = framing.find(&mut watch, &held, false, at);
                    let quiet_at = Some(Instant::from_micros((now + 20) * 1000));
                    prop_assert_eq!(more, Found::More { quiet_at });
                }
                now += 20;
                match framing.find(&mut watch, &held, false, Instant::from_micros(now * 1000)) {
                    Found::Message(message) => {
                        prop_assert_eq!(message.len, held.len());
                        found.push(message.text.to_vec());
                        watch.next(&message);
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert_eq!(&found, &messages);
        }
    }

    /// Without a silence a message is what one receive returned.
    #[test]
    fn receives(stream in bytes(1..=SHORT)) {
        let framing = until_quiet(SHORT, Some(0), false);
        for segments in segmentations(stream.len()) {
            let (mut watch, mut rest) = (Watch::default(), &stream[..]);
            for len in segments {
                let (piece, later) = rest.split_at(len);
                rest = later;
                match framing.find(&mut watch, piece, rest.is_empty(), Instant::ZERO) {
                    Found::Message(message) => {
                        prop_assert_eq!((message.text, message.len), (piece, piece.len()));
                        watch.next(&message);
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }

    #[test]
    fn until_end(body in bytes(0..=SHORT), rooms in vec(0..9_usize, 0..3), end_with_last: bool) {
        for cuts in segmentations(body.len()) {
            let mut store = RamStore::<1, SHORT>::new();
            let given = Play { cuts: &cuts, rooms: &rooms, end_with_last, ..Play::of(&body) };
            let session = file::Session::new(b"theirs", name("mine"));
            prop_assert_eq!(play(session, &mut store, &given).end, End::Finished);
            prop_assert_eq!(store.get(name("mine")), Some(&body[..]));
        }
    }

    #[test]
    fn telnet(parts in vec((bytes(0..4), 0..5_usize, 251..=254_u8, any::<u8>()), 0..8)) {
        let (mut sent, mut stream) = (Vec::new(), Vec::new());
        for (data, between, verb, option) in parts {
            let doubled = data.iter().flat_map(|&byte| vec![byte; if byte == IAC { 2 } else { 1 }]);
            stream.extend(doubled);
            sent.extend(data);
            match between {
                0 => stream.extend([IAC, verb, option]),
                1 => stream.extend([IAC, 241]),
                2 => stream.extend([IAC, 250, 31, 1, IAC, IAC, 2, IAC, 240]),
                _ => {}
            }
        }
        let mut telnet = Telnet::default();
        let kept: Vec<u8> = stream.iter().filter_map(|&byte| telnet.data(byte)).collect();
        prop_assert_eq!(kept, sent);
        prop_assert!(telnet.is_between());
    }
}

#[test]
fn there_are_as_many_segmentations_as_sets_of_places() {
    assert_eq!(segmentations(1).collect::<Vec<_>>(), [[1]]);
    let all: std::collections::BTreeSet<_> = segmentations(5).collect();
    assert_eq!(all.len(), 16);
    assert!(
        all.iter().all(|segments| segments.iter().sum::<usize>() == 5 && !segments.contains(&0))
    );
}
