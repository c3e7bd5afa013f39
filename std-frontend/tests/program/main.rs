//! The program, run as a user runs it: exact output, exit statuses, signals.

mod client;
mod connect;
mod harness;
mod serve;
mod terminal;
mod typed;
mod upload;
mod usage;
