//! The networks, and our programs on them.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anywire_tests::programs::{Served, program};
use anywire_tests::{samples, shell};

/// Where both programs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Net {
    tap: bool,
    ipv6: bool,
}

impl Net {
    pub(crate) const ALL: [Self; 4] = [
        Self { tap: false, ipv6: false },
        Self { tap: false, ipv6: true },
        Self { tap: true, ipv6: false },
        Self { tap: true, ipv6: true },
    ];

    pub(crate) fn name(self) -> &'static str {
        match (self.tap, self.ipv6) {
            (false, false) => "std",
            (false, true) => "std-IPv6",
            (true, false) => "tap",
            (true, true) => "tap-IPv6",
        }
    }

    pub(crate) fn is_tap(self) -> bool {
        self.tap
    }

    /// It is the other frontend's that are wanted.
    pub(crate) fn is_left_out(self) -> bool {
        shell::only(if self.tap { "std" } else { "smoltcp" })
    }

    /// The address of our servers.
    pub(crate) fn ours(self) -> &'static str {
        match (self.tap, self.ipv6) {
            (false, false) => "127.0.0.1",
            (false, true) => "::1",
            (true, false) => "192.168.69.1",
            (true, true) => "fdaa::1",
        }
    }

    /// The address of the system's, where our clients find them.
    pub(crate) fn theirs(self) -> &'static str {
        match (self.tap, self.ipv6) {
            (false, false) => "127.0.0.1",
            (false, true) => "::1",
            (true, false) => "192.168.69.100",
            (true, true) => "fdaa::100",
        }
    }

    pub(crate) fn is_ipv6(self) -> bool {
        self.ipv6
    }

    /// An address as URLs have it, and socat.
    pub(crate) fn bracketed(self, address: &str) -> String {
        if self.ipv6 { format!("[{address}]") } else { address.into() }
    }

    /// Our program on this network.
    pub(crate) fn program(self) -> Command {
        program(if self.tap { "anywire-tap" } else { "anywire" })
    }

    /// There is one stack at a time on a device: whoever uses it has it for itself.
    pub(crate) fn reserve(self) -> Option<MutexGuard<'static, ()>> {
        static TAP: Mutex<()> = Mutex::new(());
        self.tap.then(|| TAP.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves everything from a folder, with the samples in it.
    pub(crate) fn serve(self, dir: &Path, more: &[&str]) -> Served {
        samples::write(dir).unwrap();
        let mut command = self.program();
        command
            .args(["serve", "-q", "--no-sync", "--secret", "42", "--bind", self.ours(), "--dir"])
            .arg(dir);
        if !self.tap {
            let services =
                "echo hello message fixed knock typed upload file date logdate guess greet";
            command.args(services.split(' ').map(|service| format!("{service}=0")));
        }
        command.args(more);
        Served::start(command, ENDPOINTS)
    }
}

/// echo listens twice.
const ENDPOINTS: usize = 13;
