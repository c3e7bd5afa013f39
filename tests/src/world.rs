//! The harness: what a scenario calls, over any network, with cuts that it does not choose.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anywire_core::event::End;
use anywire_core::session::Reason;

use crate::network::{Awaited, Handle, Network, Received, Reset};

/// How what a peer sends is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// As the scenario has it.
    Whole,
    /// One byte at a time; in more than 64 KiB, the first and the last 2 KiB.
    Bytes,
    /// At random places.
    Random(u64),
}

impl Cuts {
    /// Those that every scenario is run with.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Bytes, Self::Random(0x5eed)];

    /// As it stands in a trial's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Bytes => "bytes",
            Self::Random(_) => "random",
        }
    }
}

/// How a stream ended for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// In good order.
    Fin,
    /// With a reset.
    Rst,
}

/// Nothing may take longer, in the network's own time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing where frames get lost: a segment that is lost time and again is sent once a minute in the end.
const LOSSY_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// A server that takes nothing for so long takes no more,
const PAUSE: Duration = Duration::from_millis(300);

/// or for so long, where what it takes gets lost on the way.
const LOSSY_PAUSE: Duration = Duration::from_secs(120);

/// Between two pieces of what is sent at once, half of the shortest silence that ends anything: the machine was busy, and made one of its own.
const LATE: Duration = Duration::from_millis(25);

/// A network, and how to cut.
pub struct World<'n> {
    late: Option<&'n AtomicBool>,
    network: &'n mut dyn Network,
    cuts: Cuts,
    random: fastrand::Rng,
    inboxes: Vec<Vec<u8>>,
}

impl<'n> World<'n> {
    /// A harness around `network`.
    pub fn new(network: &'n mut dyn Network, cuts: Cuts) -> Self {
        let seed = match cuts {
            Cuts::Random(seed) => seed,
            _ => 0,
        };
        let random = fastrand::Rng::with_seed(seed);
        Self { late: None, network, cuts, random, inboxes: Vec::new() }
    }

    /// Sets `late` when time is real and what was to be sent without a silence may have had one: what comes of that is no failure.
    pub fn note_late(mut self, late: &'n AtomicBool) -> Self {
        self.late = Some(late).filter(|_| self.network.date().is_none());
        self
    }

    /// The network itself.
    pub fn network(&mut self) -> &mut dyn Network {
        self.network
    }

    /// Whether frames get lost.
    pub fn lossy(&self) -> bool {
        self.network.lossy()
    }

    /// No longer is anything waited for, in the network's own time.
    pub fn patience(&self) -> Duration {
        if self.lossy() { LOSSY_PATIENCE } else { PATIENCE }
    }

    fn pause_len(&self) -> Duration {
        if self.lossy() { LOSSY_PAUSE } else { PAUSE }
    }

    /// Replies, as they can be compared. Where frames get lost, a retransmission is a silence, and where messages end is left to chance:
    /// there it is what was said, without the `words` around it and the ends of lines.
    pub fn comparable(&self, replies: &[u8], words: &str) -> String {
        let text = replies.escape_ascii().to_string();
        if !self.lossy() {
            return text;
        }
        let words = words.as_bytes().escape_ascii().to_string();
        text.replace(&words, "").replace("\\r", "").replace("\\n", "")
    }

    /// Opens a stream.
    pub fn open(&mut self) -> Handle {
        self.network.open()
    }

    /// Asks each in a datagram of its own, again where they may get lost, and says what each was answered.
    pub fn ask_all(&mut self, questions: &[&[u8]]) -> Vec<Vec<u8>> {
        let (tries, limit) = match (self.lossy(), self.network.date()) {
            (true, _) => (10_000, Duration::from_secs(1)),
            (false, Some(_)) => (1, PATIENCE),
            // A busy system may drop one.
            (false, None) => (5, Duration::from_secs(10)),
        };
        let mut answers = vec![None; questions.len()];
        for _ in 0..tries {
            let open: Vec<_> = (0..answers.len()).filter(|&at| answers[at].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let asked: Vec<_> = open.iter().map(|&at| questions[at]).collect();
            for (at, answer) in open.into_iter().zip(self.network.ask(&asked, limit)) {
                answers[at] = answer;
            }
        }
        let answered = answers.into_iter().map(|answer| answer.expect("no answer came"));
        answered.collect()
    }

    /// Asks in a datagram, and says what was answered.
    pub fn ask(&mut self, question: &[u8]) -> Vec<u8> {
        self.ask_all(&[question]).remove(0)
    }

    /// Opens as many as the network bears at once.
    pub fn open_many(&mut self) -> Vec<Handle> {
        (0..self.network.many()).map(|_| self.open()).collect()
    }

    /// How long the next piece is, `sent` of `len` bytes on the way.
    fn piece(&mut self, sent: usize, len: usize) -> usize {
        const EDGE: usize = 2048;
        let left = len - sent;
        match self.cuts {
            Cuts::Whole => left,
            Cuts::Bytes if len <= 64 << 10 || sent < EDGE || left <= EDGE => left.min(1),
            Cuts::Bytes => left - EDGE,
            Cuts::Random(_) => {
                let most = if self.random.bool() { 16 } else { 8192 };
                left.min(self.random.usize(1..=most))
            }
        }
    }

    /// Sends `bytes`, and keeps what comes back meanwhile for [`receive`](Self::receive).
    pub fn try_send(&mut self, stream: Handle, bytes: &[u8]) -> Result<(), Reset> {
        let mut sent = 0;
        let mut since = Instant::now();
        while sent < bytes.len() {
            let mut piece = self.piece(sent, bytes.len());
            while piece > 0 {
                let n = self.network.send(stream, &bytes[sent..sent + piece]);
                self.look_at_clock(sent, since);
                let n = n?;
                since = Instant::now();
                (sent, piece) = (sent + n, piece - n);
                let closed = self.receive_some(stream);
                self.look_at_clock(sent, since);
                let closed = closed?;
                if n == 0 {
                    assert!(!closed, "the server ended the stream after {sent} bytes");
                    let moved = self.network.wait(stream, Awaited::Both, self.patience());
                    assert!(
                        moved,
                        "the server takes no more after {sent} of {} bytes",
                        bytes.len()
                    );
                    // That was the server's time.
                    since = Instant::now();
                }
            }
        }
        Ok(())
    }

    /// The same, on a stream that must bear it.
    pub fn send(&mut self, stream: Handle, bytes: &[u8]) {
        self.try_send(stream, bytes).expect("the stream was reset");
    }

    /// Notes that between two pieces so much time has passed that it may be taken for a silence.
    fn look_at_clock(&self, sent: usize, since: Instant) {
        if let Some(late) = self.late.filter(|_| sent > 0 && since.elapsed() > LATE) {
            late.store(true, Ordering::Relaxed);
        }
    }

    /// Receives what is there, and says whether the stream has ended.
    fn receive_some(&mut self, stream: Handle) -> Result<bool, Reset> {
        let mut buf = [0; 16 << 10];
        loop {
            match self.network.receive(stream, &mut buf)? {
                Received::Bytes(n) => self.inbox(stream).extend_from_slice(&buf[..n]),
                Received::Nothing => return Ok(false),
                Received::End => return Ok(true),
            }
        }
    }

    /// What was received on a stream, and not looked at yet.
    fn inbox(&mut self, stream: Handle) -> &mut Vec<u8> {
        if self.inboxes.len() <= stream {
            self.inboxes.resize_with(stream + 1, Vec::new);
        }
        &mut self.inboxes[stream]
    }

    /// Receives `len` bytes.
    pub fn receive(&mut self, stream: Handle, len: usize) -> Vec<u8> {
        while self.inbox(stream).len() < len {
            let closed = self.receive_some(stream).expect("the stream was reset");
            let got = self.inbox(stream).len();
            if got < len {
                assert!(!closed, "the stream ended after {got} of {len} bytes");
                let moved = self.network.wait(stream, Awaited::Read, self.patience());
                assert!(moved, "no more came after {got} of {len} bytes");
            }
        }
        self.inbox(stream).drain(..len).collect()
    }

    /// Receives to the end of the stream.
    pub fn receive_all(&mut self, stream: Handle) -> (Vec<u8>, Close) {
        let close = loop {
            match self.receive_some(stream) {
                Ok(true) => break Close::Fin,
                Err(Reset) => break Close::Rst,
                Ok(false) => {}
            }
            let moved = self.network.wait(stream, Awaited::Read, self.patience());
            if !moved && self.lossy() {
                // The reset got lost. Whoever owed an end would still be sending it: the server has none to give.
                break Close::Rst;
            }
            assert!(moved, "no end came after {} bytes", self.inbox(stream).len());
        };
        (std::mem::take(self.inbox(stream)), close)
    }

    /// Sends `bytes`, ends, and receives to the end.
    pub fn exchange(&mut self, stream: Handle, bytes: &[u8]) -> (Vec<u8>, Close) {
        if self.try_send(stream, bytes).is_err() {
            return (std::mem::take(self.inbox(stream)), Close::Rst);
        }
        self.network.shutdown(stream);
        self.receive_all(stream)
    }

    /// Ends a stream on which everything was answered: the server has no more to say, and finishes.
    pub fn finish(&mut self, stream: Handle) {
        self.network.shutdown(stream);
        assert_eq!(self.receive_all(stream), (Vec::new(), Close::Fin));
        assert_eq!(self.ended(), End::Finished);
    }

    /// Says nothing more: the server sends `rest`, and ends the idle connection in good order.
    pub fn goes_idle(&mut self, stream: Handle, rest: &[u8]) {
        assert_eq!(self.receive_all(stream), (rest.into(), Close::Fin));
        self.network.shutdown(stream);
        assert_eq!(self.ended(), End::Idle);
    }

    /// Sends `piece` again and again, and reads nothing, until the server takes no more for a while; says whether there still is a
    /// connection. `sent` counts.
    pub fn push(&mut self, stream: Handle, piece: &[u8], sent: &mut usize) -> bool {
        loop {
            match self.network.send(stream, piece) {
                Ok(0) if self.network.wait(stream, Awaited::Write, self.pause_len()) => {}
                Ok(0) => return true,
                Ok(n) => *sent += n,
                Err(Reset) => return false,
            }
            assert!(*sent < 256 << 20, "{sent} bytes are kept for a peer that does not read");
        }
    }

    /// The same, again and again: on a busy machine a pause is not the end of what fits. Only a reset is.
    pub fn push_until_reset(&mut self, stream: Handle, piece: &[u8], sent: &mut usize) {
        let mut left = self.patience();
        while self.push(stream, piece, sent) {
            left = left.saturating_sub(self.pause_len());
            assert!(!left.is_zero(), "the server neither takes more nor resets the connection");
        }
    }

    /// Sends `line(0)`, `line(1)` and so on, and twice reads nothing until the server takes no more for a while, with a line half sent as
    /// like as not; then ends, and receives to the end. Returns how many lines that were, too.
    pub fn pause_reading(
        &mut self,
        stream: Handle,
        line: impl Fn(usize) -> Vec<u8>,
    ) -> (usize, (Vec<u8>, Close)) {
        let (mut pauses, mut lines, mut left) = (0, 0, Vec::new());
        while pauses < 2 || !left.is_empty() {
            if left.is_empty() {
                left = line(lines);
                lines += 1;
            }
            match self.network.send(stream, &left) {
                Ok(0) if self.network.wait(stream, Awaited::Write, self.pause_len()) => {}
                Ok(0) => {
                    pauses += 1;
                    // What is read makes room for what is sent, and nobody falls silent meanwhile.
                    let mut buf = [0; 16 << 10];
                    while self.network.send(stream, &left[..1]) == Ok(0) {
                        match self.network.receive(stream, &mut buf) {
                            Ok(Received::Bytes(n)) => {
                                self.inbox(stream).extend_from_slice(&buf[..n])
                            }
                            Ok(Received::Nothing) => {
                                let moved =
                                    self.network.wait(stream, Awaited::Both, self.patience());
                                assert!(moved, "the server takes no more, and sends nothing");
                            }
                            end => panic!("{end:?} instead of answers"),
                        }
                    }
                    left.remove(0);
                }
                Ok(n) => drop(left.drain(..n)),
                Err(Reset) => panic!("the stream was reset"),
            }
        }
        self.network.shutdown(stream);
        (lines, self.receive_all(stream))
    }

    /// A peer that sends `piece` for ever and never reads: it is read from until the buffers are full, and no further; and in the end it is
    /// aborted.
    pub fn never_read(&mut self, stream: Handle, piece: &[u8]) {
        let mut sent = 0;
        self.push_until_reset(stream, piece, &mut sent);
        assert_eq!(self.ended(), End::Aborted(Reason::Unread));
    }

    /// Has a peer that sends single messages, with silences between them or none, tried again where time is real: there a busy machine can
    /// make a silence of its own, and a message ends at it. Each trial says what came of it, and what should have; one must be
    /// right.
    pub fn try_times<T: PartialEq + std::fmt::Debug>(
        &mut self,
        trial: impl Fn(&mut Self) -> (T, T),
    ) {
        let tries = if self.network.date().is_some() { 1 } else { 20 };
        for _ in 1..tries {
            let (got, expected) = trial(self);
            if got == expected {
                return;
            }
        }
        let (got, expected) = trial(self);
        assert_eq!(got, expected);
    }

    /// Lets so much of the network's own time pass, or less if something comes on `stream`.
    pub fn pause(&mut self, stream: Handle, span: Duration) {
        self.network.wait(stream, Awaited::Read, span);
    }

    /// The server keeps nothing of what did not become a file.
    pub fn assert_nothing_unfinished(&mut self) {
        for _ in 0..300 {
            if self.network.unfinished() == 0 {
                return;
            }
            // It says that a connection has ended just before it lets go of its file.
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} files are written for ever", self.network.unfinished());
    }

    /// How the next connection ended, as the server tells it. One that was reset before the server saw it is none: wait for a sign of it
    /// before you reset it.
    pub fn ended(&mut self) -> End {
        self.network
            .ended(self.patience())
            .expect("no connection ended, or the server did not say so")
    }
}
