//! The files that every transport's server has from the start.

use std::path::Path;
use std::sync::LazyLock;

use anywire_core::date::Date;

/// Name and length in bytes: the labs' sizes, and the edges.
pub const FILES: [(&str, usize); 4] =
    [("empty.bin", 0), ("one.bin", 1), ("photo.jpg", 55_696), ("song.mp3", 583_163)];

/// What stands beside them under a name, and is no file: links out of the folder and inside it, and a folder.
pub const NOT_FILES: [&str; 3] = ["outside", "inside", "folder"];

/// The longest of them, and the most that a store of the harness takes in one file.
pub const LONGEST: usize = 583_163;

/// What clocks on the wall show where they stand still: 2026-11-21T09:30:00+01:00.
pub const DATE: Date = Date { unix: 1_795_249_800, offset: 3600 };

/// `len` bytes that do not repeat soon: what is lost, doubled or moved shows.
pub fn bytes(len: usize) -> Vec<u8> {
    // Every store of every trial has them.
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| sequence(LONGEST));
    BYTES.get(..len).map_or_else(|| sequence(len), <[u8]>::to_vec)
}

fn sequence(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(len)
    .collect()
}

/// Writes them to a folder, with what must never be served beside them.
pub fn write(dir: &Path) -> std::io::Result<()> {
    for (name, len) in FILES {
        std::fs::write(dir.join(name), bytes(len))?;
    }
    std::fs::create_dir(dir.join("folder"))?;
    std::fs::write(dir.join(".hidden"), "hidden")?;
    std::os::unix::fs::symlink("/etc/passwd", dir.join("outside"))?;
    std::os::unix::fs::symlink("one.bin", dir.join("inside"))
}
