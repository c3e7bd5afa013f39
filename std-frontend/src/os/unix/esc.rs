//! `serve --esc`: Esc, pressed alone in the server's terminal, does what Ctrl-C does.
//!
//! The byte of Esc also begins what other keys send: arrows, function keys, anything with Alt. It was pressed alone if nothing follows it
//! for a moment, over a slow line too. Pressed again within the moment, or held down, it was pressed once.

use std::io::{self, IsTerminal};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::stdio::stdin;
use signal_hook::consts::SIGINT;

use super::terminal::{self, SingleKeys};

const ESC: u8 = 0x1b;

/// So long nothing follows an Esc that was pressed alone. The bytes of one key may come in pieces.
const MOMENT: Duration = Duration::from_millis(300);

/// So often we look whether we have come to the foreground: nobody tells us.
const LOOK: Duration = Duration::from_millis(250);

/// Begins to listen for Esc, until what is returned is dropped. Where nobody can press it that is told, and the server serves all the same.
pub(crate) fn begin() -> io::Result<Option<SingleKeys>> {
    if !io::stdin().is_terminal() {
        tracing::warn!(
            "--esc does nothing: standard input is no terminal; stop the server with Ctrl-C or SIGTERM"
        );
        return Ok(None);
    }
    let keys = SingleKeys::begin()?;
    if terminal::hold()? {
        tracing::info!("Esc stops the server");
    } else {
        tracing::warn!("in the background: Esc stops the server once it is in the foreground (fg)");
    }
    std::thread::Builder::new().name("esc".into()).spawn(|| {
        listen();
        tracing::warn!("the terminal has gone: there is no Esc any more; SIGTERM stops the server");
    })?;
    Ok(Some(keys))
}

/// Returns when the terminal has gone.
fn listen() {
    let mut buf = [0; 1024];
    let mut alone = false;
    loop {
        match terminal::hold() {
            Ok(true) => {}
            Ok(false) => {
                // Reading in the background would stop us.
                alone = false;
                std::thread::sleep(LOOK);
                continue;
            }
            Err(_) => return,
        }
        match readable(if alone { MOMENT } else { LOOK }) {
            Ok(true) => {}
            Ok(false) => {
                if std::mem::take(&mut alone) {
                    let _ = signal_hook::low_level::raise(SIGINT);
                }
                continue;
            }
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        match rustix::io::read(stdin(), &mut buf) {
            Ok(0) => return,
            Ok(len) => alone = buf.get(..len).is_some_and(|keys| keys.ends_with(&[ESC])),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

/// Waits for `within` until there are keys. What has come in time is seen, however late we look.
fn readable(within: Duration) -> Result<bool, Errno> {
    let mut fds = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
    let within = Timespec { tv_sec: 0, tv_nsec: within.subsec_nanos().into() };
    Ok(rustix::event::poll(&mut fds, Some(&within))? > 0)
}
