//! guess: which number from 1 to 99 is it? Over datagrams, so the server remembers nothing of those who ask.

use core::cmp::Ordering;
use core::net::SocketAddr;

use crate::datagram::DatagramService;
use crate::event::{Event, Host};
use crate::service::{About, Setting, SettingError};

/// The service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guess {
    /// The number, from 1 to 99. `None`: it is drawn when the first guess comes.
    pub secret: Option<u8>,
    /// Whether another one is drawn when somebody has found it.
    pub redraw: bool,
}

/// The highest number that is drawn; the lowest is 1.
const MAX: u8 = 99;

impl DatagramService for Guess {
    const ABOUT: About =
        About { name: "guess", port: 9905, summary: "you guess its number from 1 to 99" };
    const SCRATCH: usize = 0;
    const SETTINGS: &'static [Setting] = &[
        Setting {
            name: "secret",
            values: "N",
            default: "drawn",
            help: "The number that is to be guessed, from 1 to 99",
        },
        Setting {
            name: "redraw",
            values: "",
            default: "",
            help: "Draw another number when one has been found",
        },
    ];

    fn set(&mut self, name: &str, value: &'static str) -> Result<(), SettingError> {
        match name {
            "secret" => match value.parse() {
                Ok(secret @ 1..=MAX) => self.secret = Some(secret),
                _ => return Err(SettingError::Value("a number from 1 to 99")),
            },
            "redraw" => self.redraw = true,
            _ => return Err(SettingError::Unknown),
        }
        Ok(())
    }

    /// Without entropy there is no secret, and no answer.
    fn answer<'a>(
        &mut self,
        datagram: &'a [u8],
        _: &'a mut [u8],
        _: SocketAddr,
        host: &mut dyn Host,
    ) -> Option<&'a [u8]> {
        let secret = match self.secret {
            Some(secret) => secret,
            None => draw(host)?,
        };
        self.secret = Some(secret);
        host.observe(Event::Message { text: datagram });
        Some(match compared(datagram, secret) {
            Ok(Ordering::Less) => b"HIGHER",
            Ok(Ordering::Greater) => b"LOWER",
            Ok(Ordering::Equal) => {
                if self.redraw {
                    self.secret = None;
                }
                b"CORRECT"
            }
            Err(answer) => answer,
        })
    }
}

/// A number that every other is as likely as.
fn draw(host: &mut dyn Host) -> Option<u8> {
    /// Bytes from here on would make the small numbers likelier.
    const FAIR: u8 = u8::MAX / MAX * MAX;

    // One in four is thrown away: so often in a row only by a host that has no entropy.
    for _ in 0..64 {
        let mut random = [0];
        if !host.entropy(&mut random) {
            return None;
        }
        match random {
            [byte] if byte < FAIR => return Some(byte % MAX + 1),
            _ => {}
        }
    }
    None
}

/// Without the white space around it: C's, which has a vertical tab that Rust's has not.
fn trimmed(mut guess: &[u8]) -> &[u8] {
    const VT: u8 = 0x0b;
    loop {
        guess = match guess.trim_ascii() {
            [VT, rest @ ..] | [rest @ .., VT] => rest,
            trimmed => return trimmed,
        };
    }
}

/// How a guess stands to the secret, or what is wrong with it. A number may have any number of digits.
fn compared(guess: &[u8], secret: u8) -> Result<Ordering, &'static [u8]> {
    let guess = trimmed(guess);
    let (negative, digits) = match guess {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if guess.is_empty() {
        return Err(b"INVALID: there is no number");
    }
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(b"INVALID: that is no decimal number");
    }
    let value = digits.iter().fold(0_u8, |value, digit| {
        // All that is too large is too large alike.
        value.saturating_mul(10).saturating_add(digit - b'0')
    });
    Ok(if negative && value > 0 { Ordering::Less } else { value.cmp(&secret) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SocketAddr =
        SocketAddr::V4(core::net::SocketAddrV4::new(core::net::Ipv4Addr::LOCALHOST, 1));

    fn answer(guess: &mut Guess, datagram: &[u8]) -> &'static [u8] {
        let answer = guess.answer(datagram, &mut [], PEER, &mut ()).unwrap();
        [&b"HIGHER"[..], b"LOWER", b"CORRECT"]
            .into_iter()
            .find(|known| *known == answer)
            .unwrap_or(b"INVALID")
    }

    #[test]
    fn numbers_of_every_shape() {
        let mut guess = Guess { secret: Some(42), redraw: false };
        for (datagram, expected) in [
            (&b"41"[..], &b"HIGHER"[..]),
            (b"43", b"LOWER"),
            (b"42", b"CORRECT"),
            (b"42", b"CORRECT"),
            (b" +42\r\n", b"CORRECT"),
            (b"\t0000000000000000000000000000042", b"CORRECT"),
            (b"0", b"HIGHER"),
            (b"-0", b"HIGHER"),
            (b"-42", b"HIGHER"),
            (b"-99999999999999999999999999999999999999999", b"HIGHER"),
            (b"100", b"LOWER"),
            (b"298", b"LOWER"),
            (b"99999999999999999999999999999999999999999", b"LOWER"),
            (b"", b"INVALID"),
            (b" ", b"INVALID"),
            (b"+", b"INVALID"),
            (b"4 2", b"INVALID"),
            (b"4.2", b"INVALID"),
            (b"0x2a", b"INVALID"),
            (b"forty-two", b"INVALID"),
            (b"--1", b"INVALID"),
            (b"\xff\xfe", b"INVALID"),
        ] {
            assert_eq!(answer(&mut guess, datagram), expected, "{datagram:?}");
        }
    }

    #[test]
    fn every_number_can_be_drawn_and_is_drawn_again_only_when_asked_for() {
        struct Bytes(u8);
        impl Host for Bytes {
            fn entropy(&mut self, buf: &mut [u8]) -> bool {
                buf.fill(self.0);
                self.0 = self.0.wrapping_add(1);
                true
            }
        }
        let mut host = Bytes(0);
        let mut seen = [0; 100];
        for _ in 0..198 {
            seen[usize::from(draw(&mut host).unwrap())] += 1;
        }
        assert!(seen[0] == 0 && seen[1..].iter().all(|&times| times == 2));

        // What would make the small numbers likelier is thrown away: from 198 on, up to 255.
        let mut host = Bytes(198);
        assert_eq!((draw(&mut host), host.0), (Some(1), 1));

        let mut guess = Guess { secret: None, redraw: true };
        let mut host = Bytes(6);
        assert_eq!(guess.answer(b"7", &mut [], PEER, &mut host), Some(&b"CORRECT"[..]));
        assert_eq!(guess.answer(b"7", &mut [], PEER, &mut host), Some(&b"HIGHER"[..]));
        assert_eq!(Guess::default().answer(b"7", &mut [], PEER, &mut ()), None);
    }
}
