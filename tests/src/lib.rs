//! Scenarios written once, run over every transport.
//!
//! A [scenario](scenarios) is a conversation with one service, as a peer sees it. A [transport](transports) is a server on one kind of wire,
//! and the peer's end of it. The [harness](world) runs every scenario on every transport, and chooses how what the peer
//! sends is cut: whole, byte by byte, and at random. What came of it all is printed as a [matrix].
//!
//! To add a scenario, write a function and a line in its service's table. To add a transport, write its file and a line in
//! [`transports::all`].

pub mod injected;
pub mod matrix;
pub mod mounts;
pub mod network;
pub mod programs;
pub mod samples;
pub mod scenarios;
pub mod seeds;
pub mod shell;
pub mod skip;
pub mod transports;
pub mod uploads;
pub mod world;

/// The README's program, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
