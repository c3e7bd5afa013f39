//! Invariant: echo's answer is the datagram, guess's is one of its four and says what is true of the secret, and guess's client
//! finds the number whatever else it hears.

use std::cmp::Ordering;
use std::net::SocketAddr;

use anywire_core::client::guess::{Answer, Halving};
use anywire_core::datagram::{DatagramService, MAX_DATAGRAM};
use anywire_core::event::Host;
use anywire_core::service::{echo::Echo, guess::Guess};

use crate::choices::Choices;

const PEER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 65_535);

struct Entropy<'c, 'd>(&'c mut Choices<'d>);

impl Host for Entropy<'_, '_> {
    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        buf.fill_with(|| self.0.byte());
        !self.0.over()
    }
}

/// See the [module](self).
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut guess = Guess { secret: None, redraw: choices.flag() };
    if choices.flag() {
        guess.secret = Some(1 + choices.byte() % 99);
    }
    while !choices.over() {
        let datagram = choices.stream(MAX_DATAGRAM);
        let echoed = Echo.answer(&datagram, &mut [], PEER, &mut ());
        assert_eq!(echoed, Some(&datagram[..]));

        let before = guess.secret;
        let answer = guess.answer(&datagram, &mut [], PEER, &mut Entropy(&mut choices));
        let Some(answer) = answer else {
            assert_eq!((before, guess.secret), (None, None), "a secret needs no entropy");
            continue;
        };
        let secret = guess.secret.or(before);
        assert!(secret.is_none_or(|secret| (1..=99).contains(&secret)));
        let said = match answer {
            b"HIGHER" => Some(Ordering::Less),
            b"LOWER" => Some(Ordering::Greater),
            b"CORRECT" => Some(Ordering::Equal),
            other => {
                assert!(other.starts_with(b"INVALID: ") && other.len() <= 64 && other.is_ascii());
                None
            }
        };
        let number = number(&datagram);
        if let (Some(number), Some(secret)) = (number, secret) {
            assert_eq!(said, Some(number.cmp(&secret.into())));
        }
        if guess.redraw && said == Some(Ordering::Equal) {
            assert_eq!(guess.secret, None);
        }
        assert!(said.is_none() || number.is_some(), "{} is no number", datagram.escape_ascii());
    }

    // Answers of others, and none of them, between the true ones.
    let mut choices = Choices::new(data);
    let secret = 1 + choices.byte() % 99;
    let (mut halving, mut liar) = (Halving::default(), Halving::default());
    let found = (0..7).any(|_| {
        let _ = (liar.hear(Answer::of(choices.bytes(8))), liar.guess());
        halving.hear(Answer::Invalid);
        let guess = halving.guess().expect("there is one left");
        halving.hear(match guess.cmp(&secret) {
            Ordering::Less => Answer::Higher,
            Ordering::Greater => Answer::Lower,
            Ordering::Equal => Answer::Correct,
        });
        guess == secret
    });
    assert!(found, "{secret}");
}

/// The number that is written there, kept within what is larger and smaller than every secret alike.
fn number(datagram: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(datagram).ok()?;
    let text = text.trim_matches([' ', '\t', '\r', '\n', '\u{b}', '\u{c}']);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    let value = if digits.len() > 3 { 1000 } else { digits.parse().unwrap_or(0) };
    Some(sign * value)
}
