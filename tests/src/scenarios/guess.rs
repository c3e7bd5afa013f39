//! guess: a number goes out in a datagram, and how it stands to the secret comes back.

use super::edges::Edge::{Lab, Longest, Many, Refusal};
use super::{Applies, Scenario, scenario};
use crate::world::World;

const fn guess(name: &'static str, run: fn(&mut World<'_>)) -> Scenario {
    scenario("guess", name, run).over_datagrams().with(&[("secret", "42")])
}

pub(super) const SCENARIOS: &[Scenario] = &[
    guess("the lab's game", |world| {
        let answers = [("50", "LOWER"), ("25", "HIGHER"), ("42", "CORRECT"), ("42", "CORRECT")];
        answered(world, &answers);
    })
    .tries(&[Lab]),
    guess("the edges", |world| {
        let answers = [
            ("1", "HIGHER"),
            ("41", "HIGHER"),
            ("43", "LOWER"),
            ("99", "LOWER"),
            ("0", "HIGHER"),
            ("100", "LOWER"),
            ("-42", "HIGHER"),
        ];
        answered(world, &answers);
    }),
    guess("white space, a sign, zeros", |world| {
        let answers =
            [(" 42\r\n", "CORRECT"), ("\t+42 ", "CORRECT"), ("-0", "HIGHER"), ("0042", "CORRECT")];
        answered(world, &answers);
    }),
    guess("a number of any length", long).tries(&[Longest]),
    guess("what is no number", invalid).tries(&[Refusal]),
    guess("a secret that is drawn", drawn).with(&[]),
    guess("another secret when one is found", |world| {
        // What is drawn may be the same number again.
        answered(world, &[("42", "CORRECT"), ("0", "HIGHER"), ("100", "LOWER")]);
    })
    .with(&[("secret", "42"), ("redraw", "true")])
    .lossy(Applies::No(
        "when the answer to the number is lost, it is asked again and meets another",
    )),
    guess("many at once", many_at_once).tries(&[Many]),
];

fn answered(world: &mut World<'_>, answers: &[(&str, &str)]) {
    for (guess, expected) in answers {
        let answer = world.ask(guess.as_bytes());
        assert_eq!(answer.escape_ascii().to_string(), *expected, "{guess:?}");
    }
}

/// Digits are counted, not added up: no number overflows. They go into one frame.
fn long(world: &mut World<'_>) {
    let zeros = "0".repeat(1000);
    let (lower, higher) = (format!("9{zeros}"), format!("-9{zeros}"));
    let found = format!("+{zeros}42");
    answered(world, &[(&lower, "LOWER"), (&higher, "HIGHER"), (&found, "CORRECT")]);
}

/// The reason is a line of text, without a newline.
fn invalid(world: &mut World<'_>) {
    for guess in [&b""[..], b" ", b"+", b"4 2", b"4.2", b"0x2a", b"forty-two", b"42\0", b"\xff"] {
        let answer = world.ask(guess);
        let shown = answer.escape_ascii();
        let reason = answer.strip_prefix(b"INVALID: ").unwrap_or_else(|| panic!("{shown}"));
        assert!(!reason.is_empty() && !reason.contains(&b'\n'), "{shown}");
    }
    answered(world, &[("42", "CORRECT")]);
}

/// From 1 to 99, and it stays: halving finds it.
fn drawn(world: &mut World<'_>) {
    let (mut low, mut high) = (1, 99);
    while low <= high {
        let guess = (low + high) / 2;
        match &*world.ask(guess.to_string().as_bytes()) {
            b"HIGHER" => low = guess + 1,
            b"LOWER" => high = guess - 1,
            answer => {
                assert_eq!(answer, b"CORRECT");
                return answered(world, &[(&guess.to_string(), "CORRECT")]);
            }
        }
    }
    panic!("no number from 1 to 99 is the secret");
}

/// Each has the answer to its own question.
fn many_at_once(world: &mut World<'_>) {
    let many = world.network().many();
    let guesses: Vec<_> = (0..many).map(|number| (20 + number % 50).to_string()).collect();
    let questions: Vec<_> = guesses.iter().map(String::as_bytes).collect();
    for (guess, answer) in guesses.iter().zip(world.ask_all(&questions)) {
        let expected = match guess.parse::<u8>().expect("a number") {
            ..42 => "HIGHER",
            42 => "CORRECT",
            43.. => "LOWER",
        };
        assert_eq!(answer.escape_ascii().to_string(), expected, "{guess}");
    }
}
