//! The console stays in the mode that it has.

/// There is no such mode.
#[derive(Debug)]
pub(crate) enum SingleKeys {}

pub(crate) fn restore() {}

/// Ctrl-C shows nothing.
pub(crate) fn shows_keys() -> bool {
    false
}
