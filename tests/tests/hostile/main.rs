//! Servers of files in a hostile world: killed, without room, without rights, raced against, left in the middle.
//!
//! Each test runs the program, talks to it over plain sockets, and looks into its folder.

mod killed;
mod mounted;
mod refused;
