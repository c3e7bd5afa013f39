//! `client upload`, against our server, and against peers that behave otherwise.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Stdio;

use crate::harness::{
    Server, anywire, anywire_with, assert_output, log_lines, nobody, peer, peers, read_all, reset,
    run, summed, text,
};

/// A folder with these files, each with its name as its body.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let here = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::write(here.path().join(name), name).unwrap();
    }
    here
}

/// Uploads `files` of the folder `here`; exit status, and what it wrote.
fn upload(here: &Path, port: &str, files: &[&str]) -> (Option<i32>, String, String) {
    let mut command = anywire(&["client", "upload", "--timeout", "5", "--port", port]);
    command.args(files).current_dir(here);
    let output = run(command, b"");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Takes a name as a server does, and says what it was.
fn take_name(stream: &mut TcpStream) -> String {
    let mut head = [0; 3];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 1, "not a STRING");
    let mut name = vec![0; u16::from_le_bytes([head[1], head[2]]).into()];
    stream.read_exact(&mut name).unwrap();
    text(&name)
}

/// Says OK, and takes a body of at most 255 bytes.
fn take_body(stream: &mut TcpStream) -> String {
    stream.write_all(b"OK").unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 2, "not DATA_1B");
    let mut body = vec![0; head[1].into()];
    stream.read_exact(&mut body).unwrap();
    text(&body)
}

#[test]
fn files_are_stored_over_one_connection() {
    let mut server = Server::start(&["upload=0", "--transcript", "-v"], 1);
    let here = folder(&["a.txt", "empty"]);
    std::fs::write(here.path().join("empty"), b"").unwrap();
    let big: Vec<u8> = (0..3_000_000u32).map(|at| ((at * 7) >> 3) as u8).collect();
    std::fs::create_dir(here.path().join("folder")).unwrap();
    std::fs::write(here.path().join("folder/big"), &big).unwrap();
    let (status, out, err) =
        upload(here.path(), &server.port(0), &["a.txt", "empty", "folder/big", "a.txt"]);
    let expected = "a.txt: 5 bytes stored\nempty: 0 bytes stored\nbig: 3000000 bytes stored\n\
                    a.txt: 5 bytes stored\n";
    // The progress is for terminals only.
    assert_eq!((status, out.as_str(), err.as_str()), (Some(0), expected, ""));
    let stored = |name: &str| std::fs::read(server.folder.path().join(name)).unwrap();
    assert_eq!((stored("a.txt"), stored("empty")), (b"a.txt".to_vec(), Vec::new()));
    assert!(stored("big") == big);

    let line = server.line();
    assert!(line.starts_with("upload ('127.0.0.1', "), "{line}");
    let said = "\"a.txt\", 5 bytes stored, \"empty\", 0 bytes stored, \"big\", 3000000 bytes stored, \
                \"a.txt\", 5 bytes stored, finished, ";
    assert!(line.contains(said), "{line}");
    let log = server.stop().1;
    // While they come, and in one line when it is over.
    let words =
        ["connected"].into_iter().chain(["receiving", "stored"].repeat(4)).chain(["4 files"]);
    let lines = log_lines(&log);
    assert_eq!(lines.len(), 10, "{log}");
    assert!(lines.iter().zip(words).all(|(line, word)| line.contains(word)), "{log}");
    assert!(lines[5].ends_with("  receiving \"big\""), "{log}");
    assert!(lines[6].ends_with("  stored \"big\", 3000000 bytes"), "{log}");
    let said = "  \"a.txt\" 5 bytes stored, \"empty\" 0 bytes stored, \"big\" 3000000 bytes stored, \
                \"a.txt\" 5 bytes stored, 4 files, 3000010 bytes, in ";
    assert!(lines[9].contains(said), "{log}");
    assert_eq!(
        (summed(&log, "upload", "finished"), summed(&log, "upload", "files stored")),
        (1, 4)
    );
}

#[test]
fn after_an_err_it_goes_on_and_fails_at_the_end() {
    let mut server = Server::start(&["upload=0"], 1);
    std::fs::create_dir(server.folder.path().join("b")).unwrap();
    let here = folder(&["a", "b", "c", "d"]);
    let (status, out, err) = upload(here.path(), &server.port(0), &["a", "b", "c", "d"]);
    assert_eq!(
        (status, err.as_str()),
        (Some(1), "anywire: b: the server does not store it: not a regular file\n")
    );
    assert_eq!(out, "a: 1 bytes stored\nc: 1 bytes stored\nd: 1 bytes stored\n");
    for name in ["a", "c", "d"] {
        let stored = std::fs::read(server.folder.path().join(name)).unwrap();
        assert_eq!(text(&stored), name);
    }
    // Two connections.
    let log = server.stop().1;
    assert_eq!(log_lines(&log).len(), 2, "{log}");
    assert_eq!(summed(&log, "upload", "finished"), 2, "{log}");
}

#[test]
fn names_come_from_standard_input() {
    let server = Server::start(&["upload=0"], 1);
    let here = folder(&["a", "b", "na\u{ef}ve"]);
    let mut command = anywire(&["client", "upload", "--port", &server.port(0)]);
    command.current_dir(here.path());
    let output = run(command, "a\n\n./b\nabsent\nna\u{ef}ve".as_bytes());
    assert_output(&output, 1, "a: 1 bytes stored\nb: 1 bytes stored\nna\u{ef}ve: 6 bytes stored\n");
    let said = "anywire: absent: No such file or directory (os error 2)\n";
    assert_eq!(text(&output.stderr), said);
    // Nothing to do is no failure, and no reason to connect.
    assert_output(&run(anywire(&["client", "upload", "--port", &nobody()]), b""), 0, "");
}

#[test]
fn what_cannot_be_sent_is_told_and_left_out() {
    let server = Server::start(&["upload=0"], 1);
    let here = folder(&["a", ".hidden", "z"]);
    std::fs::create_dir(here.path().join("folder")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, here.path().join("fifo"), fifo, mode, 0).unwrap();
    let wrong = ["absent", ".hidden", "folder", "fifo", "/"];
    let told = "anywire: absent: No such file or directory (os error 2)\n\
                anywire: .hidden: a name does not start with a dot\n\
                anywire: folder: is a directory\n\
                anywire: fifo: not a regular file\n\
                anywire: /: this names no file\n";
    let files = [&["a"][..], &wrong, &["z"]].concat();
    let (status, out, err) = upload(here.path(), &server.port(0), &files);
    assert_eq!((status, out.as_str()), (Some(1), "a: 1 bytes stored\nz: 1 bytes stored\n"));
    assert_eq!(err, told);
    // For these nobody is troubled.
    assert_eq!(upload(here.path(), &nobody(), &wrong), (Some(1), String::new(), told.to_owned()));
}

#[test]
fn a_reset_loses_the_file_that_was_being_sent_and_no_other() {
    let here = folder(&["a", "c"]);
    File::create(here.path().join("big")).unwrap().set_len(64 << 20).unwrap();
    let (port, server) = peers(|listener| {
        let mut stream = listener.accept().unwrap().0;
        assert_eq!((take_name(&mut stream), take_body(&mut stream)), ("a".into(), "a".into()));
        assert_eq!(take_name(&mut stream), "big");
        stream.write_all(b"OK").unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
        reset(stream);
        let mut stream = listener.accept().unwrap().0;
        assert_eq!((take_name(&mut stream), take_body(&mut stream)), ("c".into(), "c".into()));
        assert_eq!(read_all(&mut stream), b"");
    });
    let (status, out, err) = upload(here.path(), &port, &["a", "big", "c"]);
    assert_eq!((status, out.as_str()), (Some(1), "a: 1 bytes stored\nc: 1 bytes stored\n"));
    let told =
        format!("anywire: big: not stored: 127.0.0.1 port {port} reset the connection after ");
    assert!(err.starts_with(&told) && err.lines().count() == 1, "{err}");
    server.join().unwrap();
}

#[test]
fn a_name_that_waited_behind_an_unproven_file_is_tried_once_more() {
    let here = folder(&["a", "b", "c"]);
    for again in [true, false] {
        let (port, server) = peers(move |listener| {
            let mut stream = listener.accept().unwrap().0;
            assert_eq!((take_name(&mut stream), take_body(&mut stream)), ("a".into(), "a".into()));
            assert_eq!(take_name(&mut stream), "b");
            reset(stream);
            let mut stream = listener.accept().unwrap().0;
            assert_eq!(take_name(&mut stream), "b");
            if again {
                reset(stream);
                stream = listener.accept().unwrap().0;
            } else {
                assert_eq!(take_body(&mut stream), "b");
            }
            assert_eq!((take_name(&mut stream), take_body(&mut stream)), ("c".into(), "c".into()));
            assert_eq!(read_all(&mut stream), b"");
        });
        let (status, out, err) = upload(here.path(), &port, &["a", "b", "c"]);
        let why = format!("127.0.0.1 port {port} reset the connection");
        let first = format!("anywire: a: not known to be stored: {why}\n");
        if again {
            assert_eq!(out, "c: 1 bytes stored\n");
            assert_eq!(err, format!("{first}anywire: b: not stored: {why}\n"));
        } else {
            assert_eq!(out, "b: 1 bytes stored\nc: 1 bytes stored\n");
            assert_eq!(err, first);
        }
        assert_eq!(status, Some(1));
        server.join().unwrap();
    }
}

#[test]
fn a_reset_instead_of_the_end_leaves_the_last_file_unproven() {
    let here = folder(&["a"]);
    let (port, server) = peer(|mut stream| {
        assert_eq!((take_name(&mut stream), take_body(&mut stream)), ("a".into(), "a".into()));
        assert_eq!(read_all(&mut stream), b"");
        reset(stream);
    });
    let (status, out, err) = upload(here.path(), &port, &["a"]);
    let told =
        format!("anywire: a: not known to be stored: 127.0.0.1 port {port} reset the connection\n");
    assert_eq!((status, out, err), (Some(1), String::new(), told));
    server.join().unwrap();
}

#[test]
fn an_end_before_ours_proves_nothing() {
    let here = folder(&["a"]);
    let (port, server) = peer(|mut stream| {
        assert_eq!((take_name(&mut stream), take_body(&mut stream)), ("a".into(), "a".into()));
        stream.shutdown(Shutdown::Write).unwrap();
        stream
    });
    let mut command = anywire(&["client", "upload", "--port", &port]);
    let mut client = command
        .current_dir(here.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut names = client.stdin.take().unwrap();
    names.write_all(b"a\n").unwrap();
    // The end is there before there are no more names.
    let stream = server.join().unwrap();
    drop(names);
    let output = client.wait_with_output().unwrap();
    drop(stream);
    let told = format!(
        "anywire: a: not known to be stored: 127.0.0.1 port {port} ended the connection without an answer\n"
    );
    assert_output(&output, 1, "");
    assert_eq!(text(&output.stderr), told);
}

#[test]
fn a_server_that_says_nothing_costs_each_file_the_timeout_and_no_more() {
    let here = folder(&["a", "b"]);
    let (port, server) = peers(|listener| [(); 2].map(|()| listener.accept().unwrap().0));
    let mut command = anywire(&["client", "upload", "--timeout", "0.3", "--port", &port, "a", "b"]);
    command.current_dir(here.path());
    let output = run(command, b"");
    assert_output(&output, 1, "");
    let why = format!("127.0.0.1 port {port} did not answer within 0.3 s");
    let told = format!("anywire: a: not stored: {why}\nanywire: b: not stored: {why}\n");
    assert_eq!(text(&output.stderr), told);
    server.join().unwrap();
}

#[test]
fn a_server_that_takes_nothing_is_given_up() {
    let here = folder(&[]);
    File::create(here.path().join("big")).unwrap().set_len(64 << 20).unwrap();
    let (port, server) = peer(|mut stream| {
        take_name(&mut stream);
        stream.write_all(b"OK").unwrap();
        stream
    });
    let mut command = anywire(&["client", "upload", "--timeout", "0.3", "--port", &port, "big"]);
    command.current_dir(here.path());
    let output = run(command, b"");
    assert_output(&output, 1, "");
    let told =
        format!("anywire: big: not stored: 127.0.0.1 port {port} took nothing for 0.3 s, after ");
    let said = text(&output.stderr);
    assert!(said.starts_with(&told), "{said}");
    server.join().unwrap();
}

#[test]
fn the_servers_words_are_escaped_and_nonsense_is_no_answer() {
    let here = folder(&["a", "b", "c"]);
    let (port, server) = peers(|listener| {
        for words in [&b"ERR \x1b[31mno\xff\n"[..], b"HUH", b""] {
            let mut stream = listener.accept().unwrap().0;
            take_name(&mut stream);
            stream.write_all(words).unwrap();
        }
    });
    let (status, out, err) = upload(here.path(), &port, &["a", "b", "c"]);
    let server_is = format!("127.0.0.1 port {port}");
    let told = format!(
        "anywire: a: the server does not store it: \\x1b[31mno\\xff\n\
         anywire: b: not stored: {server_is} answered \"HUH\", where OK or ERR and a reason belongs\n\
         anywire: c: not stored: {server_is} ended the connection without an answer\n"
    );
    assert_eq!((status, out, err), (Some(1), String::new(), told));
    server.join().unwrap();
}

#[test]
fn a_file_that_becomes_shorter_is_not_passed_off_as_whole() {
    let here = folder(&["z"]);
    let path = here.path().join("big");
    let file = File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    let (port, server) = peers(move |listener| {
        let mut stream = listener.accept().unwrap().0;
        take_name(&mut stream);
        stream.write_all(b"OK").unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
        file.set_len(1).unwrap();
        let cut = stream.read_to_end(&mut Vec::new());
        assert_eq!(cut.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        let mut stream = listener.accept().unwrap().0;
        assert_eq!((take_name(&mut stream), take_body(&mut stream)), ("z".into(), "z".into()));
        assert_eq!(read_all(&mut stream), b"");
    });
    let (status, out, err) = upload(here.path(), &port, &["big", "z"]);
    assert_eq!((status, out.as_str()), (Some(1), "z: 1 bytes stored\n"), "{err}");
    assert!(err.contains("big: not stored: it became shorter while it was sent"), "{err}");
    server.join().unwrap();
}

#[test]
fn without_a_server_it_says_so_once_and_what_was_not_sent() {
    let here = folder(&["a", "b"]);
    let port = nobody();
    let (status, out, err) = upload(here.path(), &port, &["a", "absent", "b"]);
    let told = format!(
        "anywire: cannot connect to 127.0.0.1 port {port}: Connection refused (os error 111)\n\
         anywire: not sent: a, absent, b\n"
    );
    assert_eq!((status, out, err), (Some(1), String::new(), told));
}

#[test]
fn a_limit_for_files_fails_one_file_not_the_server() {
    // Blocks of 512 or of 1024 bytes.
    let server = Server::start_as(anywire_with("-f 8", &["serve"]), &["upload=0"], 1);
    let here = folder(&["small"]);
    std::fs::write(here.path().join("big"), [1; 100_000]).unwrap();
    let (status, out, err) = upload(here.path(), &server.port(0), &["big", "small"]);
    assert_eq!((status, out.as_str()), (Some(1), "small: 5 bytes stored\n"), "{err}");
    assert!(err.contains("anywire: big: not "), "{err}");
    let names = std::fs::read_dir(server.folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["small"]);
}

#[test]
fn a_limit_for_files_is_an_ordinary_error_to_a_client() {
    let server = Server::start(&["file=0"], 1);
    std::fs::write(server.folder.path().join("big"), [1; 100_000]).unwrap();
    let here = folder(&[]);
    let mut command = anywire_with("-f 8", &["client", "file", "--port", &server.port(0), "big"]);
    command.current_dir(here.path());
    let output = run(command, b"");
    assert_output(&output, 1, "");
    assert_eq!(text(&output.stderr), "anywire: cannot write big: File too large (os error 27)\n");
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
}
