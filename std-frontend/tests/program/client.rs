//! `client`: against our servers, and against peers that behave otherwise.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};

use crate::harness::{Server, anywire, assert_output, peer, read_all, reset, run, text};

#[test]
fn echo_over_tcp() {
    let server = Server::start(&["echo=0"], 2);
    let port = server.port(0);
    let output = run(anywire(&["client", "echo", "--port", &port]), b"");
    assert_output(
        &output,
        0,
        &format!(
            "Connecting to 127.0.0.1 port {port}\n\
             Sending Test message. This will be echoed\n\
             Received: Test message. Th\n\
             Received: is will be echoe\n\
             Received: d\n\
             Closing connection to the server\n"
        ),
    );
}

#[test]
fn echo_over_udp_and_bytes_stay_bytes_in_a_pipe() {
    let server = Server::start(&["echo=0"], 2);
    let port = server.port(1);
    let args = ["client", "echo", "--udp", "--host", "localhost", "--port", &port, "\u{1b}é"];
    assert_output(
        &run(anywire(&args), b""),
        0,
        &format!(
            "Connecting to localhost port {port}\nSending \u{1b}é\nreceived \u{1b}é\n\
             Closing connection to the server\n"
        ),
    );
}

#[test]
fn a_lost_datagram_is_sent_again_from_the_same_port() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || {
        let mut buf = [0; 64];
        let (_, first) = socket.recv_from(&mut buf).unwrap();
        let (len, again) = socket.recv_from(&mut buf).unwrap();
        assert_eq!(first, again);
        // A stranger answers first, and is ignored.
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"wrong", again).unwrap();
        socket.send_to(&buf[..len], again).unwrap();
    });
    let args = ["client", "echo", "--udp", "--timeout", "2", "--port", &port, "right"];
    let output = run(anywire(&args), b"");
    assert!(text(&output.stdout).contains("received right\n"));
    server.join().unwrap();
}

#[test]
fn hello_says_what_it_is_given_or_asks() {
    let server = Server::start(&["hello=0"], 1);
    let port = server.port(0);
    let expected = format!(
        "Connected to: 127.0.0.1 {port}\n\
         Server says: I got \"Hi there\" from you and I am sending it back.\n"
    );
    let args = ["client", "hello", "--port", &port, "Hi there"];
    assert_output(&run(anywire(&args), b""), 0, &expected);
    // Nobody is there to be asked: no question.
    assert_output(&run(anywire(&args[..4]), b"Hi there\nmore\n"), 0, &expected);
}

#[test]
fn a_file_comes_whole() {
    let server = Server::start(&["file=0"], 1);
    let port = server.port(0);
    for len in [0, 1, 55_696, 583_163] {
        let body: Vec<u8> = (0..len).map(|at: u32| ((at * 7) >> 3) as u8).collect();
        std::fs::write(server.folder.path().join("photo.jpg"), &body).unwrap();
        let here = tempfile::tempdir().unwrap();
        let size = format!("The size of photo.jpg is {len}\n");

        let mut command = anywire(&["client", "file", "--port", &port, "photo.jpg"]);
        command.current_dir(here.path());
        assert_output(&run(command, b""), 0, &size);
        assert_eq!(std::fs::read(here.path().join("photo.jpg")).unwrap(), body);

        let mut command = anywire(&["client", "file", "--port", &port, "-o", "other"]);
        command.current_dir(here.path());
        assert_output(&run(command, b"photo.jpg\n"), 0, &size);
        assert_eq!(std::fs::read(here.path().join("other")).unwrap(), body);

        let output =
            run(anywire(&["client", "file", "--port", &port, "photo.jpg", "-o", "-"]), b"");
        assert_eq!((output.status.code(), output.stdout), (Some(0), body));
        assert_eq!(text(&output.stderr), size);
    }
}

#[test]
fn what_failed_leaves_no_file() {
    let here = tempfile::tempdir().unwrap();
    let fetch = |port: &str| {
        let mut command = anywire(&["client", "file", "--port", port, "--timeout", "0.5", "x"]);
        command.current_dir(here.path());
        let output = run(command, b"");
        assert_output(&output, 1, "");
        text(&output.stderr)
    };
    let server = Server::start(&["file=0"], 1);
    let said = fetch(&server.port(0));
    assert!(said.contains("no such file"), "{said}");

    // Some of it, then a reset.
    let (port, cut) = peer(|mut stream| {
        assert_eq!(read_all(&mut stream), b"x");
        // Some of it may be lost to the reset: in either case there is no file.
        stream.write_all(&[1; 1000]).unwrap();
        reset(stream);
    });
    let said = fetch(&port);
    assert!(said.contains("reset the connection"), "{said}");
    cut.join().unwrap();

    // Some of it, then nothing.
    let (port, silent) = peer(|mut stream| {
        stream.write_all(&[1; 1000]).unwrap();
        stream
    });
    let said = fetch(&port);
    assert!(said.contains("sent nothing for 0.5 s, after 1000 bytes"), "{said}");
    silent.join().unwrap();
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
}

#[test]
fn a_signal_leaves_no_file_either() {
    let here = tempfile::tempdir().unwrap();
    let (port, peer) = peer(|mut stream| {
        read_all(&mut stream);
        stream.write_all(&[1; 1000]).unwrap();
        stream
    });
    let mut command = anywire(&["client", "file", "--port", &port, "x"]);
    let mut child = command.current_dir(here.path()).spawn().unwrap();
    // It has begun its file before it has sent the name.
    let stream = peer.join().unwrap();
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 1);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
    drop(stream);
}

#[test]
fn a_server_that_is_not_there_or_says_nothing_is_exit_status_1() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port().to_string();
    drop(nobody);
    for service in ["echo", "hello", "file"] {
        let output =
            run(anywire(&["client", service, "--port", &port, "x", "--timeout", "1"]), b"");
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.starts_with("anywire: cannot connect to 127.0.0.1 port"), "{said}");
        assert!(said.contains("refused"), "{said}");
    }
    let output = run(anywire(&["client", "echo", "--udp", "--port", &port]), b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot ask 127.0.0.1 port"));

    let (port, silent) = peer(|stream| stream.shutdown(Shutdown::Read).map(|()| stream));
    let output = run(anywire(&["client", "hello", "--port", &port, "x", "--timeout", "0.2"]), b"");
    assert_output(&output, 1, &format!("Connected to: 127.0.0.1 {port}\n"));
    let said = text(&output.stderr);
    assert!(said.contains("did not answer within 0.2 s"), "{said}");
    silent.join().unwrap().unwrap();
}

#[test]
fn a_reset_is_a_failure() {
    for service in ["echo", "hello"] {
        let (port, peer) = peer(|mut stream| {
            stream.read_exact(&mut [0; 1]).unwrap();
            reset(stream);
        });
        let output = run(anywire(&["client", service, "--port", &port, "text"]), b"");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("reset"), "{}", text(&output.stderr));
        peer.join().unwrap();
    }
}
