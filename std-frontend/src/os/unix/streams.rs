//! Standard input and output, and pipes.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

/// A pipe whose reading end can be waited for.
pub(crate) use std::io::{PipeReader, PipeWriter, pipe};

/// Standard input, to be waited for.
pub(crate) fn stdin() -> io::Result<BorrowedFd<'static>> {
    Ok(rustix::stdio::stdin())
}

/// Standard input as a file.
pub(crate) fn stdin_file() -> io::Result<File> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// Reads from standard input, past the standard library's buffer.
pub(crate) fn read_stdin(buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(rustix::stdio::stdin(), buf)?)
}

/// Writes to standard output, past the standard library's buffer, which would look for newlines in a picture.
pub(crate) fn write_stdout(bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(rustix::stdio::stdout(), bytes)?)
}

/// Whether a standard stream is closed.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::BADF)
}

/// What is to be waited for before a file is read, if it can be.
pub(crate) fn waitable(file: &File) -> Option<BorrowedFd<'_>> {
    Some(file.as_fd())
}

/// How much fits on a line of standard output; `None`: it is no terminal, or does not say.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (io::stdout().is_terminal() && size.ws_col > 0).then_some(size.ws_col.into())
}
