//! `serve --esc`: not here.

use std::io;

use super::terminal::SingleKeys;

/// There is no Esc. That is told, and the server serves all the same.
pub(crate) fn begin() -> io::Result<Option<SingleKeys>> {
    tracing::warn!("--esc does nothing: it needs a Unix terminal; stop the server with Ctrl-C");
    Ok(None)
}
