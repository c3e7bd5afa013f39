//! What happened, for whoever wants to log, count or show it, and the host that is told.

use crate::date::Date;
use crate::request::{Refusal, Stop};
use crate::session::Reason;

/// Something that happened on a connection. The driver knows which one, and both its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Event<'a> {
    /// The connection is there. From the driver.
    Connected,
    /// A piece of a stream without message boundaries was dealt with.
    Data {
        /// The piece.
        bytes: &'a [u8],
    },
    /// A whole message was received, and on a server's side answered.
    Message {
        /// The message, without what ended it.
        text: &'a [u8],
    },
    /// The peer left a text for the log.
    Noted {
        /// The text.
        text: &'a [u8],
    },
    /// A file was opened for a peer.
    Opened {
        /// Its name.
        name: &'a [u8],
        /// Its bytes.
        len: u64,
    },
    /// A request of the peer's was refused.
    Refused {
        /// What it asked for.
        name: &'a [u8],
        /// Why it did not get it.
        why: Refusal,
    },
    /// Some of a body moved between the wire and a file. From the driver.
    Moving {
        /// Whether it goes to the wire, or comes from there.
        sending: bool,
        /// Bytes moved since the last of these events.
        len: u64,
        /// Bytes moved so far.
        moved: u64,
        /// Bytes in all, where that is known.
        of: Option<u64>,
    },
    /// A body was moved, or as much of it as could be.
    Moved {
        /// How many bytes.
        len: u64,
        /// Why not more.
        stop: Stop,
    },
    /// A file was begun for a peer.
    Created {
        /// The name that it will have.
        name: &'a [u8],
    },
    /// The peer refused what a client asked for, and says why.
    Declined {
        /// In its words.
        words: &'a [u8],
    },
    /// A file is whole under its name. A client that sent it is told so only when the server has proven it.
    Stored {
        /// Its bytes.
        len: u64,
    },
    /// A datagram was answered. The last event of one that is. From the driver.
    Answered {
        /// Its bytes.
        received: u64,
        /// The answer's.
        sent: u64,
    },
    /// The connection is over. The last event of every connection. From the driver.
    Ended {
        /// How.
        end: End,
        /// Bytes that the session or a transfer took.
        received: u64,
        /// Bytes that the session or a transfer put; after an abort some of them may not have left.
        sent: u64,
    },
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum End {
    /// In good order, by the protocol.
    Finished,
    /// In good order (FIN), because nothing was said for too long.
    Idle,
    /// In good order (FIN), because the server stops.
    Stopped,
    /// The peer reset it, or it broke.
    Reset,
    /// It broke, because nothing was heard of the peer any more: its system or the way there is gone.
    Vanished,
    /// We aborted it (RST).
    Aborted(Reason),
}

/// What a session may call in the middle of a step: neither may block.
pub trait Host {
    /// Is told what happened. Nothing by default.
    fn observe(&mut self, event: Event<'_>) {
        let _ = event;
    }

    /// Fills `buf` with bytes that nobody can guess, or says `false` if it has none. `false` by default.
    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        let _ = buf;
        false
    }

    /// What the clock on the wall says; `None`: there is none. `None` by default.
    fn date(&mut self) -> Option<Date> {
        None
    }

    /// Asks the user for a line of at most `line.len()` bytes and says how many there were; `None`: no
    /// more lines. Called by drivers that may block, never by a session. `None` by default.
    fn line(&mut self, prompt: &str, line: &mut [u8]) -> Option<usize> {
        let _ = (prompt, line);
        None
    }
}

/// A host that listens to nothing and has nothing.
impl Host for () {}
