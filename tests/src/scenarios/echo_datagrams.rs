//! echo over UDP: each datagram comes back to its sender.

use super::edges::Edge::{Lab, Longest, Many};
use super::{Applies, Scenario, scenario};
use crate::samples;
use crate::world::World;

const fn echo(name: &'static str, run: fn(&mut World<'_>)) -> Scenario {
    scenario("echo", name, run).over_datagrams()
}

/// Both ways, and any one of them may be lost.
const FRAGMENTS: Applies =
    Applies::No("a datagram of many fragments is lost with any of them: it would be sent for ever");

pub(super) const SCENARIOS: &[Scenario] = &[
    echo("the lab's message", |world| {
        let text = b"Test message. This will be echoed";
        assert_eq!(world.ask(text).escape_ascii().to_string(), text.escape_ascii().to_string());
    })
    .tries(&[Lab]),
    echo("0 bytes and 1", |world| come_back(world, &[0, 1])),
    echo("every byte value", |world| {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(world.ask(&all), all);
    }),
    echo("as much as fits into a frame", |world| {
        let len = world.network().mss() + TCP - UDP;
        come_back(world, &[len - 1, len]);
    }),
    echo("more than fits into a frame, and the longest", |world| {
        let longest = world.network().longest_datagram();
        let len = world.network().mss() + TCP - UDP + 1;
        come_back(world, &[len.min(longest), longest]);
    })
    .lossy(FRAGMENTS)
    .tries(&[Longest]),
    echo("many at once", many_at_once).tries(&[Many]),
];

/// The headers' lengths, in bytes.
const TCP: usize = 20;
const UDP: usize = 8;

fn come_back(world: &mut World<'_>, lens: &[usize]) {
    for &len in lens {
        let sent = samples::bytes(len);
        let got = world.ask(&sent);
        assert!(got == sent, "{} of {len} bytes came back, or others", got.len());
    }
}

/// Each has its own back.
fn many_at_once(world: &mut World<'_>) {
    let sent: Vec<_> =
        (0..world.network().many()).map(|number| vec![number as u8; 300 + number]).collect();
    let questions: Vec<_> = sent.iter().map(Vec::as_slice).collect();
    assert!(world.ask_all(&questions) == sent, "somebody has another's");
}
