//! The device itself: made, addressed, and removed by iproute2's `ip`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

/// Linux's end of a TAP device.
#[derive(clap::Args)]
pub(crate) struct Tap {
    /// The device
    #[arg(long, default_value = "tap0")]
    pub(super) name: String,
    /// The IPv4 address of Linux's end, and the network's prefix
    #[arg(long, default_value = "192.168.69.100/24")]
    pub(super) address: String,
}

/// The IPv6 address of Linux's end.
const ADDRESS_V6: &str = "fdaa::100/64";

/// Settings that keep the wire quiet until somebody talks: no router solicitations, no link-local address. Not every
/// kernel has each, and the device works without them.
const QUIET: [(&str, &str); 4] =
    [("accept_ra", "0"), ("autoconf", "0"), ("addr_gen_mode", "1"), ("router_solicitations", "0")];

impl Tap {
    /// Makes the device, for `user` or for whoever makes it, and addresses it.
    pub(super) fn make(&self, sh: &Shell, user: Option<&str>) -> Result<()> {
        let Self { name, address } = self;
        let user = user.map(|user| ["user", user]);
        let user = user.iter().flatten();
        cmd!(sh, "ip tuntap add dev {name} mode tap {user...}")
            .quiet()
            .run()
            .context("`ip` (of iproute2) cannot make a TAP device")?;
        cmd!(sh, "ip address add {address} dev {name}").quiet().run()?;
        self.add_v6(sh)?;
        cmd!(sh, "ip link set {name} up").quiet().run()?;
        Ok(())
    }

    fn add_v6(&self, sh: &Shell) -> Result<()> {
        let name = &self.name;
        let settings = Path::new("/proc/sys/net/ipv6/conf").join(name);
        if !settings.is_dir() {
            eprintln!("this kernel has no IPv6: {name} has an IPv4 address only");
            return Ok(());
        }
        let _ = fs::write(settings.join("disable_ipv6"), "0");
        for (setting, value) in QUIET {
            let _ = fs::write(settings.join(setting), value);
        }
        // Without duplicate address detection, which would keep the address unusable for a second.
        cmd!(sh, "ip address add {ADDRESS_V6} dev {name} nodad").quiet().run()?;
        Ok(())
    }
}

/// `cargo xtask tap up`
pub(super) fn up(tap: &Tap, user: Option<String>) -> Result<()> {
    let sh = Shell::new()?;
    let Tap { name, address } = tap;
    if exists(&sh, name) {
        bail!("{name} is there already. To remove it: {}", as_root("down", name)?);
    }
    let user = user.or_else(|| std::env::var("SUDO_USER").ok());
    if let Err(error) = tap.make(&sh, user.as_deref()) {
        // What is half made would be in the way of the next try.
        if exists(&sh, name) {
            let _ = remove(&sh, name);
        }
        bail!("{error:#}. If this is not root: {}", as_root("up", name)?);
    }
    println!("{name} is up: Linux has {address} and {ADDRESS_V6}");
    Ok(())
}

/// `cargo xtask tap down`
pub(super) fn down(name: &str) -> Result<()> {
    let sh = Shell::new()?;
    if !exists(&sh, name) {
        bail!("there is no {name}");
    }
    if let Err(error) = remove(&sh, name) {
        bail!("{error:#}. If this is not root: {}", as_root("down", name)?);
    }
    println!("{name} is gone");
    Ok(())
}

fn exists(sh: &Shell, name: &str) -> bool {
    let show = cmd!(sh, "ip link show dev {name}").quiet();
    show.ignore_stdout().ignore_stderr().run().is_ok()
}

fn remove(sh: &Shell, name: &str) -> Result<()> {
    Ok(cmd!(sh, "ip tuntap del dev {name} mode tap").quiet().run()?)
}

/// The command that does it as root: by this program's path, for root seldom has a `cargo`.
pub(super) fn as_root(action: &str, name: &str) -> Result<String> {
    let program = std::env::current_exe()?;
    Ok(format!("sudo {} tap {action} --name {name}", program.display()))
}
