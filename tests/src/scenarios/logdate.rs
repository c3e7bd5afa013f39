//! logdate: date, and whoever has an answer is in the log.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anywire_core::date::Zone;
use anywire_core::event::End;
use anywire_core::request::Refusal;
use anywire_core::session::Reason;

use super::date::{UTC, answer, answers, len, next};
use super::edges::{self, Edge, Stage};
use super::{Scenario, limited, never_writes, scenario};
use crate::world::{Close, World};

const LOGDATE: &str = "logdate";

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(LOGDATE, "the lab's question", |world| lab(world, Zone::Local)).tries(&[Edge::Lab]),
    scenario(LOGDATE, "an entry for each answer", |world| in_turn(world, Zone::Local)),
    scenario(LOGDATE, "what a terminal must not see", escaped).tries(&[Edge::HalfClose]),
    scenario(LOGDATE, "1025 bytes", long).tries(&[Edge::Longest]),
    scenario(LOGDATE, "nothing", nothing).tries(&[Edge::End(Stage::First)]),
    scenario(LOGDATE, "many at once", many_at_once).tries(&[Edge::Many]),
    scenario(LOGDATE, "abort before the first byte", |world| edges::abort(world, b"", 0, next))
        .tries(&[Edge::Abort(Stage::First)]),
    scenario(LOGDATE, "abort before the answer", abort).tries(&[Edge::Abort(Stage::Body)]),
    scenario(LOGDATE, "abort within the answer", |world| edges::abort(world, b"?", 5, next))
        .tries(&[Edge::Abort(Stage::Answer)]),
    scenario(LOGDATE, "abort behind an answer", |world| {
        edges::abort(world, b"?", len(Zone::Local) + 1, next);
    })
    .tries(&[Edge::Abort(Stage::Behind)]),
    scenario(LOGDATE, "UTC: the lab's question", |world| lab(world, Zone::Utc)).with(UTC),
    scenario(LOGDATE, "UTC: an entry for each answer", |world| in_turn(world, Zone::Utc)).with(UTC),
    scenario(LOGDATE, "no log", no_log).without_log().tries(&[Edge::Refusal, Edge::Reset]),
    limited(LOGDATE, "a peer that never writes", never_writes).tries(&[Edge::Stall(Stage::First)]),
    limited(LOGDATE, "silence between questions", idle).tries(&[Edge::Stall(Stage::Behind)]),
];

/// An entry: when, who, and what was asked, as it is shown.
#[derive(Debug)]
struct Entry {
    time: String,
    peer: String,
    text: String,
}

/// What the log has, in order.
fn log(world: &mut World<'_>) -> Vec<Entry> {
    let entry = |line: &String| {
        let (time, rest) = line.split_once(' ')?;
        let (peer, rest) = rest.split_once(' ')?;
        assert!(peer == "-" || peer.parse::<SocketAddr>().is_ok(), "{peer} is nobody");
        let text = rest.strip_prefix('"')?.strip_suffix('"')?;
        Some(Entry { time: time.into(), peer: peer.into(), text: text.into() })
    };
    let lines = world.network().logs();
    lines.iter().map(|line| entry(line).unwrap_or_else(|| panic!("{line} is no entry"))).collect()
}

/// A question, however it was cut into several, then the end: as many answers as entries, of the same times.
fn ask(world: &mut World<'_>, question: &[u8], zone: Zone, shown: &str) -> usize {
    let before = log(world).len();
    let stream = world.open();
    let (got, close) = world.exchange(stream, question);
    assert_eq!(close, Close::Fin);
    assert_eq!(world.ended(), End::Finished);
    let dates = answers(world, &got, zone);
    let new = log(world).split_off(before);
    assert_eq!(new.iter().map(|entry| &*entry.time).collect::<Vec<_>>(), dates);
    assert_eq!(new.iter().map(|entry| &*entry.text).collect::<String>(), shown);
    assert!(new.iter().all(|entry| entry.peer == new[0].peer), "{new:?}");
    new.len()
}

fn lab(world: &mut World<'_>, zone: Zone) {
    let question = "What time is it?";
    assert!(ask(world, question.as_bytes(), zone, question) > 0);
}

/// It is there when the answer is, and nothing before it is lost.
fn in_turn(world: &mut World<'_>, zone: Zone) {
    let mut asked = Vec::new();
    for _ in 0..2 {
        let stream = world.open();
        for letter in ["a", "b", "c"] {
            world.send(stream, letter.as_bytes());
            let date = answer(world, stream, zone);
            asked.push((date, letter.to_owned()));
            let log = log(world).into_iter().map(|entry| (entry.time, entry.text));
            assert_eq!(log.collect::<Vec<_>>(), asked);
        }
        world.finish(stream);
    }
}

/// An entry is one line, whatever was asked.
fn escaped(world: &mut World<'_>) {
    let question = b"one\r\ntwo\t\x1b[31m\x7f\xff \"three\"";
    let shown = r#"one\r\ntwo\t\x1b[31m\x7f\xff "three""#;
    ask(world, question, Zone::Local, shown);
}

fn long(world: &mut World<'_>) {
    assert!(ask(world, &[b'?'; 1025], Zone::Local, &"?".repeat(1025)) >= 2);
}

/// No question, no entry.
fn nothing(world: &mut World<'_>) {
    assert_eq!(ask(world, b"", Zone::Local, ""), 0);
}

/// Every question has an entry of its own: a number that was given twice would be an entry that is lost.
fn many_at_once(world: &mut World<'_>) {
    let streams = world.open_many();
    let letter = |stream: usize| char::from(b'!' + (stream % 90) as u8);
    for _ in 0..2 {
        for &stream in &streams {
            world.send(stream, &[letter(stream) as u8]);
        }
        for &stream in streams.iter().rev() {
            answer(world, stream, Zone::Local);
        }
    }
    let log = log(world);
    let mut texts: Vec<_> = log.iter().map(|entry| entry.text.clone()).collect();
    let mut asked: Vec<_> =
        streams.iter().flat_map(|&stream| [letter(stream); 2].map(String::from)).collect();
    texts.sort_unstable();
    asked.sort_unstable();
    assert_eq!(texts, asked);
    let peers: BTreeSet<_> =
        log.iter().map(|entry| &*entry.peer).filter(|peer| *peer != "-").collect();
    assert!(peers.is_empty() || peers.len() == streams.len(), "{peers:?}");
    for &stream in &streams {
        world.finish(stream);
    }
}

/// What was asked before the reset may be in the log; what is asked behind it is.
fn abort(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"a");
    world.network().abort(stream);
    let stream = world.open();
    world.send(stream, b"b");
    answer(world, stream, Zone::Local);
    world.network().shutdown(stream);
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Fin));
    match world.ended() {
        End::Finished => {}
        End::Reset => assert_eq!(world.ended(), End::Finished),
        end => panic!("{end:?}"),
    }
    let mut texts: Vec<_> = log(world).into_iter().map(|entry| entry.text).collect();
    texts.retain(|text| text != "a");
    assert_eq!(texts, ["b"]);
}

/// There is no answer that is not in the log.
fn no_log(world: &mut World<'_>) {
    let stream = world.open();
    // The reset may be there as soon as that is sent.
    let _ = world.try_send(stream, b"?");
    assert_eq!(world.receive_all(stream), (Vec::new(), Close::Rst));
    assert_eq!(world.ended(), End::Aborted(Reason::Refused(Refusal::Unsupported)));
    // Who asks nothing is refused nothing.
    let stream = world.open();
    assert_eq!(world.exchange(stream, b""), (Vec::new(), Close::Fin));
    assert_eq!(world.ended(), End::Finished);
}

fn idle(world: &mut World<'_>) {
    let stream = world.open();
    world.send(stream, b"?");
    answer(world, stream, Zone::Local);
    world.goes_idle(stream, &[]);
}
