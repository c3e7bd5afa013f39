//! What was asked for cannot be meant: exit status 2. And the rest of what needs no network.

use std::process::Stdio;

use anywire_core::datagram::DatagramService;
use anywire_core::service::{About, StreamService, Visitor, catalog};

use crate::harness::{anywire, assert_output, run, text, unread};

#[test]
fn wrong_usage_is_exit_status_2() {
    let cases: [(&[&str], &str); 27] = [
        (&["serve", "nothing"], "there are echo, hello, "),
        (&["serve", "--port", "1"], "--port needs one service"),
        (&["serve", "echo", "hello", "--port", "1"], "--port needs one service"),
        (&["serve", "--once"], "--once needs one service"),
        (&["serve", "echo=1", "--port", "2"], "given twice"),
        (&["serve", "echo=x"], "is no port"),
        (&["serve", "echo", "--bind", "nowhere.example"], "no address"),
        (&["serve", "--idle-timeout=-1"], "--idle-timeout"),
        (&["serve", "typed=0", "--schema", "other"], "[possible values: sized, close]"),
        (&["serve", "echo=0", "--schema", "close"], "typed, which is not served here"),
        (&["serve", "-q", "-v"], "cannot be used with"),
        (&["client", "echo", "--port", "0"], "--port"),
        (&["client", "nothing"], "nothing"),
        (&["client", "typed", "--string", "x", "--random", "1"], "cannot be used with"),
        (&["client", "typed", "--random", "many"], "a size is a number of bytes"),
        (&["client", "typed", "--schema", "other"], "[possible values: sized, close]"),
        (&["client", "file", "../up"], "say with -o"),
        (&["client", "fixed", "--length", "0"], "--length"),
        (&["client", "fixed", "--length", "65537"], "--length"),
        (&["client", "knock", "--count", "0"], "--count"),
        (&["client", "report-size", "--port", "1"], "--port"),
        (&["connect", "localhost"], "PORT"),
        (&["connect", "localhost:80"], "an argument of its own: localhost 80"),
        (&["connect", "[::1]:80", "80"], "an argument of its own: [::1] 80"),
        (&["connect", "http://localhost/", "80"], "a name or an address: localhost"),
        (&["connect", "localhost", "http"], "a number from 1 to 65535"),
        (&["connect", "localhost", "1", "--send", r"\q"], "backslash"),
    ];
    for (args, hint) in cases {
        let output = run(anywire(args), b"");
        assert_output(&output, 2, "");
        let said = text(&output.stderr);
        assert!(said.contains(hint), "{args:?}: {said}");
    }
}

#[test]
fn list_has_a_line_for_each_service() {
    /// Name, protocol and port, summary, of each.
    struct Expected(Vec<[String; 3]>);

    impl Visitor for Expected {
        fn stream<S: StreamService + Send + 'static>(&mut self, _: S) {
            let About { name, port, summary } = S::ABOUT;
            self.0.push([name.into(), format!("tcp {port}"), summary.into()]);
        }

        fn datagram<D: DatagramService + Send + 'static>(&mut self, _: D) {
            let About { name, port, summary } = D::ABOUT;
            self.0.push([name.into(), format!("udp {port}"), summary.into()]);
        }
    }

    let output = run(anywire(&["list"]), b"");
    let said = text(&output.stdout);
    let mut expected = Expected(Vec::new());
    catalog(&mut expected);
    for words in &expected.0 {
        let line = said.lines().find(|line| line.starts_with(&words[0]));
        assert!(line.is_some_and(|line| words.iter().all(|word| line.contains(word))), "{said}");
    }
    assert_eq!(
        said.lines().next(),
        Some("echo     tcp 9900, udp 9900  every byte, or datagram, comes back")
    );
    // With the options that are its own.
    let typed = said.lines().find(|line| line.starts_with("typed "));
    let expected =
        "typed    tcp 9002            you send a text or data with its type  --schema sized|close";
    assert_eq!(typed, Some(expected));
}

#[test]
fn help_and_version_succeed() {
    for args in [&["--help"][..], &["--version"], &["serve", "--help"], &["help", "client", "file"]]
    {
        let output = run(anywire(args), b"");
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("anywire"));
    }
}

#[test]
fn standard_output_that_nobody_reads_is_no_panic() {
    let output = anywire(&["list"]).stdout(unread()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(141), ""));
}

#[test]
fn a_full_standard_output_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = anywire(&["list"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("anywire: cannot write to standard output: "), "{said}");
}
