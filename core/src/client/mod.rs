//! The client's side of each service, a file each: sessions too, under the same drivers.
//!
//! While a client waits for an answer it is [`Inside`](crate::session::Phase::Inside): the driver's idle limit is then its timeout.

pub mod date;
pub mod echo;
pub mod file;
pub mod fixed;
pub mod greet;
pub mod guess;
pub mod hello;
pub mod knock;
mod look;
pub mod message;
pub mod typed;
pub mod upload;
