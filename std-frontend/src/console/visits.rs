//! Who came, and what they did: a line of the log for each conversation when it is over, and for each datagram when it comes.
//!
//! A file is in its conversation's line only when that is over. What a peer is sending just now, and what it has stored so far, is told
//! while it happens at [`Level::Verbose`](crate::console::log::Level): that is for whoever must know it even of a server that was killed.
//!
//! A connection that has said nothing costs nothing here, and one that has, a bounded part of what it said.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anywire_core::event::{End, Event};
use anywire_core::instant::Instant;
use anywire_core::session::Reason;
use tracing::Level;

use crate::clock;
use crate::console::address::Peer;
use crate::console::escape::Shown;
use crate::console::lines::TOLD;
use crate::console::words::{KEPT, Lasting, QUOTED, Quoted, Words, counted, how};
use crate::engine::{Link, Observer, Protocol};
use crate::labels;

/// Logs what happens on a server.
#[derive(Debug, Default)]
pub struct Visits {
    /// Conversations that have said something, by both their ends.
    open: Mutex<HashMap<(SocketAddr, SocketAddr), Box<Visit>>>,
    datagrams: Mutex<Pace>,
}

/// What a conversation was about, so far.
#[derive(Debug, Default)]
struct Visit {
    words: Words,
    /// A request was refused, and that is in the words.
    refused: bool,
    messages: u64,
    files: u64,
    stored: u64,
    /// The file that is coming in: its name, escaped.
    file: Option<String>,
}

/// Wakes for one level, known when it is compiled, as `tracing` wants it.
macro_rules! tell {
    ($level:expr, $link:expr, $($rest:tt)*) => {
        tracing::event!(
            target: TOLD, $level, service = $link.service, peer = %Peer($link.peer), $($rest)*
        )
    };
}

impl Observer for Visits {
    fn observe(&self, link: &Link, event: Event<'_>) {
        if tracing::enabled!(target: TOLD, Level::TRACE) {
            trace(link, event);
        }
        match (link.protocol, event) {
            (_, Event::Ended { end, received, sent }) => self.ended(link, end, received, sent),
            _ if !tracing::enabled!(target: TOLD, Level::INFO) => {}
            (Protocol::Udp, Event::Data { bytes } | Event::Message { text: bytes }) => {
                self.datagram(link, bytes);
            }
            (Protocol::Udp, _) => {}
            (Protocol::Tcp, Event::Connected) => tell!(Level::DEBUG, link, "connected"),
            (Protocol::Tcp, event) => self.said(link, event),
        }
    }
}

impl Visits {
    /// Keeps what an event says of what the conversation is about. A file's name is 255 bytes at most.
    fn said(&self, link: &Link, event: Event<'_>) {
        match event {
            Event::Created { name } => {
                let quoted = Quoted(name, KEPT);
                tell!(Level::DEBUG, link, name = %Shown(name), "receiving {quoted}");
                self.visit(link, |visit| visit.file = Some(Shown(name).to_string()));
            }
            Event::Stored { len } => self.visit(link, |visit| {
                let name = visit.file.take().unwrap_or_default();
                let bytes = counted(len, "byte");
                tell!(Level::DEBUG, link, name, len, "stored \"{name}\", {bytes}");
                visit.files += 1;
                visit.stored += len;
                visit.words.push(format_args!("\"{name}\" {bytes} stored"));
            }),
            Event::Opened { name, len } => {
                let (quoted, bytes) = (Quoted(name, KEPT), counted(len, "byte"));
                tell!(Level::DEBUG, link, name = %Shown(name), len, "sending {quoted}, {bytes}");
                self.visit(link, |visit| {
                    visit.words.push(format_args!("{quoted} of {bytes}"));
                });
            }
            Event::Refused { name, why } => self.visit(link, |visit| {
                visit.refused =
                    visit.words.push(format_args!("{} refused: {why}", Quoted(name, KEPT)));
            }),
            Event::Noted { text } => self.visit(link, |visit| {
                visit.words.push(format_args!("says {}", Quoted(text, KEPT)));
            }),
            Event::Message { text } => self.visit(link, |visit| {
                visit.messages += 1;
                if visit.messages == 1 {
                    visit.words.push(Quoted(text, QUOTED));
                }
            }),
            _ => {}
        }
    }

    fn visit(&self, link: &Link, change: impl FnOnce(&mut Visit)) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        change(open.entry((link.local, link.peer)).or_default());
    }

    fn ended(&self, link: &Link, end: End, received: u64, sent: u64) {
        let visit = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let visit = open.remove(&(link.local, link.peer));
            if open.is_empty() && open.capacity() > 1024 {
                open.shrink_to_fit();
            }
            visit.map_or_else(Visit::default, |visit| *visit)
        };
        let (files, stored, messages) = (visit.files, visit.stored, visit.messages);
        let time = clock::now().saturating_since(link.since);
        let ms = time.as_millis() as u64;
        let line = || visit.line(end, received, sent, time);
        let (label, reason) = labels::end(end);
        macro_rules! tell_end {
            ($level:expr) => {
                if tracing::enabled!(target: TOLD, $level) {
                    tell!(
                        $level, link, end = label, reason, received, sent, messages, files, stored, ms,
                        "{}", line()
                    )
                }
            };
        }
        match end {
            End::Aborted(Reason::Broken(_)) => tell_end!(Level::ERROR),
            // What cannot be had is the peer's affair.
            End::Aborted(Reason::Refused(_)) => tell_end!(Level::INFO),
            End::Aborted(_) => tell_end!(Level::WARN),
            _ => tell_end!(Level::INFO),
        }
    }

    /// A line for a datagram, unless there are too many of them.
    fn datagram(&self, link: &Link, bytes: &[u8]) {
        let len = bytes.len() as u64;
        let said = Quoted(bytes, QUOTED);
        if tracing::enabled!(target: TOLD, Level::DEBUG) {
            return tell!(Level::DEBUG, link, len, "{said}, {}", counted(len, "byte"));
        }
        let turn = self.datagrams.lock().unwrap_or_else(PoisonError::into_inner).turn(link.since);
        match turn {
            Some(0) => tell!(Level::INFO, link, len, "{said}, {}", counted(len, "byte")),
            Some(untold) => {
                let others = counted(untold, "datagram");
                let bytes = counted(len, "byte");
                tell!(Level::INFO, link, len, untold, "{said}, {bytes}, after {others} not shown");
            }
            None => {}
        }
    }
}

impl Visit {
    /// The conversation in a line.
    fn line(&self, end: End, received: u64, sent: u64, time: Duration) -> String {
        let mut parts = Vec::new();
        if !self.words.is_empty() {
            let more = self.messages.saturating_sub(1);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            parts.push(format!("{}{more}", self.words.as_str()));
        }
        if let Some(name) = &self.file {
            parts.push(format!("\"{name}\" not stored"));
        }
        let finished = matches!(end, End::Finished);
        match end {
            End::Finished => {}
            End::Aborted(Reason::Refused(_)) if self.refused => {}
            End::Aborted(Reason::Refused(why)) => parts.push(format!("refused: {why}")),
            end => parts.push(how(end)),
        }
        let time = Lasting(time);
        let files = self.files;
        parts.push(if files > 0 && finished {
            let all = if files > 1 { format!(", {} bytes,", self.stored) } else { String::new() };
            format!("{}{all} in {time}", counted(files, "file"))
        } else if received == 0 && sent == 0 && parts.is_empty() {
            format!("came and went, {time}")
        } else {
            format!("{} in, {sent} out, {time}", counted(received, "byte"))
        });
        parts.join(", ")
    }
}

/// Keeps a flood of datagrams from being a flood of lines.
#[derive(Debug, Default)]
struct Pace {
    /// When this second began.
    begun: Option<Instant>,
    /// Lines in it.
    told: u32,
    /// Datagrams without a line since the last one with.
    untold: u64,
}

/// So many datagrams have lines in a second.
const LINES_A_SECOND: u32 = 10;

impl Pace {
    /// Whether the next datagram has a line: then how many before it had none.
    fn turn(&mut self, now: Instant) -> Option<u64> {
        const SECOND: Duration = Duration::from_secs(1);
        if self.begun.is_none_or(|begun| now.saturating_since(begun) >= SECOND) {
            (self.begun, self.told) = (Some(now), 0);
        }
        if self.told == LINES_A_SECOND {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// Everything, as it happens.
fn trace(link: &Link, event: Event<'_>) {
    match event {
        Event::Data { bytes } => {
            tell!(Level::TRACE, link, len = bytes.len(), "data {}", Quoted(bytes, KEPT));
        }
        Event::Message { text } => {
            tell!(Level::TRACE, link, len = text.len(), "message {}", Quoted(text, KEPT))
        }
        Event::Moving { moved, .. } => {
            tell!(Level::TRACE, link, moved, "moved {moved} bytes so far")
        }
        Event::Moved { len, stop } => tell!(Level::TRACE, link, len, "moved {len} bytes: {stop}"),
        Event::Answered { sent, .. } => {
            tell!(Level::TRACE, link, sent, "answered with {sent} bytes")
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use anywire_core::request::{Refusal, Stop};

    use super::*;

    const FINISHED: End = End::Finished;

    /// The line of a conversation.
    fn line(events: &[Event<'_>], end: End, received: u64, sent: u64) -> String {
        let visits = Visits::default();
        let (local, peer) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let protocol = Protocol::Tcp;
        let link = Link { service: "any", protocol, local, peer, since: Instant::ZERO };
        for event in events {
            visits.said(&link, *event);
        }
        let visit = visits.open.lock().unwrap().remove(&(local, peer)).unwrap_or_default();
        visit.line(end, received, sent, Duration::from_millis(30))
    }

    #[test]
    fn what_was_said_how_it_ended_how_much_and_how_long() {
        let message = |text| Event::Message { text };
        assert_eq!(line(&[], FINISHED, 0, 0), "came and went, 30 ms");
        assert_eq!(line(&[], FINISHED, 1, 2), "1 byte in, 2 out, 30 ms");
        assert_eq!(
            line(&[], End::Idle, 0, 0),
            "ended: idle for too long, 0 bytes in, 0 out, 30 ms"
        );
        let said = [message(b"a\x1b"), message(b"b"), message(b"c")];
        assert_eq!(line(&said, FINISHED, 4, 9), r#""a\x1b" and 2 more, 4 bytes in, 9 out, 30 ms"#);
        assert_eq!(
            line(&said[1..2], End::Reset, 4, 9),
            "\"b\", reset by the peer, 4 bytes in, 9 out, 30 ms"
        );
        let (opened, noted) = (Event::Opened { name: b"f", len: 9 }, Event::Noted { text: b"t\n" });
        assert_eq!(line(&[opened], FINISHED, 2, 9), "\"f\" of 9 bytes, 2 bytes in, 9 out, 30 ms");
        assert_eq!(line(&[noted], FINISHED, 2, 0), r#"says "t\n", 2 bytes in, 0 out, 30 ms"#);
    }

    #[test]
    fn files_that_were_stored_and_one_that_was_not() {
        let created = |name| Event::Created { name };
        let stored = |len| Event::Stored { len };
        let one = [created(b"a"), stored(1710)];
        assert_eq!(line(&one, FINISHED, 1720, 4), "\"a\" 1710 bytes stored, 1 file in 30 ms");
        let two = [created(b"a"), stored(1), created(b"b"), stored(2)];
        assert_eq!(
            line(&two, FINISHED, 20, 4),
            "\"a\" 1 byte stored, \"b\" 2 bytes stored, 2 files, 3 bytes, in 30 ms"
        );
        let cut = End::Aborted(Reason::Cut { moved: 5, stop: Stop::Reset });
        let said = line(&two[..3], cut, 20, 4);
        let told = "\"a\" 1 byte stored, \"b\" not stored, aborted: ";
        assert!(said.starts_with(told) && said.ends_with(", 20 bytes in, 4 out, 30 ms"), "{said}");
    }

    #[test]
    fn a_refusal_is_told_once() {
        let refused = Event::Refused { name: b"x", why: Refusal::NotFound };
        let end = End::Aborted(Reason::Refused(Refusal::NotFound));
        let told = "\"x\" refused: no such file, 0 bytes in, 0 out, 30 ms";
        assert_eq!(line(&[refused], end, 0, 0), told);
        assert_eq!(line(&[], end, 0, 0), "refused: no such file, 0 bytes in, 0 out, 30 ms");
        // Where there is no room for the name there is for the reason.
        let long = Event::Message { text: &[0xff; 64] };
        let said = line(&[long, refused], end, 0, 0);
        assert!(
            said.ends_with("\", ..., refused: no such file, 0 bytes in, 0 out, 30 ms"),
            "{said}"
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let name = [b'n'; 100];
        let files = [Event::Created { name: &name }, Event::Stored { len: 1 }].repeat(1000);
        let said = line(&files, FINISHED, 0, 0);
        assert!(said.ends_with("..., 1000 files, 1000 bytes, in 30 ms"), "{said}");
        assert!(said.len() < KEPT + 64, "{said}");
        let visits = Visits::default();
        let addr = "127.0.0.1:1".parse().unwrap();
        let since = Instant::ZERO;
        let link = Link { service: "any", protocol: Protocol::Tcp, local: addr, peer: addr, since };
        // Nothing of what says nothing.
        visits.said(&link, Event::Connected);
        visits.said(&link, Event::Data { bytes: b"x" });
        assert!(visits.open.lock().unwrap().is_empty());
        visits.said(&link, Event::Message { text: &[0; 4096] });
        visits.said(&link, Event::Message { text: &[0; 4096] });
        assert!(visits.open.lock().unwrap()[&(addr, addr)].words.as_str().len() <= 4 * QUOTED + 8);
        visits.ended(&link, FINISHED, 0, 0);
        assert!(visits.open.lock().unwrap().is_empty());
    }

    #[test]
    fn a_flood_of_datagrams_has_few_lines_and_none_is_forgotten() {
        let mut pace = Pace::default();
        let (mut lines, mut untold) = (0, 0);
        for at in 0..100_000 {
            if let Some(before) = pace.turn(Instant::from_micros(at * 25)) {
                lines += 1;
                untold += before;
            }
        }
        assert_eq!(lines, 3 * u64::from(LINES_A_SECOND));
        assert_eq!(lines + untold + pace.untold, 100_000);
    }
}
