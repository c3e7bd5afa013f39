//! The services: the server's side of each protocol, a file each.
//!
//! To add one, write its file (`hello.rs` is the one to read; `typed.rs` has settings and files), declare it here, and add a line to
//! [`catalog`]: every frontend then serves and lists it.

pub mod date;
pub mod echo;
pub mod file;
pub mod fixed;
pub mod greet;
pub mod guess;
pub mod hello;
pub mod knock;
pub mod logdate;
pub mod message;
pub mod typed;
pub mod upload;

use core::fmt;

use crate::datagram::DatagramService;
use crate::session::Session;

/// What is known of a service before anybody connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name at the prompt: a lower-case word.
    pub name: &'static str,
    /// The port it listens on unless told otherwise.
    pub port: u16,
    /// What it does, in one line.
    pub summary: &'static str,
}

/// Something of a service that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name: lower-case words with `-` between.
    pub name: &'static str,
    /// What it can be: `sized|close`, or a word for it, as `BYTES`. Empty: it is a flag, off unless it is set to `true`.
    pub values: &'static str,
    /// What it is unless it is set; empty for a flag.
    pub default: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
}

/// Why something cannot be set so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingError {
    /// The service has no such setting.
    Unknown,
    /// It cannot be that; it can be this.
    Value(&'static str),
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such setting"),
            Self::Value(allowed) => write!(f, "it must be {allowed}"),
        }
    }
}

impl core::error::Error for SettingError {}

/// A service over streams: makes a session for each connection.
///
/// It is its own options: small, and copied to every worker.
pub trait StreamService: Copy {
    /// One conversation.
    type Session: Session + Send;

    /// Name, port, summary.
    const ABOUT: About;

    /// Whether its sessions ask for files: only then is a store needed.
    const FILES: bool = false;

    /// Whether its sessions ask for a log.
    const LOG: bool = false;

    /// What can be set, by name: for command lines. A program of your own sets the service's fields.
    const SETTINGS: &'static [Setting] = &[];

    /// Sets one of [`SETTINGS`](Self::SETTINGS) to a value that somebody has written.
    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        let _ = (name, value);
        Err(SettingError::Unknown)
    }

    /// A session for a connection that has just been made.
    fn open(&self) -> Self::Session;
}

/// Is shown every service of the [`catalog`], with its own type.
pub trait Visitor {
    /// A service over streams.
    fn stream<S: StreamService + Send + 'static>(&mut self, service: S);

    /// A service over datagrams.
    fn datagram<D: DatagramService + Send + 'static>(&mut self, service: D);
}

/// Shows `visitor` every service there is, in the order in which they are listed.
pub fn catalog(visitor: &mut impl Visitor) {
    visitor.stream(echo::Echo);
    visitor.datagram(echo::Echo);
    visitor.stream(hello::Hello);
    visitor.stream(message::Message::default());
    visitor.stream(fixed::Fixed::default());
    visitor.stream(knock::Knock);
    visitor.stream(typed::Typed::default());
    visitor.stream(upload::Upload);
    visitor.stream(file::File);
    visitor.stream(date::Date::default());
    visitor.stream(logdate::LogDate::default());
    visitor.datagram(guess::Guess::default());
    visitor.stream(greet::Greet::default());
}
