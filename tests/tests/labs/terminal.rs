//! A terminal with a shell on it, as a person has it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::page::prompt;
use crate::run::Place;

/// Stands before each prompt of the shell, so that it is told from a program that prints the same.
const MARK: char = '\u{1e}';

/// In its own way of editing a line, bash would show more than what is typed.
pub(crate) const SHELL: [&str; 4] = ["bash", "--noprofile", "--norc", "--noediting"];

pub(crate) struct Terminal {
    prompt: String,
    ours: File,
    shell: Child,
    raw: Vec<u8>,
    /// How many commands the shell was given.
    commands: usize,
    /// How many prompts it has shown before `raw`.
    prompts: usize,
}

impl Terminal {
    pub(crate) fn open(name: &str, place: &Place<'_>) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let size = Winsize { ws_row: 50, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).unwrap();
        let theirs = ptsname(&ours, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = File::from(rustix::fs::open(theirs, flags, Mode::empty()).unwrap());
        // Whoever runs the tests in the background may ignore ^C, and with it all that they start.
        let mut shell = Command::new("env");
        shell.args(["--default-signal=INT,QUIT", "setsid", "--ctty"]);
        shell.args(SHELL).env("SHELL", "shell-of-tap");
        shell.env("PS1", format!("{MARK}{}", prompt(name))).env_remove("PROMPT_COMMAND");
        shell.env("TERM", "dumb").env("HISTFILE", "/dev/null");
        shell.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        shell.env("PATH", &place.path).current_dir(place.dir);
        shell.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap());
        let shell = shell.stderr(theirs).spawn().expect("env, setsid and bash can be run");
        Self {
            prompt: prompt(name),
            ours: ours.into(),
            shell,
            raw: Vec::new(),
            commands: 0,
            prompts: 0,
        }
    }

    /// Waits until what it shows is `wanted`; `false`: the shell has come back to its prompt, or the time is over, without.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&str) -> bool, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if wanted(&self.seen()) {
                return true;
            }
            if self.is_idle() || !self.read(deadline) {
                return wanted(&self.seen());
            }
        }
    }

    /// The shell waits for a command.
    pub(crate) fn is_idle(&self) -> bool {
        let shown = String::from_utf8_lossy(&self.raw);
        self.prompts + shown.matches(MARK).count() > self.commands && shown.ends_with(&self.prompt)
    }

    /// Reads what there is, or waits for it.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap();
        if poll(&mut [PollFd::new(&self.ours, PollFlags::IN)], Some(&left)).unwrap() == 0 {
            return false;
        }
        let mut buf = [0; 4096];
        // When the last program on it has gone, a terminal fails.
        let len = self.ours.read(&mut buf).unwrap_or(0);
        self.raw.extend_from_slice(&buf[..len]);
        len > 0
    }

    /// Types a command at the shell's prompt.
    pub(crate) fn command(&mut self, command: &str) {
        self.commands += 1;
        self.keys(&format!("{command}\n"));
    }

    /// Types.
    pub(crate) fn keys(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).unwrap();
    }

    /// What it shows, since the last [`clear`](Self::clear).
    pub(crate) fn seen(&self) -> String {
        let text = String::from_utf8_lossy(&self.raw);
        let mut seen = String::new();
        for line in text.split_inclusive('\n') {
            let (text, newline) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
            let text = text.trim_end_matches('\r');
            // What a progress bar has shown before it was wiped.
            let text = text.rsplit_once('\r').map_or(text, |(_, last)| last);
            seen.push_str(&without_escapes(text).replace(MARK, ""));
            seen.push_str(newline);
        }
        seen
    }

    /// Forgets what it has shown, but for the prompt at the end.
    pub(crate) fn clear(&mut self) {
        let idle = self.is_idle();
        self.prompts += String::from_utf8_lossy(&self.raw).matches(MARK).count();
        self.raw.clear();
        if idle {
            self.prompts -= 1;
            self.raw.extend_from_slice(format!("{MARK}{}", self.prompt).as_bytes());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What still runs there is hung up when the shell goes.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Without the sequences that colour and wipe.
fn without_escapes(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let end = part.find(|c: char| c.is_ascii_alphabetic());
        text + end.map_or("", |end| &part[end + 1..])
    })
}
