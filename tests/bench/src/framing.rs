//! Framing in memory: a stream that comes in chunks of 64 KiB, and how long each frame in it takes. Every decoder first has the chunk
//! copied into its buffer, as a read would.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use anywire_core::frame::{Body, Order, Row, Tag, Tagged};
use anywire_core::schema::SIZED;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

const CHUNK: usize = 64 << 10;
/// Bytes of the stream, about: so many stay in the cache.
const STREAM: usize = 1 << 20;
/// Each round decodes it so often; the fastest counts, for nothing but others makes it slower.
const PASSES: usize = 20;

/// A length of 4 bytes in network byte order, and the body: what tokio-util has unless told otherwise.
pub(crate) const PREFIXED: Tagged =
    Tagged::new(Tag::None, Order::Big, &[Row::new(0, "FRAME", Body::U32).at_most(8 << 20)]);

#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    /// [`SIZED`].
    Tagged,
    /// [`PREFIXED`].
    Prefixed,
    /// The frames of [`SIZED`], by hand.
    TaggedByHand,
    /// The frames of [`PREFIXED`], by hand.
    PrefixedByHand,
    TokioUtil,
}

/// Decodes a stream of bodies of `len` bytes: ns for each frame, and GB/s.
pub(crate) fn round(by: By, len: usize) -> Result<Vec<f64>> {
    let schema = match by {
        By::Tagged | By::TaggedByHand => SIZED,
        _ => PREFIXED,
    };
    let row = schema.fitting(len as u64).filter(|row| row.name != "STRING");
    let row = row.unwrap_or(&schema.rows[schema.rows.len().min(3) - 1]);
    let head = schema.encode(row.tag, len as u64).expect("the row has room for it");
    let mut stream = Vec::new();
    let mut count = 0;
    while stream.len() < STREAM {
        stream.extend(head.as_bytes());
        stream.extend((0..len).map(|at| at as u8));
        count += 1;
    }
    let mut least = f64::INFINITY;
    let mut buffer = vec![0; 2 * CHUNK];
    for _ in 0..PASSES {
        let begun = Instant::now();
        let decoded = match by {
            By::Tagged => chunks(&stream, &mut buffer, |input| {
                Ok(SIZED.frame(input, false)?.map(|frame| (frame.body, frame.len)))
            })?,
            By::Prefixed => chunks(&stream, &mut buffer, |input| {
                Ok(PREFIXED.frame(input, false)?.map(|frame| (frame.body, frame.len)))
            })?,
            By::TaggedByHand => chunks(&stream, &mut buffer, |input| Ok(tagged_by_hand(input)))?,
            By::PrefixedByHand => {
                chunks(&stream, &mut buffer, |input| Ok(prefixed_by_hand(input)))?
            }
            By::TokioUtil => tokio_util(&stream)?,
        };
        least = least.min(begun.elapsed().as_secs_f64());
        ensure!(decoded == (count, count * len), "{decoded:?} of {count} frames were found");
    }
    Ok(vec![least * 1e9 / count as f64, stream.len() as f64 / least / 1e9])
}

/// Lends the frames from one buffer; what is cut by a chunk's end moves to its front. Says how many there were, and of how many bytes.
#[inline(always)]
fn chunks(
    stream: &[u8],
    buffer: &mut [u8],
    mut frame: impl for<'b> FnMut(&'b [u8]) -> Result<Option<(&'b [u8], usize)>>,
) -> Result<(usize, usize)> {
    let (mut held, mut count, mut bytes) = (0, 0, 0);
    for chunk in stream.chunks(CHUNK) {
        let end = held + chunk.len();
        buffer[held..end].copy_from_slice(chunk);
        let mut left = &buffer[..end];
        while let Some((body, len)) = frame(left)? {
            bytes += black_box(body).len();
            count += 1;
            left = &left[len..];
        }
        held = left.len();
        buffer.copy_within(end - held..end, 0);
    }
    Ok((count, bytes))
}

#[inline(always)]
fn prefixed_by_hand(input: &[u8]) -> Option<(&[u8], usize)> {
    let (head, rest) = input.split_first_chunk()?;
    let len = u32::from_be_bytes(*head) as usize;
    Some((rest.get(..len)?, 4 + len))
}

#[inline(always)]
fn tagged_by_hand(input: &[u8]) -> Option<(&[u8], usize)> {
    let (tag, rest) = input.split_first()?;
    let (size, len) = match tag {
        2 => (1, usize::from(*rest.first()?)),
        1 | 3 => (2, usize::from(u16::from_le_bytes(*rest.first_chunk()?))),
        4 => {
            let [a, b, c] = *rest.first_chunk()?;
            (3, u32::from_le_bytes([a, b, c, 0]) as usize)
        }
        5 => (4, u32::from_le_bytes(*rest.first_chunk()?) as usize),
        _ => return None,
    };
    Some((rest.get(size..size + len)?, 1 + size + len))
}

fn tokio_util(stream: &[u8]) -> Result<(usize, usize)> {
    let (mut codec, mut buffer) =
        (LengthDelimitedCodec::new(), bytes::BytesMut::with_capacity(2 * CHUNK));
    let (mut count, mut bytes) = (0, 0);
    for chunk in stream.chunks(CHUNK) {
        buffer.extend_from_slice(chunk);
        while let Some(body) = codec.decode(&mut buffer)? {
            bytes += black_box(&body[..]).len();
            count += 1;
        }
    }
    Ok((count, bytes))
}
