//! The conversations.

use std::path::Path;
use std::process::Command;

use super::talk::Talk;
use super::{LINUX, STACK};

/// How many lines a server of everything says where it listens.
pub(super) const ENDPOINTS: usize = 13;

/// What python3 talks with.
const PYTHON: &str = r#"
import socket
STACK = "192.168.69.1"
def tcp(port, data, host=STACK):
    with socket.create_connection((host, port), 5) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while part := s.recv(65536):
            got += part
        return got
def udp(port, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(data, (STACK, port))
        return s.recv(65536)
"#;

/// A client's service, its arguments, what it is told, what it says.
type Asked = (&'static str, &'static [&'static str], &'static str, &'static str);

/// Those of our programs', the same on both networks.
const CLIENTS: &[Asked] = &[
    ("echo", &["echo"], "", "Closing connection to the server"),
    ("echo", &["echo", "--udp", "a datagram"], "", "received a datagram"),
    ("hello", &["hello", "World"], "", "Server says: I got \"World\" from you"),
    ("message", &["message"], "one\ntwo\n", "Message: one\nMessage: two\n"),
    ("fixed", &["fixed", "notes.txt"], "", "1 messages of 1234 bytes came back"),
    ("knock", &["knock", "--count", "1"], "", "Connected to "),
    ("typed", &["typed", "--string", "some text"], "", "accepted"),
    ("upload", &["upload", "notes.txt"], "", "notes.txt: 20 bytes stored"),
    ("file", &["file", "notes.txt", "-o", "copy.txt"], "", "The size of notes.txt is 20"),
    ("file", &["report-size", "notes.txt"], "", "The size of notes.txt is 20"),
    ("date", &["date"], "", "20"),
    ("logdate", &["logdate"], "", "20"),
    ("guess", &["guess", "--auto"], "", "63: CORRECT"),
    ("greet", &["greet"], "World\n", "World Ali"),
];

/// python3's: service, expression, what it says.
const PYTHONS: &[(&str, &str, &str)] = &[
    ("echo", r"len(tcp(9900, bytes(100000)))", "100000"),
    ("echo", r"len(udp(9900, bytes(65507)))", "65507"),
    ("echo", r#"tcp(9900, b'over IPv6', "fdaa::1")"#, "b'over IPv6'"),
    ("hello", r"tcp(65432, b'World').decode()", "I got \"World\" from you"),
    ("message", r"tcp(9001, b'one\n')", r"b'Message: one'"),
    ("fixed", r"len(tcp(9004, bytes(2468)))", "2468"),
    ("knock", r"tcp(9000, b'')", "b''"),
    ("typed", r"tcp(9002, b'\x01\x04\x00text')", "b''"),
    ("upload", r"tcp(9003, b'\x01\x05\x00a.txt\x02\x03abc')", "b'OK'"),
    ("file", r"tcp(6565, b'a.txt')", "b'abc'"),
    ("date", r"tcp(6015, b'?').decode()", "20"),
    ("logdate", r"tcp(6016, b'?').decode()", "20"),
    ("guess", r"udp(9905, b'50')", "b'HIGHER'"),
    ("greet", r"tcp(8888, b'World\n')", r"b'World Ali\r\n'"),
];

/// Linux's programs, with the stack that serves.
pub(super) fn with_the_stack(programs: &Path) -> Vec<Talk> {
    let mut talks = Vec::new();
    for host in [STACK, "fdaa::1"] {
        let args = ["-c", "1", "-W", "5", host];
        talks.push(other("ping", "ping", "iputils-ping", &args, "", " 0% packet loss", false));
    }
    talks.extend(clients(programs, "anywire", &["--host", STACK]));
    for &(service, expression, expected) in PYTHONS {
        let mut talk = other(service, "python3", "python3", &[], "", expected, false);
        talk.args = vec!["-c".to_owned(), format!("{PYTHON}print({expression})")];
        talk.shown = format!("python3: {expression}");
        talks.push(talk);
    }
    // Not every nc can end its side of the stream at the end of its input.
    let nc: &[&str] = if half_closes() { &["-N"] } else { &["-q", "1"] };
    for (service, port, input, expected) in [
        ("echo", "9900", "there and back\n", "there and back"),
        ("hello", "65432", "World", "I got \"World\" from you"),
        ("message", "9001", "one\n", "Message: one"),
        ("file", "6565", "notes.txt", "from "),
        ("date", "6015", "?", "20"),
        ("greet", "8888", "World\n", "World Ali"),
    ] {
        let args = [nc, &[STACK, port]].concat();
        talks.push(other(service, "nc", "netcat-openbsd", &args, input, expected, false));
    }
    for (service, port, input, expected) in [
        ("greet", "8888", "World\n", "World Ali"),
        ("message", "9001", "one\n", "Message: one"),
        ("echo", "9900", "there and back\n", "there and back"),
    ] {
        talks.push(other(service, "telnet", "telnet", &[STACK, port], input, expected, true));
        let url = format!("telnet://{STACK}:{port}");
        let args = ["--silent", "--no-buffer", "--max-time", "5", &url];
        talks.push(other(service, "curl", "curl", &args, input, expected, true));
    }
    talks
}

/// The stack's clients, with Linux that serves.
pub(super) fn with_linux(programs: &Path) -> Vec<Talk> {
    let mut talks = clients(programs, "anywire-tap", &["--host", LINUX]);
    let mut raw =
        other("echo", "anywire-tap", "", &["connect", LINUX, "9900"], "raw", "raw", false);
    raw.program = programs.join("anywire-tap").display().to_string();
    talks.push(raw);
    talks
}

fn clients(programs: &Path, program: &'static str, host: &[&str]) -> Vec<Talk> {
    let client = |&(service, args, input, expected): &Asked| {
        let args = [&["client"], args, host].concat();
        let mut talk = other(service, program, "", &args, input, expected, false);
        talk.program = programs.join(program).display().to_string();
        talk
    };
    CLIENTS.iter().map(client).collect()
}

fn other(
    service: &'static str,
    with: &'static str,
    package: &'static str,
    args: &[&str],
    input: &'static str,
    expected: &'static str,
    endless: bool,
) -> Talk {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    let shown = format!("{with} {}", args.join(" "));
    Talk { service, with, package, program: with.to_owned(), args, shown, input, expected, endless }
}

fn half_closes() -> bool {
    let help = Command::new("nc").arg("-h").output();
    help.is_ok_and(|help| {
        let said = [help.stdout, help.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // Its flags of one letter come first: usage: nc [-46...N...]
        let flags = said.split_once("[-").and_then(|(_, behind)| behind.split_once(']'));
        flags.is_some_and(|(flags, _)| flags.contains('N'))
    })
}
