//! Invariant: of frames with a length before them, cut in any way, `Tagged` finds what tokio-util's `LengthDelimitedCodec` finds, and no
//! more of the stream is gone behind each.

use anywire_core::frame::{Body, FrameError, Order, Row, Tag, Tagged};
use bytes::BytesMut;
use tokio_util::codec::{Decoder as _, Encoder as _, LengthDelimitedCodec};

use crate::choices::Choices;

/// Frames are no longer than this: the codec keeps room for a whole one.
const MAX: u64 = 4096;

/// Lengths of 1 to 8 bytes, and how many.
const TABLES: [(&[Row], usize); 5] = [
    (&[Row::new(0, "U8", Body::U8).at_most(MAX)], 1),
    (&[Row::new(0, "U16", Body::U16).at_most(MAX)], 2),
    (&[Row::new(0, "U24", Body::U24).at_most(MAX)], 3),
    (&[Row::new(0, "U32", Body::U32).at_most(MAX)], 4),
    (&[Row::new(0, "U64", Body::U64).at_most(MAX)], 8),
];

/// See the [module](self).
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (rows, size) = choices.one_of(&TABLES);
    let tag = choices.one_of(&[Tag::U8, Tag::U16]);
    let order = choices.one_of(&[Order::Little, Order::Big]);
    let tag_size = if tag == Tag::U8 { 1 } else { 2 };
    let table = Tagged { tag, order, rows };
    let mut builder = LengthDelimitedCodec::builder();
    builder.length_field_offset(tag_size).length_field_length(size).num_skip(0);
    builder.length_adjustment((tag_size + size) as isize).max_frame_length(MAX as usize);
    match order {
        Order::Little => builder.little_endian(),
        Order::Big => builder.big_endian(),
    };
    let mut codec = builder.new_codec();

    // What one encodes the other decodes. The codec writes no tags.
    let mut stream = Vec::new();
    for _ in 0..choices.below(6) {
        if choices.flag() {
            stream.extend(choices.bytes(40));
            continue;
        }
        let body = choices.stream(300);
        let Some(head) = table.encode(0, body.len() as u64) else { continue };
        let mut written = BytesMut::new();
        let mut writer = LengthDelimitedCodec::builder();
        writer.length_field_length(size).max_frame_length(MAX as usize);
        match order {
            Order::Little => writer.little_endian(),
            Order::Big => writer.big_endian(),
        };
        writer.new_codec().encode(bytes::Bytes::copy_from_slice(&body), &mut written).unwrap();
        let ours = [head.as_bytes(), &body].concat();
        assert_eq!(ours[tag_size..], written[..]);
        stream.extend(ours);
    }

    let (mut theirs, mut held, mut rest) = (BytesMut::new(), Vec::new(), &stream[..]);
    loop {
        let (piece, later) = rest.split_at((1 + choices.below(64)).min(rest.len()));
        rest = later;
        theirs.extend_from_slice(piece);
        held.extend_from_slice(piece);
        loop {
            let found = table.frame(&held, false);
            // The codec does not look at the tag.
            if let Err(FrameError::Tag { .. }) = found {
                assert_ne!(order_read(order, &held[..tag_size]), 0);
                return;
            }
            match (codec.decode(&mut theirs), found) {
                (Ok(Some(frame)), Ok(Some(ours))) => {
                    assert_eq!(frame[..], held[..ours.len]);
                    assert_eq!(frame[tag_size + size..], *ours.body);
                    held.drain(..ours.len);
                }
                (Ok(None), Ok(None)) => break,
                (Err(_), Err(FrameError::TooLong { len, max, .. })) => {
                    assert!(len > max && max == MAX);
                    return;
                }
                (theirs, ours) => panic!("{theirs:?}, and {ours:?}"),
            }
        }
        if rest.is_empty() {
            let left = theirs.len();
            match (codec.decode_eof(&mut theirs), table.frame(&held, true)) {
                (Ok(None), Ok(None)) => assert!(held.is_empty()),
                (Err(_), Err(FrameError::Ended { got, want })) => {
                    assert!(got == held.len() as u64 && want > got);
                    // Of a frame whose head it has seen it has taken nothing either: num_skip is 0.
                    assert_eq!(left, held.len());
                }
                (theirs, ours) => panic!("at the end {theirs:?}, and {ours:?}"),
            }
            return;
        }
    }
}

fn order_read(order: Order, tag: &[u8]) -> u16 {
    match (order, tag) {
        (_, [one]) => (*one).into(),
        (Order::Little, [low, high]) => u16::from_le_bytes([*low, *high]),
        (Order::Big, [high, low]) => u16::from_be_bytes([*high, *low]),
        _ => unreachable!("a tag has 1 or 2 bytes"),
    }
}
