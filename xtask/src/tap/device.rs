//! The device itself: made, addressed, and removed by iproute2's `ip`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

/// Linux's end of a TAP device.
#[derive(clap::Args)]
pub(crate) struct Tap {
    /// The device
    #[arg(long, default_value = "tap0")]
    pub(super) name: String,
    /// An address of Linux's end, and the network's prefix; several may be given
    #[arg(
        long = "address",
        value_name = "ADDR/PREFIX",
        default_values = ADDRESSES
    )]
    pub(super) addresses: Vec<String>,
}

const ADDRESSES: [&str; 2] = ["192.168.69.100/24", "fdaa::100/64"];

impl Default for Tap {
    fn default() -> Self {
        Self { name: "tap0".to_owned(), addresses: ADDRESSES.map(str::to_owned).into() }
    }
}

/// Settings that keep the wire quiet until somebody talks: no router solicitations, no link-local address. Not every
/// kernel has each, and the device works without them.
const QUIET: [(&str, &str); 4] =
    [("accept_ra", "0"), ("autoconf", "0"), ("addr_gen_mode", "1"), ("router_solicitations", "0")];

impl Tap {
    /// Makes the device, for `user` or for whoever makes it, and addresses it.
    pub(super) fn make(&self, sh: &Shell, user: Option<&str>) -> Result<()> {
        let name = &self.name;
        let user = user.map(|user| ["user", user]);
        let user = user.iter().flatten();
        cmd!(sh, "ip tuntap add dev {name} mode tap {user...}")
            .quiet()
            .run()
            .context("`ip` (of iproute2) cannot make a TAP device")?;
        self.quieten();
        for address in &self.addresses {
            self.add(sh, address)?;
        }
        cmd!(sh, "ip link set {name} up").quiet().run()?;
        Ok(())
    }

    /// Where the kernel keeps its IPv6 settings for the device, if it has any.
    fn ipv6(&self) -> PathBuf {
        Path::new("/proc/sys/net/ipv6/conf").join(&self.name)
    }

    fn quieten(&self) {
        let settings = self.ipv6();
        let _ = fs::write(settings.join("disable_ipv6"), "0");
        for (setting, value) in QUIET {
            let _ = fs::write(settings.join(setting), value);
        }
    }

    fn add(&self, sh: &Shell, address: &str) -> Result<()> {
        let name = &self.name;
        let add = cmd!(sh, "ip address add {address} dev {name}").quiet();
        if !address.contains(':') {
            return Ok(add.run()?);
        }
        if !self.ipv6().is_dir() {
            eprintln!("this kernel has no IPv6: {name} does without {address}");
            return Ok(());
        }
        // Without duplicate address detection, which would keep the address unusable for a second.
        Ok(add.arg("nodad").run()?)
    }
}

/// `cargo xtask tap up`
pub(super) fn up(tap: &Tap, user: Option<String>) -> Result<()> {
    let sh = Shell::new()?;
    let name = &tap.name;
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
    println!("{name} is up: Linux has {}", tap.addresses.join(" and "));
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
