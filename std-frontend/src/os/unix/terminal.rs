//! The terminal on standard input, in a mode where each key is read at once; and how it gets back to what it was.
//!
//! Nothing but line editing and echo is off (`ICANON`, `ECHO`): Ctrl-C and Ctrl-Z are signals as ever, and what is printed looks as ever.
//! [`restore`] is for every way out; being stopped (Ctrl-Z) is one, for a while. In the background we leave the terminal alone: it is
//! somebody else's then, and setting it would stop us (`SIGTTOU`).

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::stdio::stdin;
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGCONT, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1, SIGUSR2, SIGXCPU,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Whose mode the terminal is in.
enum Mode {
    /// Never ours, or never again.
    Foreign,
    /// Not ours now, but to be when we are in the foreground.
    Wanted,
    /// Ours; it was this before.
    Single(Termios),
}

static MODE: Mutex<Mode> = Mutex::new(Mode::Foreign);

/// What stops us, lets us go on, or ends us, unless it asks a server to end: that is for `cli::signals`.
const SIGNALS: [i32; 9] =
    [SIGTSTP, SIGCONT, SIGHUP, SIGQUIT, SIGABRT, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU];

/// While it lives, the terminal gives single keys whenever we are in the foreground.
#[derive(Debug)]
pub(crate) struct SingleKeys(());

impl SingleKeys {
    /// Standard input must be a terminal.
    pub(crate) fn begin() -> io::Result<Self> {
        let mut signals = Signals::new(SIGNALS)?;
        std::thread::Builder::new()
            .name("terminal".into())
            .spawn(move || signals.forever().for_each(obey))?;
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            report(panic);
            // It may be our end. If not, the next `hold` has it again.
            release(&mut lock());
        }));
        *lock() = Mode::Wanted;
        let keys = Self(());
        hold()?;
        Ok(keys)
    }
}

impl Drop for SingleKeys {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back for good. To be called before whatever ends the process.
pub(crate) fn restore() {
    let mut mode = lock();
    release(&mut mode);
    *mode = Mode::Foreign;
}

/// Sees to it that the terminal is in our mode, if that is ours to say. Says whether it is. It fails when the terminal has gone.
pub(crate) fn hold() -> io::Result<bool> {
    let mut mode = lock();
    if matches!(*mode, Mode::Foreign) || !in_foreground() {
        return Ok(false);
    }
    let found = termios::tcgetattr(stdin())?;
    // A shell, or whoever was in the foreground meanwhile, may have set it.
    if found.local_modes.intersects(LINES) {
        let mut single = found.clone();
        single.local_modes.remove(LINES);
        single.special_codes[SpecialCodeIndex::VMIN] = 1;
        single.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(stdin(), OptionalActions::Now, &single)?;
    }
    if matches!(*mode, Mode::Wanted) {
        *mode = Mode::Single(found);
    }
    Ok(true)
}

const LINES: LocalModes = LocalModes::ICANON.union(LocalModes::ECHO);

/// Puts the terminal back to what it was. In the background it is not ours to set.
fn release(mode: &mut Mode) {
    if let Mode::Single(before) = mode
        && in_foreground()
    {
        // If it fails the terminal is gone.
        let _ = termios::tcsetattr(stdin(), OptionalActions::Now, before);
        *mode = Mode::Wanted;
    }
}

/// What signals do to a process, with the terminal as it should be at that moment.
fn obey(signal: i32) {
    match signal {
        SIGCONT => {
            // If it fails, whoever waits for keys will say so.
            let _ = hold();
        }
        // Where no shell waits for us nobody would let us go on: then the system does not stop anybody, but would with SIGSTOP.
        SIGTSTP if rustix::process::getsid(None) == Ok(rustix::process::getpgrp()) => {}
        SIGTSTP => {
            let mut mode = lock();
            release(&mut mode);
            // Under the lock: nobody takes the terminal again before we are stopped.
            let _ = emulate_default_handler(signal);
        }
        _ => {
            restore();
            let _ = emulate_default_handler(signal);
        }
    }
}

/// Whether a key that is pressed is seen.
pub(crate) fn shows_keys() -> bool {
    termios::tcgetattr(stdin()).is_ok_and(|found| found.local_modes.contains(LocalModes::ECHO))
}

/// A terminal that does not control us never stops us either.
fn in_foreground() -> bool {
    let theirs = |group| group != rustix::process::getpgrp();
    !termios::tcgetpgrp(stdin()).is_ok_and(theirs)
}

fn lock() -> MutexGuard<'static, Mode> {
    MODE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use rustix::fs::{Mode as FileMode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    const WAY: &str = "ANYWIRE_TEST_WAY";

    fn is_single(terminal: impl std::os::fd::AsFd) -> bool {
        !termios::tcgetattr(terminal).unwrap().local_modes.intersects(LINES)
    }

    /// Not a test by itself: what [`a_panic_gives_it_back`] runs on a terminal.
    #[test]
    fn on_a_terminal() {
        let Ok(way) = std::env::var(WAY) else { return };
        let _keys = SingleKeys::begin().unwrap();
        rustix::io::read(stdin(), &mut [0; 1]).unwrap();
        match way.as_str() {
            "once" => panic!("as it should"),
            "twice" => {
                struct Again;
                impl Drop for Again {
                    fn drop(&mut self) {
                        panic!("while it panics");
                    }
                }
                let _again = Again;
                panic!("as it should");
            }
            "elsewhere" => {
                assert!(std::thread::spawn(|| panic!("as it should")).join().is_err());
                assert!(!is_single(stdin()));
                assert!(hold().unwrap() && is_single(stdin()));
            }
            way => panic!("{way}"),
        }
    }

    #[test]
    fn a_panic_gives_it_back() {
        // Unwinding; a panic inside of a panic, which aborts; one that we survive.
        for (way, status) in [("once", Some(101)), ("twice", None), ("elsewhere", Some(0))] {
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            let ours = openpt(flags).unwrap();
            grantpt(&ours).unwrap();
            unlockpt(&ours).unwrap();
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            let name = ptsname(&ours, Vec::new()).unwrap();
            let theirs = rustix::fs::open(name, flags, FileMode::empty()).unwrap();
            let before = format!("{:?}", termios::tcgetattr(&ours).unwrap());
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "os::unix::terminal::tests::on_a_terminal"])
                .env(WAY, way)
                .stdin(File::from(theirs))
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let began = Instant::now();
            while !is_single(&ours) {
                assert!(began.elapsed() < Duration::from_secs(60), "{way}: it sets no terminal");
                std::thread::yield_now();
            }
            let mut ours = File::from(ours);
            ours.write_all(b"x").unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), status, "{way}: {output:?}");
            assert_eq!(format!("{:?}", termios::tcgetattr(&ours).unwrap()), before, "{way}");
        }
    }
}
