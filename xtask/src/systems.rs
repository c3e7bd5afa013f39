//! Other systems: the std frontend, checked for those whose standard library is there. Nothing is linked, and nothing run.

use std::path::Path;

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::{steps::Steps, workspace};

/// Systems that the std frontend is meant to compile for, besides this one.
const TARGETS: [&str; 4] = [
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
    "x86_64-unknown-freebsd",
    // That of MinGW would need its dlltool, even to be checked.
    "x86_64-pc-windows-msvc",
];

/// What is to be done for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Library {
    /// Its standard library is installed.
    Installed,
    /// It can be built: its source is there, and the compiler may.
    Source,
    Missing,
}

/// Checks what can be, as some of the `steps`, and says what was left out.
pub(crate) fn add_to(steps: &mut Steps, sh: &Shell) -> Result<()> {
    let rustc = sh.var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let sysroot = cmd!(sh, "{rustc} --print sysroot").quiet().read()?;
    let rustlib = Path::new(&sysroot).join("lib/rustlib");
    let unstable = sh.var("RUSTC_BOOTSTRAP").is_ok();
    let source = unstable && rustlib.join("src/rust/library/Cargo.lock").is_file();
    let library = |target: &str| match rustlib.join(target).join("lib").is_dir() {
        true => Library::Installed,
        false if source => Library::Source,
        false => Library::Missing,
    };
    let found = TARGETS.map(|target| (target, library(target)));
    let target_dir = workspace::target_dir()?.join("systems");
    for (target, library) in found {
        let build_std: &[&str] = match library {
            Library::Installed => &[],
            Library::Source => &["-Zbuild-std=std,panic_unwind"],
            Library::Missing => continue,
        };
        steps.step(&format!("anywire-std for {target}"), || {
            let _strict = sh.push_env("RUSTFLAGS", "-D warnings");
            Ok(cmd!(
                sh,
                "cargo check --package anywire-std --target {target} --target-dir {target_dir} {build_std...}"
            )
            .run()?)
        });
    }
    eprintln!("\n{}", summary(&found));
    Ok(())
}

fn summary(found: &[(&str, Library)]) -> String {
    let (missing, checked): (Vec<_>, Vec<_>) =
        found.iter().partition(|(_, library)| *library == Library::Missing);
    let names = |some: &[&(&str, Library)]| -> String {
        let names: Vec<_> = some.iter().map(|(target, _)| *target).collect();
        names.join(" ")
    };
    let mut lines = match &checked[..] {
        [] => "== other systems: NOT CHECKED, the standard library of none is there".to_owned(),
        some => format!("== other systems: checked, neither linked nor run: {}", names(some)),
    };
    if !missing.is_empty() {
        lines +=
            &format!("\n   NOT CHECKED: {0}\n   for more: rustup target add {0}", names(&missing));
        lines += "\n   with Debian's Rust (rustc-web, rust-web-src): RUSTC of its own, and RUSTC_BOOTSTRAP=1";
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_was_not_checked() {
        let none = summary(&TARGETS.map(|target| (target, Library::Missing)));
        assert!(
            none.contains("the standard library of none") && none.contains("rustup target add")
        );
        let all = summary(&TARGETS.map(|target| (target, Library::Source)));
        assert!(all.contains("checked, neither") && !all.contains("NOT CHECKED"));
        let some = summary(&[("a", Library::Installed), ("b", Library::Missing)]);
        assert!(some.contains("run: a") && some.contains("NOT CHECKED: b"));
    }
}
