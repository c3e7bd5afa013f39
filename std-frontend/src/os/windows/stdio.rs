//! One conversation on standard input and output: not here, where these cannot be waited for together with anything else.

use std::io;

use anywire_core::conversation::Limits;
use anywire_core::event::End;
use anywire_core::service::StreamService;
use anywire_core::store::Store;

use super::lacking;
use crate::engine::{Observer, Orders};

const NO_STDIO: &str = "--stdio needs a Unix, where standard input and output can be a connection";

/// It cannot.
pub(crate) fn can_converse() -> io::Result<()> {
    Err(lacking(NO_STDIO))
}

/// That cannot be held.
pub fn converse(
    _: impl StreamService,
    _: impl Store,
    _: &dyn Observer,
    _: &Limits,
    _: &Orders,
) -> io::Result<End> {
    Err(lacking(NO_STDIO))
}

/// There is no wire.
pub fn errors_go_to_the_peer() -> bool {
    false
}

/// Nobody need.
pub fn silence_errors() -> io::Result<()> {
    Err(lacking(NO_STDIO))
}
