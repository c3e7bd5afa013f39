//! The program, run as a user runs it: exact output, exit statuses, signals.

mod client;
mod connect;
mod dialogues;
mod engines;
mod fixed;
mod guess;
mod harness;
mod report_size;
mod serve;
mod stdio;
mod terminal;
mod typed;
mod upload;
mod usage;
