//! Sockets: enough of them, none lost, none reused too soon.

use anywire_core::service::echo::Echo;
use anywire_core::service::file;
use smoltcp::wire::{EthernetFrame, Ipv4Packet, TcpPacket};

use super::*;
use crate::chance::Chance;

const ECHO: u16 = 9900;
const FILE: u16 = 6565;

fn echo(sockets: usize, backlog: usize) -> Sim {
    Sim::with_backlog(backlog, |stack| {
        vec![pool(stack, Watched(Echo), sockets, (1024, 1024), Settings::default())]
    })
}

type Spied = Rc<RefCell<Vec<(Side, u16, bool)>>>;

/// Watches the wire and keeps what was sent: by whom, to which port, and whether it was a reset.
fn spy(sim: &mut Sim) -> Spied {
    let seen = Spied::default();
    let frames = seen.clone();
    let tap = move |_: anywire_core::instant::Instant, side: Side, frame: &[u8]| {
        let ip = EthernetFrame::new_checked(frame).unwrap();
        let Ok(ip) = Ipv4Packet::new_checked(ip.payload()) else { return };
        let Ok(tcp) = TcpPacket::new_checked(ip.payload()) else { return };
        frames.borrow_mut().push((side, tcp.dst_port(), tcp.rst()));
    };
    sim.net.wire.watch(Box::leak(Box::new(tap)));
    seen
}

/// Opens `count` connections at once and holds a conversation on each.
fn burst(sim: &mut Sim, count: usize) {
    let streams: Vec<_> = (0..count).map(|_| sim.stream(512, 512)).collect();
    for &at in &streams {
        sim.dial(at, ECHO);
    }
    // All of them, in turn, as sockets come free: each is done when it has its answer and the end.
    let mut done = vec![0; count];
    let all = &mut sim.streams;
    let served = sim.net.run_until(SECOND * 120, |net| {
        for (stream, done) in all.iter_mut().zip(&mut done) {
            let mut buf = [0; 8];
            let stack = &mut net.b.stack;
            match *done {
                0 => match stream.write(stack, b"x") {
                    Poll::Ready(result) => *done = result.expect("refused"),
                    Poll::Pending => {}
                },
                1 if stream.read(stack, &mut buf) == Poll::Ready(Ok(1)) => {
                    stream.shutdown(stack).unwrap();
                    *done = 2;
                }
                2 if stream.read(stack, &mut buf) == Poll::Ready(Ok(0)) => *done = 3,
                _ => {}
            }
        }
        done.iter().all(|&done| done == 3)
    });
    assert!(served, "{} of {count} served", done.iter().filter(|&&done| done == 3).count());
}

#[test]
fn a_burst_of_200_against_a_pool_of_32_is_served_and_none_is_refused() {
    let mut sim = echo(32, 0);
    let frames = spy(&mut sim);
    burst(&mut sim, 200);
    assert!(frames.borrow().iter().all(|&(_, _, rst)| !rst), "nobody sees a reset");
    assert_eq!(sim.counts().served, 200);
    // 32 passed, 168 were dropped; some of them more than once.
    assert!(sim.net.a.stack.traffic().syns_dropped >= 168);
    assert_eq!(sim.log.ends(), vec![End::Finished; 200]);
}

#[test]
fn with_a_backlog_the_burst_takes_milliseconds() {
    let mut sim = echo(32, 200);
    sim.net.wire.link(Side::A).delay = MS;
    sim.net.wire.link(Side::B).delay = MS;
    let before = sim.net.now();
    burst(&mut sim, 200);
    assert!(sim.net.now().saturating_since(before) < MS * 100, "{:?}", sim.net.now());
    let traffic = sim.net.a.stack.traffic();
    assert_eq!((traffic.syns_parked, traffic.syns_dropped), (168, 0));
    assert_eq!((sim.counts().served, sim.net.a.stack.waiting()), (200, 0));
}

#[test]
fn exactly_as_many_syns_pass_as_sockets_listen_even_within_one_poll() {
    let mut sim = echo(32, 0);
    // Nobody answers the server while these 60 arrive at once.
    let first = sim.connect(ECHO);
    let streams: Vec<_> = (0..60).map(|_| sim.stream(512, 512)).collect();
    for &at in &streams {
        sim.dial(at, ECHO);
    }
    let now = sim.net.now();
    sim::Station::poll(&mut sim.net.b, now, &mut sim.net.wire.end(Side::B));
    sim::Station::poll(&mut sim.net.a, now, &mut sim.net.wire.end(Side::A));
    let counts = sim.counts();
    assert_eq!((counts.open, counts.opening, counts.listening), (1, 31, 0));
    assert_eq!((counts.served, counts.dropped), (1, 0));
    assert_eq!(sim.net.a.stack.traffic().syns_dropped, 29);
    sim.abort(first);
}

#[test]
fn a_port_that_is_not_served_refuses() {
    let mut sim = echo(2, 16);
    let at = sim.stream(512, 512);
    sim.dial(at, 4242);
    assert_eq!(sim.connected(at), Err(StreamError::Refused));
}

#[test]
fn a_retired_pool_refuses_and_lets_who_is_busy_finish() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 2, (2048, 2048), Settings::default())]
    });
    sim.file("some.bin", &pattern(30_000));
    let busy = sim.stream(1024, 512);
    sim.dial(busy, FILE);
    sim.connected(busy).unwrap();
    sim.send(busy, b"some.bin\n");
    sim.net.run(MS * 10);
    sim.net.a.endpoints[0].retire();
    sim.net.run(MS);
    let late = sim.stream(512, 512);
    sim.dial(late, FILE);
    assert_eq!(sim.connected(late), Err(StreamError::Refused));
    assert_eq!(sim.read_all(busy), Ok(pattern(30_000)));
    sim.shutdown(busy);
    sim.net.run(SECOND * 20);
    assert_eq!(sim.counts().retired, 2);
}

#[test]
fn a_retired_pool_ends_who_is_idle_at_once() {
    let mut sim = echo(2, 0);
    let idle = sim.connect(ECHO);
    // A message may be on its way for so long.
    sim.net.run(MS * 100);
    sim.net.a.endpoints[0].retire();
    sim.net.run(MS);
    assert_eq!(sim.streams[idle].read(&mut sim.net.b.stack, &mut [0]), Poll::Ready(Ok(0)));
    sim.shutdown(idle);
    sim.net.run(SECOND * 20);
    assert_eq!(sim.counts().retired, 2);
}

#[test]
fn an_aborted_pool_resets_everybody() {
    let mut sim = echo(4, 0);
    let at = sim.connect(ECHO);
    sim.net.a.endpoints[0].abort();
    assert_eq!(sim.read_all(at), Err(StreamError::Reset));
    sim.net.run(MS);
    assert_eq!(sim.counts().retired, 4);
}

#[test]
fn the_reset_leaves_before_the_socket_is_used_again() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 1, (2048, 2048), Settings::default())]
    });
    let frames = spy(&mut sim);
    for round in 1..=3 {
        let at = sim.connect(FILE);
        let port = sim.peer(at).port();
        let before = sim.net.now();
        sim.send(at, b"nothing\n");
        assert_eq!(sim.read_all(at), Err(StreamError::Reset));
        // A reset that comes later answers a retransmission: ours was lost.
        assert_eq!(sim.net.now(), before);
        let resets = frames
            .borrow()
            .iter()
            .filter(|&&(side, to, rst)| side == Side::A && to == port && rst)
            .count();
        assert_eq!(resets, 1, "round {round}");
    }
    assert_eq!(sim.counts().listening, 1);
}

/// A server that ends first is the one in TIME-WAIT.
#[test]
fn the_oldest_time_wait_makes_way_for_a_newcomer_and_for_nobody_else() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 2, (2048, 2048), Settings::default())]
    });
    sim.file("f", b"content");
    for round in 0..6 {
        let at = sim.connect(FILE);
        sim.send(at, b"f\n");
        assert_eq!(sim.read_all(at), Ok(b"content".to_vec()), "round {round}");
        sim.shutdown(at);
        sim.net.run(MS * 100);
        let counts = sim.counts();
        assert_eq!(counts.time_wait, (round + 1).min(2), "round {round}: {counts:?}");
    }
    // Nobody waited for a TIME-WAIT to pass.
    assert!(sim.net.now().as_micros() < 5_000_000);
    assert_eq!(sim.net.a.stack.traffic().syns_dropped, 0);
    sim.net.run(SECOND * 11);
    assert_eq!(sim.counts().listening, 2, "in the end they pass by themselves");
}

/// Or the peer would send its end again, to one who knows nothing of it.
#[test]
fn a_time_wait_makes_way_only_when_the_last_acknowledgement_has_left() {
    let mut sim = Sim::with_backlog(1, |stack| {
        vec![pool(stack, Watched(file::File), 1, (2048, 2048), Settings::default())]
    });
    sim.file("f", b"content");
    let at = sim.connect(FILE);
    sim.send(at, b"f\n");
    assert_eq!(sim.read_all(at), Ok(b"content".to_vec()));
    let seen = spy(&mut sim);
    // The peer's end, and right behind it a newcomer.
    sim.shutdown(at);
    let other = sim.stream(512, 512);
    sim.dial(other, FILE);
    sim.connected(other).unwrap();
    sim.net.run(SECOND);
    assert!(seen.borrow().iter().all(|&(_, _, reset)| !reset));
    assert!(!sim.streams[at].lingers(&mut sim.net.b.stack));
}

/// Wherever it is among the sockets.
#[test]
fn of_the_time_waits_the_oldest_makes_way() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 3, (2048, 2048), Settings::default())]
    });
    sim.file("f", b"content");
    let streams = [0; 3].map(|_| sim.connect(FILE));
    // The first one ends as the second, and so on: a second lies between them.
    for at in [1, 0, 2] {
        sim.send(streams[at], b"f\n");
        assert_eq!(sim.read_all(streams[at]), Ok(b"content".to_vec()));
        sim.shutdown(streams[at]);
        sim.net.run(SECOND);
    }
    assert_eq!(sim.counts().time_wait, 3);
    let _newcomer = sim.connect(FILE);
    assert_eq!((sim.counts().time_wait, sim.counts().dropped), (2, 0));
    // By then the oldest one would have passed by itself.
    sim.net.run(SECOND * 7 + MS * 500);
    assert_eq!(sim.counts().time_wait, 2);
    sim.net.run(SECOND);
    assert_eq!(sim.counts().time_wait, 1);
}

#[test]
fn a_pool_of_one_address_is_a_pool_like_others() {
    let mut sim = Sim::with_backlog(1, |stack| {
        let memory = pool::Memory {
            slots: leak(vec![Slot::<<Watched<Echo> as StreamService>::Session, File>::EMPTY]),
            rings: leak(vec![0; 2048]),
            receive_len: 1024,
            send_len: 1024,
        };
        let listen = sim::address(Side::A, ECHO);
        let pool = Pool::new(stack, Watched(Echo), listen, memory, Settings::default());
        vec![Box::new(pool.unwrap())]
    });
    let endpoint = &sim.net.a.endpoints[0];
    assert_eq!((endpoint.service(), endpoint.port()), ("echo", ECHO));
    // The second one waits for the only socket; it is not told that nobody is there.
    let first = sim.connect(ECHO);
    let second = sim.stream(512, 512);
    sim.dial(second, ECHO);
    sim.net.run(SECOND);
    sim.shutdown(first);
    assert_eq!(sim.read_all(first), Ok(Vec::new()));
    sim.connected(second).unwrap();
    assert_eq!(sim.counts().served, 2);
}

/// Each has its own sets of sockets, and both have one that listens on that port.
#[test]
fn two_pools_of_one_port_are_told_apart_by_their_addresses() {
    let (v4, mut v6) = (sim::address(Side::A, ECHO), sim::address(Side::A, ECHO));
    v6.set_ip("fd00::1".parse().unwrap());
    let mut sim = Sim::new(|stack| {
        let pool = |listen: SocketAddr| {
            let memory = pool::Memory {
                slots: leak(vec![Slot::<<Watched<Echo> as StreamService>::Session, File>::EMPTY]),
                rings: leak(vec![0; 2048]),
                receive_len: 1024,
                send_len: 1024,
            };
            let pool = Pool::new(stack, Watched(Echo), listen, memory, Settings::default());
            Box::new(pool.unwrap()) as Served
        };
        [v4, v6].map(pool).into()
    });
    for peer in [v4, v6] {
        let at = sim.stream(512, 512);
        sim.streams[at].connect(&mut sim.net.b.stack, peer, 0).unwrap();
        sim.connected(at).unwrap();
        sim.send(at, b"here");
        assert_eq!(sim.read_exact(at, 4), b"here");
    }
}

#[test]
fn a_peer_that_begins_anew_from_the_port_of_a_time_wait_is_let_in() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 3, (2048, 2048), Settings::default())]
    });
    sim.file("f", b"content");
    let at = sim.stream(4096, 512);
    for round in 0..3 {
        let peer = sim::address(Side::A, FILE);
        sim.streams[at].connect(&mut sim.net.b.stack, peer, 50_000).unwrap();
        sim.connected(at).unwrap();
        sim.send(at, b"f\n");
        assert_eq!(sim.read_all(at), Ok(b"content".to_vec()), "round {round}");
        sim.shutdown(at);
        sim.net.run(MS * 100);
        assert_eq!(sim.counts().time_wait, 1);
    }
    assert!(sim.net.now().as_micros() < 1_000_000, "nobody had to ask twice");
}

/// smoltcp would give the second SYN to the first socket that listens: two sockets for one connection, and a reset.
#[test]
fn a_syn_that_comes_again_while_its_answer_is_on_the_way_is_one_connection() {
    let mut sim = echo(3, 0);
    let first = sim.connect(ECHO);
    sim.net.wire.link(Side::A).delay = SECOND * 3;
    let at = sim.stream(512, 512);
    sim.dial(at, ECHO);
    sim.net.run(MS * 10);
    // Now a socket before that of the handshake listens again.
    sim.abort(first);
    sim.net.run(SECOND * 2);
    let counts = sim.counts();
    assert_eq!((counts.opening, counts.listening), (1, 2), "{counts:?}");
    assert!(sim.net.a.stack.traffic().syns_ignored > 0, "the SYN came again");
    sim.connected(at).unwrap();
    sim.send(at, b"one");
    assert_eq!(sim.read_exact(at, 3), b"one");
    assert_eq!((sim.counts().dropped, sim.counts().served), (0, 2));
}

#[test]
fn a_handshake_that_is_not_finished_does_not_hold_its_socket_for_ever() {
    let mut sim = echo(1, 0);
    let at = sim.stream(512, 512);
    sim.dial(at, ECHO);
    let now = sim.net.now();
    sim::Station::poll(&mut sim.net.b, now, &mut sim.net.wire.end(Side::B));
    // The client is gone, without a word: only the server lives on.
    let mut time = now;
    for _ in 0..15 {
        sim::Station::poll(&mut sim.net.a, time, &mut sim.net.wire.end(Side::A));
        time = time + SECOND;
        if sim.counts().opening == 0 {
            break;
        }
        assert_eq!(sim.net.a.endpoints[0].deadline(), Some(now + SECOND * 10));
    }
    assert_eq!(time.saturating_since(now), SECOND * 11);
    assert_eq!((sim.counts().listening, sim.counts().dropped), (1, 1));
}

#[test]
fn a_peer_that_does_not_end_is_forgotten_when_it_has_been_drained_long_enough() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 1, (2048, 2048), Settings::default())]
    });
    let frames = spy(&mut sim);
    sim.file("f", b"content");
    let at = sim.connect(FILE);
    sim.send(at, b"f\n");
    sim.net.run(MS);
    let before = sim.net.now();
    while sim.counts().listening == 0 {
        sim.net.run(MS * 100);
    }
    assert_eq!(sim.net.now().saturating_since(before).as_millis(), 2000);
    assert_eq!(sim.log.ends(), [End::Finished]);
    assert!(frames.borrow().iter().all(|&(_, _, rst)| !rst), "it may still be reading");
    assert_eq!(sim.read_all(at), Ok(b"content".to_vec()));
    sim.send(at, b"more");
    sim.net.run(MS);
    assert_eq!(sim.read(at), Err(StreamError::Reset), "but whoever goes on is told");
}

/// Nothing is owed but that, and nobody is asked for it for ever.
#[test]
fn an_end_that_nobody_acknowledges_is_given_up() {
    let settings = Settings { close: SECOND * 5, ..Settings::default() };
    let mut sim = Sim::new(|stack| vec![pool(stack, Watched(Echo), 1, (1024, 1024), settings)]);
    let at = sim.connect(ECHO);
    // Nothing that the server sends arrives from now on.
    sim.net.wire.link(Side::A).loss = Chance::ALWAYS;
    let frames = spy(&mut sim);
    sim.shutdown(at);
    sim.net.run(MS * 4900);
    assert_eq!((sim.log.ends(), sim.counts().closing), (vec![End::Finished], 1));
    let resets = || frames.borrow().iter().filter(|&&(_, _, reset)| reset).count();
    assert_eq!(resets(), 0);
    sim.net.run(SECOND);
    assert_eq!((resets(), sim.counts().listening), (1, 1), "{:?}", sim.counts());
}

/// The conversation is over when its last bytes are in the send ring.
#[test]
fn who_reads_slowly_gets_all_of_it_and_who_does_not_read_is_reset() {
    let mut settings = Settings::default();
    settings.limits.idle = Some(SECOND);
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(file::File), 1, (2048, 4096), settings)]);
    let content = pattern(4000);
    sim.file("f", &content);
    let ask = |sim: &mut Sim| {
        let at = sim.stream(400, 512);
        sim.dial(at, FILE);
        sim.connected(at).unwrap();
        sim.send(at, b"f\n");
        sim.shutdown(at);
        at
    };
    let at = ask(&mut sim);
    let mut got = Vec::new();
    while got.len() < content.len() {
        // Each time nearly as long as the limit, and all in all several times that.
        sim.net.run(MS * 700);
        let some = sim.read(at).unwrap();
        assert!(!some.is_empty(), "an end after {} bytes", got.len());
        got.extend(some);
    }
    assert!(got == content);
    assert_eq!(sim.read(at), Ok(Vec::new()));
    assert_eq!(sim.log.ends(), [End::Finished]);

    let at = ask(&mut sim);
    sim.net.run(MS * 900);
    assert_eq!(sim.counts().closing, 1, "{:?}", sim.counts());
    sim.net.run(SECOND);
    assert_eq!(sim.counts().listening, 1);
    assert_eq!(sim.read_all(at), Err(StreamError::Reset));
}

/// He takes some of it within the time after which others are given up.
#[test]
fn who_reads_slowly_gets_all_of_it_though_others_wait() {
    let mut sim = Sim::with_backlog(4, |stack| {
        vec![pool(stack, Watched(file::File), 1, (2048, 4096), Settings::default())]
    });
    let content = pattern(4000);
    sim.file("f", &content);
    let at = sim.stream(400, 512);
    sim.dial(at, FILE);
    sim.connected(at).unwrap();
    sim.send(at, b"f\n");
    sim.shutdown(at);
    let waiting = sim.stream(512, 512);
    sim.dial(waiting, FILE);
    let mut got = Vec::new();
    while got.len() < content.len() {
        sim.net.run(SECOND * 5);
        let some = sim.read(at).unwrap();
        assert!(!some.is_empty(), "an end after {} bytes", got.len());
        got.extend(some);
    }
    assert!(got == content);
    assert_eq!(sim.read(at), Ok(Vec::new()));
    sim.connected(waiting).unwrap();
}

#[test]
fn who_goes_on_sending_behind_the_last_message_is_not_listened_to_for_ever() {
    let mut settings = Settings::default();
    settings.limits.drain_len = 1000;
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(file::File), 1, (1024, 4096), settings)]);
    sim.file("f", &pattern(4000));
    // One that has read it all: that is the end of it, long before the time to drain is up.
    let at = sim.connect(FILE);
    sim.send(at, b"f\n");
    sim.read_exact(at, 4000);
    sim.net.run(MS * 10);
    assert_eq!(sim.log.ends(), []);
    sim.send(at, &[7; 1000]);
    sim.net.run(MS * 10);
    assert_eq!((sim.log.ends(), sim.counts().listening), (vec![End::Finished], 1));

    // And one that reads nothing: what is owed to it is kept, what it sends is left to it.
    let at = sim.stream(400, 512);
    sim.dial(at, FILE);
    sim.connected(at).unwrap();
    sim.send(at, b"f\n");
    let (stream, mut sent) = (&mut sim.streams[at], 0);
    sim.net.run_until(SECOND * 10, |net| {
        while let Poll::Ready(Ok(some)) = stream.write(&mut net.b.stack, &[7; 256]) {
            sent += some;
        }
        sent > 20_000
    });
    assert!((2000..6000).contains(&sent), "{sent} bytes");
    assert_eq!(sim.counts().closing, 1, "{:?}", sim.counts());
}

#[test]
fn what_comes_behind_the_last_message_does_not_keep_the_peers_end_away() {
    let mut settings = Settings::default();
    settings.limits.drain_len = 1000;
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(file::File), 1, (1024, 2048), settings)]);
    sim.file("f", b"content");
    let at = sim.connect(FILE);
    // More than is discarded while the conversation lasts, and more than the ring holds besides.
    sim.send(at, &[&b"f\n"[..], &pattern(2900)].concat());
    sim.shutdown(at);
    assert_eq!(sim.read_all(at), Ok(b"content".to_vec()));
    sim.net.run(MS * 500);
    assert_eq!(sim.counts().time_wait, 1, "{:?}", sim.counts());
}
