//! What a session is offered in one step.

use core::fmt;

use crate::date::Date;
use crate::event::{Event, Host};
use crate::instant::Instant;
use crate::request::Answer;
use crate::session::Breach;

/// Input lent, output room lent, the time, and an answer if one has come: all that a session sees of the
/// world. Made anew by the driver for each round of steps.
pub struct Exchange<'a> {
    /// Invariant: `taken <= input.len()`.
    input: &'a [u8],
    taken: usize,
    ended: bool,
    /// Invariant: `put <= output.len()`.
    output: &'a mut [u8],
    put: usize,
    shut: bool,
    timeless: bool,
    now: Instant,
    answer: Option<Answer<'a>>,
    host: &'a mut dyn Host,
    breach: Option<Breach>,
}

/// How far an exchange has come: equal marks mean that nothing was taken, put, shut or answered between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    taken: usize,
    put: usize,
    shut: bool,
    answer: bool,
}

impl<'a> Exchange<'a> {
    /// Lends `input`, which is the last there will be if `ended`, and `output` to fill.
    ///
    /// Drivers get this from [`Conversation::step`](crate::conversation::Conversation::step); it is public for those
    /// who test a session by hand.
    #[inline]
    pub fn new(
        input: &'a [u8],
        ended: bool,
        output: &'a mut [u8],
        now: Instant,
        answer: Option<Answer<'a>>,
        host: &'a mut dyn Host,
    ) -> Self {
        Self {
            input,
            taken: 0,
            ended,
            output,
            put: 0,
            shut: false,
            timeless: false,
            now,
            answer,
            host,
            breach: None,
        }
    }

    /// The same, for a session that shut down its sending in an earlier round.
    #[inline]
    pub(crate) fn after_shutdown(mut self, shut: bool) -> Self {
        self.shut = shut;
        self
    }

    /// The same, for a session whose driver keeps no deadlines.
    #[inline]
    pub(crate) fn without_time(mut self, timeless: bool) -> Self {
        self.timeless = timeless;
        self
    }

    /// The input not taken yet. It outlives the borrow of `self`, so that it can be put back out.
    #[inline]
    pub fn input(&self) -> &'a [u8] {
        self.input.get(self.taken..).unwrap_or_default()
    }

    /// Takes the first `n` bytes of [`input`](Self::input): they are not offered again.
    #[inline]
    pub fn take(&mut self, n: usize) {
        if n > self.input.len() - self.taken {
            self.breach = Some(Breach::TookTooMuch);
        } else {
            self.taken += n;
        }
    }

    /// Whether the peer has ended the stream: nothing comes after [`input`](Self::input).
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// How many bytes can be put.
    #[inline]
    pub fn room(&self) -> usize {
        if self.shut { 0 } else { self.output.len() - self.put }
    }

    /// Puts as much of `bytes` as there is room for, and says how much that was.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        if self.shut && !bytes.is_empty() {
            self.breach = Some(Breach::PutAfterShutdown);
            return 0;
        }
        let room = self.output.get_mut(self.put..).unwrap_or_default();
        let n = room.len().min(bytes.len());
        if let (Some(to), Some(from)) = (room.get_mut(..n), bytes.get(..n)) {
            to.copy_from_slice(from);
        }
        self.put += n;
        n
    }

    /// Puts all of `parts`, one behind the other, or nothing and says `false`: a reply is never cut by the room.
    #[inline]
    pub fn put_all(&mut self, parts: &[&[u8]]) -> bool {
        let len = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        if len > self.room() && !self.shut {
            return false;
        }
        for part in parts {
            self.put(part);
        }
        true
    }

    /// Ends our side of the stream once what was put is out (half-close). Input still comes.
    pub fn shutdown(&mut self) {
        self.shut = true;
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether a deadline is kept. On a transport that cannot wait, a session that returns one is stepped when input comes, and only then.
    pub fn keeps_time(&self) -> bool {
        !self.timeless
    }

    /// The answer to what was asked, once.
    pub fn answer(&mut self) -> Option<Answer<'a>> {
        self.answer.take()
    }

    /// Tells the host what happened.
    #[inline]
    pub fn observe(&mut self, event: Event<'_>) {
        self.host.observe(event);
    }

    /// Fills `buf` with bytes that nobody can guess, or says `false` if the host has none.
    #[must_use]
    pub fn entropy(&mut self, buf: &mut [u8]) -> bool {
        self.host.entropy(buf)
    }

    /// What the host's clock on the wall says; `None`: it has none. For deadlines there is [`now`](Self::now).
    pub fn date(&mut self) -> Option<Date> {
        self.host.date()
    }

    /// Bytes taken since this exchange was made.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Bytes put since this exchange was made.
    pub fn put_len(&self) -> usize {
        self.put
    }

    /// Whether our side of the stream is shut down, in this round or an earlier one.
    pub fn is_shut(&self) -> bool {
        self.shut
    }

    pub(crate) fn answer_left(&self) -> bool {
        self.answer.is_some()
    }

    pub(crate) fn answer_offered(&self) -> Option<&Answer<'a>> {
        self.answer.as_ref()
    }

    pub(crate) fn breach(&self) -> Option<Breach> {
        self.breach
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { taken: self.taken, put: self.put, shut: self.shut, answer: self.answer.is_some() }
    }
}

impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("input", &self.input().len())
            .field("ended", &self.ended)
            .field("room", &self.room())
            .field("now", &self.now)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_takes_what_fits_and_put_all_takes_all_or_nothing() {
        let mut output = [0; 5];
        let mut host = ();
        let mut io = Exchange::new(b"", false, &mut output, Instant::ZERO, None, &mut host);
        assert!(io.put_all(&[b"ab", b"c"]));
        assert!(!io.put_all(&[b"de", b"f"]));
        assert_eq!((io.room(), io.put_len()), (2, 3));
        assert_eq!(io.put(b"xyz"), 2);
        assert_eq!(io.put(b"z"), 0);
        assert_eq!(&output, b"abcxy");
    }

    #[test]
    fn input_outlives_the_exchange_and_can_be_put_back() {
        let mut output = [0; 2];
        let mut host = ();
        let mut io = Exchange::new(b"abc", true, &mut output, Instant::ZERO, None, &mut host);
        let input = io.input();
        let n = io.put(input);
        io.take(n);
        assert_eq!((io.input(), io.ended(), io.room()), (&b"c"[..], true, 0));
    }

    #[test]
    fn after_shutdown_there_is_no_room() {
        let mut output = [0; 2];
        let mut host = ();
        let mut io = Exchange::new(b"", false, &mut output, Instant::ZERO, None, &mut host);
        io.shutdown();
        assert_eq!((io.room(), io.put(b"")), (0, 0));
        assert_eq!(io.breach(), None);
        io.put(b"x");
        assert_eq!(io.breach(), Some(Breach::PutAfterShutdown));
    }

    #[test]
    fn no_more_is_taken_than_there_is() {
        let mut host = ();
        let mut io = Exchange::new(b"abc", false, &mut [], Instant::ZERO, None, &mut host);
        io.take(2);
        io.take(1);
        assert_eq!((io.taken(), io.breach()), (3, None));
        let mut io = Exchange::new(b"abc", false, &mut [], Instant::ZERO, None, &mut host);
        io.take(2);
        io.take(2);
        assert_eq!((io.taken(), io.breach()), (2, Some(Breach::TookTooMuch)));
    }
}
