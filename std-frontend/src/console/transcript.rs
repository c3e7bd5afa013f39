//! Transcripts: what the labs' servers print while they run.
//!
//! A service that has no words of its own here gets one line for each conversation, or datagram, that says who and what.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use anywire_core::event::{End, Event};
use anywire_core::session::Reason;

use crate::console::address::Python;
use crate::console::escape::Shown;
use crate::console::words::{KEPT, Quoted, Words, how};
use crate::engine::{Link, Observer, Protocol};

/// Writes the transcript of a server to wherever `write` puts it, whole lines at a time.
pub struct Transcript<W> {
    state: Mutex<State<W>>,
}

struct State<W> {
    write: W,
    /// What is to be said of conversations that are under way.
    open: HashMap<(SocketAddr, SocketAddr), Words>,
}

impl<W: FnMut(&str)> Transcript<W> {
    /// An empty one.
    pub fn new(write: W) -> Self {
        Self { state: Mutex::new(State { write, open: HashMap::new() }) }
    }

    /// The service listens. `host` is the address as it was given.
    pub fn listening(&self, service: &str, host: &str, port: u16) {
        if service == "echo" {
            let host = if host == "127.0.0.1" { "localhost" } else { host };
            self.say(|text, _| {
                writeln!(text, "Starting up echo server on {host} port {port}\n{WAITING}")
            });
        }
    }

    fn say(
        &self,
        words: impl FnOnce(&mut String, &mut HashMap<(SocketAddr, SocketAddr), Words>) -> fmt::Result,
    ) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = words(&mut text, &mut state.open);
        if !text.is_empty() {
            (state.write)(&text);
        }
    }
}

const WAITING: &str = "Waiting to receive message from client";

impl<W: FnMut(&str) + Send> Observer for Transcript<W> {
    fn observe(&self, link: &Link, event: Event<'_>) {
        // Most events say nothing, and there are many of them.
        if matches!(event, Event::Moving { .. } | Event::Moved { .. }) {
            return;
        }
        let peer = Python(link.peer);
        match (link.service, link.protocol) {
            ("hello", _) => match event {
                Event::Connected => self.say(|text, _| writeln!(text, "Connected by {peer}")),
                Event::Message { text: message } => self
                    .say(|text, _| writeln!(text, "Sent back \"{}\" to: {peer}", Shown(message))),
                _ => {}
            },
            ("message", _) => {
                if let Event::Message { text: message } = event {
                    self.say(|text, _| writeln!(text, "{peer}: {}", Shown(message)));
                }
            }
            ("knock", _) => {
                if let Event::Connected = event {
                    self.say(|text, _| writeln!(text, "Connected by {peer}"));
                }
            }
            ("echo", protocol) => {
                let Event::Data { bytes } = event else { return };
                let data = Shown(bytes);
                self.say(|text, _| match protocol {
                    Protocol::Tcp => {
                        writeln!(text, "Data: {data}\nsent {data} bytes back to {peer}\n{WAITING}")
                    }
                    Protocol::Udp => {
                        let len = bytes.len();
                        writeln!(
                            text,
                            "received {len} bytes from {peer}\nData: {data}\n\
                             sent {len} bytes back to {peer}\n{WAITING}"
                        )
                    }
                });
            }
            (service, Protocol::Udp) => {
                let Some(what) = what(event) else { return };
                self.say(|text, _| writeln!(text, "{service} {peer}: {what}"));
            }
            (service, Protocol::Tcp) => self.say(|text, open| {
                let key = (link.local, link.peer);
                if let Event::Ended { end, received, sent } = event {
                    let words = open.remove(&key).unwrap_or_default();
                    let (what, comma) = (words.as_str(), if words.is_empty() { "" } else { ", " });
                    let how = match end {
                        // Why has been said.
                        End::Aborted(Reason::Refused(_)) if !what.is_empty() => "aborted".into(),
                        end => how(end),
                    };
                    return writeln!(
                        text,
                        "{service} {peer}: {what}{comma}{how}, {received} bytes in, {sent} out"
                    );
                }
                if let Some(what) = what(event) {
                    open.entry(key).or_default().push(what);
                }
                Ok(())
            }),
        }
    }
}

/// What an event says of what a conversation was about.
fn what(event: Event<'_>) -> Option<String> {
    Some(match event {
        Event::Data { bytes } => start(bytes),
        Event::Message { text } | Event::Noted { text } => Quoted(text, KEPT).to_string(),
        Event::Opened { name, len } => format!("\"{}\" of {len} bytes", Shown(name)),
        Event::Created { name } => format!("\"{}\"", Shown(name)),
        Event::Refused { name, why } => format!("\"{}\" refused: {why}", Shown(name)),
        Event::Stored { len } => format!("{len} bytes stored"),
        _ => return None,
    })
}

/// The beginning of `bytes`, or all.
fn start(bytes: &[u8]) -> String {
    match bytes.get(..KEPT) {
        Some(start) if bytes.len() > KEPT => format!("{}...", Shown(start)),
        _ => Shown(bytes).to_string(),
    }
}

impl<W> fmt::Debug for Transcript<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use anywire_core::instant::Instant;
    use anywire_core::request::Refusal;

    use super::*;

    fn transcript(
        service: &'static str,
        protocol: Protocol,
        peer: &str,
        events: &[Event<'_>],
    ) -> String {
        let mut said = String::new();
        let transcript = Transcript::new(|text: &str| said.push_str(text));
        transcript.listening(service, "127.0.0.1", 9900);
        let local = "127.0.0.1:9900".parse().unwrap();
        let (peer, since) = (peer.parse().unwrap(), Instant::ZERO);
        let link = Link { service, protocol, local, peer, since };
        for event in events {
            transcript.observe(&link, *event);
        }
        drop(transcript);
        said
    }

    const ENDED: Event<'_> = Event::Ended { end: End::Finished, received: 3, sent: 7 };

    #[test]
    fn hello() {
        let events = [Event::Connected, Event::Message { text: b"a\n\x1b" }, ENDED];
        assert_eq!(
            transcript("hello", Protocol::Tcp, "127.0.0.1:42961", &events),
            "Connected by ('127.0.0.1', 42961)\n\
             Sent back \"a\\n\\x1b\" to: ('127.0.0.1', 42961)\n"
        );
    }

    #[test]
    fn message_and_knock() {
        let events = [Event::Connected, Event::Message { text: b"a\r\x1b" }, ENDED];
        let said = transcript("message", Protocol::Tcp, "127.0.0.1:42961", &events);
        assert_eq!(said, "('127.0.0.1', 42961): a\\r\\x1b\n");
        let said = transcript("knock", Protocol::Tcp, "127.0.0.1:42961", &events);
        assert_eq!(said, "Connected by ('127.0.0.1', 42961)\n");
    }

    #[test]
    fn echo_over_both_protocols() {
        let events = [Event::Connected, Event::Data { bytes: b"abc" }, ENDED];
        assert_eq!(
            transcript("echo", Protocol::Tcp, "[::1]:42961", &events),
            "Starting up echo server on localhost port 9900\n\
             Waiting to receive message from client\n\
             Data: abc\n\
             sent abc bytes back to ('::1', 42961, 0, 0)\n\
             Waiting to receive message from client\n"
        );
        assert_eq!(
            transcript("echo", Protocol::Udp, "127.0.0.1:42961", &events[1..2]),
            "Starting up echo server on localhost port 9900\n\
             Waiting to receive message from client\n\
             received 3 bytes from ('127.0.0.1', 42961)\n\
             Data: abc\n\
             sent 3 bytes back to ('127.0.0.1', 42961)\n\
             Waiting to receive message from client\n"
        );
    }

    #[test]
    fn any_other_service_has_a_line_for_each_conversation() {
        let opened = Event::Opened { name: b"a.txt", len: 7 };
        assert_eq!(
            transcript("file", Protocol::Tcp, "127.0.0.1:1", &[Event::Connected, opened, ENDED]),
            "file ('127.0.0.1', 1): \"a.txt\" of 7 bytes, finished, 3 bytes in, 7 out\n"
        );
        let why = Refusal::NotFound;
        let refused = Event::Refused { name: b"b\xff", why };
        let end = End::Aborted(Reason::Refused(why));
        let ended = Event::Ended { end, received: 3, sent: 0 };
        assert_eq!(
            transcript("file", Protocol::Tcp, "127.0.0.1:1", &[Event::Connected, refused, ended]),
            "file ('127.0.0.1', 1): \"b\\xff\" refused: no such file, aborted, 3 bytes in, 0 out\n"
        );
        assert_eq!(
            transcript("new", Protocol::Udp, "127.0.0.1:1", &[Event::Data { bytes: b"x" }]),
            "new ('127.0.0.1', 1): x\n"
        );
    }
    #[test]
    fn an_upload_is_a_line_that_names_its_files() {
        let (a, b) = (Event::Created { name: b"a.txt" }, Event::Created { name: b"b\x1b" });
        let events = [a, Event::Stored { len: 5 }, b, Event::Stored { len: 7 }, ENDED];
        assert_eq!(
            transcript("upload", Protocol::Tcp, "127.0.0.1:1", &events),
            "upload ('127.0.0.1', 1): \"a.txt\", 5 bytes stored, \"b\\x1b\", 7 bytes stored, \
             finished, 3 bytes in, 7 out\n"
        );
        let why = Refusal::NotAFile;
        let events = [Event::Refused { name: b"dir", why }, ENDED];
        assert_eq!(
            transcript("upload", Protocol::Tcp, "127.0.0.1:1", &events),
            "upload ('127.0.0.1', 1): \"dir\" refused: not a regular file, \
             finished, 3 bytes in, 7 out\n"
        );
    }

    #[test]
    fn a_text_is_quoted_and_what_is_long_is_cut() {
        let said = |text: &[u8]| {
            let events = [Event::Noted { text }, ENDED];
            transcript("typed", Protocol::Tcp, "127.0.0.1:1", &events)
        };
        let line =
            |what: &str| format!("typed ('127.0.0.1', 1): {what}, finished, 3 bytes in, 7 out\n");
        assert_eq!(said("té\n".as_bytes()), line(r#""té\n""#));
        assert_eq!(said(&[b'x'; KEPT]), line(&format!("\"{}\"", "x".repeat(KEPT))));
        assert_eq!(said(&[b'x'; KEPT + 1]), line(&format!("\"{}...\"", "x".repeat(KEPT))));
        // Never in the middle of a character, nor of what stands for one.
        let wide = "é".repeat(300);
        assert_eq!(said(wide.as_bytes()), line(&format!("\"{}...\"", "é".repeat(128))));
        assert_eq!(said(&[0xff; 300]), line(&format!("\"{}...\"", r"\xff".repeat(KEPT))));
        // Many files are many messages.
        let name = [b'n'; 100];
        let events = [&[Event::Created { name: &name }; 1000][..], &[ENDED]].concat();
        let name = format!("\"{}\"", "n".repeat(100));
        assert_eq!(
            transcript("upload", Protocol::Tcp, "127.0.0.1:1", &events),
            line(&format!("{name}, {name}, ...")).replace("typed", "upload")
        );
    }
}
