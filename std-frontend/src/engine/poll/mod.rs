//! `poll`: all connections of a worker in its one event loop. They share its buffers; one that waits owns none.

mod connection;
mod table;

pub(super) use table::Table;
