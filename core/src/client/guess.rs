//! guess's client: what an answer means, and how to find the number. Datagrams, so no session.

/// What an answer says of a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The number is higher.
    Higher,
    /// The number is lower.
    Lower,
    /// That is the number.
    Correct,
    /// It was no guess, or this is no answer.
    Invalid,
}

impl Answer {
    /// What `datagram` says. White space around it does not count.
    pub fn of(datagram: &[u8]) -> Self {
        match datagram.trim_ascii() {
            b"HIGHER" => Self::Higher,
            b"LOWER" => Self::Lower,
            b"CORRECT" => Self::Correct,
            _ => Self::Invalid,
        }
    }
}

/// Finds a number from 1 to 99 in at most 7 guesses: halves what is left.
///
/// ```
/// use anywire_core::client::guess::{Answer, Halving};
///
/// let mut halving = Halving::default();
/// assert_eq!(halving.guess(), Some(50));
/// halving.hear(Answer::Lower);
/// assert_eq!(halving.guess(), Some(25));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halving {
    low: u8,
    high: u8,
}

impl Default for Halving {
    fn default() -> Self {
        Self { low: 1, high: 99 }
    }
}

impl Halving {
    /// What to guess next. `None`: no number fits all answers.
    pub fn guess(&self) -> Option<u8> {
        (self.low <= self.high).then(|| self.low + (self.high - self.low) / 2)
    }

    /// The answer to [`guess`](Self::guess). One that says nothing of the number changes nothing.
    pub fn hear(&mut self, answer: Answer) {
        let Some(guess) = self.guess() else { return };
        match answer {
            Answer::Higher => self.low = guess + 1,
            Answer::Lower => self.high = guess - 1,
            Answer::Correct => (self.low, self.high) = (guess, guess),
            Answer::Invalid => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_found_in_at_most_7_guesses() {
        for secret in 1..=99 {
            let mut halving = Halving::default();
            let found = (1..=7).any(|_| {
                let guess = halving.guess().unwrap();
                halving.hear(match guess.cmp(&secret) {
                    core::cmp::Ordering::Less => Answer::Higher,
                    core::cmp::Ordering::Greater => Answer::Lower,
                    core::cmp::Ordering::Equal => Answer::Correct,
                });
                guess == secret
            });
            assert!(found, "{secret}");
        }
    }

    #[test]
    fn a_liar_is_found_out_at_either_end() {
        for answer in [Answer::Higher, Answer::Lower] {
            let mut halving = Halving::default();
            for _ in 0..7 {
                halving.hear(answer);
            }
            assert_eq!(halving.guess(), None);
            halving.hear(answer);
        }
    }

    #[test]
    fn answers_are_words() {
        assert_eq!(Answer::of(b"HIGHER"), Answer::Higher);
        assert_eq!(Answer::of(b" LOWER\r\n"), Answer::Lower);
        assert_eq!(Answer::of(b"CORRECT"), Answer::Correct);
        for other in [&b"INVALID: there is no number"[..], b"", b"HIGHER!", b"\xff"] {
            assert_eq!(Answer::of(other), Answer::Invalid);
        }
    }
}
