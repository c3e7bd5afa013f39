//! A driver for tests: gives a session its input in the pieces it is told to, and the room it is told to, and keeps the
//! contract to the letter. `Checked` sees to it that the session does too.

use anywire_core::checked::Checked;
use anywire_core::conversation::{Conversation, Lent, Limits, Want};
use anywire_core::date::Date;
use anywire_core::event::{End, Event, Host};
use anywire_core::instant::Instant;
use anywire_core::request::{Answer, Refusal, Request, Stop};
use anywire_core::session::{Reason, Session};
use anywire_core::store::{OpenFile, OpenIn, Store, carry_out, release};

/// What a session is given.
#[derive(Clone, Debug)]
pub(crate) struct Play<'p> {
    /// What its peer sends.
    pub(crate) input: &'p [u8],
    /// In pieces of these lengths, again and again; none: whole.
    pub(crate) cuts: &'p [usize],
    /// How much room there is above `ROOM`, again and again; none: ample.
    pub(crate) rooms: &'p [usize],
    /// Whether its peer ends behind that.
    pub(crate) end: bool,
    /// Whether it waits for our end first.
    pub(crate) polite: bool,
    /// Whether the end comes together with the last byte, or behind it.
    pub(crate) end_with_last: bool,
    /// Whether it is offered all that has come, as from a ring, and not only what it may hold or has room for.
    pub(crate) ring: bool,
    /// Milliseconds between two pieces.
    pub(crate) gap: u64,
    /// What the user types.
    pub(crate) line: Option<&'p [u8]>,
    /// And what after that.
    pub(crate) more: &'p [&'p [u8]],
    /// Whether the host has bytes that nobody can guess. They are the same in every play.
    pub(crate) entropy: bool,
    /// Whether the host has a clock on the wall.
    pub(crate) clock: bool,
    /// After so many bytes a body stops, and why.
    pub(crate) stop: Option<(u64, Stop)>,
}

impl<'p> Play<'p> {
    /// All at once, with ample room.
    pub(crate) fn of(input: &'p [u8]) -> Self {
        Self {
            input,
            cuts: &[],
            rooms: &[],
            end: true,
            polite: false,
            end_with_last: false,
            ring: false,
            gap: 0,
            line: None,
            more: &[],
            entropy: true,
            clock: true,
            stop: None,
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Played {
    pub(crate) end: End,
    pub(crate) output: Vec<u8>,
    /// The messages, data and refusals that were told.
    pub(crate) told: Vec<String>,
    /// What each step put: one reply is one write.
    pub(crate) writes: Vec<usize>,
    /// Bytes of the input that were taken.
    pub(crate) received: u64,
    /// Bytes of the input that were neither taken nor discarded.
    pub(crate) untaken: usize,
    pub(crate) millis: u64,
}

impl Played {
    pub(crate) fn text(&self) -> String {
        self.output.escape_ascii().to_string()
    }
}

/// It is always the same time.
const DATE: Date = Date { unix: 1_795_249_800, offset: 3600 };

struct User<'p> {
    line: Option<&'p [u8]>,
    more: &'p [&'p [u8]],
    /// How often something was drawn; `None`: nothing can be.
    draws: Option<u8>,
    clock: bool,
    told: Vec<String>,
}

impl Host for User<'_> {
    fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Noted { text } => self.told.push(format!("noted {}", text.escape_ascii())),
            Event::Message { text } => self.told.push(format!("message {}", text.escape_ascii())),
            Event::Data { bytes } => self.told.push(format!("data {}", bytes.escape_ascii())),
            Event::Refused { name, why } => {
                self.told.push(format!("refused {}: {why}", name.escape_ascii()));
            }
            Event::Opened { name, len } => {
                self.told.push(format!("opened {} of {len}", name.escape_ascii()));
            }
            Event::Stored { len } => self.told.push(format!("stored {len}")),
            Event::Created { name } => self.told.push(format!("created {}", name.escape_ascii())),
            Event::Declined { words } => {
                self.told.push(format!("declined {}", words.escape_ascii()));
            }
            _ => {}
        }
    }

    fn date(&mut self) -> Option<Date> {
        self.clock.then_some(DATE)
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        let Some(draws) = &mut self.draws else { return false };
        *draws += 1;
        buf.fill(*draws);
        true
    }
}

/// Plays a session to its end.
pub(crate) fn play<S: Session, St: Store>(session: S, store: &mut St, play: &Play<'_>) -> Played {
    let mut player = Player {
        conversation: Conversation::new(Checked::new(session), Instant::ZERO),
        host: User {
            line: play.line,
            more: play.more,
            draws: play.entropy.then_some(0),
            clock: play.clock,
            told: Vec::new(),
        },
        play,
        rest: play.input,
        piece: 0,
        due: None,
        held: Vec::new(),
        ended: false,
        shut: false,
        rooms: 0,
        pieces: 0,
        now: 0,
        output: Vec::new(),
        stored: 0,
        writes: Vec::new(),
    };
    let mut file = None;
    for _ in 0..100_000 {
        if player.turn(store, &mut file) {
            release(store, &mut file);
            return player.played();
        }
    }
    panic!("it never ends: {:?} {play:?}", player.conversation.want());
}

struct Player<'p, S: Session> {
    conversation: Conversation<Checked<S>>,
    host: User<'p>,
    play: &'p Play<'p>,
    /// Not sent yet.
    rest: &'p [u8],
    /// Of the piece that is being sent.
    piece: usize,
    /// When that comes, in milliseconds.
    due: Option<u64>,
    held: Vec<u8>,
    ended: bool,
    /// We have ended.
    shut: bool,
    /// How many rooms and pieces there have been.
    rooms: usize,
    pieces: usize,
    now: u64,
    output: Vec<u8>,
    /// Bytes that the store has taken.
    stored: u64,
    writes: Vec<usize>,
}

impl<S: Session> Player<'_, S> {
    fn turn<St: Store>(&mut self, store: &mut St, file: &mut Option<OpenIn<St>>) -> bool {
        match self.conversation.want() {
            Want::Step => self.step(None),
            Want::Input => {
                let room = self.room();
                let most = match S::HOLD {
                    _ if self.play.ring => usize::MAX,
                    0 => room,
                    hold => hold - self.held.len(),
                };
                if self.receive(most) {
                    self.step_in(room, None);
                } else {
                    self.sleep();
                }
            }
            Want::Answer => {
                let answer = match self.conversation.request(&self.held) {
                    Some(Request::Line { max, .. }) => {
                        let line = self.host.line.take();
                        if let Some((next, more)) = self.host.more.split_first() {
                            (self.host.line, self.host.more) = (Some(*next), more);
                        }
                        Answer::Line(line.map(|line| &line[..line.len().min(max)]))
                    }
                    Some(request) => carry_out(store, file, None, request),
                    None => panic!("it asked for nothing"),
                };
                self.step(Some(answer));
            }
            Want::Send { left } => self.send(left, store, file),
            Want::Receive { left } => self.receive_body(left, store, file),
            Want::Shutdown => {
                self.shut = true;
                self.conversation.shut(self.instant());
            }
            Want::Drain => {
                self.held.clear();
                if self.receive(usize::MAX) {
                    let len = self.held.len() as u64;
                    self.conversation.discarded(len, &Limits::default());
                    if self.ended {
                        self.conversation.peer_ended();
                    }
                } else {
                    self.sleep();
                }
            }
            Want::Close | Want::Abort(_) => return true,
        }
        false
    }

    /// Offers what is held, in the next room.
    fn step(&mut self, answer: Option<Answer<'_>>) {
        let room = self.room();
        self.step_in(room, answer);
    }

    fn step_in(&mut self, room: usize, answer: Option<Answer<'_>>) {
        let mut output = vec![0; room];
        let now = self.instant();
        let lent = Lent { input: &self.held, ended: self.ended, output: &mut output, now, answer };
        let used = self.conversation.step(lent, &mut self.host);
        self.held.drain(..used.taken);
        self.output.extend(&output[..used.put]);
        if used.put > 0 {
            self.writes.push(used.put);
        }
        // Whoever lends one buffer to all says when it is out.
        if !self.play.ring {
            self.conversation.settle(now);
        }
        if let Want::Abort(reason @ Reason::Broken(_)) = self.conversation.want() {
            panic!("{reason:?} in {:?}", self.play);
        }
    }

    fn room(&mut self) -> usize {
        let above = self.play.rooms.get(self.rooms % self.play.rooms.len().max(1));
        self.rooms += 1;
        S::ROOM.max(1) + above.copied().unwrap_or(1 << 16)
    }

    /// Receives up to `most` bytes of the next piece, or the end; `false`: nothing comes before the deadline.
    fn receive(&mut self, most: usize) -> bool {
        let ends = self.play.end && (self.shut || !self.play.polite);
        if self.ended || (self.rest.is_empty() && !ends) {
            return false;
        }
        let due = self.due.unwrap_or_else(|| {
            let cut = self.play.cuts.get(self.pieces % self.play.cuts.len().max(1));
            self.piece = cut.copied().unwrap_or(self.rest.len()).max(1).min(self.rest.len());
            let gap = if self.pieces > 0 { self.play.gap } else { 0 };
            self.pieces += 1;
            self.now + gap
        });
        self.due = Some(due);
        if self.deadline().is_some_and(|deadline| deadline < due) {
            return false;
        }
        self.now = self.now.max(due);
        let (now, later) = self.rest.split_at(self.piece.min(most));
        self.held.extend(now);
        self.rest = later;
        self.piece -= now.len();
        if self.piece == 0 {
            self.due = None;
        }
        self.ended = ends && later.is_empty() && (now.is_empty() || self.play.end_with_last);
        true
    }

    /// Nothing comes: only time can help.
    fn sleep(&mut self) {
        self.now = self.deadline().unwrap_or_else(|| panic!("waits for ever: {:?}", self.play));
        self.conversation.expire(self.instant(), &Limits::default(), false);
    }

    fn deadline(&self) -> Option<u64> {
        let deadline = self.conversation.deadline(&Limits::default(), false)?;
        Some(deadline.as_micros().div_ceil(1000))
    }

    fn instant(&self) -> Instant {
        Instant::from_micros(self.now * 1000)
    }

    /// How much of a body may move now; 0: it has been stopped.
    fn allowed(&mut self, left: u64) -> usize {
        let moved = self.output.len() as u64;
        let left = match self.play.stop {
            Some((after, stop)) if moved >= after => {
                self.conversation.stopped(stop);
                0
            }
            Some((after, _)) => left.min(after - moved),
            None => left,
        };
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    fn send<St: Store>(&mut self, left: u64, store: &mut St, file: &mut Option<OpenIn<St>>) {
        let room = self.room();
        let allowed = self.allowed(left);
        if allowed == 0 {
            return;
        }
        let mut body = vec![0; room.min(allowed)];
        let Some(OpenFile::Reading(file)) = file else {
            panic!("a session sends what it has opened");
        };
        match store.read(file, &mut body) {
            Ok(0) => self.conversation.stopped(Stop::FileShort),
            Ok(len) => {
                self.output.extend(&body[..len]);
                self.conversation.moved(len as u64, self.instant(), &mut self.host);
            }
            Err(refusal) => self.conversation.stopped(Stop::Store(refusal)),
        }
    }

    fn receive_body<St: Store>(
        &mut self,
        left: Option<u64>,
        store: &mut St,
        file: &mut Option<OpenIn<St>>,
    ) {
        let left = left.map_or(usize::MAX, |left| left as usize);
        if self.held.is_empty() {
            if !self.receive(left) {
                if self.ended {
                    return self.conversation.stopped(Stop::Ended);
                }
                return self.sleep();
            }
            if self.held.is_empty() {
                return self.conversation.stopped(Stop::Ended);
            }
        }
        let mut most = self.held.len().min(left);
        if let Some((after, stop)) = self.play.stop {
            let until_then = after.saturating_sub(self.stored) as usize;
            if until_then == 0 {
                return self.conversation.stopped(stop);
            }
            most = most.min(until_then);
        }
        let Some(OpenFile::Writing(file)) = file else {
            panic!("a session receives into what it has created");
        };
        match store.write(file, &self.held[..most]) {
            Ok(len) => {
                self.stored += len as u64;
                self.held.drain(..len);
                self.conversation.moved(len as u64, self.instant(), &mut self.host);
            }
            Err(refusal) => self.conversation.stopped(Stop::Store(refusal)),
        }
    }

    fn played(self) -> Played {
        let Some(Event::Ended { end, received, .. }) = self.conversation.ended() else {
            panic!("it is not over");
        };
        assert!(received <= self.play.input.len() as u64);
        Played {
            end,
            output: self.output,
            told: self.host.told,
            received,
            writes: self.writes,
            untaken: self.held.len() + self.rest.len(),
            millis: self.now,
        }
    }
}

/// A refusal, for sessions that must live with any.
pub(crate) const REFUSALS: [Refusal; 4] =
    [Refusal::NotFound, Refusal::Full, Refusal::Denied, Refusal::TooLarge { max: 7 }];
