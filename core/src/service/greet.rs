//! greet: each message comes back with a name behind it. Made for telnet, whose options are no messages.

use core::time::Duration;

use crate::event::Event;
use crate::exchange::Exchange;
use crate::frame::{Found, IAC, Overflow, Telnet, UntilQuiet, Watch};
use crate::service::{About, Setting, SettingError, StreamService};
use crate::session::{self, Next, Phase};

/// The service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greet {
    /// Who answers, at most [`NAME_MAX`](Self::NAME_MAX) bytes; of more the rest is left out.
    pub name: &'static str,
}

impl Greet {
    /// The longest name, in bytes.
    pub const NAME_MAX: usize = 256;
}

impl Default for Greet {
    fn default() -> Self {
        Self { name: "Ali" }
    }
}

impl StreamService for Greet {
    type Session = Session;

    const ABOUT: About =
        About { name: "greet", port: 8888, summary: "says back what you say, and its name" };
    const SETTINGS: &'static [Setting] = &[Setting {
        name: "name",
        values: "NAME",
        default: "Ali",
        help: "Who answers, at most 256 bytes",
    }];

    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        match name {
            "name" if value.len() > Self::NAME_MAX => Err(SettingError::Value("at most 256 bytes")),
            "name" => {
                self.name = value;
                Ok(())
            }
            _ => Err(SettingError::Unknown),
        }
    }

    fn open(&self) -> Session {
        Session {
            name: self.name,
            telnet: Telnet::default(),
            text: [0; FRAMING.max],
            len: 0,
            watch: Watch::default(),
        }
    }
}

const FRAMING: UntilQuiet = UntilQuiet {
    max: 1024,
    quiet: Some(Duration::from_millis(200)),
    newline: true,
    overflow: Overflow::Split,
};

/// One conversation. It holds the message itself: what lies between its bytes in the stream may be longer than any buffer.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    name: &'static str,
    telnet: Telnet,
    text: [u8; FRAMING.max],
    /// Invariant: at most `FRAMING.max`.
    len: usize,
    watch: Watch,
}

impl Session {
    /// Takes what there is room for, and keeps what of it is data.
    fn take(&mut self, io: &mut Exchange<'_>) {
        let mut taken = 0;
        for &byte in io.input() {
            let Some(room) = self.text.get_mut(self.len) else { break };
            taken += 1;
            if let Some(data) = self.telnet.data(byte) {
                *room = data;
                self.len += 1;
            }
        }
        if taken > 0 {
            // Whoever sends options is not silent.
            FRAMING.heard(&mut self.watch, io.now());
        }
        io.take(taken);
    }

    /// Drops the first `len` bytes of the text.
    fn drop_front(&mut self, len: usize) {
        if let Some(text) = self.text.get_mut(..self.len)
            && len <= text.len()
        {
            text.copy_within(len.., 0);
            self.len -= len;
        }
    }
}

/// Puts a reply whole, or not at all: a byte 255 of data is two on a telnet connection.
fn reply(io: &mut Exchange<'_>, text: &[u8], name: &str) -> bool {
    let name = name.as_bytes();
    let name = name.get(..Greet::NAME_MAX).unwrap_or(name);
    let doubled = text.iter().filter(|&&byte| byte == IAC).count();
    if text.len() + doubled + name.len() + 3 > io.room() {
        return false;
    }
    for part in text.split_inclusive(|&byte| byte == IAC) {
        io.put(part);
        if part.ends_with(&[IAC]) {
            io.put(&[IAC]);
        }
    }
    io.put_all(&[b" ", name, b"\r\n"])
}

impl session::Session for Session {
    const HOLD: usize = FRAMING.max;
    const ROOM: usize = 2 * FRAMING.max + Greet::NAME_MAX + 3;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        self.take(io);
        let ended = io.ended() && io.input().is_empty();
        let text = self.text.get(..self.len).unwrap_or_default();
        match FRAMING.find(&mut self.watch, text, ended, io.now()) {
            Found::Message(message) => {
                if !reply(io, message.text, self.name) {
                    return Next::Wait(Phase::Inside, None);
                }
                io.observe(Event::Message { text: message.text });
                let len = message.len;
                self.watch.next(&message);
                self.drop_front(len);
                Next::Progress
            }
            Found::Skip(len) => {
                self.drop_front(len);
                self.step(io)
            }
            Found::More { quiet_at } if self.len == 0 && self.telnet.is_between() => {
                Next::Wait(Phase::Between, quiet_at)
            }
            Found::More { quiet_at } => Next::Wait(Phase::Inside, quiet_at),
            Found::End => Next::Finish,
        }
    }
}
