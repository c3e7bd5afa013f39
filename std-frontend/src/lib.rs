//! Anywire over the system's sockets.

#![deny(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod console;
pub mod engine;
pub mod folder;
mod labels;
pub mod metrics;
pub mod open_files;
mod os;
pub mod shim;
