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

/// Rows of these schemas, by where they stand: an error that is read back elsewhere names them again. Of other schemas there are none.
#[cfg(feature = "serde")]
pub(crate) mod known_rows {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{CLOSE, Row, SIZED};

    pub(crate) fn serialize<S: Serializer>(rows: &&[Row], to: S) -> Result<S::Ok, S::Error> {
        place(rows).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<&'static [Row], D::Error> {
        let (table, at, len) = <(u8, u8, u8)>::deserialize(from)?;
        let table = if table == 0 { SIZED } else { CLOSE };
        Ok(table
            .rows()
            .get(usize::from(at)..usize::from(at) + usize::from(len))
            .unwrap_or_default())
    }

    /// Which table, from which row on, and how many.
    fn place(rows: &[Row]) -> (u8, u8, u8) {
        for (table, number) in [(SIZED, 0), (CLOSE, 1)] {
            let mut windows = table.rows().windows(rows.len().max(1));
            if let Some(at) = windows.position(|window| window == rows) {
                return (number, at as u8, rows.len() as u8);
            }
        }
        (0, 0, 0)
    }
}

/// The name of a row of these schemas, in the same way.
#[cfg(feature = "serde")]
pub(crate) mod known_name {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{CLOSE, SIZED};

    fn names() -> impl Iterator<Item = &'static str> {
        SIZED.rows().iter().chain(CLOSE.rows()).map(|row| row.name)
    }

    pub(crate) fn serialize<S: Serializer>(name: &&str, to: S) -> Result<S::Ok, S::Error> {
        names().position(|known| known == *name).map(|at| at as u8).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<&'static str, D::Error> {
        let at = Option::<u8>::deserialize(from)?;
        Ok(at.and_then(|at| names().nth(usize::from(at))).unwrap_or("a message"))
    }
}

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
