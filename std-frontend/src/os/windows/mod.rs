//! Windows: by what the standard library knows of it.
//!
//! Only sockets can be waited for. What a Unix has a pipe or a descriptor for is a connection of this process to itself.

pub(crate) mod esc;
mod files;
mod folder;
mod process;
pub(crate) mod signals;
mod sockets;
pub(crate) mod stdio;
mod streams;
pub(crate) mod terminal;

pub(crate) use files::{cause, create_locked, is_unlinked, open_nonblocking, path_from, read_at};
pub(crate) use folder::Folder;
pub(crate) use process::{
    Line, can_start_children, max_files, obey, program, raise_max_files, start,
};
pub(crate) use sockets::{SHARES_PORTS, keep_alive, reuse_address, share_port};
pub(crate) use streams::{
    PipeReader, PipeWriter, columns, is_closed, pipe, read_stdin, stdin, stdin_file, waitable,
    write_stdout,
};

/// What this system lacks, and what to do instead.
fn lacking(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::Unsupported, what)
}
