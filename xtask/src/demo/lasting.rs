//! What lasts while others talk to it, and does not outlast this program, however that ends: each has a shell beside it that waits for the
//! end of a pipe from us.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// A server.
pub(super) struct Lasting {
    shell: Child,
    /// The server is told to stop when this is closed.
    pipe: Option<ChildStdin>,
    said: std::thread::JoinHandle<String>,
}

/// What it is told to run it runs until its input ends, and then stops it in good order. Ctrl-C ends us, and with us that input.
const KEEP: &str =
    r#"trap '' INT TERM HUP; "$@" & pid=$!; cat >/dev/null; kill "$pid" 2>/dev/null; wait "$pid""#;

/// What is left is removed when the input ends.
const REMOVE: &str = r#"trap '' INT TERM HUP; cat >/dev/null; rm -rf -- "$1""#;

fn shell(script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).stdin(Stdio::piped());
    shell
}

impl Lasting {
    /// Starts `program serve`, shows where it listens, and waits until it has said so of so many endpoints.
    pub(super) fn serve(
        program: &Path,
        bind: &[OsString],
        options: &[OsString],
        endpoints: usize,
    ) -> Result<Self> {
        let name = program.file_name().unwrap_or_default().display().to_string();
        let mut command = shell(KEEP);
        command.arg(program).args(["serve", "-q"]).args(bind).args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pipe = child.stdin.take();
        let stdout = child.stdout.take().context("no output")?;
        let stderr = child.stderr.take().context("no output")?;
        let said = std::thread::spawn(move || {
            std::io::read_to_string(stderr).unwrap_or_else(|error| error.to_string())
        });
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        println!("$ {name} serve");
        let server = Self { shell: child, pipe, said };
        let limit = Instant::now() + super::PATIENCE;
        for _ in 0..endpoints {
            let left = limit.saturating_duration_since(Instant::now());
            let Ok(line) = lines.recv_timeout(left) else {
                let why = server.end(super::PATIENCE).err().map(|error| error.to_string());
                bail!("{name} does not serve: {}", why.unwrap_or_else(|| "it says nothing".into()));
            };
            println!("  {line}");
        }
        Ok(server)
    }

    /// Stops it, and says whether it ended in good order.
    pub(super) fn end(mut self, limit: Duration) -> Result<()> {
        drop(self.pipe.take());
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.shell.try_wait()? {
                break status;
            }
            if Instant::now() >= deadline {
                bail!("it does not stop");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let said = self.said.join().unwrap_or_default();
        ensure!(status.success(), "{status}: {}", said.trim());
        Ok(())
    }
}

/// A folder for what is stored.
pub(super) struct Folder {
    path: PathBuf,
    remover: Child,
}

impl Folder {
    pub(super) fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("anywire-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let remover = shell(REMOVE).arg(&path).spawn()?;
        Ok(Self { path, remover })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        let _ = self.remover.wait();
    }
}
