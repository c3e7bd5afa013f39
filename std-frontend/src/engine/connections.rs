//! What a worker asks of the connections that it has accepted, in whichever way they are driven.

use std::io;

use anywire_core::store::{OpenIn, Store};
use mio::Registry;
use mio::net::TcpStream;

use super::Link;
use super::context::Context;
use super::jobs::Done;
use super::worker::Key;

/// All connections of one service on one worker, whichever way they are driven. `table` is its number there; the calls say how many
/// connections they ended.
pub(super) trait Connections<St: Store>: Send {
    fn name(&self) -> &'static str;
    /// Begins to serve a connection, or gives it back.
    fn accept(
        &mut self,
        stream: TcpStream,
        link: Link,
        table: u8,
        registry: &Registry,
        cx: &mut Context<St>,
    ) -> Result<usize, Unserved>;
    fn event(&mut self, key: Key, ready: Readiness, cx: &mut Context<St>) -> usize;
    fn again(&mut self, key: Key, cx: &mut Context<St>) -> usize {
        let _ = (key, cx);
        0
    }
    fn timed_out(&mut self, key: Key, cx: &mut Context<St>) -> usize {
        let _ = (key, cx);
        0
    }
    fn done(&mut self, done: Done<OpenIn<St>>, cx: &mut Context<St>) -> usize {
        let _ = (done, cx);
        0
    }
    /// Ends what is idle now, and everything else as soon as it is.
    fn retire(&mut self, table: u8, cx: &mut Context<St>) -> usize;
    /// Aborts what is left.
    fn abort(&mut self, table: u8, cx: &mut Context<St>) -> usize;
    /// Kills what has not even aborted, and says how much that is; what is killed ends as it does otherwise, later.
    fn kill(&mut self) -> usize {
        0
    }
}

/// A connection that cannot be served now: the system has run out of something. Nothing was told of it.
#[derive(Debug)]
pub(super) struct Unserved {
    pub(super) stream: TcpStream,
    pub(super) error: io::Error,
}

/// What an event says of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    pub(super) read: bool,
    pub(super) write: bool,
    /// The peer has ended the stream: behind the input there is an end to be read.
    pub(super) read_closed: bool,
    pub(super) error: bool,
    /// Some of the input is urgent.
    pub(super) urgent: bool,
}
