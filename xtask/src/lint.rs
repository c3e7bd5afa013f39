//! `cargo xtask lint`: everything that can be checked without running the programs.

use anyhow::Result;
use xshell::cmd;

use crate::{no_std, steps::Steps, systems, workspace};

pub(crate) fn run() -> Result<()> {
    let sh = workspace::shell()?;
    let mut steps = Steps::default();

    steps.step("formatting", || Ok(cmd!(sh, "cargo fmt --all --check").run()?));
    for probe in no_std::PROBES {
        let manifest = probe.manifest();
        steps.step(&format!("formatting of {}", probe.name), || {
            Ok(cmd!(sh, "cargo fmt --check --manifest-path {manifest}").run()?)
        });
    }
    for (name, folder) in [
        ("the fuzz targets", "fuzz"),
        ("anywire-bench", "tests/bench"),
        ("anywire-bench-tap", "tests/bench-tap"),
    ] {
        steps.step(&format!("formatting of {name}"), || {
            Ok(cmd!(sh, "cargo fmt --check --manifest-path {folder}/Cargo.toml").run()?)
        });
    }
    for features in ["--all-features", "--no-default-features"] {
        steps.step(&format!("clippy {features}"), || {
            Ok(cmd!(sh, "cargo clippy --workspace --all-targets {features} -- -D warnings")
                .run()?)
        });
    }
    steps.step("documentation", || {
        let _strict = sh.push_env("RUSTDOCFLAGS", "-D warnings");
        Ok(cmd!(sh, "cargo doc --workspace --no-deps --all-features").run()?)
    });
    systems::add_to(&mut steps, &sh)?;
    no_std::add_to(&mut steps)?;
    steps.finish()
}
