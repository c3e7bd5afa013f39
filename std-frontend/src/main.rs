//! `anywire`: the services and their clients, over the system's sockets.

use std::process::ExitCode;

fn main() -> ExitCode {
    anywire_std::cli::main::<anywire_std::cli::system::System>()
}
