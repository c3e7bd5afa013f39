#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

pub mod backlog;
pub mod blocking;
pub mod chance;
#[cfg(feature = "dhcp")]
pub mod dhcp;
mod drive;
mod duplicate_acks;
pub mod endpoint;
pub mod faults;
mod fin;
mod holes;
#[cfg(feature = "dns")]
pub mod names;
mod neighbours;
pub mod observer;
mod one_frame;
pub mod pool;
mod seek;
pub mod sim;
mod slot;
pub mod sockets;
pub mod stack;
pub mod stream;
pub mod syn;
mod time;
pub mod udp;
mod unstick;
mod watched;

#[cfg(test)]
mod tests;
