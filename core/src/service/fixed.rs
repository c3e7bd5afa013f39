//! fixed: messages of a length that both sides know; each comes back.
//!
//! Bytes go back as they arrive. A stream that ends inside a message is aborted.

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::Fixed as Framing;
use crate::service::{About, Setting, SettingError, StreamService};
use crate::session::{self, Next, Phase, Reason};

/// The service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The length of a message.
    pub framing: Framing,
}

impl Fixed {
    /// The lab's MSGLEN.
    pub const LEN: usize = 1234;

    /// The longest message that can be asked for, in bytes.
    pub const LEN_MAX: usize = 65_536;
}

impl Default for Fixed {
    fn default() -> Self {
        Self { framing: Framing { len: Self::LEN } }
    }
}

impl StreamService for Fixed {
    type Session = Session;

    const ABOUT: About =
        About { name: "fixed", port: 9004, summary: "messages of one length come back" };
    const SETTINGS: &'static [Setting] = &[Setting {
        name: "length",
        values: "N",
        default: "1234",
        help: "The length of a message, in bytes, from 1 to 65536",
    }];

    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        if name != "length" {
            return Err(SettingError::Unknown);
        }
        match value.parse() {
            Ok(len @ 1..=Self::LEN_MAX) => {
                self.framing.len = len;
                Ok(())
            }
            _ => Err(SettingError::Value("a number from 1 to 65536")),
        }
    }

    fn open(&self) -> Session {
        Session { framing: self.framing, echoed: 0 }
    }
}

/// One conversation.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    framing: Framing,
    /// Bytes that went back.
    echoed: u64,
}

impl session::Session for Session {
    const HOLD: usize = 0;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        let input = io.input();
        let n = io.put(input);
        if n > 0 {
            io.observe(Event::Data { bytes: input.get(..n).unwrap_or_default() });
            io.take(n);
            self.echoed = self.echoed.saturating_add(n as u64);
        }
        let left = self.framing.left(self.echoed);
        if io.ended() && io.input().is_empty() {
            if left == 0 {
                return Next::Finish;
            }
            let want = self.framing.len as u64;
            return Next::Abort(Reason::EndedEarly { got: want.saturating_sub(left), want });
        }
        Next::Wait(if left == 0 { Phase::Between } else { Phase::Inside }, None)
    }
}
