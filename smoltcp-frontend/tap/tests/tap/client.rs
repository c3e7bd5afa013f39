//! The clients, against servers of Linux's.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::process::Stdio;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::{
    LINUX, LinuxServer, PATIENCE, anywire_tap, assert_fails, assert_output, run, sample, text,
};

crate::tests![
    client_echo_shows_what_comes_back,
    client_echo_over_udp,
    client_hello_asks_and_shows,
    client_file_stores_what_it_gets,
    client_upload_and_typed_store_what_they_are_given,
    client_upload_sends_on_while_it_waits_for_a_name,
    client_date_message_greet_and_knock_take_turns,
    client_fixed_sees_its_messages_again,
    client_guess_finds_the_number,
    client_report_size_has_two_connections,
    client_report_size_resets_hello_if_there_is_nothing_to_say,
    a_reset_in_the_middle_is_a_failure_and_leaves_no_file,
    connect_is_full_duplex_and_half_closes,
    connect_sees_a_reset,
    what_was_sent_arrives_though_the_peer_ends_first_and_reads_late,
    nobody_listening_is_refused_at_once,
    nobody_there_is_no_answer_in_time,
    a_lost_question_is_asked_again,
];

fn client_echo_shows_what_comes_back() {
    let _server = LinuxServer::start();
    let output = run(anywire_tap(&["client", "echo"]), b"");
    assert_output(
        &output,
        0,
        "Connecting to 192.168.69.100 port 9900\n\
         Sending Test message. This will be echoed\n\
         Received: Test message. Th\n\
         Received: is will be echoe\n\
         Received: d\n\
         Closing connection to the server\n",
    );
}

fn client_echo_over_udp() {
    let _server = LinuxServer::start();
    let output = run(anywire_tap(&["client", "echo", "--udp", "a datagram"]), b"");
    assert_output(
        &output,
        0,
        "Connecting to 192.168.69.100 port 9900\nSending a datagram\nreceived a datagram\n\
         Closing connection to the server\n",
    );
}

fn client_hello_asks_and_shows() {
    let _server = LinuxServer::start();
    let output = run(anywire_tap(&["client", "hello"]), b"from a pipe\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let reply = "Server says: I got \"from a pipe\" from you and I am sending it back.\n";
    assert!(said.starts_with("Connected to: 192.168.69.100 65432\n"), "{said}");
    assert!(said.ends_with(reply), "{said}");
}

fn client_file_stores_what_it_gets() {
    let server = LinuxServer::start();
    let here = tempfile::tempdir().unwrap();
    for len in [0, 583_163] {
        let content = sample(len);
        std::fs::write(server.folder.path().join("photo"), &content).unwrap();
        let mut client = anywire_tap(&["client", "file", "photo"]);
        client.current_dir(here.path());
        let output = run(client, b"");
        assert_output(&output, 0, &format!("The size of photo is {len}\n"));
        assert!(std::fs::read(here.path().join("photo")).unwrap() == content);
    }
}

fn client_upload_and_typed_store_what_they_are_given() {
    let server = LinuxServer::start();
    let here = tempfile::tempdir().unwrap();
    let content = sample(583_163);
    std::fs::write(here.path().join("photo"), &content).unwrap();
    std::fs::write(here.path().join("empty"), b"").unwrap();
    std::fs::create_dir(server.folder.path().join("taken")).unwrap();
    std::fs::write(here.path().join("taken"), b"").unwrap();
    let mut client = anywire_tap(&["client", "upload", "empty", "taken", "photo"]);
    client.current_dir(here.path());
    let output = run(client, b"");
    assert_output(&output, 1, "empty: 0 bytes stored\nphoto: 583163 bytes stored\n");
    assert!(text(&output.stderr).contains("taken: the server does not store it: "));
    assert!(std::fs::read(server.folder.path().join("photo")).unwrap() == content);

    let output = run(anywire_tap(&["client", "typed", "--string", "text"]), b"");
    assert_output(&output, 0, "STRING of 4 bytes: accepted\n");
    let output = run(anywire_tap(&["client", "typed", "--random", "1M"]), b"");
    assert_output(&output, 0, "DATA_3B of 1048576 bytes: accepted\n");
}

/// While nobody types the stack has work to do: what was written is in its rings, not in a kernel's.
fn client_upload_sends_on_while_it_waits_for_a_name() {
    // What fits into the client's ring, and not into the server's window.
    let content = sample(200_000);
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_recv_buffer_size(4096).unwrap();
    listener.set_reuse_address(true).unwrap();
    listener.bind(&SocketAddr::new(LINUX.parse().unwrap(), 9003).into()).unwrap();
    listener.listen(1).unwrap();
    let (all_there, received) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = TcpListener::from(listener).accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut name = [0; 3 + 5];
        stream.read_exact(&mut name).unwrap();
        stream.write_all(b"OK").unwrap();
        let mut data = vec![0; 4 + 200_000];
        let whole = stream.read_exact(&mut data).map(|()| data.split_off(4));
        all_there.send(whole).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("photo"), &content).unwrap();
    let mut client = anywire_tap(&["client", "upload"]);
    let mut client = client
        .current_dir(here.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut names = client.stdin.take().unwrap();
    // Two lines at once: the second is read with the first, and must not be waited for.
    names.write_all(b"\nphoto\n").unwrap();
    let whole = received.recv().unwrap();
    assert!(whole.expect("nothing was sent while it waited") == content);
    drop(names);
    let output = client.wait_with_output().unwrap();
    assert_output(&output, 0, "photo: 200000 bytes stored\n");
    server.join().unwrap();
}

fn client_date_message_greet_and_knock_take_turns() {
    let _server = LinuxServer::start();
    let output = run(anywire_tap(&["client", "date"]), b"");
    let said = text(&output.stdout);
    assert_output(&output, 0, &said);
    assert!(said.starts_with("20") && said.ends_with("Z\n"), "{said}");
    let output = run(anywire_tap(&["client", "message"]), b"one\n\nthree");
    assert_output(&output, 0, "Message: one\nMessage: \nMessage: three\n");
    let output = run(anywire_tap(&["client", "greet"]), b"one\n\nthree");
    assert_output(&output, 0, "one Ali\n Ali\nthree Ali\n");
    // More than there are streams, one after the other.
    let output = run(anywire_tap(&["client", "knock", "--count", "70"]), b"");
    assert_output(&output, 0, &"Connected to 192.168.69.100:9000\n".repeat(70));
}

fn client_fixed_sees_its_messages_again() {
    let _server = LinuxServer::start();
    let output = run(anywire_tap(&["client", "fixed"]), &sample(500_000));
    assert_output(&output, 0, "406 messages of 1234 bytes came back\n");
}

fn client_guess_finds_the_number() {
    let _server = LinuxServer::start();
    let output = run(anywire_tap(&["client", "guess", "--auto"]), b"");
    let said = text(&output.stdout);
    assert_output(&output, 0, &said);
    assert!(said.starts_with("50: HIGHER\n") && said.ends_with("63: CORRECT\n"), "{said}");
    let output = run(anywire_tap(&["client", "guess"]), b"64\n?\n63\n");
    let expected = "64: LOWER\n?: INVALID: that is no decimal number\n63: CORRECT\n";
    assert_output(&output, 0, expected);
}

/// One stack has both, and works for hello's while a name is waited for.
fn client_report_size_has_two_connections() {
    let server = LinuxServer::start();
    let content = sample(583_163);
    std::fs::write(server.folder.path().join("photo"), content).unwrap();
    let mut client = anywire_tap(&["client", "report-size"]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut name = client.stdin.take().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    name.write_all(b"photo\n").unwrap();
    drop(name);
    let output = client.wait_with_output().unwrap();
    let expected = "Server says: I got \"The size of photo is 583163\" from you and I am sending it \
                    back.\n";
    assert_output(&output, 0, expected);
}

fn client_report_size_resets_hello_if_there_is_nothing_to_say() {
    let listener = TcpListener::bind((LINUX, 7777)).unwrap();
    let hello = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind())
    });
    let _server = LinuxServer::start();
    let args = ["client", "report-size", "--hello-port", "7777", "absent"];
    assert_fails(&run(anywire_tap(&args), b""), "192.168.69.100 port 6565 reset the connection");
    assert_eq!(hello.join().unwrap(), Err(std::io::ErrorKind::ConnectionReset));
}

fn a_reset_in_the_middle_is_a_failure_and_leaves_no_file() {
    let listener = TcpListener::bind((LINUX, 6565)).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream.write_all(&sample(100_000)).unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let here = tempfile::tempdir().unwrap();
    let mut client = anywire_tap(&["client", "file", "photo"]);
    client.current_dir(here.path());
    let output = run(client, b"");
    server.join().unwrap();
    assert_fails(&output, "192.168.69.100 port 6565");
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0, "a file was left");
}

fn connect_is_full_duplex_and_half_closes() {
    let _server = LinuxServer::start();
    // More than all buffers on the way: it cannot all be sent before some is received.
    let sent = sample(20_000_000);
    let output = run(anywire_tap(&["connect", LINUX, "9900"]), &sent);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stdout == sent, "{} bytes came back", output.stdout.len());
    let output = run(anywire_tap(&["connect", LINUX, "9900", "--send", r"a\x00b\n"]), b"");
    assert_output(&output, 0, "a\0b\n");
}

fn connect_sees_a_reset() {
    let listener = TcpListener::bind((LINUX, 7777)).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let output = run(anywire_tap(&["connect", LINUX, "7777", "--send", "hi"]), b"");
    server.join().unwrap();
    assert_fails(&output, "reset");
}

/// Whoever lets go of its own end too early stalls, or never comes to an end; see `drive::early_end`.
fn what_was_sent_arrives_though_the_peer_ends_first_and_reads_late() {
    for (offload, at_once) in [("on", 64), ("on", 200_000), ("off", 64), ("off", 200_000)] {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // A small window: most of it stays with the client.
        listener.set_recv_buffer_size(4096).unwrap();
        listener.set_reuse_address(true).unwrap();
        listener.bind(&SocketAddr::new(LINUX.parse().unwrap(), 7777).into()).unwrap();
        listener.listen(1).unwrap();
        let listener = TcpListener::from(listener);
        let sent = sample(200_000);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // Time for a client that is in a hurry to leave.
            std::thread::sleep(Duration::from_millis(300));
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let (mut got, mut buf) = (Vec::new(), vec![0; at_once]);
            loop {
                match stream.read(&mut buf).unwrap() {
                    0 => return got,
                    len => got.extend_from_slice(&buf[..len]),
                }
            }
        });
        let output = run(anywire_tap(&["connect", LINUX, "7777", "--offload", offload]), &sent);
        assert_output(&output, 0, "");
        assert!(server.join().unwrap() == sent);
    }
}

fn nobody_listening_is_refused_at_once() {
    let begun = Instant::now();
    let output = run(anywire_tap(&["client", "hello", "x", "--timeout", "60"]), b"");
    assert_fails(&output, "cannot connect to 192.168.69.100 port 65432: connection refused");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

fn nobody_there_is_no_answer_in_time() {
    let args = ["client", "hello", "x", "--host", "192.168.69.50", "--timeout", "0.3"];
    let output = run(anywire_tap(&args), b"");
    assert_fails(&output, "cannot connect to 192.168.69.50 port 65432: no answer within 0.3 s");
    let args = ["client", "echo", "--udp", "--host", "192.168.69.50", "--timeout", "0.3"];
    let output = run(anywire_tap(&args), b"");
    assert_fails(&output, "cannot ask 192.168.69.50 port 9900: no answer within 0.3 s");
}

fn a_lost_question_is_asked_again() {
    let socket = UdpSocket::bind((LINUX, 9900)).unwrap();
    let server = std::thread::spawn(move || {
        let mut buf = [0; 64];
        let (_, first) = socket.recv_from(&mut buf).unwrap();
        let (len, again) = socket.recv_from(&mut buf).unwrap();
        assert_eq!(first, again);
        // A stranger's answer does not count.
        let stranger = UdpSocket::bind((LINUX, 0)).unwrap();
        stranger.send_to(b"not that", again).unwrap();
        socket.send_to(&buf[..len], again).unwrap();
    });
    let args = ["client", "echo", "--udp", "--timeout", "2", "again"];
    let output = run(anywire_tap(&args), b"");
    server.join().unwrap();
    assert!(text(&output.stdout).contains("received again\n"), "{}", text(&output.stderr));
}
