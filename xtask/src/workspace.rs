//! Where things are: the workspace and its target folder.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use xshell::Shell;

/// The folder of the workspace, which is the parent of this package's.
pub(crate) fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.parent().map(PathBuf::from).unwrap_or(package)
}

/// A shell that stands in the workspace, wherever `cargo xtask` was called.
pub(crate) fn shell() -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(root());
    Ok(sh)
}

/// The target folder in use, whatever chose it: this very program is `TARGET/debug/xtask`.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2);
    Ok(target.context("this program is in no target folder")?.to_owned())
}
