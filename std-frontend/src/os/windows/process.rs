//! This process. It has no children: a socket cannot be a child's standard input and output.

use std::io;
use std::net::TcpStream;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use super::lacking;
use crate::engine::Orders;

/// What a parent would hear from a child.
pub(crate) type Line = mio::net::TcpStream;

const NO_CHILDREN: &str = "--engine processes needs a Unix, where a child takes over a connection: take --engine poll, or threads";

/// They cannot.
pub(crate) fn can_start_children() -> io::Result<()> {
    Err(lacking(NO_CHILDREN))
}

pub(crate) fn start(
    _: &mut Command,
    _: &TcpStream,
    _: impl FnOnce(&mut Line) -> io::Result<()>,
) -> io::Result<(Child, Line)> {
    Err(lacking(NO_CHILDREN))
}

/// There is no parent.
pub(crate) fn obey(_: Arc<Orders>, _: Duration) -> io::Result<()> {
    Err(lacking(NO_CHILDREN))
}

/// This program, to be started again.
pub(crate) fn program(name: &str) -> Command {
    Command::new(std::env::current_exe().unwrap_or_else(|_| name.into()))
}

/// There is no limit.
pub(crate) fn max_files() -> Option<u64> {
    None
}

pub(crate) fn raise_max_files() -> io::Result<()> {
    Ok(())
}
