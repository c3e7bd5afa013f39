//! Anywire on a Linux TAP device: Ethernet frames to and from the kernel, a smoltcp stack of our own behind them.
//!
//! ```text
//!   anywire-tap ── cli::main::<Tap>()          the command line, the same as `anywire`'s
//!      Tap ── Server, Client                   a stack with its memory, its device, and a loop around them
//!         Wait ── poll(2)                      sleeps until there is a frame, a call, or something is due
//!            Link                              a bad wire, and a capture of it, where they are asked for
//!            TapDevice ── /dev/net/tun         frames
//! ```
//!
//! [`Server`](server::Server) and [`Client`](client::Client) are of use without the command line too: in a test, each in a
//! thread of its own, with the kernel's own TCP as their peer.
#![deny(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("TAP devices are Linux's; the simulated wire of anywire-smoltcp runs everywhere");

mod bound;
mod capture;
pub mod client;
pub mod device;
mod interface;
mod lease;
pub mod link;
pub mod network;
mod ports;
pub mod server;
pub mod station;
mod told;
mod vnet;
mod wait;
pub mod wire;
