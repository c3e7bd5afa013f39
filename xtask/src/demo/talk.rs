//! One conversation: a program, what it is told, and what it must say.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A conversation to be held.
pub(super) struct Talk {
    pub(super) service: &'static str,
    /// The program's name for the table.
    pub(super) with: &'static str,
    /// Where Debian has it, if it is not ours.
    pub(super) package: &'static str,
    pub(super) program: String,
    pub(super) args: Vec<String>,
    /// What is shown of the command.
    pub(super) shown: String,
    pub(super) input: &'static str,
    /// What must be in its output.
    pub(super) expected: &'static str,
    /// It knows no end of its own: it is ended when it has said what it must.
    pub(super) endless: bool,
}

pub(super) enum Outcome {
    Worked(Duration),
    Failed(String),
    /// There is no such program; this package has it.
    Absent(&'static str),
}

/// No conversation takes longer.
const LIMIT: Duration = Duration::from_secs(8);

impl Talk {
    /// Holds it, and shows it.
    pub(super) fn hold(self, folder: &Path) -> (Self, Outcome) {
        let shown = match self.input {
            "" => self.shown.clone(),
            input => format!("printf '{}' | {}", input.escape_debug(), self.shown),
        };
        println!("\n$ {shown}");
        let begun = Instant::now();
        let outcome = match self.converse(folder) {
            Ok(()) => Outcome::Worked(begun.elapsed()),
            Err(Problem::Absent) => Outcome::Absent(self.package),
            Err(Problem::Other(why)) => Outcome::Failed(why),
        };
        match &outcome {
            Outcome::Worked(took) => println!("  -- {} ms", took.as_millis()),
            Outcome::Failed(why) => println!("  -- FAILED: {why}"),
            Outcome::Absent(package) => println!("  -- not here: sudo apt install {package}"),
        }
        (self, outcome)
    }

    fn converse(&self, folder: &Path) -> Result<(), Problem> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running(command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Problem::Absent,
            _ => Problem::Other(error.to_string()),
        })?);
        let pieces = outputs(&mut child.0);
        let mut stdin = child.0.stdin.take();
        if let Some(stdin) = &mut stdin {
            // One that reads nothing has its reasons.
            let _ = stdin.write_all(self.input.as_bytes());
        }
        if !self.endless {
            drop(stdin.take());
        }
        let deadline = Instant::now() + LIMIT;
        let mut said = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match pieces.recv_timeout(left) {
                Ok(piece) => said += &String::from_utf8_lossy(&piece),
                Err(_) => break,
            }
            if self.endless && said.contains(self.expected) {
                break;
            }
        }
        show(&said);
        if !said.contains(self.expected) {
            return Err(Problem::Other(format!("it did not say {:?}", self.expected)));
        }
        if self.endless {
            return Ok(());
        }
        let Ok(Some(status)) = wait(&mut child.0, deadline) else {
            return Err(Problem::Other(format!("it did not end within {} s", LIMIT.as_secs())));
        };
        if status.success() { Ok(()) } else { Err(Problem::Other(status.to_string())) }
    }
}

enum Problem {
    Absent,
    Other(String),
}

/// Is ended with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both of its outputs, as they come, until both have ended.
fn outputs(child: &mut Child) -> Receiver<Vec<u8>> {
    let (tell, pieces) = channel();
    let copy = |mut output: Box<dyn std::io::Read + Send>| {
        let tell = tell.clone();
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut buf) {
                let _ = tell.send(buf.get(..len).unwrap_or_default().to_vec());
            }
        });
    };
    if let Some(stdout) = child.stdout.take() {
        copy(Box::new(stdout));
    }
    if let Some(stderr) = child.stderr.take() {
        copy(Box::new(stderr));
    }
    pieces
}

fn wait(child: &mut Child, deadline: Instant) -> std::io::Result<Option<std::process::ExitStatus>> {
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.try_wait()
}

/// The beginning of what was said, fit for a terminal.
fn show(said: &str) {
    const LINES: usize = 8;
    for line in said.lines().take(LINES) {
        let line: String = line.chars().take(120).collect();
        let fit =
            |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
        println!("  {}", line.chars().map(fit).collect::<String>());
    }
    if said.lines().count() > LINES {
        println!("  ...");
    }
}
