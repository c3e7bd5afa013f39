//! This process, and its children.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::os;

/// What a parent hears from a child, and says to it: the child's standard error.
pub(crate) type Line = mio::net::UnixStream;

/// Whether a child can have a connection.
pub(crate) fn can_start_children() -> io::Result<()> {
    Ok(())
}

/// Starts a child with a connection as its standard input and output. `register` gets our end of its standard error before: once there is a
/// child, nothing fails any more.
pub(crate) fn start(
    command: &mut Command,
    stream: &TcpStream,
    register: impl FnOnce(&mut Line) -> io::Result<()>,
) -> io::Result<(Child, Line)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut line = Line::from_std(ours);
    register(&mut line)?;
    let wire = || io::Result::Ok(OwnedFd::from(stream.try_clone()?));
    command.stdin(wire()?).stdout(wire()?).stderr(OwnedFd::from(theirs));
    // A terminal's Ctrl-C is for the parent, which tells its children.
    Ok((command.process_group(0).spawn()?, line))
}

/// This program, to be started again under that name.
pub(crate) fn program(name: &str) -> Command {
    let mut program = Command::new(os::this_program());
    program.arg0(name);
    program
}

/// Descriptors that may be open; `None`: there is no limit.
pub(crate) fn max_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises their number as far as it may be raised.
pub(crate) fn raise_max_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    Ok(setrlimit(Resource::Nofile, raised)?)
}
