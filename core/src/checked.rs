//! A session that watches the contract.

use crate::exchange::Exchange;
use crate::instant::Instant;
use crate::request::{Answer, Request};
use crate::session::{Breach, Next, Reason, Session};

/// Wraps a session, is one itself, and holds both sides to the [contract](crate::session): what `S` does
/// wrong comes out of [`advance`](crate::session::advance), what the driver does wrong as
/// [`Reason::Broken`] with a `Driver:` breach. Made for tests; it hashes what is held, so it costs.
///
/// ```
/// use anywire_core::checked::Checked;
/// use anywire_core::service::echo;
///
/// let session = Checked::new(echo::Session::default());
/// ```
#[derive(Debug)]
pub struct Checked<S> {
    session: S,
    held: Held,
    asked: Option<Asked>,
    file: Option<Mode>,
    ended: bool,
    shut: bool,
    over: bool,
    now: Instant,
}

/// What was left untaken: enough to know it again.
#[derive(Clone, Copy, Debug)]
struct Held {
    len: usize,
    /// `None` after a transfer, which may have taken from the front.
    hash: Option<u64>,
}

/// Which answers fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Open,
    Create,
    Expect,
    Commit,
    Log,
    Send,
    Receive,
    Line,
}

/// What the open file is open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Reading,
    Writing,
}

impl<S: Session> Checked<S> {
    /// Watches `session`, which must not have been stepped yet.
    pub fn new(session: S) -> Self {
        Self {
            session,
            held: Held { len: 0, hash: None },
            asked: None,
            file: None,
            ended: false,
            shut: false,
            over: false,
            now: Instant::ZERO,
        }
    }

    /// The open file, once `answer` has come to what was asked.
    fn file_after(&self, answer: &Answer<'_>) -> Option<Mode> {
        match (self.asked, answer) {
            (_, Answer::Opened { .. }) => Some(Mode::Reading),
            (_, Answer::Created) => Some(Mode::Writing),
            (Some(Asked::Open | Asked::Create | Asked::Commit), _) => None,
            _ => self.file,
        }
    }

    /// What the driver did wrong, as far as can be seen before this step.
    fn driver_breach(&self, io: &Exchange<'_>) -> Option<Breach> {
        let input = io.input();
        let same = match (input.get(..self.held.len), self.held.hash) {
            (None, _) => false,
            (Some(held), Some(hash)) => fnv1a(held) == hash,
            (Some(_), None) => true,
        };
        if self.over {
            Some(Breach::SteppedAfterEnd)
        } else if !same {
            Some(Breach::InputLost)
        } else if self.ended && (!io.ended() || input.len() > self.held.len) {
            Some(Breach::EndedTwice)
        } else if self.shut && !io.is_shut() {
            Some(Breach::PutAfterShutdown)
        } else if io.now() < self.now {
            Some(Breach::ClockWentBack)
        } else {
            let fits = match (self.asked, io.answer_offered()) {
                (None, None) => true,
                (Some(asked), Some(answer)) => asked.fits(answer),
                _ => false,
            };
            (!fits).then_some(Breach::WrongAnswer)
        }
    }
}

impl<S: Session> Session for Checked<S> {
    const HOLD: usize = S::HOLD;
    const ROOM: usize = S::ROOM;
    const END_PROVES: bool = S::END_PROVES;
    const END_ANSWERS: bool = S::END_ANSWERS;

    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        if let Some(Answer::Moved { len, .. }) = io.answer_offered()
            && self.asked == Some(Asked::Receive)
        {
            // The transfer took what was held first.
            let moved = usize::try_from(*len).unwrap_or(usize::MAX);
            self.held = Held { len: self.held.len.saturating_sub(moved), hash: None };
        }
        if let Some(breach) = self.driver_breach(io) {
            self.over = true;
            return Next::Abort(Reason::Broken(breach));
        }
        if let Some(answer) = io.answer_offered() {
            self.file = self.file_after(answer);
        }
        let next = self.session.step(io);
        let input = io.input();
        self.held = Held { len: input.len(), hash: Some(fnv1a(input)) };
        self.ended = io.ended();
        self.shut = io.is_shut();
        self.now = io.now();
        self.over = matches!(next, Next::Finish | Next::Abort(_));
        self.asked = match next {
            Next::Ask => self.session.request(input).map(|request| Asked::from(&request)),
            _ => None,
        };
        if self.asked.and_then(Asked::needs).is_some_and(|needed| self.file != Some(needed)) {
            self.over = true;
            return Next::Abort(Reason::Broken(Breach::NoFile));
        }
        next
    }

    fn request<'a>(&'a self, held: &'a [u8]) -> Option<Request<'a>> {
        self.session.request(held)
    }
}

impl From<&Request<'_>> for Asked {
    fn from(request: &Request<'_>) -> Self {
        match request {
            Request::Open { .. } => Self::Open,
            Request::Create { .. } => Self::Create,
            Request::Expect { .. } => Self::Expect,
            Request::Commit => Self::Commit,
            Request::Log { .. } => Self::Log,
            Request::Send { .. } => Self::Send,
            Request::Receive { .. } => Self::Receive,
            Request::Line { .. } => Self::Line,
        }
    }
}

impl Asked {
    /// What the open file must be open for.
    fn needs(self) -> Option<Mode> {
        match self {
            Self::Send => Some(Mode::Reading),
            Self::Expect | Self::Receive | Self::Commit => Some(Mode::Writing),
            Self::Open | Self::Create | Self::Log | Self::Line => None,
        }
    }

    fn fits(self, answer: &Answer<'_>) -> bool {
        match answer {
            Answer::Opened { .. } => self == Self::Open,
            Answer::Created => self == Self::Create,
            Answer::Expected => self == Self::Expect,
            Answer::Committed => self == Self::Commit,
            Answer::Logged => self == Self::Log,
            Answer::Moved { .. } => matches!(self, Self::Send | Self::Receive),
            Answer::Line(_) => self == Self::Line,
            Answer::Refused(_) => true,
        }
    }
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Halt, Phase, advance};

    /// Takes nothing until it has four bytes.
    struct Fours;

    impl Session for Fours {
        const HOLD: usize = 4;
        fn step(&mut self, io: &mut Exchange<'_>) -> Next {
            if io.input().len() >= 4 {
                io.take(4);
                return Next::Progress;
            }
            if io.ended() { Next::Finish } else { Next::Wait(Phase::Head, None) }
        }
    }

    fn offer(checked: &mut Checked<Fours>, input: &[u8], ended: bool, micros: u64) -> Halt {
        let mut host = ();
        let now = Instant::from_micros(micros);
        advance(checked, &mut Exchange::new(input, ended, &mut [0; 4], now, None, &mut host))
    }

    const fn broken(breach: Breach) -> Halt {
        Halt::Abort(Reason::Broken(breach))
    }

    #[test]
    fn a_driver_that_keeps_the_contract_passes() {
        let mut checked = Checked::new(Fours);
        assert_eq!(offer(&mut checked, b"ab", false, 1), Halt::Wait(Phase::Head, None));
        assert_eq!(offer(&mut checked, b"abc", false, 1), Halt::Wait(Phase::Head, None));
        assert_eq!(offer(&mut checked, b"abcde", false, 2), Halt::Wait(Phase::Head, None));
        assert_eq!(offer(&mut checked, b"e", true, 3), Halt::Finish);
    }

    #[test]
    fn bytes_lost_changed_or_offered_after_the_end_are_seen() {
        for (second, ended, breach) in
            [(&b"a"[..], false, Breach::InputLost), (b"xb", false, Breach::InputLost)]
        {
            let mut checked = Checked::new(Fours);
            offer(&mut checked, b"ab", false, 1);
            assert_eq!(offer(&mut checked, second, ended, 2), broken(breach));
        }
    }

    #[test]
    fn a_step_after_the_end_and_a_clock_that_goes_back_are_seen() {
        let mut checked = Checked::new(Fours);
        offer(&mut checked, b"ab", false, 5);
        assert_eq!(offer(&mut checked, b"ab", false, 4), broken(Breach::ClockWentBack));
        assert_eq!(offer(&mut checked, b"ab", false, 6), broken(Breach::SteppedAfterEnd));
    }

    #[test]
    fn a_file_is_asked_for_only_what_it_is_open_for() {
        /// Opens, and receives into what it has opened.
        struct Confused(bool);

        impl Session for Confused {
            const HOLD: usize = 0;
            fn step(&mut self, io: &mut Exchange<'_>) -> Next {
                self.0 = io.answer().is_some();
                Next::Ask
            }
            fn request<'a>(&'a self, _: &'a [u8]) -> Option<Request<'a>> {
                let name = crate::name::FileName::new(b"a").ok()?;
                Some(if self.0 { Request::Receive { len: None } } else { Request::Open { name } })
            }
        }

        let mut checked = Checked::new(Confused(false));
        let mut offer = |answer| {
            let mut host = ();
            let now = Instant::ZERO;
            advance(&mut checked, &mut Exchange::new(b"", false, &mut [], now, answer, &mut host))
        };
        assert_eq!(offer(None), Halt::Ask);
        assert_eq!(offer(Some(Answer::Opened { len: 1 })), broken(Breach::NoFile));
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_seen() {
        let mut checked = Checked::new(Fours);
        let mut host = ();
        let mut io =
            Exchange::new(b"", false, &mut [], Instant::ZERO, Some(Answer::Created), &mut host);
        assert_eq!(advance(&mut checked, &mut io), broken(Breach::WrongAnswer));
    }

    #[test]
    fn an_answer_to_something_else_is_seen() {
        /// Asks for a line.
        struct Asking;

        impl Session for Asking {
            const HOLD: usize = 0;
            fn step(&mut self, io: &mut Exchange<'_>) -> Next {
                if io.answer().is_some() { Next::Finish } else { Next::Ask }
            }
            fn request<'a>(&'a self, _: &'a [u8]) -> Option<Request<'a>> {
                Some(Request::Line { prompt: "", max: 0 })
            }
        }

        let after = |answer| {
            let mut checked = Checked::new(Asking);
            let mut offer = |answer| {
                let (mut host, now) = ((), Instant::ZERO);
                let mut io = Exchange::new(b"", false, &mut [], now, answer, &mut host);
                advance(&mut checked, &mut io)
            };
            assert_eq!(offer(None), Halt::Ask);
            offer(Some(answer))
        };
        assert_eq!(after(Answer::Line(None)), Halt::Finish);
        for other in [Answer::Created, Answer::Committed, Answer::Opened { len: 1 }] {
            assert_eq!(after(other), broken(Breach::WrongAnswer));
        }
    }

    #[test]
    fn an_end_is_offered_once_and_nothing_behind_it() {
        /// Waits for the time alone.
        struct Dawdling;

        impl Session for Dawdling {
            const HOLD: usize = 8;
            fn step(&mut self, io: &mut Exchange<'_>) -> Next {
                Next::Wait(Phase::Inside, Some(io.now() + core::time::Duration::from_secs(1)))
            }
        }

        let offer = |checked: &mut Checked<Dawdling>, input: &[u8], ended, micros| {
            let (mut host, now) = ((), Instant::from_micros(micros));
            advance(checked, &mut Exchange::new(input, ended, &mut [], now, None, &mut host))
        };
        let after = |input: &[u8], ended| {
            let mut checked = Checked::new(Dawdling);
            offer(&mut checked, b"ab", true, 1);
            offer(&mut checked, input, ended, 2)
        };
        assert_eq!(after(b"ab", false), broken(Breach::EndedTwice));
        assert_eq!(after(b"abc", true), broken(Breach::EndedTwice));
        assert!(matches!(after(b"ab", true), Halt::Wait(..)));
    }
}
