//! `Tagged` with any table: what is sent is what is found, however it is cut; no bytes at all make it panic.

use anywire_core::frame::{Body, FrameError, Order, Row, Tag, Tagged};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        (0..40_u64).prop_map(Body::Fixed),
        Just(Body::U8),
        Just(Body::U16),
        Just(Body::U24),
        Just(Body::U32),
        Just(Body::U64),
        Just(Body::ToEnd),
    ]
}

/// Any table: its tags count up, or have gaps. Its rows are never freed, as a table's never are.
fn table() -> impl Strategy<Value = Tagged> {
    let max = prop_oneof![Just(u64::MAX), 0..400_u64];
    let tag = prop_oneof![1 => Just(Tag::None), 3 => Just(Tag::U8), 3 => Just(Tag::U16)];
    let rows = btree_map(any::<u16>(), (body(), max), 1..8);
    (tag, any::<bool>(), any::<bool>(), rows).prop_map(|(size, big, gaps, rows)| {
        let order = if big { Order::Big } else { Order::Little };
        let mut taken: Vec<Row> = Vec::new();
        for (tag, (body, max)) in rows {
            let tag = match taken.last() {
                Some(last) if !gaps => last.tag.wrapping_add(1),
                _ => tag,
            };
            let tag = match size {
                Tag::None => 0,
                Tag::U8 => tag & 0xff,
                Tag::U16 => tag,
            };
            if taken.iter().all(|row| row.tag != tag) {
                // Without a tag, a message without a body would be nothing at all.
                let empty = size == Tag::None && body == Body::Fixed(0);
                let body = if empty { Body::Fixed(1) } else { body };
                taken.push(Row::new(tag, "ROW", body).at_most(max));
            }
        }
        Tagged::new(size, order, taken.leak())
    })
}

/// A message of one of its types that has about so many bytes, if there can be one.
fn message(table: &Tagged, which: usize, len: u64) -> Option<(&'static Row, Vec<u8>, usize)> {
    let row = &table.rows[which % table.rows.len()];
    let len = match row.body {
        Body::Fixed(len) => len,
        Body::U8 => len & 0xff,
        _ => len,
    };
    let len = len.min(row.max);
    let head = table.encode(row.tag, len);
    assert_eq!(head.is_some(), row.fits(len), "{row:?}");
    let head = head?;
    let bytes = head.as_bytes().iter().copied().chain((0..len).map(|at| at as u8));
    let bytes = bytes.collect::<Vec<_>>();
    // Without a tag, all bytes to the end may be none.
    (!bytes.is_empty()).then_some((row, bytes, head.as_bytes().len()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_is_sent_is_what_is_found(
        table in table(), wanted in vec((any::<usize>(), 0..500_u64), 0..8), cuts in vec(1..60_usize, 1..6),
    ) {
        let mut sent = Vec::new();
        for (which, len) in wanted {
            sent.extend(message(&table, which, len));
            // Behind a body to the end of the stream there is nothing.
            if sent.last().is_some_and(|(row, ..)| row.body == Body::ToEnd) {
                break;
            }
        }
        let stream = sent.iter().flat_map(|message| message.1.clone()).collect::<Vec<_>>();
        let (mut held, mut rest, mut found) = (Vec::new(), &stream[..], 0);
        let mut cuts = cuts.iter().cycle();
        loop {
            let ended = rest.is_empty();
            while let Some(frame) = table.frame(&held, ended).unwrap() {
                prop_assert!(frame.len <= held.len());
                let (row, bytes, head) = &sent[found];
                prop_assert_eq!((frame.row, frame.len), (*row, bytes.len()));
                prop_assert_eq!(&bytes[*head..], frame.body);
                held.drain(..frame.len);
                found += 1;
            }
            // One that is not whole yet is not longer than it is.
            prop_assert!(found == sent.len() || held.len() <= sent[found].1.len());
            if ended {
                break;
            }
            let (piece, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            held.extend_from_slice(piece);
            rest = later;
        }
        prop_assert_eq!((found, held.len()), (sent.len(), 0));
    }

    /// More input never takes back what was said of less.
    #[test]
    fn any_bytes_are_a_message_or_an_error_or_too_few(table in table(), noise in vec(any::<u8>(), 0..40), row in any::<usize>(), real: bool) {
        let mut bytes = noise;
        if real && let Some((_, mut message, _)) = message(&table, row, 9) {
            message.extend(&bytes);
            bytes = message;
        }
        let whole = table.head(&bytes, false);
        for len in 0..=bytes.len() {
            let front = &bytes[..len];
            let (head, at_end) = (table.head(front, false), table.head(front, true));
            match head {
                Ok(Some(head)) => {
                    prop_assert!(head.len <= len && head.len <= Tagged::HEAD_MAX);
                    prop_assert!(head.body.is_none_or(|body| body <= head.row.max));
                    prop_assert_eq!((Ok(Some(head)), Ok(Some(head))), (whole, at_end));
                }
                Ok(None) => {
                    prop_assert!(len < Tagged::HEAD_MAX);
                    let ended = matches!(at_end, Err(FrameError::Ended { got, want }) if got == len as u64 && want > got);
                    prop_assert!(ended || (len == 0 && at_end == Ok(None)));
                }
                Err(error) => prop_assert_eq!((Err(error), Err(error)), (whole, at_end)),
            }
            for ended in [false, true] {
                match table.frame(front, ended) {
                    Ok(Some(frame)) => {
                        let head = head.unwrap().unwrap();
                        prop_assert!(frame.len <= len);
                        prop_assert_eq!(frame.len, head.len + frame.body.len());
                        prop_assert_eq!(head.body.unwrap_or(frame.body.len() as u64), frame.body.len() as u64);
                    }
                    Ok(None) => prop_assert!(!ended || len == 0),
                    Err(FrameError::Ended { got, want }) => prop_assert!(ended && got == len as u64 && want > got),
                    Err(error) => prop_assert_eq!(Err(error), head),
                }
            }
        }
    }
}
