//! The schemas of typed and upload: tables for [`Tagged`].
//!
//! A message is a tag of 1 byte, then what the table says of that tag. Integers are little-endian. Tags from 16 on are kept for later.
//!
//! | tag | `sized` | `close` |
//! | --- | --- | --- |
//! | 1 | STRING: a length of 2 bytes, at most 4096, and so many bytes | the same |
//! | 2 | DATA_1B: a length of 1 byte, and so many bytes | DATA: all bytes to the end of the stream |
//! | 3 | DATA_2B: a length of 2 bytes, and so many bytes | |
//! | 4 | DATA_3B: a length of 3 bytes, and so many bytes | |
//! | 5 | DATA_4B: a length of 4 bytes, and so many bytes | |
//! | 6 | DATA_8B: a length of 8 bytes, and so many bytes | |
//!
//! upload uses `sized`: a STRING with a name, which the server answers with `OK`, or with `ERR `, a reason and a newline; then DATA.

use crate::frame::{Body, Order, Row, Tag, Tagged};

/// The longest STRING, in bytes.
pub const STRING_MAX: usize = 4096;

/// The longest STRING with its head, in bytes.
pub const STRING_FRAME_MAX: usize = 1 + 2 + STRING_MAX;

/// A text, in both schemas.
pub const STRING: Row = Row::new(1, "STRING", Body::U16).at_most(STRING_MAX as u64);

/// STRING, and DATA with its length before it, in as few bytes as will do.
pub const SIZED: Tagged = Tagged::new(
    Tag::U8,
    Order::Little,
    &[
        STRING,
        Row::new(2, "DATA_1B", Body::U8),
        Row::new(3, "DATA_2B", Body::U16),
        Row::new(4, "DATA_3B", Body::U24),
        Row::new(5, "DATA_4B", Body::U32),
        Row::new(6, "DATA_8B", Body::U64),
    ],
);

/// STRING, and DATA to the end of the stream.
pub const CLOSE: Tagged =
    Tagged::new(Tag::U8, Order::Little, &[STRING, Row::new(2, "DATA", Body::ToEnd)]);

/// Which of the two schemas typed uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Schema {
    /// [`SIZED`].
    #[default]
    Sized,
    /// [`CLOSE`].
    Close,
}

impl Schema {
    /// Its table.
    pub const fn table(self) -> Tagged {
        match self {
            Self::Sized => SIZED,
            Self::Close => CLOSE,
        }
    }

    /// The part of its table that is not STRING.
    pub const fn data(self) -> Tagged {
        match self {
            Self::Sized => SIZED.only(1, SIZED.rows.len()),
            Self::Close => CLOSE.only(1, CLOSE.rows.len()),
        }
    }

    /// The schema of that name: `sized` or `close`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "sized" => Some(Self::Sized),
            "close" => Some(Self::Close),
            _ => None,
        }
    }
}
