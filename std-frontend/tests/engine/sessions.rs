//! Sessions of the tests' own: what the engine does with each thing that a session can want.

use std::io::{Read, Write};
use std::net::Shutdown;

use anywire_core::event::End;
use anywire_core::exchange::Exchange;
use anywire_core::name::FileName;
use anywire_core::request::{Answer, Request, Stop};
use anywire_core::service::{About, StreamService, hello::Hello};
use anywire_core::session::{Breach, Next, Phase, Reason, Session};
use anywire_std::engine::Options;

use super::{Watched, is_reset, serve, short};

#[test]
fn a_silent_peer_is_ended_between_messages_and_aborted_inside_a_name() {
    let server = serve(short(150, 50), Watched(Hello));
    let mut stream = server.connect();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    drop(stream);
    assert_eq!(server.end(), End::Idle);

    let server = serve(short(60_000, 50), OneLine);
    let mut stream = server.connect();
    stream.write_all(b"half a na").unwrap();
    assert!(is_reset(stream.read(&mut [0; 1])));
    assert_eq!(server.end(), End::Aborted(Reason::HeadTimeout));
}

/// Waits for a line, takes none.
#[derive(Clone, Copy)]
struct OneLine;

impl StreamService for OneLine {
    type Session = Self;
    const ABOUT: About = About { name: "one-line", port: 0, summary: "" };
    fn open(&self) -> Self {
        Self
    }
}

impl Session for OneLine {
    const HOLD: usize = 64;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match io.input() {
            [] => Next::Wait(Phase::Between, None),
            _ => Next::Wait(Phase::Head, None),
        }
    }
}

/// Says `Progress` for ever.
#[derive(Clone, Copy)]
struct Spinning;

impl StreamService for Spinning {
    type Session = Self;
    const ABOUT: About = About { name: "spinning", port: 0, summary: "" };
    fn open(&self) -> Self {
        Self
    }
}

impl Session for Spinning {
    const HOLD: usize = 1;
    fn step(&mut self, _: &mut Exchange<'_>) -> Next {
        Next::Progress
    }
}

#[test]
fn a_session_that_breaks_the_contract_is_reported_and_aborted_not_spun_on() {
    let server = serve(Options::default(), Spinning);
    let mut stream = server.connect();
    assert!(is_reset(stream.read(&mut [0; 1])));
    assert_eq!(server.end(), End::Aborted(Reason::Broken(Breach::NoProgress)));
}

/// Takes a body of so many bytes behind its first byte, stores it as `a`, and says `y`.
#[derive(Clone, Copy)]
struct Take {
    len: Option<u64>,
    state: u8,
}

impl StreamService for Take {
    type Session = Self;
    const ABOUT: About = About { name: "take", port: 0, summary: "" };
    fn open(&self) -> Self {
        *self
    }
}

impl Session for Take {
    const HOLD: usize = 16;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        let answer = io.answer();
        self.state += 1;
        match (self.state, answer) {
            (1, _) if io.input().is_empty() => {
                self.state = 0;
                Next::Wait(Phase::Between, None)
            }
            (1, _) => {
                io.take(1);
                Next::Ask
            }
            (2, Some(Answer::Created)) => Next::Ask,
            (3, Some(Answer::Moved { stop: Stop::Complete, .. })) => Next::Ask,
            (3, Some(Answer::Moved { stop: Stop::Ended, .. })) if self.len.is_none() => Next::Ask,
            (3, Some(Answer::Moved { len: moved, stop })) => {
                Next::Abort(Reason::Cut { moved, stop })
            }
            (4, Some(Answer::Committed)) => {
                io.put(b"y");
                Next::Finish
            }
            _ => Next::Abort(Reason::Failed),
        }
    }
    fn request<'a>(&'a self, _: &'a [u8]) -> Option<Request<'a>> {
        Some(match self.state {
            1 => Request::Create { name: FileName::new(b"a").ok()?, replace: true },
            2 => Request::Receive { len: self.len },
            _ => Request::Commit,
        })
    }
}

#[test]
fn a_body_is_stored_whole_and_nothing_behind_it_is_taken() {
    let body: Vec<u8> = (0..1_000_000u32).map(|i| (i * 7) as u8).collect();
    for len in [Some(body.len() as u64), None] {
        let server = serve(Options::default(), Watched(Take { len, state: 0 }));
        let mut stream = server.connect();
        stream.write_all(b"!").unwrap();
        stream.write_all(&body).unwrap();
        match len {
            Some(_) => stream.write_all(b"behind the body").unwrap(),
            None => stream.shutdown(Shutdown::Write).unwrap(),
        }
        stream.read_exact(&mut [0; 1]).unwrap();
        assert!(std::fs::read(server.dir.path().join("a")).unwrap() == body);
    }
}

#[test]
fn a_body_that_is_cut_short_stores_nothing() {
    let server = serve(Options::default(), Watched(Take { len: Some(100), state: 0 }));
    let mut stream = server.connect();
    stream.write_all(b"!only this").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(is_reset(stream.read(&mut [0; 1])));
    assert_eq!(server.end(), End::Aborted(Reason::Cut { moved: 9, stop: Stop::Ended }));
    assert_eq!(std::fs::read_dir(server.dir.path()).unwrap().count(), 0);
}

/// Waits for the end, and then asks for a body.
#[derive(Clone, Copy)]
struct LateBody(u8);

impl StreamService for LateBody {
    type Session = Self;
    const ABOUT: About = About { name: "late", port: 0, summary: "" };
    fn open(&self) -> Self {
        *self
    }
}

impl Session for LateBody {
    const HOLD: usize = 16;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match (self.0, io.answer()) {
            (0, _) if !io.ended() => return Next::Wait(Phase::Inside, None),
            (2, Some(Answer::Moved { len: 3, stop: Stop::Ended })) => return Next::Finish,
            (0 | 1, _) => self.0 += 1,
            _ => return Next::Abort(Reason::Failed),
        }
        Next::Ask
    }
    fn request<'a>(&'a self, _: &'a [u8]) -> Option<Request<'a>> {
        match self.0 {
            1 => Some(Request::Create { name: FileName::new(b"x").ok()?, replace: true }),
            _ => Some(Request::Receive { len: None }),
        }
    }
}

#[test]
fn a_body_asked_for_behind_the_end_has_ended() {
    let server = serve(Options::default(), Watched(LateBody(0)));
    let mut stream = server.connect();
    stream.write_all(b"abc").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.end(), End::Finished);
}

/// Takes three bytes at a time, so that some are held, and minds how many it is offered.
#[derive(Clone, Copy)]
struct Threes;

impl StreamService for Threes {
    type Session = Self;
    const ABOUT: About = About { name: "threes", port: 0, summary: "" };
    fn open(&self) -> Self {
        *self
    }
}

impl Session for Threes {
    const HOLD: usize = 4;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        match io.input() {
            offered if offered.len() > Self::HOLD => Next::Abort(Reason::Failed),
            three if three.len() >= 3 => {
                io.put(three.get(..3).unwrap_or_default());
                io.take(3);
                Next::Progress
            }
            _ if io.ended() => Next::Finish,
            _ => Next::Wait(Phase::Head, None),
        }
    }
}

#[test]
fn no_more_is_read_than_a_session_may_hold() {
    let server = serve(Options::default(), Watched(Threes));
    let mut stream = server.connect();
    stream.write_all(&[7; 100]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert_eq!((got.len(), server.end()), (99, End::Finished));
}
