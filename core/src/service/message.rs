//! message: each line, or what comes before a silence, is answered with `Message: X`.

use core::time::Duration;

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{Found, Overflow, UntilQuiet, Watch};
use crate::service::{About, Setting, SettingError, StreamService};
use crate::session::{self, Next, Phase};

/// The service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What stands before the message in its answer, at most [`PREFIX_MAX`](Self::PREFIX_MAX) bytes; of more the rest is left out.
    pub prefix: &'static str,
    /// Whether the conversation ends with the first answer.
    pub close_after_reply: bool,
}

impl Message {
    /// The longest prefix, in bytes.
    pub const PREFIX_MAX: usize = 256;
}

impl Default for Message {
    fn default() -> Self {
        Self { prefix: "Message: ", close_after_reply: false }
    }
}

impl StreamService for Message {
    type Session = Session;

    const ABOUT: About = About {
        name: "message",
        port: 9001,
        summary: "each line comes back with a word before it",
    };
    const SETTINGS: &'static [Setting] = &[
        Setting {
            name: "reply-prefix",
            values: "TEXT",
            default: "Message: ",
            help: "What stands before the message in its answer, at most 256 bytes",
        },
        Setting {
            name: "close-after-reply",
            values: "",
            default: "",
            help: "End the connection after the first answer",
        },
    ];

    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        match name {
            "reply-prefix" if value.len() > Self::PREFIX_MAX => {
                return Err(SettingError::Value("at most 256 bytes"));
            }
            "reply-prefix" => self.prefix = value,
            "close-after-reply" => self.close_after_reply = true,
            _ => return Err(SettingError::Unknown),
        }
        Ok(())
    }

    fn open(&self) -> Session {
        Session { service: *self, watch: Watch::default() }
    }
}

const FRAMING: UntilQuiet = UntilQuiet {
    max: 4096,
    quiet: Some(Duration::from_millis(50)),
    newline: true,
    overflow: Overflow::Drop,
};

/// One conversation.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    service: Message,
    watch: Watch,
}

impl session::Session for Session {
    const HOLD: usize = FRAMING.max;
    const ROOM: usize = Message::PREFIX_MAX + FRAMING.max;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match FRAMING.find(&mut self.watch, io.input(), io.ended(), io.now()) {
            Found::Message(message) => {
                let prefix = self.service.prefix.as_bytes();
                let prefix = prefix.get(..Message::PREFIX_MAX).unwrap_or(prefix);
                // The answer is one write: it waits until there is room for all of it, and the message with it.
                if !io.put_all(&[prefix, message.text]) {
                    return Next::Wait(Phase::Inside, None);
                }
                io.take(message.len);
                self.watch.next(&message);
                io.observe(Event::Message { text: message.text });
                if self.service.close_after_reply { Next::Finish } else { Next::Progress }
            }
            Found::Skip(len) => {
                io.take(len);
                Next::Progress
            }
            Found::More { quiet_at } if io.input().is_empty() => {
                Next::Wait(Phase::Between, quiet_at)
            }
            Found::More { quiet_at } => Next::Wait(Phase::Inside, quiet_at),
            Found::End => Next::Finish,
        }
    }
}
