//! `cargo xtask tap`: a TAP device, through which Linux and the smoltcp stack reach each other.
//!
//! ```text
//! cargo xtask tap shell                                 a shell with a TAP of its own; nothing on the machine changes
//! cargo xtask tap shell -- ping -c 1 192.168.69.100     one command there
//! sudo … tap up; … tap down                             a persistent one, for all shells of one user
//! ```
//!
//! Linux has 192.168.69.100 and fdaa::100 on it; the stack takes 192.168.69.1 unless told otherwise.

mod device;
mod shell;

use std::ffi::OsString;

use anyhow::{Result, bail};

pub(crate) use device::Tap;
pub(crate) use shell::enter;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a persistent TAP device and address Linux's end; needs root
    Up {
        #[command(flatten)]
        tap: device::Tap,
        /// Who may use the device [default: who called sudo]
        #[arg(long)]
        user: Option<String>,
    },
    /// Remove the persistent TAP device; needs root
    Down {
        /// The device
        #[arg(long, default_value = "tap0")]
        name: String,
    },
    /// Run a shell, or COMMAND, in a network namespace that has a TAP device, and vanishes with it
    Shell {
        #[command(flatten)]
        tap: device::Tap,
        /// What to run there [default: $SHELL]
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// The part of `shell` that runs inside the namespace
    #[command(hide = true)]
    Inside {
        #[command(flatten)]
        tap: device::Tap,
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

pub(crate) fn run(command: &Command) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!(
            "TAP devices are Linux's; the simulated wire runs everywhere: cargo xtask test -- sim"
        );
    }
    match command {
        Command::Up { tap, user } => device::up(tap, user.clone()),
        Command::Down { name } => device::down(name),
        Command::Shell { tap, command } => shell::enter(tap, command),
        Command::Inside { tap, command } => shell::inside(tap, command),
    }
}
