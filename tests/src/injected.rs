//! Programs whose system calls fail, or kill them, when it hurts: strace does that.

use std::process::{Child, Command};

use crate::programs::program;
use crate::skip::skip;

/// `anywire`, with strace's `injection` (`setsockopt:signal=KILL:when=3`) in effect: the process is the server itself, strace is
/// beside it. `None`: there is no strace, or it may not trace, which was told.
pub fn anywire(injection: &str) -> Option<Command> {
    let calls = injection.split(':').next().unwrap_or_default();
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-qq", "-o", "/dev/null"]);
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
