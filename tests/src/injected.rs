//! Programs whose system calls fail, or kill them, when it hurts: strace does that.

use std::path::Path;
use std::process::{Child, Command};

use crate::programs::program;
use crate::skip::skip;

/// [`anywire`], and each call that is traced is written to `log` before the program goes on; what was injected has `(INJECTED)` in its line.
pub fn anywire_logged(injection: &str, log: &Path) -> Option<Command> {
    inject(injection, log)
}

/// `anywire`, with strace's `injection` (`setsockopt:signal=KILL:when=3`) in effect: the process is the server itself, strace is
/// beside it. `None`: there is no strace, or it may not trace, which was told.
pub fn anywire(injection: &str) -> Option<Command> {
    inject(injection, Path::new("/dev/null"))
}

fn inject(injection: &str, log: &Path) -> Option<Command> {
    let calls = injection.split(':').next().unwrap_or_default();
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-qq", "-o"]).arg(log);
    strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={injection}")]);
    // What is tried does nothing of the kind.
    let mut tried = Command::new("strace");
    if !tried.args(["-o", "/dev/null", "true"]).output().is_ok_and(|tried| tried.status.success()) {
        skip("strace is missing, or may not trace", "strace");
        return None;
    }
    strace.arg(program("anywire").get_program());
    Some(strace)
}

/// A process that does not outlive its test.
#[derive(Debug)]
pub struct Mortal(pub Child);

impl Drop for Mortal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
