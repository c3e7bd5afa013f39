//! Transfers where frames get lost, late, broken, and come twice: what arrives is whole, or is known not to be.

use anywire_core::service::echo::Echo;
use anywire_core::service::file;

use super::*;
use crate::chance::Chance;
use crate::sim::Link;

const ECHO: u16 = 9900;
const FILE: u16 = 6565;

/// A wire that does all there is to frames, and loses so many percent.
fn bad(loss: u8) -> Link {
    Link {
        delay: MS * 5,
        jitter: MS * 3,
        loss: Chance::percent(loss),
        reorder: Chance::percent(10),
        lag: MS * 20,
        duplicate: Chance::percent(3),
        corrupt: Chance::percent(3),
        ..Link::default()
    }
}

fn on(link: Link, seed: u64) -> Sim {
    let mut sim = Sim::new(|stack| {
        vec![
            pool(stack, Watched(file::File), 4, (2048, 8192), Settings::default()),
            pool(stack, Watched(Echo), 4, (4096, 4096), Settings::default()),
        ]
    });
    sim.file("f", &pattern(40_000));
    sim.net.wire.set_seed(seed);
    sim.net.wire.set_links(link);
    sim
}

/// Reads to the end, for so long. `None`: it did not come.
fn read_for(sim: &mut Sim, at: usize, limit: Duration) -> Option<Result<Vec<u8>, StreamError>> {
    let (mut all, mut buf, mut end) = (Vec::new(), vec![0; 65_536], None);
    let Sim { net, streams, .. } = sim;
    net.run_until(limit, |net| {
        while let Poll::Ready(read) = streams[at].read(&mut net.b.stack, &mut buf) {
            match read {
                Ok(0) => end = Some(Ok(core::mem::take(&mut all))),
                Ok(n) => all.extend_from_slice(&buf[..n]),
                Err(error) => end = Some(Err(error)),
            }
            if end.is_some() {
                return true;
            }
        }
        false
    });
    end
}

/// smoltcp forgets a FIN that it hears three duplicate ACKs of.
#[test]
fn no_fin_is_forgotten() {
    for seed in 0..100 {
        let mut sim = on(bad(5), seed);
        let at = sim.connect(FILE);
        sim.send(at, b"f\n");
        let read = read_for(&mut sim, at, SECOND * 290);
        assert!(read == Some(Ok(pattern(40_000))), "seed {seed}");
        // And the other way: the client's end is what its answer waits for.
        let at = sim.connect(ECHO);
        sim.send(at, &pattern(9_000));
        sim.shutdown(at);
        let read = read_for(&mut sim, at, SECOND * 290);
        assert!(read == Some(Ok(pattern(9_000))), "seed {seed}");
    }
}

/// With the limits that everybody has. The longest a server waits for its peer is the idle limit; the client waits longer, and then
/// knows that nothing comes, or the reset was lost.
#[test]
fn through_20_percent_loss_a_file_arrives_whole_or_is_known_not_to() {
    let (mut whole, mut failed) = (0, 0);
    for seed in 0..60 {
        let mut sim = on(bad(20), seed);
        let at = sim.stream(8192, 2048);
        sim.dial(at, FILE);
        let limit = Settings::default().limits.idle.unwrap() * 2;
        let wrote = sim
            .net
            .run_until(limit, |net| sim.streams[at].write(&mut net.b.stack, b"f\n").is_ready());
        assert!(wrote, "seed {seed}");
        match read_for(&mut sim, at, SECOND * 3600) {
            Some(Ok(got)) => {
                assert!(got == pattern(40_000), "seed {seed}: {} bytes and an end", got.len());
                whole += 1;
            }
            Some(Err(_)) | None => failed += 1,
        }
        sim.shutdown(at);
        sim.net.run(SECOND * 3600);
        assert_eq!(sim.counts().listening, 4, "seed {seed}: every socket is free again");
    }
    assert!(whole > 50, "{whole} of {}", whole + failed);
}

/// A reader with pauses closes its window and opens it again, and what says so comes in any order: smoltcp may take it for closed for
/// ever.
#[test]
fn no_window_is_taken_for_closed_for_ever() {
    let link = Link { reorder: Chance::percent(30), ..bad(20) };
    for seed in 0..100 {
        let mut sim = on(link, seed);
        let at = sim.stream(1500, 512);
        sim.dial(at, FILE);
        sim.send(at, b"f\n");
        // What is in the buffers at each end, and no more, is read at once.
        let mut got = Vec::new();
        while got.len() < 20_000 {
            sim.net.run(SECOND);
            let mut buf = [0; 1500];
            let Sim { net, streams, .. } = &mut sim;
            let read = net.run_until(SECOND * 250, |net| {
                match streams[at].read(&mut net.b.stack, &mut buf) {
                    Poll::Ready(Ok(n)) => got.extend_from_slice(&buf[..n]),
                    Poll::Ready(Err(_)) | Poll::Pending => return false,
                }
                true
            });
            assert!(read, "seed {seed}: {} bytes came, and no more", got.len());
        }
        assert!(got == pattern(40_000)[..got.len()], "seed {seed}");
    }
}

/// Seldom is a wire so bad, but cables are pulled. The server's limits count, and its resets get lost too.
#[test]
fn a_cable_that_is_pulled_is_a_failure_and_costs_no_socket() {
    let mut sim = on(Link { delay: MS * 5, ..Link::default() }, 0);
    let at = sim.connect(FILE);
    sim.send(at, b"f\n");
    sim.net.run(MS * 12);
    sim.net.wire.set_links(Link { loss: Chance::ALWAYS, ..Link::default() });
    assert_eq!(read_for(&mut sim, at, SECOND * 1000), None);
    assert!(matches!(sim.log.ends()[..], [End::Aborted(_)]), "{:?}", sim.log.ends());
    assert_eq!(sim.counts().listening, 4);
    // And when it is put in again, others are served, and this one is told.
    sim.net.wire.set_links(Link::default());
    let other = sim.connect(FILE);
    sim.send(other, b"f\n");
    assert_eq!(sim.read_all(other), Ok(pattern(40_000)));
    sim.send(at, b"still there?");
    assert_eq!(read_for(&mut sim, at, SECOND * 100), Some(Err(StreamError::Reset)));
}
