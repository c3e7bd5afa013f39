//! A program in which no panic can be reached has no panic handler: the linker leaves out what nobody calls. So its
//! symbols tell.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

/// Every panic goes through `core::panicking` to the handler, which is called `rust_begin_unwind`.
const MARKS: [&str; 2] = ["core::panicking::", "rust_begin_unwind"];

/// Fails if the linked `program` could panic.
pub(super) fn none_in(sh: &Shell, program: &Path) -> Result<()> {
    let symbols = cmd!(sh, "nm --demangle {program}")
        .read()
        .context("`nm` (of binutils) is needed to look for panics")?;
    // Or a program without symbols would pass for one without panics.
    if !symbols.lines().any(|line| line.ends_with(" _start")) {
        bail!("{} has no symbols to look at", program.display());
    }
    let panics = panics_among(&symbols);
    if !panics.is_empty() {
        bail!(
            "it can panic. Reachable are:\n      {}\n    `objdump --disassemble --demangle {}` shows who calls them",
            panics.join("\n      "),
            program.display()
        );
    }
    eprintln!("   no panic can be reached");
    Ok(())
}

/// The names of the panic functions in a listing of `nm`.
fn panics_among(symbols: &str) -> Vec<&str> {
    let names = symbols.lines().filter_map(|line| line.splitn(3, ' ').nth(2));
    names.filter(|name| MARKS.iter().any(|mark| name.contains(mark))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_told_from_other_symbols() {
        let clean = "0000000000001000 T _start\n                 U memcpy@GLIBC_2.14";
        assert!(panics_among(clean).is_empty());
        let panicking = format!(
            "{clean}\n0000000000001010 t core::panicking::panic_bounds_check\n\
             0000000000001020 T __rustc[f97c83eca91c4e18]::rust_begin_unwind"
        );
        assert_eq!(panics_among(&panicking).len(), 2);
    }
}
