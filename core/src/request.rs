//! What a session asks its host for, and what it is answered.

use core::fmt;

use crate::name::{FileName, NameError};

/// Something that only the host can do and that may take long.
///
/// Asked for with [`Next::Ask`](crate::session::Next::Ask), never called: an event loop can hand it to a
/// thread, a board can wait for its flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Open the file `name` for [`Send`](Request::Send). Answered by [`Answer::Opened`].
    Open {
        /// Which file.
        name: FileName<'a>,
    },
    /// Begin a file that will be `name` when it is committed. Answered by [`Answer::Created`]. A file not
    /// committed is abandoned when its connection goes.
    Create {
        /// Which file.
        name: FileName<'a>,
        /// Whether it may take the place of an older one; if not, there must be none: [`Refusal::Exists`].
        replace: bool,
    },
    /// Refuse now, if it can be known, what would be refused when `len` bytes of the created file have come. Answered by
    /// [`Answer::Expected`].
    Expect {
        /// How many bytes the file will have.
        len: u64,
    },
    /// Put the created file under its name, whole and durable. Answered by [`Answer::Committed`].
    Commit,
    /// Keep an entry in the log, where nobody else's can take its place. Answered by [`Answer::Logged`].
    Log {
        /// When it happened, as it is written.
        time: &'a [u8],
        /// What the peer sent, as it came. Who that is the driver knows.
        text: &'a [u8],
    },
    /// Move `len` bytes of the opened file to the wire. Answered by [`Answer::Moved`].
    Send {
        /// How many bytes.
        len: u64,
    },
    /// Move `len` bytes, or all up to the end of the stream, from the wire into the created file: those that
    /// are untaken already go first, and no byte after the body is read with it. Answered by
    /// [`Answer::Moved`].
    Receive {
        /// How many bytes; `None`: to the end of the stream.
        len: Option<u64>,
    },
    /// Ask the user for a line. Answered by [`Answer::Line`].
    Line {
        /// What the user is shown first.
        prompt: &'static str,
        /// The longest line, in bytes, without its newline; the rest of a longer one is dropped. At most the session's
        /// [`ROOM`](crate::session::Session::ROOM), so that the answer can be put at once.
        max: usize,
    },
}

/// What became of a [`Request`]. It is offered in one step, and taken in that step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer<'a> {
    /// The file is open, and had `len` bytes then.
    Opened {
        /// Bytes in the file.
        len: u64,
    },
    /// The file has been begun.
    Created,
    /// Nothing speaks against so many bytes yet.
    Expected,
    /// The file is under its name, and synced where the store promises that.
    Committed,
    /// The entry is kept.
    Logged,
    /// A body was moved.
    Moved {
        /// How many bytes of it.
        len: u64,
        /// Why not more.
        stop: Stop,
    },
    /// A line from the user, without its newline; `None`: there are no more.
    Line(Option<&'a [u8]>),
    /// The host did not do it.
    Refused(Refusal),
}

/// Why a transfer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Stop {
    /// All that was asked for was moved. A body "to the end of the stream" stops with [`Ended`](Stop::Ended).
    Complete,
    /// The peer ended the stream.
    Ended,
    /// The peer reset the connection.
    Reset,
    /// Nothing was heard of the peer any more.
    Vanished,
    /// The file has fewer bytes than it had when it was opened.
    FileShort,
    /// The store took no more.
    Store(Refusal),
    /// Nothing moved for too long.
    TimedOut,
}

/// Why a host did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Refusal {
    /// The name is not allowed.
    Name(NameError),
    /// There is no such file.
    NotFound,
    /// The name is a folder, a symbolic link, a device: not a regular file.
    NotAFile,
    /// There is a file of that name already.
    Exists,
    /// The host may not.
    Denied,
    /// No room is left.
    Full,
    /// More than `max` bytes in one file.
    TooLarge {
        /// The limit, in bytes.
        max: u64,
    },
    /// The store failed; the host's log has the details.
    Failed,
    /// This host has nothing to do it with: no store, no log, no user.
    Unsupported,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Ended => f.write_str("the peer ended the stream"),
            Self::Reset => f.write_str("the peer reset the connection"),
            Self::Vanished => f.write_str("the peer has vanished"),
            Self::FileShort => f.write_str("the file became shorter"),
            Self::Store(refusal) => write!(f, "the store took no more: {refusal}"),
            Self::TimedOut => f.write_str("nothing moved for too long"),
        }
    }
}

impl Refusal {
    /// Why, in at most 80 bytes, as a peer may be told: formatting would cost a board more than all sessions do.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name(error) => error.as_str(),
            Self::NotFound => "no such file",
            Self::NotAFile => "not a regular file",
            Self::Exists => "the name is taken",
            Self::Denied => "permission denied",
            Self::Full => "no room left",
            Self::TooLarge { .. } => "more bytes than one file may have",
            Self::Failed => "the store failed",
            Self::Unsupported => "not supported here",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::TooLarge { max } => write!(f, "more than {max} bytes in one file"),
            other => f.write_str(other.as_str()),
        }
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}
