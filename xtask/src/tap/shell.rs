//! A shell in a network namespace of its own, with a TAP device in it.
//!
//! One process all the way: this program becomes `unshare`, which makes the namespace and becomes this program again,
//! which makes the device and becomes the shell. So the terminal, signals and the exit status need no passing on.

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use super::device::{Tap, as_root};

/// The namespaces to try: root needs a network of its own only; others become root in a user namespace first. (So does
/// a root that a container has stripped of its powers.)
const NAMESPACES: [&str; 2] = ["-n", "-Urn"];

/// Where the kernel keeps people from making user namespaces: the setting, the value that does, and the mending one.
const LOCKS: [(&str, &str, &str); 3] = [
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "10000"),
];

/// `cargo xtask tap shell`
pub(crate) fn enter(tap: &Tap, command: &[OsString]) -> Result<()> {
    check_tun()?;
    let namespace = namespace(tap)?;
    let program = env::current_exe()?;
    let mut unshare = Command::new("unshare");
    unshare.arg(namespace).arg("--").arg(program);
    unshare.args(["tap", "inside", "--name", &tap.name]);
    unshare.args(tap.addresses.iter().flat_map(|address| ["--address", address]));
    unshare.arg("--").args(command);
    become_program(unshare)
}

/// The first kind of namespace that can be made here, or what to do where none can.
fn namespace(tap: &Tap) -> Result<&'static str> {
    let sh = Shell::new()?;
    let mut refusal = String::new();
    for namespace in NAMESPACES {
        let attempt = cmd!(sh, "unshare {namespace} true").quiet();
        let attempt = attempt.ignore_status().output()?;
        if attempt.status.success() {
            return Ok(namespace);
        }
        refusal = String::from_utf8_lossy(&attempt.stderr).trim().to_owned();
    }
    bail!(
        "no network namespace can be made here ({refusal}).\n  To mend it: {}\n  To do without: {}",
        mend(),
        as_root("up", &tap.name)?
    )
}

/// `cargo xtask tap inside`, which [`enter`] runs in the namespace.
pub(super) fn inside(tap: &Tap, command: &[OsString]) -> Result<()> {
    let sh = Shell::new()?;
    cmd!(sh, "ip link set lo up").quiet().run()?;
    tap.make(&sh, None)?;

    let mut inner = match command {
        [program, args @ ..] => {
            let mut inner = Command::new(program);
            inner.args(args);
            inner
        }
        [] => {
            if std::io::stdin().is_terminal() {
                eprintln!(
                    "A network of its own, with {} ({}). Try `anywire-tap serve hello &`; stop what you started before you `exit`.",
                    tap.name,
                    tap.addresses.join(" and ")
                );
            }
            Command::new(env::var_os("SHELL").unwrap_or_else(|| "sh".into()))
        }
    };
    inner.env("PATH", path_with_programs()?);
    become_program(inner)
}

/// The folder of this program, where `cargo build` puts `anywire` and `anywire-tap` too, in front of PATH.
fn path_with_programs() -> Result<OsString> {
    let program = env::current_exe()?;
    let folder = program.parent().map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(folder.into_iter().chain(env::split_paths(&path)))?)
}

/// Fails with what to do if the TAP driver cannot be opened.
fn check_tun() -> Result<()> {
    let tun = "/dev/net/tun";
    let Err(error) = OpenOptions::new().read(true).write(true).open(tun) else {
        return Ok(());
    };
    let mend = match error.kind() {
        ErrorKind::PermissionDenied => "sudo chmod a+rw /dev/net/tun",
        _ => "sudo modprobe tun; a container needs `--device /dev/net/tun`",
    };
    bail!("{tun} cannot be opened ({error}). To mend it: {mend}")
}

/// What lets namespaces be made, as far as the kernel's settings tell.
fn mend() -> String {
    let setting = |name| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
    let lock = LOCKS.iter().find(|(name, locked, _)| setting(name).trim() == *locked);
    match lock {
        Some((name, _, open)) => format!("sudo sysctl {}={open}", name.replace('/', ".")),
        None => "run as root; a container needs `--privileged`".to_owned(),
    }
}

#[cfg(unix)]
fn become_program(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;

    use anyhow::Context as _;

    let error = command.exec();
    let program = command.get_program().display().to_string();
    Err(error).with_context(|| format!("cannot run {program}"))
}

#[cfg(not(unix))]
fn become_program(_: Command) -> Result<()> {
    bail!("only Unix can do this")
}
