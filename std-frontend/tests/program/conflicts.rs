//! What keeps a server from starting is told at once, and the command line that is proposed then works.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{anywire, run, text};

/// What was told, and the line that was proposed.
struct Refused {
    problems: Vec<String>,
    how: String,
    line: String,
}

#[track_caller]
fn refused(here: &Path, args: &[&str]) -> Refused {
    let mut command = anywire(args);
    command.current_dir(here);
    let output = run(command, b"");
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{said}");
    // Behind the log.
    let lines: Vec<_> = said.lines().filter(|line| !line.contains(" warning: ")).collect();
    let [problems @ .., how, line] = &lines[..] else { panic!("{said}") };
    assert!(problems.iter().all(|problem| problem.starts_with("anywire: ")), "{said}");
    let problems = problems.iter().map(|problem| (*problem).to_owned()).collect();
    let line = line.strip_prefix("  ").unwrap_or_else(|| panic!("no line is proposed: {said}"));
    Refused { problems, how: (*how).to_owned(), line: line.to_owned() }
}

impl Refused {
    /// The proposed line without the program.
    #[track_caller]
    fn words(&self) -> &str {
        let program = env!("CARGO_BIN_EXE_anywire");
        self.line.strip_prefix(program).unwrap_or_else(|| panic!("{}", self.line)).trim_start()
    }

    /// Runs it as a shell does; what listens then, `SERVICE PROTO ADDR:PORT`.
    #[track_caller]
    fn listening(&self, here: &Path, endpoints: usize) -> Vec<String> {
        assert_eq!(self.how, "This command line avoids it:");
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {}", self.line)])
            .current_dir(here)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines: Vec<_> = stdout.lines().take(endpoints).map(Result::unwrap).collect();
        assert_eq!(lines.len(), endpoints, "{}", self.line);
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let listening = lines.iter().map(|line| line.strip_prefix("listening ").unwrap());
        listening.map(str::to_owned).collect()
    }
}

/// A port that is taken for streams, and by what.
fn taken_stream() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The same for datagrams.
fn taken_datagram() -> (UdpSocket, u16) {
    let (listener, port) = taken_stream();
    let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    drop(listener);
    (socket, port)
}

#[test]
fn all_of_them_at_once_and_the_line_keeps_the_options() {
    let here = tempfile::tempdir().unwrap();
    let ((_stream, stream), (_datagram, datagram)) = (taken_stream(), taken_datagram());
    let services = [format!("echo={datagram}"), "greet=0".into(), format!("message={stream}")];
    let options = ["--dir", "it's mine", "-v", "--reply-prefix=-> ", "--utc", "date=0"];
    let args = ["serve", &services[0], &services[1], "--grace=1", &services[2]];
    let refused = refused(here.path(), &[&args[..], &options].concat());
    assert_eq!(refused.problems.len(), 2, "{:?}", refused.problems);
    assert!(refused.problems[0].contains(&format!("echo on 127.0.0.1:{datagram}: ")));
    assert!(refused.problems[0].contains(", over udp; "), "{}", refused.problems[0]);
    assert!(refused.problems[1].contains(&format!("message on 127.0.0.1:{stream}: ")));
    let options = r#" date=0 --grace 1 --dir "it's mine" -v --reply-prefix='-> ' --utc"#;
    assert!(refused.words().ends_with(options), "{}", refused.line);

    let listening = refused.listening(here.path(), 5);
    let services: Vec<_> = listening.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(services, ["echo", "echo", "greet", "message", "date"]);
    // One port for both protocols.
    assert_eq!(listening[0].replace("tcp", "udp"), listening[1]);
}

#[test]
fn services_on_one_port_are_parted() {
    let here = tempfile::tempdir().unwrap();
    let (listener, port) = taken_stream();
    drop(listener);
    let (hello, date) = (format!("hello={port}"), format!("date={port}"));
    let refused = refused(here.path(), &["serve", &hello, &date]);
    let [problem] = &refused.problems[..] else { panic!("{:?}", refused.problems) };
    let told = format!("cannot serve date on 127.0.0.1:{port}: another of these services, hello, ");
    assert!(problem.contains(&told), "{problem}");
    assert!(refused.words().starts_with(&format!("serve {hello} date")), "{}", refused.line);
    let listening = refused.listening(here.path(), 2);
    assert_eq!(listening[0], format!("hello tcp 127.0.0.1:{port}"));
}

#[test]
fn what_was_given_by_port_and_bind_stays_so() {
    let here = tempfile::tempdir().unwrap();
    let (_stream, port) = taken_stream();
    let args = ["serve", "hello", "--port", &port.to_string(), "--bind", "127.0.0.1", "--once"];
    let refused = refused(here.path(), &args);
    let words: Vec<_> = refused.words().split(' ').collect();
    let ["serve", "hello", "--port", other, "--bind", "127.0.0.1", "--once"] = words[..] else {
        panic!("{}", refused.line)
    };
    assert_ne!(other, port.to_string());
    assert_eq!(refused.listening(here.path(), 1), [format!("hello tcp 127.0.0.1:{other}")]);
}

#[test]
fn an_address_of_ones_own_stays() {
    let here = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = refused(here.path(), &["serve", &format!("hello=[::1]:{port}")]);
    let listening = refused.listening(here.path(), 1);
    assert!(listening[0].starts_with("hello tcp [::1]:"), "{listening:?}");
}

#[test]
fn all_services_can_be_had_beside_what_is_there() {
    let here = tempfile::tempdir().unwrap();
    // An address that no other test uses, so that its default ports are there to be taken.
    let _echo = TcpListener::bind("127.86.1.9:9900").unwrap();
    let _guess = UdpSocket::bind("127.86.1.9:9905").unwrap();
    let refused = refused(here.path(), &["serve", "--bind", "127.86.1.9"]);
    assert_eq!(refused.problems.len(), 2, "{:?}", refused.problems);
    assert_eq!(
        refused.words(),
        "serve echo=9901 hello message fixed knock typed upload file date logdate guess=9906 greet \
         --bind 127.86.1.9"
    );
    assert_eq!(refused.listening(here.path(), 13).len(), 13);
}

#[test]
fn what_no_port_can_avoid_is_told_with_the_rest() {
    let here = tempfile::tempdir().unwrap();
    let (_stream, port) = taken_stream();
    std::fs::write(here.path().join("file"), b"").unwrap();
    let upload = format!("upload={port}");
    let args = ["serve", "file=192.0.2.1:0", &upload, "--dir", "file"];
    let refused = refused(here.path(), &args);
    assert_eq!(refused.problems.len(), 3, "{:?}", refused.problems);
    assert!(refused.how.starts_with("When the rest is put right, "), "{}", refused.how);
    assert!(refused.words().starts_with("serve file=192.0.2.1:0 upload"), "{}", refused.line);
}
