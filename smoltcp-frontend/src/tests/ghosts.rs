//! Peers that begin and vanish: who makes way for one who waits, and when.

use anywire_core::service::echo::Echo;
use anywire_core::service::file;
use smoltcp::wire::{TcpControl, TcpPacket};

use super::packets::{Segment, inject, segment_to, syn};
use super::*;
use crate::sim::Station;

const ECHO: u16 = 9900;

/// Peers that do nothing but what a test has them do.
#[derive(Default)]
pub(super) struct Ghosts {
    /// The server's number of the last SYN that it has sent.
    number: Rc<RefCell<u32>>,
    /// The ports of those to whom it has sent resets.
    resets: Rc<RefCell<Vec<u16>>>,
}

impl Ghosts {
    pub(super) fn watch(sim: &mut Sim) -> Self {
        let ghosts = Self::default();
        let (number, resets) = (ghosts.number.clone(), ghosts.resets.clone());
        let tap = move |_: anywire_core::instant::Instant, side: Side, frame: &[u8]| {
            if side == Side::A
                && let Some(Ok(tcp)) = frame.get(34..).map(TcpPacket::new_checked)
            {
                if tcp.syn() {
                    *number.borrow_mut() = tcp.seq_number().0 as u32;
                }
                if tcp.rst() {
                    resets.borrow_mut().push(tcp.dst_port());
                }
            }
        };
        sim.net.wire.watch(Box::leak(Box::new(tap)));
        ghosts
    }

    /// The end of a handshake that has been begun, with these bytes: to be acknowledged is one more than the number of the server's SYN.
    fn finish(&self, sim: &mut Sim, to: u16, from: u8, port: u16, payload: &[u8]) -> u32 {
        let first = self.number.borrow().wrapping_add(1);
        let control = TcpControl::None;
        let ack = Segment { control, port, seq: 8, ack: Some(first), payload };
        inject(sim, &segment_to(to, from, ack));
        first
    }

    /// Acknowledges all before that number, behind a name of two bytes.
    fn acknowledge(sim: &mut Sim, to: u16, from: u8, port: u16, number: u32) {
        let (control, ack) = (TcpControl::None, Some(number));
        let got = Segment { control, port, seq: 10, ack, payload: b"" };
        inject(sim, &segment_to(to, from, got));
    }

    /// Connects, and sends these bytes.
    pub(super) fn connect(
        &self,
        sim: &mut Sim,
        to: u16,
        from: u8,
        port: u16,
        payload: &[u8],
    ) -> u32 {
        let syn = Segment { control: TcpControl::Syn, port, seq: 7, ack: None, payload: b"" };
        inject(sim, &segment_to(to, from, syn));
        sim.net.run(MS);
        let first = self.finish(sim, to, from, port, payload);
        sim.net.run(MS * 100);
        first
    }
}

/// Opens a connection from each of these hosts to a pool, and lets them vanish. Says which resets were sent since, to which ports.
fn vanish(sim: &mut Sim, ports: &[u16]) -> Rc<RefCell<Vec<u16>>> {
    let ghosts = Ghosts::watch(sim);
    for (from, &port) in (11..).zip(ports) {
        ghosts.connect(sim, ECHO, from, port, b"");
    }
    assert_eq!(sim.counts().open, ports.len());
    ghosts.resets
}

/// Its SYN was first answered long ago, and one who waits for its socket comes right behind its own answer.
#[test]
fn a_handshake_that_is_finished_at_last_is_no_longer_half_open() {
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(Echo), 1, (2048, 2048), Settings::default())]);
    let ghosts = Ghosts::watch(&mut sim);
    inject(&mut sim, &syn(11, 1001, 7));
    sim.net.run(SECOND * 5);
    assert_eq!(sim.counts().opening, 1);
    ghosts.finish(&mut sim, ECHO, 11, 1001, b"");
    inject(&mut sim, &syn(12, 1002, 7));
    sim.net.run(MS);
    assert_eq!((sim.counts().open, sim.counts().dropped), (1, 0));
}

#[test]
fn a_handshake_that_its_peer_resets_comes_to_nothing() {
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(Echo), 1, (2048, 2048), Settings::default())]);
    inject(&mut sim, &syn(11, 1001, 7));
    sim.net.run(MS);
    assert_eq!((sim.counts().opening, sim.counts().dropped), (1, 0));
    let reset = Segment { control: TcpControl::Rst, port: 1001, seq: 8, ack: None, payload: b"" };
    inject(&mut sim, &segment_to(ECHO, 11, reset));
    sim.net.run(MS);
    assert_eq!((sim.counts().listening, sim.counts().dropped), (1, 1));
}

/// It has all that we had to say, and is waited for no longer than while the conversation lasts.
#[test]
fn who_acknowledges_our_end_late_is_given_as_long_to_end() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 1, (2048, 2048), Settings::default())]
    });
    sim.file("f", b"content");
    let ghosts = Ghosts::watch(&mut sim);
    let port = <file::File as StreamService>::ABOUT.port;
    let first = ghosts.connect(&mut sim, port, 11, 1001, b"f\n");
    sim.net.run(SECOND * 10);
    assert_eq!(sim.counts().closing, 1);
    // Our end is a byte behind the content's seven.
    Ghosts::acknowledge(&mut sim, port, 11, 1001, first + 8);
    sim.net.run(SECOND * 2 - MS);
    assert_eq!(sim.counts().closing, 1);
    sim.net.run(MS * 2);
    assert_eq!((sim.counts().listening, ghosts.resets.take()), (1, vec![]));
}

/// Of two who were sent a file and have vanished: there is nothing left but an end that can be lost.
#[test]
fn who_has_got_all_of_the_bytes_makes_way_first() {
    let mut sim = Sim::with_backlog(1, |stack| {
        vec![pool(stack, Watched(file::File), 2, (2048, 2048), Settings::default())]
    });
    sim.file("f", b"content");
    let ghosts = Ghosts::watch(&mut sim);
    let port = <file::File as StreamService>::ABOUT.port;
    ghosts.connect(&mut sim, port, 11, 1001, b"f\n");
    sim.net.run(SECOND);
    let first = ghosts.connect(&mut sim, port, 12, 1002, b"f\n");
    Ghosts::acknowledge(&mut sim, port, 12, 1002, first + 7);
    sim.net.run(SECOND * 20);
    assert_eq!(sim.counts().closing, 2);
    let at = sim.stream(512, 512);
    sim.dial(at, port);
    sim.connected(at).unwrap();
    assert_eq!((ghosts.resets.take(), sim.counts().closing), (vec![1002], 1));
}

/// Its connections are over as idle, but nobody acknowledges the FIN: the one with the longest silence makes way, and not at once.
#[test]
fn who_vanishes_does_not_keep_the_port_closed() {
    for backlog in [0, 4] {
        let mut settings = Settings::default();
        settings.limits.idle = Some(SECOND * 3);
        let mut sim = Sim::with_backlog(backlog, |stack| {
            vec![pool(stack, Watched(Echo), 2, (2048, 2048), settings)]
        });
        let resets = vanish(&mut sim, &[1001, 1002]);
        // A silence, and as long as the peer's end is awaited in the conversation.
        sim.net.run(SECOND * 3 + Settings::default().limits.drain);
        assert_eq!((sim.log.ends().len(), sim.counts().closing), (2, 2));
        let at = sim.stream(512, 512);
        sim.dial(at, ECHO);
        // The first one's ended 200 ms ago.
        sim.net.run(SECOND * 7 + MS * 700);
        assert_eq!((sim.counts().closing, resets.borrow().len()), (2, 0));
        let due = sim.net.a.endpoints[0].deadline().unwrap();
        assert!(due.saturating_since(sim.net.now()) <= MS * 300, "nobody else need wake it");
        if backlog > 0 {
            sim.net.run(MS * 300);
            assert_eq!((sim.counts().open, sim.counts().closing), (1, 1), "{:?}", sim.counts());
        }
        sim.connected(at).unwrap();
        sim.send(at, b"one");
        assert_eq!(sim.read_exact(at, 3), b"one");
        assert_eq!((resets.take(), sim.counts().closing), (vec![1001], 1));
        // Nobody else waits: the other one is waited for as ever.
        sim.net.run(SECOND * 2);
        assert_eq!((resets.take(), sim.counts().closing), (vec![], 1));
    }
}

/// The reset cannot leave as long as nobody says where the peer is: meanwhile one who waits is not promised a second socket.
#[test]
fn for_one_who_waits_one_socket_makes_way() {
    let mut settings = Settings::default();
    settings.limits.idle = Some(SECOND * 70);
    let mut sim =
        Sim::with_backlog(4, |stack| vec![pool(stack, Watched(Echo), 2, (2048, 2048), settings)]);
    let _resets = vanish(&mut sim, &[1001, 1002]);
    // By the end of the silence its address is forgotten.
    sim.net.run(SECOND * 80);
    assert_eq!(sim.counts().closing, 2);
    let at = sim.stream(512, 512);
    sim.dial(at, ECHO);
    sim.connected(at).unwrap();
    let counts = sim.counts();
    assert_eq!((counts.open, counts.closing, counts.listening), (1, 1, 0), "{counts:?}");
}

/// Two services, each with one socket and one peer who has vanished: their resets leave in one poll, and with it both who wait get an answer.
#[test]
fn who_waits_is_let_in_with_the_poll_that_makes_way() {
    const OTHER: u16 = 9901;
    let mut settings = Settings::default();
    settings.limits.idle = Some(SECOND * 3);
    let mut sim = Sim::with_backlog(4, |stack| {
        [ECHO, OTHER]
            .map(|port| pool_on(port, stack, Watched(Echo), 1, (2048, 2048), settings))
            .into()
    });
    let ghosts = Ghosts::watch(&mut sim);
    let syn_to = |sim: &mut Sim, to: u16, from: u8| {
        let syn = Segment { control: TcpControl::Syn, port: 1001, seq: 7, ack: None, payload: b"" };
        inject(sim, &segment_to(to, from, syn));
        sim.net.run(MS);
    };
    let begun = [(ECHO, 11), (OTHER, 12)].map(|(to, from)| {
        syn_to(&mut sim, to, from);
        (to, from, Some(ghosts.number.borrow().wrapping_add(1)))
    });
    for (to, from, ack) in begun {
        let done = Segment { control: TcpControl::None, port: 1001, seq: 8, ack, payload: b"" };
        inject(&mut sim, &segment_to(to, from, done));
    }
    sim.net.run(SECOND * 6);
    for (to, from) in [(ECHO, 13), (OTHER, 14)] {
        syn_to(&mut sim, to, from);
    }
    let Net { a, wire, .. } = &mut sim.net;
    let due = a.endpoints[0].deadline().unwrap();
    assert_eq!((a.endpoints[1].deadline(), a.stack.waiting()), (Some(due), 2));
    a.poll(due, &mut wire.end(Side::A));
    assert_eq!((ghosts.resets.take(), a.stack.waiting()), (vec![1001; 2], 0));
    for endpoint in &*a.endpoints {
        assert_eq!(endpoint.counts().opening, 1, "{}", endpoint.port());
        assert!(endpoint.deadline().is_some_and(|next| next > due), "there is nothing more to do");
    }
}

/// Nothing is on its way to it: it may take its time, as long as it has, though others wait.
#[test]
fn who_has_acknowledged_all_has_not_vanished() {
    let mut settings = Settings::default();
    settings.limits.drain = SECOND * 20;
    let mut sim = Sim::with_backlog(1, |stack| {
        vec![pool(stack, Watched(file::File), 1, (2048, 2048), settings)]
    });
    sim.file("f", b"content");
    let ghosts = Ghosts::watch(&mut sim);
    let port = <file::File as StreamService>::ABOUT.port;
    let first = ghosts.connect(&mut sim, port, 11, 1001, b"f\n");
    sim.net.run(SECOND * 25);
    assert_eq!(sim.counts().closing, 1, "the conversation is over");
    // The content's seven bytes, and the end.
    Ghosts::acknowledge(&mut sim, port, 11, 1001, first + 8);
    sim.net.run(MS);
    let at = sim.stream(512, 512);
    sim.dial(at, port);
    sim.net.run(SECOND * 19);
    assert_eq!((sim.counts().closing, ghosts.resets.borrow().len()), (1, 0));
    sim.connected(at).unwrap();
    assert_eq!(ghosts.resets.take(), vec![]);
}

/// What has to be asked whether it is still there, and says nothing, is not there.
#[test]
fn a_handshake_that_keep_alive_gives_up_comes_to_nothing() {
    let settings = Settings { keep_alive: Some(SECOND), ..Settings::default() };
    let mut sim = Sim::new(|stack| vec![pool(stack, Watched(Echo), 1, (2048, 2048), settings)]);
    inject(&mut sim, &syn(11, 1001, 7));
    sim.net.run(SECOND * 5);
    let counts = sim.counts();
    assert_eq!((counts.listening, counts.dropped, counts.served), (1, 1, 0), "{counts:?}");
}

/// To the microsecond: at its time, and not when the clock has gone on.
#[test]
fn who_is_given_up_is_given_up_when_its_time_is_over() {
    let mut settings = Settings { close: SECOND * 80, ..Settings::default() };
    settings.limits.idle = Some(SECOND * 3);
    let mut sim = Sim::new(|stack| vec![pool(stack, Watched(Echo), 1, (2048, 2048), settings)]);
    let _resets = vanish(&mut sim, &[1001]);
    sim.net.run(SECOND * 10);
    assert_eq!(sim.counts().closing, 1);
    // First of its end. By then its address is forgotten, so the reset cannot leave; then of that.
    for _ in 0..2 {
        let Net { a, wire, .. } = &mut sim.net;
        let due = a.endpoints[0].deadline().unwrap();
        a.poll(due, &mut wire.end(Side::A));
        let next = a.endpoints[0].deadline();
        assert!(next.is_none_or(|next| next > due), "{next:?} {due:?}");
    }
    assert_eq!(sim.counts().listening, 1);
}
