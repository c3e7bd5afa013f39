//! Frames that nobody asked for, in numbers. What a stack has is what it was lent: here nobody panics, and who is honest is served.

use anywire_core::frame::Fixed as Framing;
use anywire_core::service::echo::Echo;
use anywire_core::service::fixed::Fixed;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, TcpControl, TcpPacket};

use super::packets::{Segment, ethernet, inject, segment, segment_to, syn};
use super::waiting::memory;
use super::*;
use crate::chance::Random;
use crate::udp::{Asker, Datagrams};

const ECHO: u16 = 9900;
const SOCKETS: usize = 8;

/// A server of echo, both ways, with few sockets and a small backlog.
fn echo() -> Sim {
    Sim::with_backlog(16, |stack| {
        vec![
            pool(stack, Watched(Echo), SOCKETS, (2048, 2048), Settings::default()),
            Box::new(Datagrams::new(stack, Echo, ECHO, memory(4, 20_000)).unwrap()),
        ]
    })
}

/// A frame with whatever there is in the packet.
fn ipv4(from: u8, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let [peer, local] = [from, 1].map(|last| IpAddress::v4(10, 0, 0, last));
    let ip = IpRepr::new(peer, local, protocol, payload.len(), 64);
    let mut packet = vec![0; ip.header_len()];
    ip.emit(&mut packet[..], &ChecksumCapabilities::default());
    packet.extend_from_slice(payload);
    ethernet(from, &packet)
}

/// Lets a client have a conversation, with `flood` before each step of the clock, and says how long it took.
fn served_while(sim: &mut Sim, mut flood: impl FnMut(&mut Sim)) -> Duration {
    let (before, sent) = (sim.net.now(), pattern(3000));
    let at = sim.stream(4096, 4096);
    sim.dial(at, ECHO);
    let (mut written, mut got, mut buf) = (0, Vec::new(), [0; 4096]);
    for _ in 0..100_000 {
        flood(sim);
        sim.net.run(MS * 5);
        let (stream, stack) = (&mut sim.streams[at], &mut sim.net.b.stack);
        if written < sent.len() {
            match stream.write(stack, &sent[written..]) {
                Poll::Ready(n) => written += n.expect("nobody is refused"),
                Poll::Pending => {}
            }
            if written == sent.len() {
                let _ = stream.shutdown(stack);
            }
        }
        match stream.read(stack, &mut buf) {
            Poll::Ready(Ok(0)) => {
                assert!(got == sent);
                return sim.net.now().saturating_since(before);
            }
            Poll::Ready(n) => got.extend_from_slice(&buf[..n.expect("nobody is reset")]),
            Poll::Pending => {}
        }
    }
    panic!("nobody is served");
}

/// Everything is as it was before the first connection.
fn assert_nothing_left(sim: &mut Sim) {
    sim.net.run(SECOND * 200);
    let counts = sim.counts();
    assert_eq!((counts.listening, sim.net.a.stack.waiting()), (SOCKETS, 0), "{counts:?}");
}

/// From addresses that nobody has, or that do not answer: 100 in a second, for 8 sockets and 16 places.
#[test]
fn a_flood_of_syns_does_not_keep_honest_clients_out() {
    let mut sim = echo();
    let mut random = Random::new(7);
    let (mut worst, mut step) = (Duration::ZERO, 0);
    for _ in 0..10 {
        let took = served_while(&mut sim, |sim| {
            step += 1;
            if step % 2 == 0 {
                let (from, port) =
                    (3 + random.below(250) as u8, 1024 + random.below(60_000) as u16);
                inject(sim, &syn(from, port, random.next_u64() as u32));
            }
        });
        worst = worst.max(took);
    }
    assert!(worst < SECOND * 5, "{worst:?}");
    assert!(sim.net.a.stack.traffic().syns_dropped > 100);
    assert_nothing_left(&mut sim);
}

/// 200 in a second, none of which comes again, for 32 sockets and a backlog that they do not fill.
#[test]
fn honest_clients_do_not_wait_behind_a_small_flood() {
    let mut sim = Sim::with_backlog(4096, |stack| {
        vec![pool(stack, Watched(Echo), 32, (2048, 2048), Settings::default())]
    });
    let mut random = Random::new(7);
    let mut flood = |sim: &mut Sim| {
        let (from, port) = (3 + random.below(250) as u8, 1024 + random.below(60_000) as u16);
        inject(sim, &syn(from, port, random.next_u64() as u32));
    };
    for _ in 0..400 {
        flood(&mut sim);
        sim.net.run(MS * 5);
    }
    assert!(sim.net.a.stack.waiting() > 200, "{}", sim.net.a.stack.waiting());
    for _ in 0..5 {
        // His SYN comes again after a second.
        let took = served_while(&mut sim, &mut flood);
        assert!(took < SECOND * 2, "{took:?}");
    }
}

/// When nobody else comes, the one who waits need not wait for more than that.
#[test]
fn a_handshake_that_nobody_finishes_makes_way_after_a_second_and_not_before() {
    let mut sim = Sim::with_backlog(1, |stack| {
        vec![pool(stack, Watched(Echo), 1, (2048, 2048), Settings::default())]
    });
    for from in [11, 12] {
        inject(&mut sim, &syn(from, 1001, 7));
        sim.net.run(Duration::ZERO);
    }
    let micro = Duration::from_micros(1);
    sim.net.run(SECOND - micro);
    assert_eq!((sim.net.a.stack.waiting(), sim.counts().dropped), (1, 0));
    sim.net.run(micro);
    assert_eq!((sim.net.a.stack.waiting(), sim.counts().dropped), (0, 1));
}

/// Wherever it is among the sockets.
#[test]
fn of_the_handshakes_that_nobody_finishes_the_oldest_makes_way() {
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut sim = Sim::with_backlog(1, |stack| {
            vec![pool(stack, Watched(Echo), 3, (2048, 2048), Settings::default())]
        });
        let taken = [(); 3].map(|()| sim.connect(ECHO));
        for (from, at) in (11..).zip(order) {
            sim.abort(taken[at]);
            sim.net.run(MS);
            inject(&mut sim, &syn(from, 1001, 7));
            sim.net.run(SECOND);
        }
        sim.net.run(SECOND);
        assert_eq!((sim.counts().opening, sim.counts().dropped), (3, 0));
        inject(&mut sim, &syn(14, 1001, 7));
        sim.net.run(MS);
        assert_eq!((sim.counts().opening, sim.counts().dropped), (3, 1));
        // By then it would have come to nothing by itself, and the others not yet.
        sim.net.run(SECOND * 6 + MS * 500);
        assert_eq!((sim.counts().opening, sim.counts().dropped), (3, 1), "{order:?}");
        sim.net.run(SECOND);
        assert_eq!((sim.counts().opening, sim.counts().dropped), (2, 2), "{order:?}");
    }
}

#[test]
fn garbage_is_passed_over() {
    let mut sim = echo();
    let mut random = Random::new(7);
    for round in 0..20 {
        let took = served_while(&mut sim, |sim| {
            for _ in 0..20 {
                let len = 14 + random.below(100) as usize;
                let mut frame: Vec<u8> = (0..len).map(|_| random.next_u64() as u8).collect();
                // Most of it is to us, and says that it is something.
                match random.below(4) {
                    0 => {}
                    1 => {
                        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
                        let kinds = [0x0800_u16, 0x86dd, 0x0806];
                        let kind = kinds[random.below(3) as usize];
                        frame[12..14].copy_from_slice(&kind.to_be_bytes());
                    }
                    2 => {
                        let kinds = [IpProtocol::Tcp, IpProtocol::Udp, IpProtocol::Icmp];
                        frame = ipv4(3, kinds[random.below(3) as usize], &frame);
                    }
                    // A whole one with a few bytes of it changed.
                    _ => {
                        frame = syn(3, random.next_u64() as u16, 7);
                        for _ in 0..=random.below(4) {
                            let at = random.below(frame.len() as u64) as usize;
                            frame[at] = random.next_u64() as u8;
                        }
                    }
                }
                inject(sim, &frame);
            }
        });
        assert!(took < SECOND, "round {round}: {took:?}");
    }
    assert_nothing_left(&mut sim);
}

/// Every kind of segment, with whole checksums, from anywhere to the port that is served.
#[test]
fn segments_of_no_connection_open_none() {
    let mut sim = echo();
    let mut random = Random::new(7);
    let kinds = [TcpControl::None, TcpControl::Psh, TcpControl::Fin, TcpControl::Rst];
    for _ in 0..10 {
        served_while(&mut sim, |sim| {
            for _ in 0..20 {
                let control = kinds[random.below(4) as usize];
                let (port, seq) = (random.next_u64() as u16, random.next_u64() as u32);
                let ack = Some(random.next_u64() as u32).filter(|ack| ack % 8 != 0);
                let bytes = [7; 40];
                let payload = &bytes[..random.below(40) as usize];
                let from = 3 + random.below(250) as u8;
                inject(sim, &segment(from, Segment { control, port, seq, ack, payload }));
            }
        });
    }
    assert_eq!(sim.counts().served, 10);
    assert_nothing_left(&mut sim);
}

/// Blindly: whoever does not see the connection does not know its numbers.
#[test]
fn what_is_out_of_the_window_does_not_touch_a_connection() {
    let mut sim = echo();
    let at = sim.connect(ECHO);
    let port = sim.peer(at).port();
    let mut random = Random::new(7);
    let kinds =
        [TcpControl::Rst, TcpControl::Fin, TcpControl::Syn, TcpControl::None, TcpControl::Psh];
    for round in 0..200_u32 {
        for _ in 0..10 {
            let control = kinds[random.below(5) as usize];
            let ack = (control != TcpControl::Syn || random.below(2) == 0)
                .then(|| random.next_u64() as u32);
            // Of 2^32 numbers a window of 2048 is not met by chance here: it is the same numbers every time.
            let seq = random.next_u64() as u32;
            inject(&mut sim, &segment(2, Segment { control, port, seq, ack, payload: b"" }));
        }
        let text = round.to_le_bytes();
        sim.send(at, &text);
        assert_eq!(sim.read_exact(at, 4), text);
    }
    sim.shutdown(at);
    assert_eq!(sim.read_all(at), Ok(Vec::new()));
    assert_eq!(sim.counts().served, 1);
    assert_nothing_left(&mut sim);
}

/// smoltcp cuts off what is too much, and takes the end behind it for the stream's.
#[test]
fn an_end_behind_more_than_the_window_is_none() {
    let mut sim = Sim::new(|stack| {
        vec![pool(
            stack,
            Watched(Fixed { framing: Framing { len: 1400 } }),
            1,
            (1000, 2048),
            Settings::default(),
        )]
    });
    let numbers = Rc::new(RefCell::new([(0, 0); 2]));
    let seen = numbers.clone();
    let tap = move |_: anywire_core::instant::Instant, side: Side, frame: &[u8]| {
        if let Some(Ok(tcp)) = frame.get(34..).map(TcpPacket::new_checked) {
            let numbers = (tcp.seq_number().0 as u32, tcp.ack_number().0 as u32);
            seen.borrow_mut()[usize::from(side == Side::B)] = numbers;
        }
    };
    sim.net.wire.watch(Box::leak(Box::new(tap)));
    let to = <Fixed as StreamService>::ABOUT.port;
    let at = sim.connect(to);
    sim.net.run(MS);
    let (seq, ack) = numbers.borrow()[1];
    let port = sim.peer(at).port();
    let last_words = |sim: &mut Sim, seq, payload: &[u8]| {
        let control = TcpControl::Fin;
        let segment = Segment { control, port, seq, ack: Some(ack), payload };
        inject(sim, &segment_to(to, 2, segment));
        sim.net.run(MS * 10);
        numbers.borrow()[0].1.wrapping_sub(seq)
    };
    let payload = [7; 1400];
    assert_eq!(last_words(&mut sim, seq, &payload), 1000, "400 bytes are missing");
    assert_eq!(sim.log.ends(), []);
    let seq = seq.wrapping_add(1000);
    assert_eq!(last_words(&mut sim, seq, &payload[..400]), 401, "they, and the end");
}

/// Its SYN again and again, also with other numbers: it is one connection, and it goes on.
#[test]
fn a_connection_that_is_asked_for_again_is_the_same() {
    let mut sim = echo();
    let at = sim.connect(ECHO);
    let port = sim.peer(at).port();
    for round in 0..200_u32 {
        for seq in 0..10 {
            inject(&mut sim, &syn(2, port, round * 1000 + seq));
        }
        let text = round.to_le_bytes();
        sim.send(at, &text);
        assert_eq!(sim.read_exact(at, 4), text);
    }
    let counts = sim.counts();
    assert_eq!((counts.served, counts.open, counts.listening), (1, 1, SOCKETS - 1));
    assert_eq!(sim.net.a.stack.traffic().syns_ignored, 2000);
    sim.abort(at);
    assert_nothing_left(&mut sim);
}

/// They take the places of those that could be put together; all else passes, and these do too when they have waited long enough.
#[test]
fn fragments_that_are_never_whole_take_no_more_than_their_places() {
    let mut sim = echo();
    let mut asker = Asker::new(&mut sim.net.b.stack, memory(4, 20_000)).unwrap();
    asker.bind(&mut sim.net.b.stack, 0).unwrap();
    let ask = |sim: &mut Sim, asker: &mut Asker, len| {
        let (peer, mut buf) = (sim::address(Side::A, ECHO), [0; 20_000]);
        asker.send(&mut sim.net.b.stack, peer, &pattern(len)).unwrap();
        sim.net.run_until(SECOND, |net| {
            asker.receive(&mut net.b.stack, peer, &mut buf) == Poll::Ready(len)
        })
    };
    let mut ident = 0_u16;
    let mut fragment = |sim: &mut Sim| {
        for _ in 0..10 {
            ident = ident.wrapping_add(1);
            let mut frame = ipv4(3 + (ident % 250) as u8, IpProtocol::Udp, &[7; 400]);
            let mut ip = smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]);
            ip.set_ident(ident);
            ip.set_more_frags(true);
            ip.set_frag_offset(ident % 3 * 400);
            ip.fill_checksum();
            inject(sim, &frame);
        }
    };
    for _ in 0..10 {
        assert!(served_while(&mut sim, &mut fragment) < SECOND);
        fragment(&mut sim);
        assert!(ask(&mut sim, &mut asker, 1000), "what is in one piece passes");
    }
    #[cfg(feature = "large-datagrams")]
    {
        sim.net.run(SECOND * 61);
        assert!(ask(&mut sim, &mut asker, 9000), "and so does this, then");
    }
    assert_nothing_left(&mut sim);
}
