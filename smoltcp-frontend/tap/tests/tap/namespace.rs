//! A network of the tests' own: a namespace with a TAP device in it, where nothing else runs and nothing outside is changed. It is what
//! `cargo xtask tap shell` gives to people, for `cargo test` alone.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// What [`enter`] tells itself.
const INSIDE: &str = "ANYWIRE_TAP_NAMESPACE";

/// Root needs a network of its own only; others become root in a user namespace first.
const KINDS: [&str; 2] = ["-n", "-Urn"];

/// Starts this program again, with the same arguments, in a network namespace that has loopback and [`tap0`](make_tap), Linux's end of
/// it with the addresses 192.168.69.100/24 and fdaa::100/64. Returns there, or with the reason why there is no such place. To be called
/// first in `main`: what was done before is done twice.
pub(crate) fn enter() -> Result<()> {
    if env::var_os(INSIDE).is_some() {
        ip("link set lo up")?;
        return make_tap("tap0", &["192.168.69.100/24", "fdaa::100/64"]);
    }
    let tun = fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    tun.context("cannot open /dev/net/tun")?;
    let mut refusal = String::new();
    for kind in KINDS {
        let attempt = Command::new("unshare").args([kind, "true"]).output();
        let attempt = attempt.context("cannot run `unshare` (of util-linux)")?;
        if attempt.status.success() {
            let error = Command::new("unshare")
                .args([kind, "--"])
                .arg(env::current_exe()?)
                .args(env::args_os().skip(1))
                .env(INSIDE, "1")
                .exec();
            return Err(error).context("cannot run `unshare`");
        }
        refusal = String::from_utf8_lossy(&attempt.stderr).trim().to_owned();
    }
    bail!("no network namespace can be made: {refusal}")
}

/// Makes the TAP device `name` and gives Linux's end of it `addresses`; both are up at once.
pub(crate) fn make_tap(name: &str, addresses: &[&str]) -> Result<()> {
    ip(&format!("tuntap add dev {name} mode tap"))?;
    // Where IPv6 is off by default. Where there is none, addressing says so.
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "0");
    for address in addresses {
        // Duplicate address detection would keep an IPv6 address unusable for a second.
        let nodad = if address.contains(':') { " nodad" } else { "" };
        ip(&format!("address add {address} dev {name}{nodad}"))?;
    }
    ip(&format!("link set {name} up"))
}

/// Runs `ip` of iproute2, with arguments that are separated by spaces.
pub(crate) fn ip(args: &str) -> Result<()> {
    let done = Command::new("ip").args(args.split(' ')).output();
    let done = done.context("cannot run `ip` (of iproute2)")?;
    let stderr = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "`ip {args}` failed: {}", stderr.trim());
    Ok(())
}
