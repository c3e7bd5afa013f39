//! Ctrl-C, and being asked to end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::console::input::begin_line;
use crate::os::signals::{SIGINT, end_by, watch};
use crate::os::terminal;

/// For a server: the first SIGINT or SIGTERM calls `stop`, the second ends the process at once, with status 128 and the signal. One that is
/// held up by a transcript that nobody reads is ended, too, when it should have been over for long.
pub(super) fn stop_by(stop: Box<dyn Fn() + Send>, grace: Duration) -> io::Result<()> {
    watch(move |signal, count| {
        if count > 1 {
            exit(128 + signal);
        }
        if signal == SIGINT && terminal::shows_keys() {
            // Behind the ^C.
            begin_line();
        }
        stop();
        let _ = std::thread::Builder::new().spawn(move || {
            std::thread::sleep(grace.saturating_add(OVERDUE));
            // Standard error may be what holds it up.
            let _ = std::thread::Builder::new().spawn(|| {
                eprintln!("error: something does not end, 5 s after the grace: it is left as it is")
            });
            std::thread::sleep(Duration::from_millis(100));
            exit(1);
        });
    })
}

/// At once, but not without giving the terminal back.
fn exit(status: i32) -> ! {
    terminal::restore();
    std::process::exit(status)
}

/// So long after the grace a server has no reason left to run.
const OVERDUE: Duration = Duration::from_secs(5);

/// For a client: SIGINT or SIGTERM ends the process as it does any other, but first what is half done is removed.
pub(super) fn leave_nothing_behind() -> io::Result<()> {
    watch(|signal, _| {
        let _held = remove_temporary();
        end_by(signal);
    })
}

/// The one file that this process is writing and has not put under its name yet.
static TEMPORARY: Mutex<Option<PathBuf>> = Mutex::new(None);

/// A temporary file that goes when the process is ended by a signal. Removing it otherwise is up to its owner.
#[derive(Debug)]
pub(super) struct Temporary(());

impl Temporary {
    /// To be called before the file is made.
    pub(super) fn announce(path: &Path) -> Self {
        *TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
        Self(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        *TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Removes what was announced. While the guard is held no other can be.
fn remove_temporary() -> impl Sized {
    let mut temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = temporary.take() {
        let _ = std::fs::remove_file(path);
    }
    temporary
}
