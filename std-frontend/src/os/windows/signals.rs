//! Ctrl-C, and what else asks a program to end: Ctrl-Break, a console that is closed.

use std::io;

/// Ctrl-C, by C's number.
pub(crate) const SIGINT: i32 = 2;

/// `STATUS_CONTROL_C_EXIT`.
const ENDED_BY_CTRL_C: u32 = 0xC000_013A;

/// Calls `act` with each of them, in a thread, and with its number from 1 on. All are taken for Ctrl-C.
pub(crate) fn watch(mut act: impl FnMut(i32, usize) + Send + 'static) -> io::Result<()> {
    let mut count = 0;
    let each = move || {
        count += 1;
        act(SIGINT, count);
    };
    ctrlc::set_handler(each).map_err(io::Error::other)
}

/// Ends this process as Ctrl-C does any other.
pub(crate) fn end_by(_: i32) {
    std::process::exit(ENDED_BY_CTRL_C.cast_signed())
}

/// There is no such limit.
pub(crate) fn survive_file_limit() -> io::Result<()> {
    Ok(())
}
