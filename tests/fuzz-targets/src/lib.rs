//! What is fuzzed: for each target a function over bytes that panics when its invariant does not hold.
//!
//! Package `fuzz`, a workspace of its own, runs them under libFuzzer (`cargo xtask fuzz`); the tests here run them on stable, over
//! the inputs that the fuzzer has kept, and over random ones.

pub mod choices;
pub mod clients;
pub mod datagrams;
pub mod frames;
pub mod framings;
pub mod lengths;
pub mod names;
pub mod packets;
pub mod play;
pub mod services;
pub mod telnet;
pub mod wire;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its module, and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Panics if the invariant does not hold for this input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "clients", run: clients::run },
    Target { name: "datagrams", run: datagrams::run },
    Target { name: "frames", run: frames::run },
    Target { name: "framings", run: framings::run },
    Target { name: "lengths", run: lengths::run },
    Target { name: "names", run: names::run },
    Target { name: "services", run: services::run },
    Target { name: "telnet", run: telnet::run },
    Target { name: "wire", run: wire::run },
];
