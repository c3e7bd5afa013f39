//! Any Unix, Linux among them: by POSIX.

#[cfg(not(target_os = "linux"))]
mod bsd;
pub(crate) mod esc;
mod files;
mod folder;
mod parent;
mod process;
pub(crate) mod signals;
mod sockets;
pub(crate) mod stdio;
mod streams;
pub(crate) mod terminal;

#[cfg(not(target_os = "linux"))]
pub(crate) use bsd::*;
pub(crate) use files::{cause, create_locked, is_unlinked, open_nonblocking, path_from, read_at};
pub(crate) use folder::Folder;
pub(crate) use parent::obey;
pub(crate) use process::{Line, can_start_children, max_files, program, raise_max_files, start};
pub(crate) use sockets::{SHARES_PORTS, keep_alive, reuse_address, share_port};
pub(crate) use streams::{
    PipeReader, PipeWriter, columns, is_closed, pipe, read_stdin, stdin, stdin_file, waitable,
    write_stdout,
};
