//! A type tag, then what a table says of it.

use core::fmt;

/// A message is a type tag, a length if the table says so, and a body. One decoder for every table: adding a message type is adding
/// a row.
///
/// The decoder keeps nothing between two looks: a head has at most [`HEAD_MAX`](Self::HEAD_MAX) bytes, and is looked at again when
/// more of it has come. A body never needs a buffer: where it is long, [`head`](Self::head) says how long, and the rest is a
/// transfer's. Small ones are had whole from [`frame`](Self::frame).
///
/// # The labs' values
///
/// A schema of fixed sizes, as the lab has it: a tag says whether a boolean, an integer, a float or a struct of them follows.
///
/// ```
/// use anywire_core::frame::{Body, Order, Row, Tag, Tagged};
///
/// const VALUES: Tagged = Tagged::new(
///     Tag::U8,
///     Order::Little,
///     &[
///         Row::new(1, "BOOLEAN", Body::Fixed(1)),
///         Row::new(2, "INTEGER", Body::Fixed(4)),
///         Row::new(3, "FLOAT", Body::Fixed(8)),
///         // struct { id: u16, at: f32, valid: bool }
///         Row::new(4, "SAMPLE", Body::Fixed(2 + 4 + 1)),
///     ],
/// );
///
/// // As Python's struct.pack("<Bi", 2, -5) has it, and the first byte of the next message.
/// let stream = [2, 0xfb, 0xff, 0xff, 0xff, 1];
/// let frame = VALUES.frame(&stream, false)?.unwrap();
/// assert_eq!((frame.row.name, frame.len), ("INTEGER", 5));
/// assert_eq!(i32::from_le_bytes(frame.body.try_into().unwrap()), -5);
///
/// // More is to come, and what is no message at all says what would be one.
/// assert_eq!(VALUES.frame(&stream[5..], false)?, None);
/// let error = VALUES.frame(&[9], false).unwrap_err();
/// assert_eq!(error.to_string(), "tag 9; it must be 1 BOOLEAN, 2 INTEGER, 3 FLOAT or 4 SAMPLE");
///
/// // To send one: the head, then the body.
/// let head = VALUES.encode(4, 7).unwrap();
/// assert_eq!(head.as_bytes(), [4]);
/// # Ok::<(), anywire_core::frame::FrameError>(())
/// ```
///
/// # Only a length
///
/// ```
/// use anywire_core::frame::{Body, Order, Row, Tag, Tagged};
///
/// const PREFIXED: Tagged =
///     Tagged::new(Tag::None, Order::Big, &[Row::new(0, "FRAME", Body::U32).at_most(1 << 20)]);
///
/// let frame = PREFIXED.frame(b"\0\0\0\x05hello\0", false)?.unwrap();
/// assert_eq!((frame.body, frame.len), (&b"hello"[..], 9));
/// # Ok::<(), anywire_core::frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The size of the tag.
    pub tag: Tag,
    /// The order of the bytes of the tag and of the length.
    pub order: Order,
    /// The types there are.
    pub rows: &'static [Row],
}

/// The size of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// No byte: the one row there is needs none. With a length, that is length-prefixed framing.
    None,
    /// 1 byte.
    U8,
    /// 2 bytes, for schemas with more than 256 types.
    U16,
}

/// The order of bytes in an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The least significant first.
    Little,
    /// The most significant first: network byte order.
    Big,
}

/// One type of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Row {
    /// Its tag.
    pub tag: u16,
    /// Its name, for people.
    pub name: &'static str,
    /// What follows the tag.
    pub body: Body,
    /// The longest body that is taken, in bytes.
    pub max: u64,
}

/// What follows a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Body {
    /// So many bytes, always.
    Fixed(u64),
    /// A length of 1 byte, and so many bytes.
    U8,
    /// A length of 2 bytes, and so many bytes.
    U16,
    /// A length of 3 bytes, and so many bytes.
    U24,
    /// A length of 4 bytes, and so many bytes.
    U32,
    /// A length of 8 bytes, and so many bytes.
    U64,
    /// All bytes to the end of the stream.
    ToEnd,
}

/// The head of a message, whole and sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What kind of message it is.
    pub row: &'static Row,
    /// How many bytes of input the head took: take them, and the body is next.
    pub len: usize,
    /// The length of the body, in bytes; `None`: to the end of the stream.
    pub body: Option<u64>,
}

/// A whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What kind of message it is.
    pub row: &'static Row,
    /// Its body.
    pub body: &'a [u8],
    /// How many bytes of input it took, with its head.
    pub len: usize,
}

/// The head of a message that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadBytes {
    bytes: [u8; Tagged::HEAD_MAX],
    /// Invariant: at most `Tagged::HEAD_MAX`.
    len: usize,
}

/// The name of a row. (serde takes a `&'static str` that is spelled out for one to be borrowed from what it reads.)
type Name = &'static str;

/// Why what came is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum FrameError {
    /// The tag is not one that is allowed here.
    Tag {
        /// The tag that came.
        found: u16,
        /// What would have been allowed.
        #[cfg_attr(feature = "serde", serde(with = "crate::schema::known_rows"))]
        allowed: &'static [Row],
    },
    /// The body is longer than its type allows.
    TooLong {
        /// The name of the type.
        #[cfg_attr(feature = "serde", serde(with = "crate::schema::known_name"))]
        name: Name,
        /// The length that was announced, in bytes.
        len: u64,
        /// The longest that is allowed.
        max: u64,
    },
    /// The stream ended inside a message.
    Ended {
        /// Bytes of it that came.
        got: u64,
        /// Bytes that it has at least.
        want: u64,
    },
}

impl Row {
    /// A type of message whose body may be as long as its length can say.
    pub const fn new(tag: u16, name: &'static str, body: Body) -> Self {
        Self { tag, name, body, max: u64::MAX }
    }

    /// The same, with bodies of at most `max` bytes.
    pub const fn at_most(self, max: u64) -> Self {
        Self { max, ..self }
    }

    /// Whether a body of `len` bytes can be sent as this type.
    pub const fn fits(&self, len: u64) -> bool {
        let sayable = match self.body {
            Body::Fixed(fixed) => len == fixed,
            Body::U8 => len < 1 << 8,
            Body::U16 => len < 1 << 16,
            Body::U24 => len < 1 << 24,
            Body::U32 => len < 1 << 32,
            Body::U64 | Body::ToEnd => true,
        };
        sayable && len <= self.max
    }
}

impl Body {
    /// How many bytes the length has.
    const fn length_size(self) -> usize {
        match self {
            Self::Fixed(_) | Self::ToEnd => 0,
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U24 => 3,
            Self::U32 => 4,
            Self::U64 => 8,
        }
    }
}

impl Tag {
    const fn size(self) -> usize {
        match self {
            Self::None => 0,
            Self::U8 => 1,
            Self::U16 => 2,
        }
    }

    /// Whether `tag` can be told from others by it.
    const fn holds(self, tag: u16) -> bool {
        match self {
            Self::None => tag == 0,
            Self::U8 => tag < 1 << 8,
            Self::U16 => true,
        }
    }
}

impl Order {
    /// The integer that the first `size` bytes of `bytes` stand for, and the bytes behind it; `size` is at most 8. `None`: there are not so
    /// many.
    #[inline(always)]
    fn read(self, bytes: &[u8], size: usize) -> Option<(u64, &[u8])> {
        Some(match (size, self) {
            (0, _) => (0, bytes),
            (1, _) => bytes.split_first().map(|(byte, rest)| (u64::from(*byte), rest))?,
            (2, Self::Little) => split(bytes, u16::from_le_bytes)?,
            (2, Self::Big) => split(bytes, u16::from_be_bytes)?,
            (4, Self::Little) => split(bytes, u32::from_le_bytes)?,
            (4, Self::Big) => split(bytes, u32::from_be_bytes)?,
            _ => {
                let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
                let (bytes, rest) = bytes.split_at_checked(size)?;
                let value = match self {
                    Self::Little => bytes.iter().rev().fold(0, join),
                    Self::Big => bytes.iter().fold(0, join),
                };
                (value, rest)
            }
        })
    }
}

/// The integer that `read` makes of the first bytes, and those behind it.
#[inline(always)]
fn split<const N: usize, T: Into<u64>>(
    bytes: &[u8],
    read: impl Fn([u8; N]) -> T,
) -> Option<(u64, &[u8])> {
    let (front, rest) = bytes.split_first_chunk()?;
    Some((read(*front).into(), rest))
}

impl HeadBytes {
    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Appends the `size` lowest bytes of `value`.
    fn push(&mut self, order: Order, size: usize, value: u64) {
        let little = value.to_le_bytes();
        let bytes = little.get(..size).unwrap_or_default();
        let to = self.bytes.get_mut(self.len..).unwrap_or_default();
        match order {
            Order::Little => to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from),
            Order::Big => to.iter_mut().zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from),
        }
        self.len += bytes.len();
    }
}

impl Tagged {
    /// The longest head, in bytes: no decoder needs more to say what follows.
    pub const HEAD_MAX: usize = 2 + 8;

    /// A schema. In a `const`, so that a table with a tag twice, or with one that is too large for its size, does not compile.
    ///
    /// # Panics
    ///
    /// If it is made at run time from such a table.
    pub const fn new(tag: Tag, order: Order, rows: &'static [Row]) -> Self {
        let mut at = 0;
        while at < rows.len() {
            assert!(tag.holds(rows[at].tag), "the tag does not fit");
            let empty = tag.size() == 0 && matches!(rows[at].body, Body::Fixed(0));
            assert!(!empty, "a message has at least one byte");
            let mut other = 0;
            while other < at {
                assert!(rows[at].tag != rows[other].tag, "the tag is there twice");
                other += 1;
            }
            at += 1;
        }
        Self { tag, order, rows }
    }

    /// Its rows.
    #[cfg(feature = "serde")]
    pub(crate) const fn rows(&self) -> &'static [Row] {
        self.rows
    }

    /// The same schema where only the rows from `from` up to and without `to` are allowed.
    ///
    /// # Panics
    ///
    /// If there are no such rows; in a `const` it does not compile then.
    pub const fn only(self, from: usize, to: usize) -> Self {
        assert!(from < to && to <= self.rows.len(), "there are no such rows");
        Self { rows: self.rows.split_at(to).0.split_at(from).1, ..self }
    }

    /// The head of a message of type `tag` with a body of `len` bytes; `None`: there is no such type, or the body does not
    /// [fit](Row::fits).
    pub fn encode(&self, tag: u16, len: u64) -> Option<HeadBytes> {
        let row = self.row(tag)?;
        if !row.fits(len) {
            return None;
        }
        let mut head = HeadBytes { bytes: [0; Self::HEAD_MAX], len: 0 };
        head.push(self.order, self.tag.size(), tag.into());
        head.push(self.order, row.body.length_size(), len);
        Some(head)
    }

    /// The row whose head is the shortest of those that can hold a body of `len` bytes.
    pub fn fitting(&self, len: u64) -> Option<&'static Row> {
        self.rows.iter().filter(|row| row.fits(len)).min_by_key(|row| row.body.length_size())
    }

    #[inline(always)]
    fn row(&self, tag: u16) -> Option<&'static Row> {
        // Most tables count up from their first tag.
        let place = tag.wrapping_sub(self.rows.first()?.tag);
        match self.rows.get(usize::from(place)) {
            Some(row) if row.tag == tag => Some(row),
            _ => self.search(tag),
        }
    }

    #[cold]
    fn search(&self, tag: u16) -> Option<&'static Row> {
        self.rows.iter().find(|row| row.tag == tag)
    }

    /// The tag at the front of `input`, if it is whole, and what is behind it.
    #[inline(always)]
    fn tag<'a>(&self, input: &'a [u8]) -> Option<(u16, &'a [u8])> {
        // It has at most 2 bytes.
        self.order.read(input, self.tag.size()).map(|(tag, rest)| (tag as u16, rest))
    }

    /// The head at the front of `input`, if it is whole and sound, and what is behind it. Why it is not, [`no_head`](Self::no_head) says:
    /// with errors in it, this would be too large to be inlined, and what it finds would go through memory.
    #[inline(always)]
    fn sound_head<'a>(&self, input: &'a [u8]) -> Option<(Head, &'a [u8])> {
        let (tag, rest) = self.tag(input)?;
        let row = self.row(tag)?;
        let tag_size = self.tag.size();
        let length = |size| {
            let (len, rest) = self.order.read(rest, size)?;
            Some((tag_size + size, Some(len), rest))
        };
        // An arm for each, so that where the next message is does not wait for the table: the processor has guessed the arm by then.
        let (len, body, rest) = match row.body {
            Body::Fixed(fixed) => (tag_size, Some(fixed), rest),
            Body::ToEnd => (tag_size, None, rest),
            Body::U8 => length(1)?,
            Body::U16 => length(2)?,
            Body::U24 => length(3)?,
            Body::U32 => length(4)?,
            Body::U64 => length(8)?,
        };
        body.is_none_or(|len| len <= row.max).then_some((Head { row, len, body }, rest))
    }

    /// Why there is no head at the front of `input`; `Ok`: more of it must come.
    #[cold]
    fn no_head(&self, input: &[u8], ended: bool) -> Result<(), FrameError> {
        let cut = |want: usize| match ended {
            true => Err(FrameError::Ended { got: input.len() as u64, want: want as u64 }),
            false => Ok(()),
        };
        if input.is_empty() {
            return Ok(());
        }
        let tag_size = self.tag.size();
        let Some((found, rest)) = self.tag(input) else { return cut(tag_size) };
        let Some(row) = self.row(found) else {
            return Err(FrameError::Tag { found, allowed: self.rows });
        };
        let size = row.body.length_size();
        let len = match row.body {
            Body::Fixed(len) => Some(len),
            _ => self.order.read(rest, size).map(|(len, _)| len),
        };
        match len {
            Some(len) if len > row.max => {
                Err(FrameError::TooLong { name: row.name, len, max: row.max })
            }
            _ => cut(tag_size + size),
        }
    }

    /// Looks at the head of a message at the front of `input`, which is the last there is if `ended`. `None`: more of it must
    /// come. No input at all is no message, and no error either: whether the stream may end there is the caller's to say.
    #[inline]
    pub fn head(&self, input: &[u8], ended: bool) -> Result<Option<Head>, FrameError> {
        match self.sound_head(input) {
            Some((head, _)) => Ok(Some(head)),
            None => self.no_head(input, ended).map(|()| None),
        }
    }

    /// Looks at a whole message at the front of `input`. `None`: more of it must come, and the caller holds what is there. One to
    /// the end of the stream is whole when the stream has `ended`.
    #[inline]
    pub fn frame<'a>(&self, input: &'a [u8], ended: bool) -> Result<Option<Frame<'a>>, FrameError> {
        match self.whole(input) {
            Some(frame) => Ok(Some(frame)),
            None => self.no_frame(input, ended),
        }
    }

    /// The message of known length at the front of `input`, if it is whole and sound.
    #[inline(always)]
    fn whole<'a>(&self, input: &'a [u8]) -> Option<Frame<'a>> {
        let (head, rest) = self.sound_head(input)?;
        let body = rest.get(..usize::try_from(head.body?).ok()?)?;
        Some(Frame { row: head.row, body, len: head.len + body.len() })
    }

    /// What else is at the front of `input`.
    #[cold]
    fn no_frame<'a>(&self, input: &'a [u8], ended: bool) -> Result<Option<Frame<'a>>, FrameError> {
        match self.head(input, ended)? {
            // No message is without a byte.
            _ if !ended || input.is_empty() => Ok(None),
            Some(Head { row, len, body: None }) => {
                let body = input.get(len..).unwrap_or_default();
                Ok(Some(Frame { row, body, len: input.len() }))
            }
            Some(Head { len, body: Some(body), .. }) => Err(FrameError::Ended {
                got: input.len() as u64,
                want: body.saturating_add(len as u64),
            }),
            None => Ok(None),
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Tag { found, allowed } => {
                write!(f, "tag {found}; it must be ")?;
                for (at, row) in allowed.iter().enumerate() {
                    let before = match at {
                        0 => "",
                        at if at + 1 == allowed.len() => " or ",
                        _ => ", ",
                    };
                    write!(f, "{before}{} {}", row.tag, row.name)?;
                }
                Ok(())
            }
            Self::TooLong { name, len, max } => {
                write!(f, "{name} of {len} bytes; at most {max} are allowed")
            }
            Self::Ended { got, want } => {
                write!(f, "the stream ended after {got} of at least {want} bytes of a message")
            }
        }
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    /// Everything that a table can say.
    const ROWS: &[Row] = &[
        Row::new(0, "EMPTY", Body::Fixed(0)),
        Row::new(7, "FIXED", Body::Fixed(3)),
        Row::new(8, "B1", Body::U8),
        Row::new(9, "B2", Body::U16).at_most(300),
        Row::new(10, "B3", Body::U24),
        Row::new(11, "B4", Body::U32),
        Row::new(12, "B8", Body::U64),
        Row::new(255, "REST", Body::ToEnd),
    ];

    fn schemas() -> impl Iterator<Item = Tagged> {
        [Tag::U8, Tag::U16]
            .into_iter()
            .flat_map(|tag| [Order::Little, Order::Big].map(|order| Tagged::new(tag, order, ROWS)))
    }

    #[test]
    fn what_is_sent_is_what_is_found_however_it_is_cut() {
        for schema in schemas() {
            for row in ROWS {
                for len in [0_u64, 1, 3, 255, 256, 300] {
                    let Some(head) = schema.encode(row.tag, len) else { continue };
                    let mut stream = head.as_bytes().to_vec();
                    assert!(stream.len() <= Tagged::HEAD_MAX);
                    stream.extend((0..len).map(|at| at as u8));
                    let whole = stream.len();
                    let to_end = row.body == Body::ToEnd;
                    if !to_end {
                        // The beginning of the next message must not matter.
                        stream.extend([8, 1]);
                    }
                    for at in 0..whole {
                        assert_eq!(schema.frame(&stream[..at], false), Ok(None));
                    }
                    let frame = schema.frame(&stream, to_end).unwrap().unwrap();
                    assert_eq!((frame.row, frame.len), (row, whole));
                    assert_eq!(frame.body, &stream[head.as_bytes().len()..whole]);
                    let found = schema.head(&stream, false).unwrap().unwrap();
                    assert_eq!(found.body, (!to_end).then_some(len));
                    assert_eq!(found.len, head.as_bytes().len());
                }
            }
        }
    }

    #[test]
    fn without_a_tag_there_is_only_a_length() {
        const ROWS: &[Row] = &[Row::new(0, "FRAME", Body::U16).at_most(9)];
        let schema = Tagged::new(Tag::None, Order::Big, ROWS);
        let stream = [0, 2, b'a', b'b', 0, 10];
        for at in 0..4 {
            assert_eq!(schema.frame(&stream[..at], false), Ok(None));
        }
        let frame = schema.frame(&stream, false).unwrap().unwrap();
        assert_eq!((frame.body, frame.len), (&b"ab"[..], 4));
        let error = FrameError::TooLong { name: "FRAME", len: 10, max: 9 };
        assert_eq!(schema.frame(&stream[4..], false), Err(error));
        assert_eq!(schema.encode(0, 2).unwrap().as_bytes(), [0, 2]);
    }

    #[test]
    fn without_a_tag_no_input_is_no_message() {
        for body in [Body::Fixed(2), Body::U8, Body::ToEnd] {
            // A message that is too long is none before it begins.
            for max in [0, 100] {
                let rows = [Row::new(0, "FRAME", body).at_most(max)].to_vec().leak();
                let schema = Tagged::new(Tag::None, Order::Big, rows);
                for ended in [false, true] {
                    assert_eq!(schema.frame(&[], ended), Ok(None), "{body:?}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "at least one byte")]
    fn without_a_tag_a_message_is_not_empty() {
        const ROWS: &[Row] = &[Row::new(0, "NOTHING", Body::Fixed(0))];
        Tagged::new(Tag::None, Order::Big, ROWS);
    }

    #[test]
    fn an_end_inside_a_message_says_how_far_it_came() {
        let schema = Tagged::new(Tag::U16, Order::Big, ROWS);
        let stream = [0, 9, 0, 2, b'a', b'b'];
        assert_eq!(schema.frame(&[], true), Ok(None));
        for (at, want) in [(1, 2), (2, 4), (3, 4), (4, 6), (5, 6)] {
            let error = FrameError::Ended { got: at as u64, want };
            assert_eq!(schema.frame(&stream[..at], true), Err(error));
        }
        assert!(schema.frame(&stream, true).unwrap().is_some());
    }

    #[test]
    fn lengths_of_every_size_and_both_orders() {
        let huge = [12, 255, 255, 255, 255, 255, 255, 255, 255];
        let schema = Tagged::new(Tag::U8, Order::Little, ROWS);
        assert_eq!(schema.head(&huge, true).unwrap().unwrap().body, Some(u64::MAX));
        // No arithmetic on it may go wrong either.
        let error = FrameError::Ended { got: 9, want: u64::MAX };
        assert_eq!(schema.frame(&huge, true), Err(error));
        let little = Tagged::new(Tag::U8, Order::Little, ROWS);
        let big = Tagged::new(Tag::U8, Order::Big, ROWS);
        let stream = [10, 1, 2, 3];
        assert_eq!(little.head(&stream, false).unwrap().unwrap().body, Some(0x03_02_01));
        assert_eq!(big.head(&stream, false).unwrap().unwrap().body, Some(0x01_02_03));
    }

    #[test]
    fn errors_name_what_was_found_and_what_was_allowed() {
        let schema = Tagged::new(Tag::U8, Order::Little, ROWS);
        let long = schema.head(&[9, 0x2d, 1], false).unwrap_err();
        assert_eq!(long, FrameError::TooLong { name: "B2", len: 301, max: 300 });
        assert_eq!(long.to_string(), "B2 of 301 bytes; at most 300 are allowed");
        let some = schema.only(1, 3);
        assert_eq!(
            some.head(&[9], false).unwrap_err().to_string(),
            "tag 9; it must be 7 FIXED or 8 B1"
        );
        assert_eq!(
            some.only(1, 2).head(&[7], false).unwrap_err().to_string(),
            "tag 7; it must be 8 B1"
        );
    }

    #[test]
    fn the_smallest_tag_that_fits() {
        let schema = Tagged::new(Tag::U8, Order::Little, ROWS).only(2, 7);
        let tag = |len| schema.fitting(len).map(|row| row.tag);
        let cases = [(0, 8), (255, 8), (256, 9), (300, 9), (301, 10), (1 << 24, 11), (1 << 32, 12)];
        for (len, expected) in cases {
            assert_eq!(tag(len), Some(expected), "{len}");
        }
        assert_eq!(schema.only(0, 1).fitting(256), None);
    }
}
