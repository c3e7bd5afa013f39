//! The messages of typed and upload, byte by byte as their pages have them: not by the code that is tried.

/// STRING's tag, and DATA's where the schema is `close`.
pub(super) const STRING: u8 = 1;
pub(super) const DATA: u8 = 2;

/// The tags of DATA where it has a length, and how many bytes that takes.
pub(super) const SIZED: [(u8, usize); 5] = [(2, 1), (3, 2), (4, 3), (5, 4), (6, 8)];

/// The head of a message of `len` bytes.
pub(super) fn head(tag: u8, len: u64) -> Vec<u8> {
    let size = match tag {
        STRING => 2,
        tag => SIZED.iter().find(|row| row.0 == tag).expect("there is such a tag").1,
    };
    [&[tag][..], &len.to_le_bytes()[..size]].concat()
}

/// STRING.
pub(super) fn string(text: &[u8]) -> Vec<u8> {
    [&head(STRING, text.len() as u64), text].concat()
}

/// DATA with the smallest tag that fits.
pub(super) fn data(body: &[u8]) -> Vec<u8> {
    let len = body.len() as u64;
    let fits = |size: &usize| *size == 8 || len < 1 << (8 * size);
    let (tag, _) = SIZED.into_iter().find(|(_, size)| fits(size)).expect("8 bytes always do");
    [&head(tag, len), body].concat()
}
