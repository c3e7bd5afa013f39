#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

pub mod blocking;
pub mod checked;
pub mod client;
pub mod conversation;
pub mod datagram;
pub mod date;
pub mod event;
pub mod exchange;
pub mod frame;
pub mod instant;
pub mod name;
pub mod ram;
pub mod request;
pub mod schema;
pub mod service;
pub mod session;
pub mod store;
