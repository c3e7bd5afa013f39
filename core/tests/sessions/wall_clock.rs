//! A clock on the wall that jumps, both ways: it is told as it is, and no deadline comes of it.

use anywire_core::conversation::{Conversation, Lent, Want};
use anywire_core::date::Date;
use anywire_core::event::Host;
use anywire_core::instant::Instant;
use anywire_core::request::{Answer, Request};
use anywire_core::service::{StreamService, date, logdate};
use anywire_core::session::Session;

/// The day of the test, an hour later, before that, before 1970, and beyond what RFC 3339 can write.
const JUMPS: [(i64, &str); 8] = [
    (1_795_249_800, "2026-11-21T08:30:00Z"),
    (1_795_253_400, "2026-11-21T09:30:00Z"),
    (1_795_249_799, "2026-11-21T08:29:59Z"),
    (-1, "1969-12-31T23:59:59Z"),
    (i64::MAX, "9999-12-31T23:59:59Z"),
    (i64::MIN, "0000-01-01T00:00:00Z"),
    (0, "1970-01-01T00:00:00Z"),
    (1_795_249_800, "2026-11-21T08:30:00Z"),
];

/// Jumps each time that it is looked at.
struct Jumping(usize);

impl Host for Jumping {
    fn date(&mut self) -> Option<Date> {
        let (unix, _) = JUMPS[self.0];
        self.0 += 1;
        Some(Date { unix, offset: 0 })
    }
}

/// Asks as often as the clock jumps, at one and the same moment: what is answered, and what is kept before that.
fn answers(session: impl Session) -> (Vec<String>, Vec<String>) {
    let now = Instant::from_micros(7);
    let (mut conversation, mut clock) = (Conversation::new(session, now), Jumping(0));
    let (mut answers, mut kept) = (Vec::new(), Vec::new());
    while answers.len() < JUMPS.len() {
        let asked = match conversation.want() {
            Want::Answer => Some(Answer::Logged),
            Want::Step | Want::Input => None,
            other => panic!("{other:?}"),
        };
        if asked.is_some() {
            let Some(Request::Log { time, .. }) = conversation.request(b"?") else {
                panic!("nothing else is asked for")
            };
            kept.push(String::from_utf8(time.to_vec()).unwrap());
        }
        let mut output = [0; 64];
        // What it has answered is taken: the next question is the same.
        let input = b"?";
        let lent = Lent { input, ended: false, output: &mut output, now, answer: asked };
        let used = conversation.step(lent, &mut clock);
        if used.put > 0 {
            answers.push(String::from_utf8(output[..used.put].to_vec()).unwrap());
        }
    }
    (answers, kept)
}

#[test]
fn a_clock_that_jumps_is_told_as_it_is_and_looked_at_once_for_each_answer() {
    let expected: Vec<_> = JUMPS.iter().map(|(_, date)| format!("{date}\n")).collect();
    let mut utc = date::Date::default();
    utc.set("utc", "true").unwrap();
    assert_eq!(answers(utc.open()), (expected.clone(), Vec::new()));

    // What is kept is what is answered, though the clock jumps in between.
    let mut utc = logdate::LogDate::default();
    utc.set("utc", "true").unwrap();
    let (answered, kept) = answers(utc.open());
    assert_eq!(answered, expected);
    assert_eq!(kept, JUMPS.map(|(_, date)| date));
}
