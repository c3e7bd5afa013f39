//! The life of a server: its limits, its workers, its end.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anywire_core::event::End;
use anywire_core::service::{echo::Echo, hello::Hello};
use anywire_core::session::Reason;
use anywire_core::store::NoStore;
use anywire_std::engine::{Options, Server};

use super::{REPLY, TIMEOUT, Watched, serve, short};

#[test]
fn what_only_the_kernel_has_for_a_peer_that_does_not_read_is_unsent() {
    let options = short(500, 500);
    let server = serve(options, Watched(Echo));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.addr.into()).unwrap();
    // More than the peer has room for, and less than would stay with the server.
    (&socket).write_all(&[7; 30_000]).unwrap();
    assert_eq!(server.end(), End::Aborted(Reason::Unread));
    // Whoever reads is idle in good order.
    let mut peer = server.connect();
    peer.write_all(&[7; 30_000]).unwrap();
    peer.read_exact(&mut [0; 30_000]).unwrap();
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    drop(peer);
    assert_eq!(server.end(), End::Idle);
}

#[test]
fn at_the_limit_of_connections_others_wait_and_are_served_then() {
    let options = Options { max_connections: 2, ..Options::default() };
    let server = serve(options, Watched(Hello));
    let (first, _second) = (server.connect(), server.connect());
    let mut third = server.connect();
    third.write_all(b"x").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(third.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(first);
    third.set_read_timeout(Some(TIMEOUT)).unwrap();
    third.read_exact(&mut [0; REPLY.len()]).unwrap();
}

#[test]
fn stopping_ends_the_idle_lets_the_busy_finish_and_aborts_what_takes_too_long() {
    let options = Options { grace: Duration::from_millis(500), ..Options::default() };
    let server = serve(options, Watched(Echo));
    let mut idle = server.connect();
    idle.write_all(b"x").unwrap();
    idle.read_exact(&mut [0; 1]).unwrap();
    let mut stuck = server.connect();
    stuck.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    while stuck.write(&[0; 65536]).is_ok() {}
    let begun = Instant::now();
    server.stopper.stop();
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
    drop(idle);
    assert_eq!(server.end(), End::Stopped);
    assert_eq!(server.end(), End::Aborted(Reason::Stopped));
    assert!(begun.elapsed() >= Duration::from_millis(500));
}

#[test]
fn once_serves_one_and_ends() {
    let options = Options { once: true, ..Options::default() };
    let mut server = serve(options, Watched(Hello));
    let mut stream = server.connect();
    stream.write_all(b"x").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).unwrap();
    assert_eq!(got, REPLY);
    let thread = server.thread.take().unwrap();
    thread.join().unwrap();
    server.thread = Some(std::thread::spawn(|| {}));
}

#[test]
fn workers_share_a_port_and_a_port_in_use_is_an_error() {
    let options = Options { workers: 3, ..Options::default() };
    let server = serve(options, Watched(Hello));
    for _ in 0..30 {
        let mut stream = server.connect();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; REPLY.len()]).unwrap();
    }
    let mut second = Server::new(options, NoStore, Arc::new(())).unwrap();
    let error = second.bind_stream(Hello, server.addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn at_the_limit_the_next_is_served_as_soon_as_one_has_ended() {
    let options = Options { max_connections: 1, ..Options::default() };
    let server = serve(options, Watched(Hello));
    let round = || {
        let streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
        let begun = Instant::now();
        for mut stream in streams {
            stream.write_all(b"x").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        begun.elapsed()
    };
    // Resting after each would take 5 s, each time.
    assert!((0..5).any(|_| round() < Duration::from_secs(3)));
}

#[test]
fn what_was_sent_before_the_stop_comes_back() {
    let server = serve(Options::default(), Watched(Echo));
    let mut stream = server.connect();
    let mut writer = stream.try_clone().unwrap();
    let stopper = server.stopper.clone();
    let sending = std::thread::spawn(move || {
        for round in 0..200 {
            writer.write_all(&[round as u8; 65_536]).unwrap();
            if round == 20 {
                stopper.stop();
            }
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    sending.join().unwrap();
    assert_eq!(got.len(), 200 * 65_536);
}
