//! The program, run as a user runs it: exact output, exit statuses, signals.

mod children;
mod client;
mod completions;
mod conflicts;
mod connect;
mod console;
mod dialogues;
mod engines;
mod esc;
mod fixed;
mod flood;
mod guess;
mod harness;
mod procfs;
mod report_size;
mod serve;
mod stdio;
mod terminal;
mod typed;
mod upload;
mod usage;
