//! A day of virtual time, with connections that come and go in every way there is.

use core::num::NonZeroU64;

use anywire_core::service::echo::Echo;
use anywire_core::service::file;

use super::*;
use crate::chance::{Chance, Random};
use crate::sim::Link;

const ECHO: u16 = 9900;
const FILE: u16 = 6565;
const SOCKETS: usize = 6;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a client does next with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    /// Nothing: it has none.
    Away,
    /// It talks, ends, and reads to the end.
    Polite,
    /// It resets the connection in the middle.
    Rude,
    /// It says nothing until it is ended.
    Silent,
    /// It ends its side and never reads.
    Deaf,
    /// It is not heard of again.
    Gone,
}

const VISITS: [Visit; 5] = [Visit::Polite, Visit::Rude, Visit::Silent, Visit::Deaf, Visit::Gone];

#[test]
fn after_a_day_nothing_is_missing() {
    let mut settings = Settings::default();
    settings.limits.idle = Some(SECOND * 60);
    let mut sim = Sim::with_backlog(8, |stack| {
        vec![
            pool(stack, Watched(Echo), SOCKETS, (1024, 1024), settings),
            pool(stack, Watched(file::File), SOCKETS, (1024, 1024), settings),
        ]
    });
    sim.file("f", &pattern(3000));
    sim.net.wire.set_links(Link {
        delay: MS * 2,
        loss: Chance::per_million(10_000),
        duplicate: Chance::per_million(10_000),
        reorder: Chance::per_million(10_000),
        corrupt: Chance::per_million(5_000),
        rate: NonZeroU64::new(10_000_000),
        ..Link::default()
    });
    let mut random = Random::new(7);
    let mut visits = [(Visit::Away, 0); 20];
    for _ in &visits {
        sim.stream(1024, 1024);
    }
    let end = sim.net.now() + DAY;
    let (mut came, mut files) = (0_u64, 0_u64);
    while sim.net.now() < end {
        sim.net.run(MS * (2000 + random.below(8000) as u32));
        // Now and then the cable is out, for all.
        if random.below(500) == 0 {
            let link = *sim.net.wire.link(Side::A);
            sim.net.wire.set_links(Link { loss: Chance::ALWAYS, ..link });
            sim.net.run(SECOND * 90);
            sim.net.wire.set_links(link);
        }
        for ((visit, port), stream) in visits.iter_mut().zip(&mut sim.streams) {
            let stack = &mut sim.net.b.stack;
            match visit {
                Visit::Away if random.below(4) == 0 => {
                    *visit = VISITS[random.below(5) as usize];
                    *port = if random.below(2) == 0 { ECHO } else { FILE };
                    let peer = sim::address(Side::A, *port);
                    stream.connect(stack, peer, 0).unwrap();
                    came += 1;
                }
                Visit::Away => {}
                Visit::Polite => {
                    let mut buf = [0; 1024];
                    if let Poll::Ready(Ok(4)) = stream.write(stack, b"f\nxx") {
                        let _ = stream.shutdown(stack);
                    }
                    match stream.read(stack, &mut buf) {
                        Poll::Ready(Ok(n)) if n > 0 => files += u64::from(*port == FILE),
                        Poll::Ready(_) => *visit = Visit::Away,
                        Poll::Pending => {}
                    }
                }
                Visit::Rude => {
                    let _ = stream.write(stack, b"f");
                    stream.abort(stack);
                    *visit = Visit::Away;
                }
                Visit::Silent => match stream.readable(stack) {
                    Poll::Ready(_) => {
                        let _ = stream.shutdown(stack);
                        *visit = Visit::Away;
                    }
                    Poll::Pending => {}
                },
                Visit::Deaf => {
                    let _ = stream.write(stack, b"f\n");
                    let _ = stream.shutdown(stack);
                    if random.below(10) == 0 {
                        *visit = Visit::Away;
                    }
                }
                // The next connection of this stream is made without a word to the peer of this one.
                Visit::Gone => *visit = Visit::Away,
            }
        }
    }
    // More than there are ports to come from.
    assert!(came > 17_000 && files > 1000, "{came} came, {files} pieces of files were read");
    (0..visits.len()).for_each(|at| sim.abort(at));
    // Until the last limit has passed.
    sim.net.run(SECOND * 300);
    for endpoint in &*sim.net.a.endpoints {
        let counts = endpoint.counts();
        assert_eq!(counts.listening, SOCKETS, "{counts:?}");
        assert!(counts.served > 2000, "{counts:?}");
    }
    assert_eq!(sim.net.a.stack.waiting(), 0);
    assert_eq!(sim.net.a.stack.free_sockets(), 64 - 2 * SOCKETS);
    assert_eq!(sim.net.a.store.in_use(), 1, "the file, and none that is open");
    // Every connection that was made was one that ended.
    let connected = sim.log.0.borrow().iter().filter(|(_, told)| *told == Told::Connected).count();
    assert_eq!(connected, sim.log.ends().len());
    // And all of them can be had again.
    sim.net.wire.set_links(Link::default());
    let streams: Vec<_> = (0..SOCKETS).map(|_| sim.connect(ECHO)).collect();
    for at in streams {
        sim.send(at, b"x");
        assert_eq!(sim.read_exact(at, 1), b"x");
    }
}
