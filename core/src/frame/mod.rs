//! Framings: where a message begins and ends in a stream.
//!
//! A decoder looks at a borrowed slice and says "more" or what it found; it keeps no bytes. For every way to
//! cut the stream into slices it finds the same messages, unless the framing itself depends on time.

mod fixed;
mod tagged;
mod telnet;
mod until_end;
mod until_quiet;

pub use fixed::Fixed;
pub use tagged::{Body, Frame, FrameError, Head, HeadBytes, Order, Row, Tag, Tagged};
pub use telnet::{IAC, Telnet};
pub use until_end::UntilEnd;
pub use until_quiet::{Found, Message, Overflow, UntilQuiet, Watch};
