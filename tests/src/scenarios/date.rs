//! date: whatever is asked, the answer is the date and the time.

use std::time::SystemTime;

use anywire_core::date::Zone;
use anywire_core::event::End;

use super::edges::{self, Edge, Stage};
use super::{Scenario, limited, never_writes, scenario};
use crate::network::Handle;
use crate::world::{Close, World};

const DATE: &str = "date";

pub(super) const UTC: &[(&str, &str)] = &[("utc", "true")];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(DATE, "the lab's question", |world| lab(world, Zone::Local)).tries(&[Edge::Lab]),
    scenario(DATE, "three questions in turn", |world| three(world, Zone::Local)),
    scenario(DATE, "any bytes", any_bytes).tries(&[Edge::HalfClose]),
    scenario(DATE, "1025 bytes", long).tries(&[Edge::Longest]),
    scenario(DATE, "nothing", nothing).tries(&[Edge::End(Stage::First)]),
    scenario(DATE, "many at once", many_at_once).tries(&[Edge::Many]),
    scenario(DATE, "abort before the first byte", |world| edges::abort(world, b"", 0, next))
        .tries(&[Edge::Abort(Stage::First)]),
    scenario(DATE, "abort before the answer", abort).tries(&[Edge::Abort(Stage::Body)]),
    scenario(DATE, "abort within the answer", |world| edges::abort(world, b"?", 5, next))
        .tries(&[Edge::Abort(Stage::Answer)]),
    scenario(DATE, "abort behind an answer", |world| {
        edges::abort(world, b"?", len(Zone::Local) + 1, next);
    })
    .tries(&[Edge::Abort(Stage::Behind)]),
    scenario(DATE, "UTC: the lab's question", |world| lab(world, Zone::Utc)).with(UTC),
    scenario(DATE, "UTC: three questions in turn", |world| three(world, Zone::Utc)).with(UTC),
    limited(DATE, "a peer that never writes", never_writes).tries(&[Edge::Stall(Stage::First)]),
    limited(DATE, "silence between questions", idle).tries(&[Edge::Stall(Stage::Behind)]),
];

/// What a date has without the newline.
pub(super) const fn len(zone: Zone) -> usize {
    match zone {
        Zone::Local => "2026-11-21T09:30:00+01:00".len(),
        Zone::Utc => "2026-11-21T09:30:00Z".len(),
    }
}

/// Whether that is now, in the form of RFC 3339, on the server's clock.
pub(super) fn assert_is_now(world: &mut World<'_>, date: &[u8], zone: Zone) {
    let text = std::str::from_utf8(date).expect("a date is ASCII");
    match (world.network().date(), zone) {
        (Some(_), Zone::Local) => assert_eq!(text, "2026-11-21T09:30:00+01:00"),
        (Some(_), Zone::Utc) => assert_eq!(text, "2026-11-21T08:30:00Z"),
        (None, zone) => {
            let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs() as i64;
            let told = unix(text, zone).unwrap_or_else(|| panic!("{text} is no date of RFC 3339"));
            assert!((now - told).abs() < 60, "{text} is not now");
        }
    }
}

/// The seconds since 1970 of a date, if it is one of this millennium.
fn unix(date: &str, zone: Zone) -> Option<i64> {
    let form = match zone {
        Zone::Local if date.get(19..20) == Some("-") => "dddd-dd-ddTdd:dd:dd-dd:dd",
        Zone::Local => "dddd-dd-ddTdd:dd:dd+dd:dd",
        Zone::Utc => "dddd-dd-ddTdd:dd:ddZ",
    };
    let fits = |(has, is): (u8, u8)| if is == b'd' { has.is_ascii_digit() } else { has == is };
    if date.len() != form.len() || !date.bytes().zip(form.bytes()).all(fits) {
        return None;
    }
    let number = |at: std::ops::Range<usize>| date[at].parse::<i64>().ok();
    let [year, month, day] = [number(0..4)?, number(5..7)?, number(8..10)?];
    let [hour, minute, second] = [number(11..13)?, number(14..16)?, number(17..19)?];
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || year < 2000 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: i64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let days = years + months[..month as usize - 1].iter().sum::<i64>() + day - 1;
    let offset = match zone {
        Zone::Utc => 0,
        Zone::Local => {
            let sign = if &date[19..20] == "-" { -1 } else { 1 };
            sign * (number(20..22)? * 3600 + number(23..25)? * 60)
        }
    };
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// Receives an answer, and says when it was.
pub(super) fn answer(world: &mut World<'_>, stream: Handle, zone: Zone) -> String {
    let answer = world.receive(stream, len(zone) + 1);
    let date = answer.strip_suffix(b"\n").expect("an answer is a line");
    assert_is_now(world, date, zone);
    String::from_utf8_lossy(date).into()
}

/// The answers in a row of them.
pub(super) fn answers(world: &mut World<'_>, got: &[u8], zone: Zone) -> Vec<String> {
    let lines: Vec<_> = got.split_inclusive(|&byte| byte == b'\n').collect();
    for line in &lines {
        assert_is_now(world, line.strip_suffix(b"\n").expect("an answer is a line"), zone);
    }
    lines.iter().map(|line| String::from_utf8_lossy(&line[..line.len() - 1]).into()).collect()
}

/// A question, however it was cut into several, then the end.
fn ask(world: &mut World<'_>, question: &[u8], zone: Zone) -> usize {
    let stream = world.open();
    let (got, close) = world.exchange(stream, question);
    assert_eq!(close, Close::Fin);
    assert_eq!(world.ended(), End::Finished);
    let count = answers(world, &got, zone).len();
    assert!(count <= question.len() && (question.is_empty() || count > 0), "{count} answers");
    count
}

fn lab(world: &mut World<'_>, zone: Zone) {
    ask(world, b"What time is it?", zone);
    // The lab's client ends when it has its answer.
    let stream = world.open();
    world.send(stream, b"?");
    answer(world, stream, zone);
    world.finish(stream);
}

/// One byte is one question, however it is cut.
fn three(world: &mut World<'_>, zone: Zone) {
    let stream = world.open();
    let dates: Vec<_> = (0..3)
        .map(|_| {
            world.send(stream, b"?");
            answer(world, stream, zone)
        })
        .collect();
    assert!(zone == Zone::Local || dates.is_sorted(), "{dates:?}");
    world.finish(stream);
}

fn any_bytes(world: &mut World<'_>) {
    let all: Vec<u8> = (0..=255).collect();
    ask(world, &all, Zone::Local);
    ask(world, b"\n\n\n", Zone::Local);
}

/// No question has more than 1024.
fn long(world: &mut World<'_>) {
    assert!(ask(world, &[b'?'; 1025], Zone::Local) >= 2);
}

/// No question, no answer.
fn nothing(world: &mut World<'_>) {
    assert_eq!(ask(world, b"", Zone::Local), 0);
}

fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    for &stream in &streams {
        world.send(stream, b"?");
    }
    for &stream in streams.iter().rev() {
        answer(world, stream, Zone::Local);
    }
    for &stream in &streams {
        world.finish(stream);
    }
}

fn abort(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"?");
    world.network().abort(stream);
    next(world);
}

/// Who comes then is served.
pub(super) fn next(world: &mut World<'_>) {
    let stream = world.open();
    let (got, close) = world.exchange(stream, b"?");
    assert_eq!((answers(world, &got, Zone::Local).len(), close), (1, Close::Fin));
}

fn idle(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"?");
    answer(world, stream, Zone::Local);
    world.goes_idle(stream, &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_meant() {
        for (date, zone, expected) in [
            ("2026-11-21T09:30:00+01:00", Zone::Local, Some(1_795_249_800)),
            ("2026-11-21T05:00:00-03:30", Zone::Local, Some(1_795_249_800)),
            ("2026-11-21T08:30:00Z", Zone::Utc, Some(1_795_249_800)),
            ("2000-02-29T00:00:00Z", Zone::Utc, Some(951_782_400)),
            ("2026-11-21T08:30:00Z", Zone::Local, None),
            ("2026-11-21T09:30:00+01:00", Zone::Utc, None),
            ("2026-13-21T08:30:00Z", Zone::Utc, None),
            ("2026-11-21 08:30:00Z", Zone::Utc, None),
            ("2026-11-21T08:30:0Z", Zone::Utc, None),
        ] {
            assert_eq!(unix(date, zone), expected, "{date}");
        }
    }
}
