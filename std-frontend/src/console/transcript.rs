//! Transcripts: what the labs' servers print while they run.
//!
//! A service that has no words of its own here gets one line for each conversation, or datagram, that says who and what.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use anywire_core::event::Event;

use crate::console::address::Python;
use crate::console::escape::Shown;
use crate::console::log::how;
use crate::engine::{Link, Observer, Protocol};

/// Writes the transcript of a server to wherever `write` puts it, whole lines at a time.
pub struct Transcript<W> {
    state: Mutex<State<W>>,
}

struct State<W> {
    write: W,
    /// What is to be said of conversations that are under way.
    open: HashMap<(SocketAddr, SocketAddr), String>,
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
        words: impl FnOnce(&mut String, &mut HashMap<(SocketAddr, SocketAddr), String>) -> fmt::Result,
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
                    let what = open.remove(&key).unwrap_or_default();
                    let how = how(end);
                    return writeln!(
                        text,
                        "{service} {peer}: {what}{how}, {received} bytes in, {sent} out"
                    );
                }
                if let Some(what) = what(event) {
                    // One line says what is new; a conversation of many messages is not kept whole.
                    open.insert(key, format!("{what}, "));
                }
                Ok(())
            }),
        }
    }
}

/// So many bytes of what was said are kept until the conversation is over.
const KEPT: usize = 256;

/// What an event says of what a conversation was about.
fn what(event: Event<'_>) -> Option<String> {
    Some(match event {
        Event::Data { bytes } | Event::Message { text: bytes } => match bytes.get(..KEPT) {
            Some(start) if bytes.len() > KEPT => format!("{}...", Shown(start)),
            _ => Shown(bytes).to_string(),
        },
        Event::Opened { name, len } => format!("\"{}\" of {len} bytes", Shown(name)),
        Event::Refused { name, .. } => format!("\"{}\"", Shown(name)),
        Event::Stored { len } => format!("{len} bytes stored"),
        _ => return None,
    })
}

impl<W> fmt::Debug for Transcript<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use anywire_core::event::End;
    use anywire_core::request::Refusal;
    use anywire_core::session::Reason;

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
        let link = Link { service, protocol, local, peer: peer.parse().unwrap() };
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
            "file ('127.0.0.1', 1): \"b\\xff\", aborted: no such file, 3 bytes in, 0 out\n"
        );
        assert_eq!(
            transcript("new", Protocol::Udp, "127.0.0.1:1", &[Event::Data { bytes: b"x" }]),
            "new ('127.0.0.1', 1): x\n"
        );
    }
}
