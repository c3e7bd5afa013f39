//! Every edge of a conversation's life, by hand: what it wants, when it wants it, and how it ends.

mod backwards;
mod ending;
mod limits;
mod order;
mod transfers;

use std::time::Duration;

use anywire_core::conversation::{Conversation, Lent, Limits, Used, Want};
use anywire_core::event::{End, Event, Host};
use anywire_core::exchange::Exchange;
use anywire_core::instant::Instant;
use anywire_core::request::{Answer, Request};
use anywire_core::session::{Next, Phase, Session};

/// Limits that are easy to tell apart: 100 ms idle, 10 ms for a head, 20 ms or 8 bytes of draining.
const LIMITS: Limits = Limits {
    idle: Some(Duration::from_millis(100)),
    head: Some(Duration::from_millis(10)),
    answer: None,
    drain: Duration::from_millis(20),
    drain_len: 8,
};

/// Does in each step what the script says, and asks for what the script leaves behind.
struct Scripted<F, const ANSWERS: bool = false> {
    script: F,
    request: Option<Request<'static>>,
}

impl<F, const ANSWERS: bool> Session for Scripted<F, ANSWERS>
where
    F: FnMut(&mut Exchange<'_>, &mut Option<Request<'static>>) -> Next,
{
    const HOLD: usize = 16;
    const END_ANSWERS: bool = ANSWERS;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        (self.script)(io, &mut self.request)
    }

    fn request<'a>(&'a self, _held: &'a [u8]) -> Option<Request<'a>> {
        self.request
    }
}

/// A conversation, a clock in milliseconds, and what was told.
struct Rig<S> {
    conversation: Conversation<S>,
    now: u64,
    held: Vec<u8>,
    output: Vec<u8>,
    room: usize,
    told: Told,
}

#[derive(Default)]
struct Told(Vec<String>);

impl Host for Told {
    fn observe(&mut self, event: Event<'_>) {
        self.0.push(format!("{event:?}"));
    }
}

/// A conversation with a session that does as the script says.
fn rig<F>(script: F) -> Rig<Scripted<F>>
where
    F: FnMut(&mut Exchange<'_>, &mut Option<Request<'static>>) -> Next,
{
    Rig::new(Scripted { script, request: None })
}

/// The same, of a session whose end proves that its peer has all.
fn rig_that_answers<F>(script: F) -> Rig<Scripted<F, true>>
where
    F: FnMut(&mut Exchange<'_>, &mut Option<Request<'static>>) -> Next,
{
    Rig::new(Scripted { script, request: None })
}

fn ms(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

/// Waits in that phase, for ever.
fn wait(phase: Phase) -> Next {
    Next::Wait(phase, None)
}

/// Takes all there is.
fn take_all(io: &mut Exchange<'_>) -> usize {
    let len = io.input().len();
    io.take(len);
    len
}

impl<S: Session> Rig<S> {
    fn new(session: S) -> Self {
        Self {
            conversation: Conversation::new(session, ms(0)),
            now: 0,
            held: Vec::new(),
            output: Vec::new(),
            room: 64,
            told: Told::default(),
        }
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        assert!(millis >= self.now);
        self.now = millis;
        self
    }

    /// Steps with more input.
    fn step(&mut self, more: &[u8]) -> Used {
        self.lend(more, false, None)
    }

    /// Steps with the end of the stream.
    fn end(&mut self) -> Used {
        self.lend(b"", true, None)
    }

    fn answer(&mut self, answer: Answer<'static>) -> Used {
        self.lend(b"", false, Some(answer))
    }

    fn lend(&mut self, more: &[u8], ended: bool, answer: Option<Answer<'_>>) -> Used {
        self.held.extend_from_slice(more);
        let mut output = vec![0; self.room];
        let lent =
            Lent { input: &self.held, ended, output: &mut output, now: ms(self.now), answer };
        let used = self.conversation.step(lent, &mut self.told);
        self.held.drain(..used.taken);
        self.output.extend_from_slice(&output[..used.put]);
        used
    }

    fn moved(&mut self, len: u64) -> &mut Self {
        self.conversation.moved(len, ms(self.now), &mut self.told);
        self
    }

    fn shut(&mut self) -> &mut Self {
        self.conversation.shut(ms(self.now));
        self
    }

    fn want(&self) -> Want {
        self.conversation.want()
    }

    /// The deadline, in milliseconds.
    fn deadline(&self) -> Option<u64> {
        self.conversation.deadline(&LIMITS, false).map(|at| at.as_micros() / 1000)
    }

    /// The deadline while output is pending, in milliseconds.
    fn deadline_with_output(&self) -> Option<u64> {
        self.conversation.deadline(&LIMITS, true).map(|at| at.as_micros() / 1000)
    }

    fn retire(&mut self) {
        self.conversation.retire(ms(self.now));
    }

    fn expire(&mut self) -> &mut Self {
        self.conversation.expire(ms(self.now), &LIMITS, false);
        self
    }

    fn ended(&self) -> Option<(End, u64, u64)> {
        match self.conversation.ended()? {
            Event::Ended { end, received, sent } => Some((end, received, sent)),
            other => panic!("{other:?} is no end"),
        }
    }

    #[track_caller]
    fn is_over(&self, end: End) {
        assert_eq!(self.ended().map(|ended| ended.0), Some(end));
    }
}
