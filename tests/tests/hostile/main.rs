//! Servers of files in a hostile world: killed, without room, without rights, raced against, left in the middle.
//!
//! Each test runs the program, talks to it over plain sockets, and looks into its folder.

mod armed;
mod calls;
mod gone;
mod killed;
mod leftovers;
mod mounted;
mod refused;
mod sizes;
mod sockets;
mod stopped;
mod swapped;
