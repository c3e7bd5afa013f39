//! Standard input and output, and pipes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::windows::io::AsHandle;
use std::sync::LazyLock;

use crate::os::{AsFd as _, BorrowedFd};

/// A pipe whose reading end can be waited for: a connection.
pub(crate) type PipeReader = TcpStream;
pub(crate) type PipeWriter = TcpStream;

pub(crate) fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let reader = TcpStream::connect(listener.local_addr()?)?;
    let ours = reader.local_addr()?;
    loop {
        let (writer, peer) = listener.accept()?;
        // Whoever else is on this machine may have been first.
        if peer == ours {
            return Ok((reader, writer));
        }
    }
}

/// Standard input, once somebody asks for it: a thread reads it, and passes it on.
static STDIN: LazyLock<io::Result<PipeReader>> = LazyLock::new(|| {
    let (reader, mut writer) = pipe()?;
    let pass_on = move || {
        if let Err(error) = io::copy(&mut io::stdin().lock(), &mut writer) {
            tracing::error!("cannot read from standard input: {error}");
        }
    };
    std::thread::Builder::new().name("stdin".into()).spawn(pass_on)?;
    Ok(reader)
});

fn passed_on() -> io::Result<&'static PipeReader> {
    STDIN.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// Standard input, to be waited for.
pub(crate) fn stdin() -> io::Result<BorrowedFd<'static>> {
    Ok(passed_on()?.as_fd())
}

/// Reads from what [`stdin`] is.
pub(crate) fn read_stdin(buf: &mut [u8]) -> io::Result<usize> {
    let mut stdin = passed_on()?;
    stdin.read(buf)
}

/// Standard input as a file, for whoever does not ask for [`stdin`].
pub(crate) fn stdin_file() -> io::Result<File> {
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// Writes to standard output. What is there at once is better than what is fast.
pub(crate) fn write_stdout(bytes: &[u8]) -> io::Result<usize> {
    let mut stdout = io::stdout().lock();
    let len = stdout.write(bytes)?;
    stdout.flush()?;
    Ok(len)
}

/// One that is closed reads as one that has ended.
pub(crate) fn is_closed(_: &io::Error) -> bool {
    false
}

/// A file cannot be waited for: a read does that.
pub(crate) fn waitable(_: &File) -> Option<BorrowedFd<'_>> {
    None
}

/// That is not asked for.
pub(crate) fn columns() -> Option<usize> {
    None
}
