//! A driver whose every move is chosen: it keeps the contract, and within it does whatever can happen.

use std::time::Duration;

use anywire_core::checked::Checked;
use anywire_core::conversation::{Conversation, Lent, Limits, Want};
use anywire_core::date::Date;
use anywire_core::event::{End, Event, Host};
use anywire_core::instant::Instant;
use anywire_core::name::NameError;
use anywire_core::request::{Answer, Refusal, Request, Stop};
use anywire_core::session::{Reason, Session};

use crate::choices::Choices;

/// What became of a session.
#[derive(Debug)]
pub struct Played {
    /// How it ended.
    pub end: End,
    /// What it put and sent, less what it discarded by an abort.
    pub output: Vec<u8>,
    /// The files that were committed, with their names.
    pub stored: Vec<(Vec<u8>, Vec<u8>)>,
    /// The length of the file that was opened last.
    pub opened: Option<u64>,
    /// How many files were told as stored.
    pub told_stored: usize,
    /// Messages and data that were told.
    pub told: Vec<Vec<u8>>,
    /// Whether its peer had ended in good order, with all of its stream before it.
    pub peer_ended: bool,
    /// How many bytes of its peer's stream it has seen.
    pub seen: usize,
    /// Entries that were logged.
    pub logged: usize,
}

struct Hosting<'h, 'c, 'd> {
    choices: &'c mut Choices<'d>,
    told: &'h mut Told,
}

#[derive(Default)]
struct Told {
    texts: Vec<Vec<u8>>,
    stored: usize,
    ended: bool,
}

impl Host for Hosting<'_, '_, '_> {
    fn observe(&mut self, event: Event<'_>) {
        assert!(!self.told.ended, "the end is the last event");
        match event {
            Event::Message { text } | Event::Noted { text } => self.told.texts.push(text.into()),
            Event::Data { bytes } => self.told.texts.push(bytes.into()),
            Event::Stored { .. } => self.told.stored += 1,
            Event::Ended { .. } => self.told.ended = true,
            _ => {}
        }
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        buf.fill_with(|| self.choices.byte());
        self.choices.byte() % 8 != 7
    }

    fn date(&mut self) -> Option<Date> {
        let unix = i64::from(self.choices.long());
        (self.choices.byte() % 8 != 7).then_some(Date { unix, offset: 3600 })
    }
}

enum File {
    Reading { left: u64 },
    Writing { name: Vec<u8>, bytes: Vec<u8> },
}

struct Player<'p, 'c, 'd, S> {
    conversation: Conversation<Checked<S>>,
    choices: &'c mut Choices<'d>,
    limits: Limits,
    /// What the peer has not sent yet.
    rest: &'p [u8],
    /// Whether it ends behind that.
    ends: bool,
    held: Vec<u8>,
    ended: bool,
    now: Instant,
    file: Option<File>,
    output: Vec<u8>,
    told: Told,
    stored: Vec<(Vec<u8>, Vec<u8>)>,
    opened: Option<u64>,
    logged: usize,
    /// Bytes that the session, a transfer or a drain took.
    taken: usize,
    discarded: usize,
    moved_out: usize,
}

const REFUSALS: &[Refusal] = &[
    Refusal::NotFound,
    Refusal::Name(NameError::Device),
    Refusal::NotAFile,
    Refusal::Exists,
    Refusal::Denied,
    Refusal::Full,
    Refusal::TooLarge { max: 7 },
    Refusal::Failed,
    Refusal::Unsupported,
];

/// Every byte of a file that is sent.
pub const FILE_BYTE: u8 = b'f';

/// Plays `session` to its end, against a peer that sends `input`. Panics if either breaks the contract, or if it never ends.
pub fn play<S: Session>(session: S, input: &[u8], choices: &mut Choices<'_>) -> Played {
    let conversation = Conversation::new(Checked::new(session), Instant::ZERO);
    let timeless = choices.byte() % 8 == 7;
    let answer = choices.flag().then_some(Duration::from_secs(5));
    let mut player = Player {
        conversation: if timeless { conversation.without_time() } else { conversation },
        limits: Limits { answer, ..Limits::default() },
        rest: input,
        ends: choices.byte() % 4 != 3,
        choices,
        held: Vec::new(),
        ended: false,
        now: Instant::ZERO,
        file: None,
        output: Vec::new(),
        told: Told::default(),
        stored: Vec::new(),
        opened: None,
        logged: 0,
        taken: 0,
        discarded: 0,
        moved_out: 0,
    };
    // Whatever is chosen uses up a choice; what comes then takes a few turns for each byte.
    for _ in 0..200_000 {
        if player.turn() {
            return player.played(input);
        }
    }
    panic!("it never ends: {:?}", player.conversation.want());
}

impl<S: Session> Player<'_, '_, '_, S> {
    fn turn(&mut self) -> bool {
        if matches!(self.conversation.want(), Want::Close | Want::Abort(_)) {
            return true;
        }
        // What can happen at any time.
        match self.choices.byte() {
            255 => {
                self.conversation.reset();
                return false;
            }
            254 => {
                self.conversation.abort(Reason::Failed);
                return false;
            }
            253 => {
                self.conversation.retire(self.now);
                return false;
            }
            240..=252 => {
                self.now = self.now + Duration::from_millis(self.choices.word().into());
            }
            _ => {}
        }
        match self.conversation.want() {
            Want::Step => self.step(None),
            Want::Input => {
                if self.receive(None) || self.choices.byte() % 16 == 15 {
                    // Or a wake-up for nothing.
                    self.step(None);
                } else {
                    self.sleep(false);
                }
            }
            Want::Answer => self.answer(),
            Want::Send { left } => self.send(left),
            Want::Receive { left } => self.receive_body(left),
            Want::Shutdown => self.conversation.shut(self.now),
            Want::Drain => {
                let before = self.held.len();
                self.discarded += before;
                self.held.clear();
                if self.receive(Some(usize::MAX)) {
                    let len = self.held.len();
                    self.held.clear();
                    self.discarded += len;
                    self.conversation.discarded(len as u64, &self.limits);
                    if self.ended {
                        self.conversation.peer_ended();
                    }
                } else {
                    self.sleep(false);
                }
            }
            Want::Close | Want::Abort(_) => return true,
        }
        false
    }

    /// Steps with what is held, in a room of a size that is chosen, and sees to the output.
    fn step(&mut self, answer: Option<Answer<'_>>) {
        let above = match self.choices.byte() {
            0 => 1 << 16,
            byte @ 1..128 => usize::from(byte % 8),
            _ => self.choices.below(5000),
        };
        let mut output = vec![0; S::ROOM.max(1) + above];
        let lent = Lent {
            input: &self.held,
            ended: self.ended,
            output: &mut output,
            now: self.now,
            answer,
        };
        let mut host = Hosting { choices: self.choices, told: &mut self.told };
        let used = self.conversation.step(lent, &mut host);
        self.held.drain(..used.taken);
        self.taken += used.taken;
        if let Want::Abort(reason) = self.conversation.want() {
            assert!(!matches!(reason, Reason::Broken(_)), "{reason:?}");
        }
        self.output.extend(&output[..used.put]);
        if used.put > 0 && !matches!(self.conversation.want(), Want::Abort(_) | Want::Close) {
            // It may take a while until it is out, and the peer may take none of it for too long.
            while self.choices.byte() % 8 == 7 {
                self.sleep(true);
            }
            if self.choices.byte() % 8 == 7 {
                self.conversation.wrote(self.now);
            }
        }
    }

    /// Receives some, or the end; `false`: nothing comes. In a body at most `most` bytes.
    fn receive(&mut self, most: Option<usize>) -> bool {
        let quiet = self.choices.byte() % 16 == 15;
        if self.ended || quiet || (self.rest.is_empty() && !self.ends) {
            return false;
        }
        let chosen = match self.choices.byte() {
            0 => usize::MAX,
            byte @ 1..160 => usize::from(byte % 8),
            _ => self.choices.below(5000),
        };
        let most = match most {
            Some(most) => most,
            // As from a ring: all that there is.
            None if self.choices.byte() % 4 == 3 => usize::MAX,
            // Never more than the room, which is at least so much.
            None if S::HOLD == 0 => S::ROOM.max(1),
            None => S::HOLD.saturating_sub(self.held.len()),
        };
        let (now, later) = self.rest.split_at(chosen.min(most).min(self.rest.len()));
        self.held.extend(now);
        self.rest = later;
        self.ended = later.is_empty() && self.ends && (now.is_empty() || self.choices.flag());
        !now.is_empty() || self.ended
    }

    /// Nothing comes until the deadline, or for a while.
    fn sleep(&mut self, pending: bool) {
        let deadline = self.conversation.deadline(&self.limits, pending);
        let pause = Duration::from_millis(self.choices.word().into());
        self.now = match deadline {
            Some(deadline) if pause.is_zero() || self.now + pause > deadline => {
                // Late, or in time.
                let late = Duration::from_micros((self.choices.byte() % 4).into());
                self.now.max(deadline) + late
            }
            None if pause.is_zero() && !pending => panic!("it waits for ever"),
            _ => self.now + pause,
        };
        self.conversation.expire(self.now, &self.limits, pending);
    }

    fn refusal(&mut self) -> Option<Refusal> {
        (self.choices.byte() % 8 == 7).then(|| self.choices.one_of(REFUSALS))
    }

    fn answer(&mut self) {
        let refusal = self.refusal();
        let line = match self.conversation.request(&self.held) {
            Some(Request::Line { max, .. }) => {
                let line = self.choices.stream(max);
                (!line.is_empty() || !self.choices.over()).then_some(line)
            }
            _ => None,
        };
        let answer = match (self.conversation.request(&self.held), refusal) {
            (None, _) => panic!("it asked for nothing"),
            (Some(Request::Line { .. }), None) => Answer::Line(line.as_deref()),
            (Some(Request::Open { .. }), None) => {
                let len = self.choices.below(3000) as u64;
                self.opened = Some(len);
                self.file = Some(File::Reading { left: len });
                Answer::Opened { len }
            }
            (Some(Request::Create { name, .. }), None) => {
                let name = name.as_bytes().to_vec();
                self.file = Some(File::Writing { name, bytes: Vec::new() });
                Answer::Created
            }
            (Some(Request::Expect { .. }), None) => {
                assert!(matches!(self.file, Some(File::Writing { .. })));
                Answer::Expected
            }
            (Some(Request::Commit), None) => match self.file.take() {
                Some(File::Writing { name, bytes }) => {
                    self.stored.push((name, bytes));
                    Answer::Committed
                }
                _ => panic!("there is nothing to commit"),
            },
            (Some(Request::Log { .. }), None) => {
                self.logged += 1;
                Answer::Logged
            }
            (Some(other), None) => panic!("{other:?} is no question"),
            (Some(request), Some(refusal)) => {
                // These give up the file before.
                let gives_up = matches!(
                    request,
                    Request::Open { .. } | Request::Create { .. } | Request::Commit
                );
                if gives_up {
                    self.file = None;
                }
                Answer::Refused(refusal)
            }
        };
        self.step(Some(answer));
    }

    /// Whether something else comes of a transfer than bytes.
    fn stops(&mut self, stops: &[Stop]) -> bool {
        let stops = self.choices.byte() % 16 == 15 && {
            let stop = self.choices.one_of(stops);
            self.conversation.stopped(stop);
            true
        };
        stops || {
            let idle = self.choices.byte() % 16 == 15;
            if idle {
                self.sleep(false);
            }
            idle
        }
    }

    fn some(&mut self, most: usize) -> usize {
        match self.choices.byte() {
            0 => most,
            byte => usize::from(byte).min(most),
        }
    }

    fn send(&mut self, left: u64) {
        assert!(left > 0);
        let refusal = self.choices.one_of(REFUSALS);
        if self.stops(&[Stop::FileShort, Stop::Reset, Stop::TimedOut, Stop::Store(refusal)]) {
            return;
        }
        let some = self.some(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(File::Reading { left: in_file }) = &mut self.file else {
            panic!("a session sends what it has opened");
        };
        let len = some.min(*in_file as usize);
        *in_file -= len as u64;
        if len == 0 {
            return self.conversation.stopped(Stop::FileShort);
        }
        self.output.extend(std::iter::repeat_n(FILE_BYTE, len));
        self.moved_out += len;
        let mut host = Hosting { choices: self.choices, told: &mut self.told };
        self.conversation.moved(len as u64, self.now, &mut host);
    }

    fn receive_body(&mut self, left: Option<u64>) {
        assert_ne!(left, Some(0));
        let refusal = self.choices.one_of(REFUSALS);
        if self.stops(&[Stop::Reset, Stop::TimedOut, Stop::Store(refusal)]) {
            return;
        }
        let left = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        if self.held.is_empty() {
            if self.ended {
                return self.conversation.stopped(Stop::Ended);
            }
            if !self.receive(Some(left)) {
                return self.sleep(false);
            }
            if self.held.is_empty() {
                return;
            }
        }
        let len = self.some(self.held.len().min(left));
        let Some(File::Writing { bytes, .. }) = &mut self.file else {
            panic!("a session receives into what it has created");
        };
        bytes.extend(self.held.drain(..len));
        self.taken += len;
        let mut host = Hosting { choices: self.choices, told: &mut self.told };
        self.conversation.moved(len as u64, self.now, &mut host);
    }

    fn played(self, input: &[u8]) -> Played {
        let Some(Event::Ended { end, received, sent }) = self.conversation.ended() else {
            panic!("it is over and does not say how");
        };
        // No byte is lost, and none comes twice.
        assert_eq!((received, sent), (self.taken as u64, self.output.len() as u64));
        let seen = input.len() - self.rest.len();
        assert_eq!(self.taken + self.discarded + self.held.len(), seen);
        Played {
            end,
            output: self.output,
            stored: self.stored,
            opened: self.opened,
            told_stored: self.told.stored,
            told: self.told.texts,
            peer_ended: self.ended,
            seen,
            logged: self.logged,
        }
    }
}
