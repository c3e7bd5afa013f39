//! Signals.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(crate) use signal_hook::consts::SIGINT;
use signal_hook::consts::{SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

/// Calls `act` with each SIGINT and SIGTERM, in a thread, and with its number from 1 on.
pub(crate) fn watch(mut act: impl FnMut(i32, usize) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for (signal, count) in signals.forever().zip(1..) {
            act(signal, count);
        }
    })?;
    Ok(())
}

/// Ends this process as the signal does any other.
pub(crate) fn end_by(signal: i32) {
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}

/// A write beyond the limit for files (`ulimit -f`) fails like any other, instead of ending the process.
pub(crate) fn survive_file_limit() -> io::Result<()> {
    // Nobody looks at the flag: it is enough that there is a handler.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}
