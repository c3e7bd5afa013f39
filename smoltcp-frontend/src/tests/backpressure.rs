//! Rings that wrap, rings that are full, and peers that do not take turns.

use anywire_core::conversation::Limits;
use anywire_core::exchange::Exchange;
use anywire_core::request::{Answer, Request, Stop};
use anywire_core::service::echo::Echo;
use anywire_core::service::file;
use anywire_core::service::hello::Hello;
use anywire_core::session::{Next, Phase, Reason, Session};

use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer};
use smoltcp::wire::{IpAddress, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::packets::{SEGMENT, ethernet, inject, packet};
use super::*;
use crate::sim::Station;

fn ring(len: usize) -> SocketBuffer<'static> {
    SocketBuffer::new(leak(vec![0; len]))
}

/// Answers with each run of 48 bytes, and holds the bytes of one that is not whole.
#[derive(Clone, Copy)]
struct Runs;
struct RunsSession;
const RUN: usize = 48;

impl StreamService for Runs {
    type Session = RunsSession;
    const ABOUT: About = About { name: "runs", port: 48, summary: "" };
    fn open(&self) -> RunsSession {
        RunsSession
    }
}

impl Session for RunsSession {
    const HOLD: usize = RUN;
    const ROOM: usize = RUN;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        let input = io.input();
        match input.get(..RUN) {
            Some(run) if io.put_all(&[run]) => {
                io.take(RUN);
                Next::Progress
            }
            Some(_) => Next::Wait(Phase::Inside, None),
            None if io.ended() => Next::Finish,
            None => Next::Wait(Phase::Head, None),
        }
    }
}

/// A ring of 64 bytes and runs of 48: all but every fourth straddles the place where the ring wraps. `Watched` sees
/// every byte that is not offered again.
#[test]
fn untaken_bytes_are_offered_again_whole_where_the_ring_wraps() {
    for cut in [1, 7, 31, 47, 48, 49, 63] {
        let mut sim =
            Sim::new(|stack| vec![pool(stack, Watched(Runs), 1, (64, 64), Settings::default())]);
        let text = pattern(RUN * 20);
        let at = sim.connect(48);
        let mut got = Vec::new();
        for part in text.chunks(cut) {
            sim.send(at, part);
            sim.net.run(MS * 20);
            let whole = (got.len()..text.len()).len();
            if whole > 0 && sim.streams[at].readable(&mut sim.net.b.stack).is_ready() {
                got.extend(sim.read(at).unwrap());
            }
        }
        sim.shutdown(at);
        got.extend(sim.read_all(at).unwrap());
        assert_eq!(got, text, "cut {cut}");
        assert_eq!(sim.log.ends(), [End::Finished]);
    }
}

/// More has come than is offered at once, and the FIN with it.
#[test]
fn the_end_is_offered_only_with_the_last_of_the_input() {
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(Runs), 1, (512, 512), Settings::default())]);
    let at = sim.connect(48);
    let text = pattern(RUN * 5);
    sim.send(at, &text[..1]);
    sim.net.run(MS);
    let stack = &mut sim.net.b.stack;
    assert_eq!(sim.streams[at].write(stack, &text[1..]), Poll::Ready(Ok(text.len() - 1)));
    sim.shutdown(at);
    assert_eq!(sim.read_all(at), Ok(text));
    assert_eq!(sim.log.ends(), [End::Finished]);
}

/// Asks when a byte comes, and answers with as much as the ring holds; the answer to the ask comes with a full ring.
#[derive(Clone, Copy)]
struct Full;
#[derive(Default)]
struct FullSession {
    left: usize,
    asked: bool,
}

impl StreamService for Full {
    type Session = FullSession;
    const ABOUT: About = About { name: "full", port: 77, summary: "" };
    fn open(&self) -> FullSession {
        FullSession::default()
    }
}

impl Session for FullSession {
    const HOLD: usize = 1;
    fn step(&mut self, io: &mut Exchange<'_>) -> Next {
        if self.asked {
            // Room or not: the answer is taken now, or never.
            assert!(matches!(io.answer(), Some(Answer::Refused(_))));
            assert_eq!(io.room(), 0, "the test is about a full ring");
            self.asked = false;
            self.left = 5;
            return Next::Progress;
        }
        if self.left > 0 {
            self.left -= io.put(&b"later"[5 - self.left..]);
            return if self.left > 0 { Next::Wait(Phase::Inside, None) } else { Next::Finish };
        }
        if io.input().is_empty() {
            return Next::Wait(Phase::Between, None);
        }
        io.take(1);
        io.put(&[b'.'; 512]);
        self.asked = true;
        Next::Ask
    }
    fn request<'a>(&'a self, _: &'a [u8]) -> Option<Request<'a>> {
        Some(Request::Log { time: b"now", text: b"line" })
    }
}

#[test]
fn an_answer_that_comes_while_the_send_ring_is_full_is_not_lost() {
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(Full), 1, (64, 512), Settings::default())]);
    let at = sim.stream(100, 100);
    sim.dial(at, 77);
    sim.connected(at).unwrap();
    sim.send(at, b"x");
    let all = sim.read_all(at).unwrap();
    assert_eq!((all.len(), &all[512..]), (517, &b"later"[..]));
}

#[test]
fn a_peer_that_never_reads_stops_itself_and_nobody_else() {
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(Echo), 2, (1024, 1024), Settings::default())]);
    let greedy = sim.stream(1024, 65_535);
    sim.dial(greedy, 9900);
    sim.connected(greedy).unwrap();
    let peer = sim.peer(greedy);
    let other = sim.connect(9900);
    let mut sent = 0;
    let mut write = |sim: &mut Sim| {
        let stack = &mut sim.net.b.stack;
        if let Poll::Ready(Ok(n)) = sim.streams[greedy].write(stack, &[7; 65_535]) {
            sent += n;
        }
        sent
    };
    for round in 0..50 {
        write(&mut sim);
        let before = sim.net.now();
        sim.send(other, b"at my pace");
        assert_eq!(sim.read_exact(other, 10), b"at my pace");
        assert_eq!(sim.net.now(), before, "round {round}");
        sim.net.run(MS * 10);
    }
    // What it has sent is in four rings, and nowhere else.
    assert!(write(&mut sim) <= 65_535 + 3 * 1024, "{sent}");
    // Output that is not taken counts as idle, and with something owed an end would lie.
    sim.net.run(SECOND * 310);
    let end = sim.log.of(peer).pop();
    assert!(matches!(end, Some(Told::Ended(End::Aborted(Reason::Unread), ..))), "{end:?}");
}

#[test]
fn a_file_for_a_peer_that_stops_reading_is_given_up_in_time() {
    let limits = Limits { idle: Some(SECOND * 3), ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(file::File), 1, (2048, 2048), settings)]);
    sim.file("f", &pattern(60_000));
    let at = sim.stream(1024, 512);
    sim.dial(at, 6565);
    sim.connected(at).unwrap();
    sim.send(at, b"f\n");
    sim.net.run(SECOND * 4);
    let ends = sim.log.ends();
    assert!(
        matches!(
            ends[..],
            [End::Aborted(Reason::Cut { stop: anywire_core::request::Stop::TimedOut, .. })]
        ),
        "{ends:?}"
    );
    assert_eq!(sim.read_all(at), Err(StreamError::Reset));
    assert_eq!(sim.counts().listening, 1);
}

#[test]
fn a_slow_reader_gets_all_of_it_however_long_it_takes() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 1, (2048, 8192), Settings::default())]
    });
    sim.file("f", &pattern(20_000));
    let at = sim.stream(1000, 512);
    sim.dial(at, 6565);
    sim.connected(at).unwrap();
    sim.send(at, b"f\n");
    let mut got = Vec::new();
    // The conversation has long put all it has into the ring and is done; what is in the ring is owed all the same.
    while got.len() < 20_000 {
        sim.net.run(SECOND * 4);
        got.extend(sim.read(at).unwrap());
    }
    assert_eq!(got, pattern(20_000));
    assert_eq!(sim.read(at), Ok(Vec::new()));
}

#[test]
fn a_peer_that_takes_a_little_now_and_then_is_not_idle() {
    let limits = Limits { idle: Some(SECOND * 3), ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let mut sim = Sim::new(|stack| vec![pool(stack, Watched(Echo), 1, (4096, 4096), settings)]);
    let at = sim.stream(512, 4096);
    sim.dial(at, 9900);
    sim.connected(at).unwrap();
    sim.send(at, &pattern(4000));
    let mut got = Vec::new();
    while got.len() < 4000 {
        sim.net.run(SECOND * 2);
        got.extend(sim.read(at).unwrap());
    }
    assert_eq!(got, pattern(4000));
}

#[test]
fn a_peer_that_never_writes_is_ended_when_its_time_is_up() {
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(Hello), 1, (2048, 2048), Settings::default())]);
    let at = sim.connect(65432);
    let before = sim.net.now();
    let (stream, mut buf) = (&mut sim.streams[at], [0; 8]);
    let mut got = Poll::Pending;
    assert!(sim.net.run_until(SECOND * 400, |net| {
        got = stream.read(&mut net.b.stack, &mut buf);
        got.is_ready()
    }));
    assert_eq!(got, Poll::Ready(Ok(0)), "an end, and not a reset");
    assert_eq!(sim.net.now().saturating_since(before).as_secs(), 300);
    sim.shutdown(at);
    sim.net.run(MS);
    assert_eq!(sim.log.ends(), [End::Idle]);
}

#[test]
fn a_peer_that_vanishes_is_missed_if_keep_alive_is_on() {
    let settings = Settings { keep_alive: Some(SECOND * 5), ..Settings::default() };
    let mut sim = Sim::new(|stack| vec![pool(stack, Watched(Echo), 1, (512, 512), settings)]);
    let here = sim.connect(9900);
    sim.net.run(SECOND * 60);
    assert_eq!(sim.log.ends(), [], "one that is there answers, and stays");
    let _ = here;
    // Only the server lives on.
    let mut time = sim.net.now();
    for _ in 0..30 {
        time = time + SECOND;
        sim::Station::poll(&mut sim.net.a, time, &mut sim.net.wire.end(Side::A));
    }
    assert_eq!(sim.log.ends(), [End::Vanished]);
    assert_eq!(sim.counts().listening, 1);
}

/// Nothing acknowledges what is on its way, or comes in the middle of a body; and one that resets its connection meanwhile is there.
#[test]
fn a_peer_that_vanishes_in_the_middle_of_something_is_missed_as_such() {
    let settings = Settings { keep_alive: Some(SECOND * 5), ..Settings::default() };
    let mut sim = Sim::new(|stack| {
        vec![
            pool(stack, Watched(Hello), 1, (1024, 2048), settings),
            pool(stack, Watched(file::File), 1, (1024, 1024), settings),
            pool(stack, Watched(Echo), 1, (512, 512), settings),
        ]
    });
    sim.file("a", &pattern(20_000));
    let hello = sim.connect(65432);
    let echo = sim.connect(9900);
    // It reads nothing, so the body is on its way for ever.
    let file = sim.stream(1000, 512);
    sim.dial(file, 6565);
    sim.connected(file).unwrap();
    sim.send(file, b"a\n");
    sim.net.run(SECOND);
    sim.abort(echo);
    sim.net.run(SECOND);
    assert_eq!(sim.log.ends(), [End::Reset]);
    sim.send(hello, b"x");
    // It leaves, and nothing of the answer arrives.
    let mut time = sim.net.now();
    sim::Station::poll(&mut sim.net.b, time, &mut sim.net.wire.end(Side::B));
    for _ in 0..60 {
        time = time + SECOND;
        sim::Station::poll(&mut sim.net.a, time, &mut sim.net.wire.end(Side::A));
    }
    let mut ends = sim.log.ends();
    ends.sort_by_key(|end| matches!(end, End::Aborted(_)));
    assert!(
        matches!(
            ends[..],
            [End::Reset, End::Vanished, End::Aborted(Reason::Cut { stop: Stop::Vanished, .. })]
        ),
        "{ends:?}"
    );
}

/// A peer that has ended its side and reads slowly: its window opens while our FIN waits behind what the ring holds.
#[test]
fn a_slow_reader_that_has_ended_does_not_stall() {
    let content = pattern(20_000);
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 1, (4096, 4096), Settings::default())]
    });
    sim.file("a", &content);
    let at = sim.stream(4096, 4096);
    sim.dial(at, <file::File as StreamService>::ABOUT.port);
    sim.connected(at).unwrap();
    let begun = sim.net.now();
    sim.send(at, b"a\n");
    sim.shutdown(at);
    let mut got = Vec::new();
    loop {
        // The window is full before anything is read.
        sim.net.run(MS * 10);
        match sim.read(at).unwrap() {
            some if some.is_empty() => break,
            some => got.extend(some),
        }
    }
    assert!(got == content);
    let took = sim.net.now().saturating_since(begun);
    assert!(took < MS * 200, "{took:?}: it waited for a window probe");
}

/// Its last message waits, with its end, until there is room for the answer. Until then it is not asked again and again.
#[test]
fn who_has_ended_and_does_not_read_is_left_alone() {
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(Hello), 1, (2048, 2048), Settings::default())]);
    let at = sim.stream(64, 4096);
    sim.dial(at, <Hello as StreamService>::ABOUT.port);
    sim.connected(at).unwrap();
    sim.send(at, &pattern(2048));
    sim.shutdown(at);
    sim.net.run(MS * 100);
    let (now, Net { a, .. }) = (sim.net.now(), &mut sim.net);
    let next = a.poll_at(now);
    assert!(next.is_some_and(|next| next > now), "{next:?} {now:?}");
    let answers = sim.read_all(at).unwrap();
    assert_eq!(answers.windows(5).filter(|word| word == b"I got").count(), 2);
}

/// The same to a server that ends first and takes a little at a time: all of ours is in the ring when our side is shut down.
#[test]
fn what_is_owed_to_a_server_that_has_ended_and_reads_slowly_does_not_stall() {
    let mut sim = Sim::new(|_| vec![]);
    let mut socket = Socket::new(ring(2000), ring(64));
    socket.listen(4321).unwrap();
    let server = sim.net.a.stack.add(socket).unwrap();
    let at = sim.stream(64, 20_000);
    sim.dial(at, 4321);
    sim.connected(at).unwrap();
    sim.net.a.stack.sockets.get_mut::<Socket<'_>>(server).close();
    assert_eq!(sim.read(at), Ok(Vec::new()));
    let (begun, content) = (sim.net.now(), pattern(20_000));
    sim.send(at, &content);
    sim.shutdown(at);
    let (mut got, mut buf) = (Vec::new(), [0; 2000]);
    loop {
        // The window is full before anything is read.
        sim.net.run(MS * 20);
        let socket = sim.net.a.stack.sockets.get_mut::<Socket<'_>>(server);
        match socket.recv_slice(&mut buf) {
            Ok(len) => got.extend_from_slice(&buf[..len]),
            Err(RecvError::Finished) => break,
            Err(error) => panic!("{error} after {} bytes", got.len()),
        }
        let _ = sim.streams[at].lingers(&mut sim.net.b.stack);
    }
    assert!(got == content);
    let took = sim.net.now().saturating_since(begun);
    assert!(took < MS * 500, "{took:?}: it waited for a window probe");
}

/// Its window is shut for minutes, and it says so whenever it is asked: it is neither idle nor gone, and nothing waits once it reads.
#[test]
fn a_window_that_opens_after_minutes_is_used_at_once() {
    let content = pattern(20_000);
    let settings = Settings { keep_alive: Some(SECOND * 20), ..Settings::default() };
    let mut sim =
        Sim::new(|stack| vec![pool(stack, Watched(file::File), 1, (2048, 8192), settings)]);
    sim.file("f", &content);
    let at = sim.stream(1000, 512);
    sim.dial(at, 6565);
    sim.connected(at).unwrap();
    sim.send(at, b"f\n");
    sim.net.run(SECOND * 200);
    let opened = sim.net.now();
    assert!(sim.read_all(at).unwrap() == content);
    let took = sim.net.now().saturating_since(opened);
    assert!(took < MS * 200, "{took:?}");
}

/// Linux, out of room, has dropped the first segment, and opens its window with each ACK that tells of that: none of them is a duplicate.
#[test]
fn a_hole_is_filled_at_once_though_the_window_moves() {
    let mut sim = Sim::new(|stack| {
        vec![pool(stack, Watched(file::File), 1, (2048, 16_384), Settings::default())]
    });
    sim.file("a", &pattern(20_000));
    let sent = Rc::<RefCell<Vec<TcpSeqNumber>>>::default();
    let seen = sent.clone();
    let tap = move |_: anywire_core::instant::Instant, side: Side, frame: &[u8]| {
        if side == Side::A
            && let Some(Ok(tcp)) = frame.get(34..).map(TcpPacket::new_checked)
        {
            seen.borrow_mut().push(tcp.seq_number());
        }
    };
    sim.net.wire.watch(Box::leak(Box::new(tap)));
    let to = TcpRepr { dst_port: 6565, ..SEGMENT };
    let hear = |sim: &mut Sim, tcp: &TcpRepr<'_>| {
        let [peer, local] = [9, 1].map(|last| IpAddress::v4(10, 0, 0, last));
        inject(sim, &ethernet(9, &packet(peer, local, tcp)));
        sim.net.run(MS);
    };
    let syn = TcpRepr { control: TcpControl::Syn, sack_permitted: true, ..to };
    hear(&mut sim, &TcpRepr { window_len: 8000, max_seg_size: Some(1460), ..syn });
    let first = sent.borrow().last().copied().unwrap() + 1;
    let ack = TcpRepr { seq_number: SEGMENT.seq_number + 1, ack_number: Some(first), ..to };
    hear(&mut sim, &TcpRepr { payload: b"a\n", window_len: 8000, ..ack });
    let times = || sent.borrow().iter().filter(|&&seq| seq == first).count();
    // What only acknowledges has that number, too.
    let before = times();
    let seq_number = ack.seq_number + 2;
    let end = |len: i32| (first + len as usize).0 as u32;
    for (window_len, len) in [(1000, 4000), (1100, 5000), (1200, 6000)] {
        assert_eq!(times(), before + usize::from(window_len > 1100));
        // Two segments behind the hole may have overtaken what is missing.
        let len = if window_len == 1000 { 1460 + 2900 } else { len };
        let sack_ranges = [Some((end(1460), end(len))), None, None];
        hear(&mut sim, &TcpRepr { seq_number, window_len, sack_ranges, ..ack });
    }
    assert_eq!(times(), before + 1, "once is enough");
}
