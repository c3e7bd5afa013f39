//! tshark, as the judge of what is on the wire: nothing malformed, nothing sent twice, ends where there are ends and resets where there are
//! resets. On a clean simulated wire time passes only when nobody has anything to do: there is no excuse.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anywire_tests::scenarios::{self, Edge, Scenario};
use anywire_tests::transports;
use anywire_tests::world::{Cuts, World};
use libtest_mimic::Trial;

use crate::net::Net;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for scenario in scenarios::all() {
        let wanted = match (scenario.edges, scenario.service) {
            ([Edge::Lab, ..], _) => Wire::Ends,
            ([Edge::Refusal, ..], "file") => Wire::Resets,
            _ => continue,
        };
        for (way, ipv6) in [("sim", false), ("sim-IPv6", true)] {
            // tshark takes its time to start, and says the same of both.
            if ipv6 && scenario.service != "file" {
                continue;
            }
            let words = format!("{way}::tshark::{}::{}", scenario.label(), scenario.name);
            let run = move || on_a_simulated_wire(scenario, ipv6, wanted);
            let left_out = Net::ALL[2].is_left_out();
            let trial = crate::with(crate::missing("tshark"), words.replace(' ', "-"), run);
            trials.push(trial.with_ignored_flag(left_out));
        }
    }
    trials
}

/// How the connections of a capture are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    /// In good order, both ways.
    Ends,
    /// Each is reset by the server, which has not ended it before.
    Resets,
}

fn on_a_simulated_wire(scenario: Scenario, ipv6: bool, wanted: Wire) {
    let capture = transports::captured(scenario.setup(0), ipv6, &mut |network| {
        (scenario.run)(&mut World::new(network, Cuts::Whole));
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), capture.unwrap()).unwrap();

    let none: [&str; 0] = [];
    assert_eq!(tshark(file.path(), WRONG, &[]), none);
    let source = if ipv6 { "ipv6.src" } else { "ip.src" };
    let server = if ipv6 { "fd00::1" } else { "10.0.0.1" };
    let lines = tshark(file.path(), "tcp.flags & 7", &["tcp.flags", "tcp.stream", source]);
    // The streams with their senders, of the segments with that flag.
    let with = |flag: u16| -> BTreeSet<&str> {
        let words = lines.iter().map(|line| line.split_once('\t').expect("three fields"));
        let hex = |flags: &str| u16::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap();
        words.filter(|(flags, _)| hex(flags) & flag != 0).map(|(_, rest)| rest).collect()
    };
    let (fins, syns, resets) = (with(1), with(2), with(4));
    assert_eq!(syns.is_empty(), scenario.datagrams);
    match wanted {
        Wire::Ends => {
            assert_eq!(resets, BTreeSet::new());
            // A SYN from both sides, a FIN from both sides.
            assert_eq!(fins, syns);
        }
        Wire::Resets => {
            let of_server =
                |ends: &BTreeSet<&'_ str>| ends.iter().filter(|end| end.ends_with(server)).count();
            assert_eq!((of_server(&resets), of_server(&fins)), (of_server(&syns), 0));
            assert_eq!(resets.len(), of_server(&resets), "{resets:?}");
        }
    }
}

/// What must not be there: broken packets, wrong checksums, what was sent twice or out of order, and whatever else tshark warns of. It warns
/// of full windows too, and of resets: the former are how a receiver holds a sender up, the latter are counted elsewhere.
const WRONG: &str = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 \
     || udp.checksum.status == 0 || tcp.analysis.retransmission || tcp.analysis.out_of_order \
     || tcp.analysis.lost_segment || tcp.analysis.duplicate_ack \
     || (_ws.expert.severity >= 0x600000 && tcp.flags.reset != 1 \
     && !tcp.analysis.window_full && !tcp.analysis.zero_window)";

/// What tshark says of the frames that `filter` lets through, a line each.
fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    for protocol in ["ip", "tcp", "udp"] {
        tshark.arg("-o").arg(format!("{protocol}.check_checksum:TRUE"));
    }
    tshark.arg("-nr").arg(capture).args(["-Y", filter]);
    if !fields.is_empty() {
        tshark.args(["-T", "fields"]);
    }
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
