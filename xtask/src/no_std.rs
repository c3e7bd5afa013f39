//! `cargo xtask no-std`: the no_std packages need no operating system and no allocator, and the core cannot panic.
//!
//! Each package is built on its own, or another's features would bring std in:
//!
//! - for every bare-metal target that is installed, as a library;
//! - on Linux, as part of a *probe*: a `no_std`, `no_main` program without start files and without an allocator, linked
//!   with libc for `memcpy` and its family only. Where anything reaches for `alloc` or std, no program comes out.
//!
//! The probes, in `xtask/no-std/`, are linked and never run. They are no members of the workspace, because a panic
//! handler clashes with std's as soon as anything builds them together.

mod bare_metal;
mod panics;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::{steps::Steps, workspace};

/// A program that shows what a package needs at link time.
pub(crate) struct Probe {
    /// The program's name.
    pub(crate) name: &'static str,
    /// Its folder in `xtask/no-std/`.
    folder: &'static str,
    /// The package it is about.
    package: &'static str,
    /// Whether a panic that it could reach is an error. (smoltcp asserts, so its frontend cannot promise this.)
    panic_free: bool,
}

pub(crate) const PROBES: &[Probe] = &[
    Probe { name: "probe-core", folder: "core", package: "anywire-core", panic_free: true },
    Probe {
        name: "probe-smoltcp",
        folder: "smoltcp",
        package: "anywire-smoltcp",
        panic_free: false,
    },
];

pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    add_to(&mut steps)?;
    steps.finish()
}

/// Runs the checks as some of the `steps`.
pub(crate) fn add_to(steps: &mut Steps) -> Result<()> {
    let sh = workspace::shell()?;
    bare_metal::add_to(steps, &sh)?;
    for probe in PROBES {
        let name = format!("{} without std and allocator", probe.package);
        if !cfg!(target_os = "linux") {
            eprintln!("\n== {name}: NOT CHECKED, the probe links on Linux only");
            continue;
        }
        steps.step(&name, || {
            let program = probe.link(&sh)?;
            if probe.panic_free {
                panics::none_in(&sh, &program)?;
            }
            Ok(())
        });
    }
    Ok(())
}

impl Probe {
    pub(crate) fn manifest(&self) -> PathBuf {
        self.path().join("Cargo.toml")
    }

    fn path(&self) -> PathBuf {
        workspace::root().join("xtask/no-std").join(self.folder)
    }

    /// Builds the program, and says where it is.
    fn link(&self, sh: &Shell) -> Result<PathBuf> {
        // The versions are the workspace's. Cargo drops from the copy what the probe does not use.
        sh.copy_file(workspace::root().join("Cargo.lock"), self.path().join("Cargo.lock"))?;
        let (manifest, target_dir) = (self.manifest(), target_dir()?);
        // Arguments behind `--` are the program's own: a build script or a macro among the dependencies links as usual.
        cmd!(
            sh,
            "cargo rustc --release --manifest-path {manifest} --target-dir {target_dir}
             -- -C link-arg=-nostartfiles -C link-arg=-lc"
        )
        .run()
        .with_context(|| format!("{} does not link on its own", self.package))?;
        Ok(target_dir.join("release").join(self.name))
    }
}

/// A target folder of its own: other features, other profile, and nothing to lock each other out with.
fn target_dir() -> Result<PathBuf> {
    Ok(workspace::target_dir()?.join("no-std"))
}
