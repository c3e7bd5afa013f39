//! guess: any datagram gets one of four answers, and a short one.

use core::net::SocketAddr;
use std::cmp::Ordering;

use anywire_core::datagram::{DatagramService, MAX_DATAGRAM};
use anywire_core::event::Host;
use anywire_core::service::guess::Guess;
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes that come round again; none: there is no entropy.
struct Bytes(Vec<u8>, usize);

impl Host for Bytes {
    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        for byte in buf {
            let Some(next) = self.0.get(self.1 % self.0.len().max(1)) else { return false };
            *byte = *next;
            self.1 += 1;
        }
        true
    }
}

fn answer(guess: &mut Guess, datagram: &[u8], host: &mut dyn Host) -> Option<Vec<u8>> {
    let peer = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut scratch = [0; Guess::SCRATCH];
    guess.answer(datagram, &mut scratch, peer, host).map(<[u8]>::to_vec)
}

/// A number, and how it is written: white space, a sign and zeros before it.
fn number() -> impl Strategy<Value = (i128, Vec<u8>)> {
    let value = prop_oneof![-3..103_i128, -1000..1000_i128, any::<i128>()];
    (value, "[ \t\r\n\u{b}\u{c}]{0,3}", "0{0,300}", "[ \t\r\n\u{b}\u{c}]{0,3}", any::<bool>())
        .prop_map(|(value, before, zeros, behind, plus)| {
            let sign = match value {
                ..0 => "-",
                _ if plus => "+",
                _ => "",
            };
            let text = format!("{before}{sign}{zeros}{}{behind}", value.unsigned_abs());
            (value, text.into_bytes())
        })
}

fn datagram() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(prop::sample::select(&b"0123456789+- \n.x"[..]), 0..8),
        4 => vec(any::<u8>(), 0..100),
        4 => number().prop_map(|(_, text)| text),
        1 => (any::<u8>(), 0..=MAX_DATAGRAM).prop_map(|(byte, len)| vec![byte; len]),
        1 => (1..=MAX_DATAGRAM).prop_map(|len| vec![b'9'; len]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_datagram_gets_one_of_four_answers(
        datagrams in vec(datagram(), 1..6), secret in prop::option::of(1..=99_u8), redraw: bool, random in vec(any::<u8>(), 0..4),
    ) {
        let mut guess = Guess { secret, redraw };
        let mut host = Bytes(random, 0);
        for datagram in datagrams {
            let before = guess.secret;
            let Some(answer) = answer(&mut guess, &datagram, &mut host) else {
                prop_assert_eq!((before, guess.secret), (None, None), "a secret needs no entropy");
                continue;
            };
            prop_assert!(answer.len() <= 64 && answer.is_ascii() && !answer.contains(&b'\n'));
            match &answer[..] {
                b"HIGHER" | b"LOWER" => prop_assert!(guess.secret.is_some()),
                b"CORRECT" => prop_assert_eq!(guess.secret.is_none(), redraw),
                other => {
                    let reason = other.strip_prefix(b"INVALID: ");
                    prop_assert!(reason.is_some_and(|reason| !reason.is_empty()), "{}", other.escape_ascii());
                }
            }
            prop_assert!(guess.secret.is_none_or(|secret| (1..=99).contains(&secret)));
        }
    }

    #[test]
    fn a_number_is_compared_however_it_is_written((value, text) in number(), secret in 1..=99_u8) {
        let mut guess = Guess { secret: Some(secret), redraw: false };
        let expected: &[u8] = match value.cmp(&secret.into()) {
            Ordering::Less => b"HIGHER",
            Ordering::Greater => b"LOWER",
            Ordering::Equal => b"CORRECT",
        };
        let answer = answer(&mut guess, &text, &mut Bytes(vec![], 0)).unwrap();
        prop_assert_eq!(answer, expected, "{}", text.escape_ascii());
    }

    #[test]
    fn what_is_no_number_is_invalid(secret in 1..=99_u8, text in vec(any::<u8>(), 0..20)) {
        let mut guess = Guess { secret: Some(secret), redraw: true };
        let is_number = str::from_utf8(&text).is_ok_and(|text| {
            text.trim_matches([' ', '\t', '\r', '\n', '\u{b}', '\u{c}']).parse::<i128>().is_ok()
        });
        prop_assume!(!is_number);
        let answer = answer(&mut guess, &text, &mut Bytes(vec![], 0)).unwrap();
        prop_assert!(answer.starts_with(b"INVALID: "), "{}", text.escape_ascii());
        prop_assert_eq!(guess.secret, Some(secret));
    }
}
