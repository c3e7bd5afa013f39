//! The client's side of each service, a file each: sessions too, under the same drivers.
//!
//! While a client waits for an answer it is [`Inside`](crate::session::Phase::Inside): the driver's idle limit is then its timeout.

pub mod echo;
pub mod file;
pub mod hello;
mod look;
pub mod typed;
pub mod upload;
