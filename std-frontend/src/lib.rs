//! Anywire over the system's sockets.

pub mod cli;
pub mod clock;
pub mod console;
pub mod engine;
pub mod folder;
pub mod open_files;
pub mod shim;
