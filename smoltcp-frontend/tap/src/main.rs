//! The program: Anywire over a smoltcp stack on a TAP device.

use std::process::ExitCode;

use anywire_tap::network::Tap;

fn main() -> ExitCode {
    anywire_std::cli::main::<Tap>()
}
