//! `client typed`, against our server, and against peers that behave otherwise.

use std::io::{Read, Write};
use std::path::PathBuf;

use crate::harness::{
    Server, anywire, assert_output, nobody, peer, read_all, reset, run, summed, text,
};

/// What the server has stored.
fn stored(server: &Server) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(server.folder.path()).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.len() == 12 && name.ends_with(".bin"), "{name}");
    }
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn a_string_is_accepted_and_told() {
    let mut server = Server::start(&["typed=0", "--transcript"], 1);
    let port = server.port(0);
    let longest = "x".repeat(4096);
    for (given, len) in [("-h\u{e9}llo\u{1b}", 8), ("", 0), (&longest, 4096)] {
        let args = ["client", "typed", "--port", &port, "--string", given];
        let accepted = format!("STRING of {len} bytes: accepted\n");
        assert_output(&run(anywire(&args), b""), 0, &accepted);
    }
    let line = server.line();
    assert!(line.starts_with("typed ('127.0.0.1', "), "{line}");
    assert!(line.contains("): \"-h\u{e9}llo\\x1b\", finished, 11 bytes in"), "{line}");
    assert!(server.line().contains("): \"\", finished, 3 bytes in"));
    assert_eq!(stored(&server), [b""; 0]);
}

#[test]
fn data_is_stored_as_it_was_in_either_schema() {
    let here = tempfile::tempdir().unwrap();
    let path = here.path().join("any name.bin");
    for (schema, rows) in [("sized", ["DATA_1B", "DATA_2B", "DATA_3B"]), ("close", ["DATA"; 3])] {
        for (len, row) in [0, 300, 1 << 20].into_iter().zip(rows) {
            let server = Server::start(&["typed=0", "--schema", schema], 1);
            let body: Vec<u8> = (0..len).map(|at: u32| ((at * 7) >> 3) as u8).collect();
            std::fs::write(&path, &body).unwrap();
            let mut command = anywire(&["client", "typed", "--schema", schema]);
            command.args(["--port", &server.port(0), "--file"]).arg(&path);
            let output = run(command, b"");
            assert_output(&output, 0, &format!("{row} of {len} bytes: accepted\n"));
            assert_eq!(text(&output.stderr), "");
            assert!(stored(&server) == [body], "{schema}, {len} bytes");
        }
    }
}

#[test]
fn the_schemas_option_reaches_the_server() {
    // In the other schema this would be a body of 3 bytes, and what follows nobody's.
    let server = Server::start(&["typed=0", "--schema", "close"], 1);
    let mut stream = server.connect(0);
    stream.write_all(b"\x02\x03abcdefg").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    assert_eq!(stored(&server), [b"\x03abcdefg"]);
}

#[test]
fn random_bytes_are_as_many_as_were_asked_for_and_others_each_time() {
    let server = Server::start(&["typed=0"], 1);
    let port = server.port(0);
    for _ in 0..2 {
        let args = ["client", "typed", "--port", &port, "--random", "1M"];
        assert_output(&run(anywire(&args), b""), 0, "DATA_3B of 1048576 bytes: accepted\n");
    }
    let bodies = stored(&server);
    assert_eq!(bodies.iter().map(Vec::len).collect::<Vec<_>>(), [1 << 20; 2]);
    assert!(bodies[0] != bodies[1]);
    // No piece of it comes twice, either.
    let (first, second) = bodies[0].split_at(1 << 19);
    assert!(first != second);
}

#[test]
fn without_an_option_it_asks_a_connection_each() {
    let mut server = Server::start(&["typed=0"], 1);
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("file"), b"body").unwrap();
    let mut command = anywire(&["client", "typed", "--port", &server.port(0)]);
    command.current_dir(here.path());
    let output = run(command, b"string\n a b \nfile\nfile\n random \n 70000 \nstring\nlast");
    let expected = "STRING of 5 bytes: accepted\nDATA_1B of 4 bytes: accepted\n\
                    DATA_3B of 70000 bytes: accepted\nSTRING of 4 bytes: accepted\n";
    assert_output(&output, 0, expected);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(summed(&server.stop().1, "typed", "finished"), 4);
}

#[test]
fn what_cannot_be_meant_does_not_end_the_asking() {
    let server = Server::start(&["typed=0"], 1);
    let port = server.port(0);
    let long = "x".repeat(4097);
    let input =
        format!("what\nrandom\nmany\nfile\n/absent\nstring\n{long}\nstring\nok\n\nstring\nno");
    let output = run(anywire(&["client", "typed", "--port", &port]), input.as_bytes());
    // An empty line ends it.
    assert_output(&output, 1, "STRING of 2 bytes: accepted\n");
    let said = text(&output.stderr);
    let told = [
        "anywire: \"what\" is none of string, random, file",
        "anywire: a size is a number of bytes",
        "anywire: /absent: No such file or directory",
        "anywire: a STRING has at most 4096 bytes, this has 4097",
    ];
    assert_eq!(said.lines().count(), told.len(), "{said}");
    assert!(said.lines().zip(told).all(|(line, told)| line.starts_with(told)), "{said}");
}

#[test]
fn too_long_a_string_is_wrong_usage_and_nobody_is_troubled() {
    let long = "x".repeat(4097);
    let output = run(anywire(&["client", "typed", "--port", &nobody(), "--string", &long]), b"");
    assert_output(&output, 2, "");
    let said = text(&output.stderr);
    assert!(said.contains("a STRING has at most 4096 bytes, this has 4097"), "{said}");
}

#[test]
fn a_file_that_is_none_is_told_before_connecting() {
    for (path, why) in [("/absent", "No such file or directory"), ("/", "is a directory")] {
        let output = run(anywire(&["client", "typed", "--port", &nobody(), "--file", path]), b"");
        assert_output(&output, 1, "");
        let said = text(&output.stderr);
        assert!(said.starts_with(&format!("anywire: {path}: {why}")), "{said}");
    }
}

#[test]
fn a_reset_is_not_accepted() {
    for (option, value, sent) in [
        ("--string", "text", "STRING of 4 bytes"),
        ("--random", "64M", "DATA_4B of 67108864 bytes"),
    ] {
        let (port, server) = peer(|mut stream| {
            stream.read_exact(&mut [0; 4]).unwrap();
            reset(stream);
        });
        let output = run(anywire(&["client", "typed", "--port", &port, option, value]), b"");
        assert_output(&output, 1, "");
        let said = text(&output.stderr);
        let told =
            format!("anywire: {sent}: not accepted: 127.0.0.1 port {port} reset the connection");
        assert!(said.starts_with(&told), "{said}");
        server.join().unwrap();
    }
}

#[test]
fn our_server_accepts_nothing_that_is_longer_than_it_takes() {
    let server = Server::start(&["typed=0", "--max-file", "1000"], 1);
    let args = ["client", "typed", "--port", &server.port(0), "--random", "1001"];
    let output = run(anywire(&args), b"");
    assert_output(&output, 1, "");
    assert!(text(&output.stderr).contains("DATA_2B of 1001 bytes: not accepted: "));
    assert_eq!(stored(&server), [b""; 0]);
}

#[test]
fn a_server_that_says_nothing_has_not_accepted() {
    let (port, server) = peer(|mut stream| {
        let sent = read_all(&mut stream);
        (stream, sent)
    });
    let args = ["client", "typed", "--timeout", "0.3", "--port", &port, "--string", "text"];
    let output = run(anywire(&args), b"");
    assert_output(&output, 1, "");
    let told = format!(
        "anywire: STRING of 4 bytes: not known to be accepted: 127.0.0.1 port {port} did not answer within 0.3 s\n"
    );
    assert_eq!(text(&output.stderr), told);
    assert_eq!(server.join().unwrap().1, b"\x01\x04\0text");
}

#[test]
fn an_end_before_the_whole_message_accepts_nothing() {
    let (port, server) = peer(|mut stream| {
        stream.read_exact(&mut [0; 1000]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // More than is on its way: the last byte is sent behind our end.
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
    });
    let output = run(anywire(&["client", "typed", "--port", &port, "--random", "64M"]), b"");
    assert_output(&output, 1, "");
    let told = format!(
        "anywire: DATA_4B of 67108864 bytes: not accepted: 127.0.0.1 port {port} ended the connection without an answer\n"
    );
    assert_eq!(text(&output.stderr), told);
    server.join().unwrap();
}
