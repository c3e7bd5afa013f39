//! The no_std packages, built for the bare-metal targets that are installed.

use std::path::Path;

use anyhow::Result;
use xshell::{Shell, cmd};

use super::{PROBES, target_dir};
use crate::steps::Steps;

/// From a Cortex-M0, which has no compare-and-swap, to a kernel on a PC.
const TARGETS: [&str; 5] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "riscv32imac-unknown-none-elf",
    "x86_64-unknown-none",
];

/// Builds every package for every installed target, as some of the `steps`, and says what was left out.
pub(super) fn add_to(steps: &mut Steps, sh: &Shell) -> Result<()> {
    let sysroot = cmd!(sh, "rustc --print sysroot").quiet().read()?;
    let rustlib = Path::new(&sysroot).join("lib/rustlib");
    let (installed, missing) = TARGETS
        .into_iter()
        .partition::<Vec<_>, _>(|target| rustlib.join(target).join("lib").is_dir());

    let target_dir = target_dir()?;
    for target in &installed {
        for package in PROBES.iter().map(|probe| probe.package) {
            steps.step(&format!("{package} for {target}"), || {
                Ok(cmd!(
                    sh,
                    "cargo build --release --lib --package {package} --all-features
                     --target {target} --target-dir {target_dir}"
                )
                .run()?)
            });
        }
    }
    eprintln!("\n{}", summary(&installed, &missing));
    Ok(())
}

fn summary(installed: &[&str], missing: &[&str]) -> String {
    let mut lines = match installed {
        [] => "== bare metal: NOT CHECKED, no target is installed".to_owned(),
        some => format!("== bare metal: checked {}", some.join(", ")),
    };
    if !missing.is_empty() {
        lines += &format!("\n   for more: rustup target add {}", missing.join(" "));
    }
    if installed.is_empty() {
        lines += "\n   with Debian's Rust: packages rustc-web, rust-web-src, lld";
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_was_not_built() {
        let none = summary(&[], &TARGETS);
        assert!(none.contains("NOT CHECKED") && none.contains("rustup target add thumbv6m"));
        let all = summary(&TARGETS, &[]);
        assert!(all.contains("checked thumbv6m") && !all.contains("rustup"));
    }
}
