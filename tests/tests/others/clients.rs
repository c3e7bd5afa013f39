//! Their clients, our servers.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anywire_tests::programs::Served;
use rustix::process::{Pid, Signal, kill_process};

use crate::net::Net;

/// A program, and what it says to our servers.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// As a shell has it: `$H` is the host, `$A` the same in brackets where it is one of IPv6, `$P` the port.
    command: &'static str,
    talks: &'static [Talk],
    /// The same with its input open: over TCP or, where that goes without, over UDP.
    chat: Option<(&'static str, &'static [&'static str])>,
    /// Whether it tells a reset from an end, by its exit status.
    tells: bool,
}

/// What is said with it to a service, as a script of bash's with `$C` for the program, and what comes of it.
type Talk = (&'static str, &'static str, &'static str);

pub(crate) const PROGRAMS: [Program; 6] = [
    Program {
        name: "ncat",
        command: "ncat $H $P",
        talks: &STREAMS,
        tells: true,
        chat: Some(("udp", &["ncat", "-u", "$H", "$P"])),
    },
    Program {
        name: "nc",
        command: "nc -N $H $P",
        talks: &STREAMS,
        tells: false,
        chat: Some(("udp", &["nc", "-u", "$H", "$P"])),
    },
    Program {
        name: "socat",
        command: "socat -t 60 - TCP:$A:$P",
        talks: &STREAMS,
        tells: false,
        chat: Some(("udp", &["socat", "-", "UDP:$A:$P"])),
    },
    Program {
        name: "python3",
        command: "python3 -c \"$SCRIPT\" $H $P",
        talks: &STREAMS,
        tells: true,
        chat: None,
    },
    Program {
        name: "curl",
        command: "",
        talks: &GOPHER,
        tells: false,
        chat: Some(("tcp", &["curl", "-sN", "telnet://$A:$P"])),
    },
    Program {
        name: "telnet",
        command: "",
        talks: &[],
        tells: false,
        chat: Some(("tcp", &["telnet", "$H", "$P"])),
    },
];

/// A peer of ten lines.
const PEER: &str = "
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 60) as s:
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    while part := s.recv(65536):
        sys.stdout.buffer.write(part)
";

/// With a program that sends its input, ends its side, and shows what comes to the end.
const STREAMS: [Talk; 14] = [
    ("echo", "printf 'there and back' | $C", "there and back"),
    ("echo", "$C <song.mp3 | cmp - song.mp3", ""),
    ("hello", "printf World | $C", "I got \"World\" from you and I am sending it back."),
    ("message", r"printf 'one\ntwo\n' | $C", "Message: oneMessage: two"),
    ("fixed", "head -c 12340 song.mp3 | $C | cmp - <(head -c 12340 song.mp3)", ""),
    ("knock", "$C </dev/null", ""),
    ("typed", r"printf '\1\4\0text' | $C", ""),
    ("typed", r"(printf '\5\4\0\0\0'; printf body) | $C; cat *.bin | grep -c body", "1\n"),
    ("upload", r"printf '\1\5\0a.txt\2\3abc' | $C; cat a.txt", "OKabc"),
    ("upload", r"printf '\1\4\0../x' | $C", "ERR a name has no / or \\ in it\n"),
    ("file", "printf song.mp3 | $C | cmp - song.mp3", ""),
    ("date", "printf '?' | $C | grep -Ec '^20[0-9-]{8}T[0-9:]{8}[+-][0-9:]{5}$'", "1\n"),
    ("logdate", "printf '?' | $C | grep -Ec '^20'; grep -c '\"?\"' logs/log0.txt", "1\n1\n"),
    ("greet", r"printf 'World\n' | $C", "World Ali\r\n"),
];

/// What has no such file, and what is no whole message: not a byte more than was owed.
const RESETS: [Talk; 2] =
    [("file", "printf absent | $C", ""), ("typed", r"printf '\1\4\0tex' | $C", "")];

/// gopher sends a name and a newline, and takes what comes to the end: that is file.
const GOPHER: [Talk; 2] = [
    ("file", "curl -s --max-time 60 gopher://$A:$P/1song.mp3 | cmp - song.mp3", ""),
    // 56: failure in receiving network data.
    ("file", "curl -s --max-time 60 gopher://$A:$P/1absent || echo $?", "56\n"),
];

/// What is said with the input open until the answer is there.
const CHATS: [(&str, &str, &str, &str); 7] = [
    ("greet", "tcp", "World\n", "World Ali"),
    ("message", "tcp", "one\n", "Message: one"),
    ("echo", "tcp", "there and back\n", "there and back"),
    ("echo", "udp", "there and back", "there and back"),
    ("guess", "udp", "41", "HIGHER"),
    ("guess", "udp", "42\n", "CORRECT"),
    ("guess", "udp", "forty-two", "INVALID: "),
];

impl Program {
    pub(crate) fn talk(self, net: Net) {
        let _tap = net.reserve();
        let dir = tempfile::tempdir().unwrap();
        let served = net.serve(dir.path(), &[]);
        let said = |service: &str, script: &str, command: &str| {
            self.run(net, dir.path(), &served, service, script, command)
        };
        for (service, script, expected) in self.talks {
            let (said, success) = said(&format!("{service} tcp"), script, self.command);
            assert_eq!(
                said.escape_default().to_string(),
                expected.escape_default().to_string(),
                "{script}"
            );
            assert!(success, "{script}");
        }
        if !self.command.is_empty() {
            for (service, script, expected) in RESETS {
                let (said, success) = said(&format!("{service} tcp"), script, self.command);
                assert_eq!((said.as_str(), success && self.tells), (expected, false), "{script}");
            }
        }
        let Some((over, command)) = self.chat else { return };
        for (service, protocol, input, expected) in CHATS {
            if protocol == over {
                let port = served.port(&format!("{service} {protocol}"));
                let command: Vec<_> = command.iter().map(|word| filled(word, net, port)).collect();
                chat(&command, input, expected);
            }
        }
    }

    /// Runs a script with this program in it; says what was said, and whether all of it went well.
    fn run(
        self,
        net: Net,
        dir: &Path,
        served: &Served,
        endpoint: &str,
        script: &str,
        command: &str,
    ) -> (String, bool) {
        let script = script.replace("$C", &format!("timeout 60 {command}"));
        let mut bash = Command::new("bash");
        bash.args(["-uo", "pipefail", "-c", &filled(&script, net, served.port(endpoint))]);
        let output = bash.current_dir(dir).env("SCRIPT", PEER).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into(), output.status.success())
    }
}

fn filled(text: &str, net: Net, port: u16) -> String {
    let host = net.ours();
    text.replace("$H", host).replace("$A", &net.bracketed(host)).replace("$P", &port.to_string())
}

/// Says something, and waits for the answer with the input open.
fn chat(command: &[String], input: &str, expected: &str) {
    let mut program = Command::new("timeout");
    program.arg("60").args(command).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    let (mut said, mut buf) = (Vec::new(), [0; 1024]);
    while !String::from_utf8_lossy(&said).contains(expected) {
        let n = child.stdout.as_mut().unwrap().read(&mut buf).unwrap();
        assert!(n > 0, "{command:?}: {} instead of {expected}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buf[..n]);
    }
    // `timeout` passes that on.
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
}
