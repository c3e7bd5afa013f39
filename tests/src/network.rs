//! What a scenario needs of a transport.

use std::time::Duration;

use anywire_core::conversation::Limits;
use anywire_core::date::Date;
use anywire_core::event::End;

/// What the server is started with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The service's name.
    pub service: &'static str,
    /// What of the service is set, and to what.
    pub settings: &'static [(&'static str, &'static str)],
    /// What it puts up with.
    pub limits: Limits,
    /// Whether its store keeps a log.
    pub log: bool,
    /// Whether the service over datagrams is meant, where there are two of that name.
    pub datagrams: bool,
    /// What a lossy wire draws its losses from.
    pub seed: u64,
}

/// A stream of the peer's, in the order of opening.
pub type Handle = usize;

/// What a peer has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The end of the stream (FIN).
    End,
}

/// The connection was reset, or never came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset;

/// What is waited for on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Input, an end, or a reset.
    Read,
    /// Room for output, or a reset.
    Write,
    /// Any of these.
    Both,
}

/// A server on a wire, and the peer's end of that wire. Nothing here blocks but the two waits.
pub trait Network {
    /// Opens a stream to the server.
    fn open(&mut self) -> Handle;

    /// Sends what goes at once.
    fn send(&mut self, stream: Handle, bytes: &[u8]) -> Result<usize, Reset>;

    /// Receives what is there.
    fn receive(&mut self, stream: Handle, buf: &mut [u8]) -> Result<Received, Reset>;

    /// Ends the peer's side of the stream (FIN) behind what was sent.
    fn shutdown(&mut self, stream: Handle);

    /// Resets the connection (RST).
    fn abort(&mut self, stream: Handle);

    /// Lets the world go on until something happens on `stream`, or `limit` of the network's own time has passed. Says whether it
    /// happened.
    fn wait(&mut self, stream: Handle, awaited: Awaited, limit: Duration) -> bool;

    /// How the next connection ended, as the server tells it, if it does within `limit` of the network's own time.
    fn ended(&mut self, limit: Duration) -> Option<End>;

    /// The bytes of the file `name` in the server's store.
    fn stored(&mut self, name: &str) -> Option<Vec<u8>>;

    /// Every file that is under a name in the server's store, in order.
    fn names(&mut self) -> Vec<String>;

    /// How many files are being written, and under no name yet.
    fn unfinished(&mut self) -> usize;

    /// What the server's log has, a line for each entry, in the order of their numbers: these are from 0 on, and none is missing.
    fn logs(&mut self) -> Vec<String>;

    /// What the clock on the server's wall shows, where that stands still, and time passes only when nobody has anything to do. `None`: all
    /// time is real.
    fn date(&self) -> Option<Date> {
        None
    }

    /// Whether frames get lost here. A retransmission takes seconds, and a message that silence ends may end there; and a reset that gets
    /// lost is not sent again.
    fn lossy(&self) -> bool {
        false
    }

    /// The largest segment on this wire, in bytes.
    fn mss(&self) -> usize {
        1460
    }

    /// Asks each of these in a datagram from a port of its own, all before the first answer is looked at if the network can. What came back
    /// within `limit` of the network's own time, of each. The server is one of datagrams.
    fn ask(&mut self, questions: &[&[u8]], limit: Duration) -> Vec<Option<Vec<u8>>>;

    /// The longest datagram that the network carries both ways, in bytes.
    fn longest_datagram(&self) -> usize;

    /// How many connections a scenario for many may open at once.
    fn many(&self) -> usize;
}
