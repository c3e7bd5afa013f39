//! What is known of the services before anybody connects, and what is said of what went wrong.

use std::net::SocketAddr;

use anywire_core::datagram::DatagramService;
use anywire_core::event::Host;
use anywire_core::exchange::Exchange;
use anywire_core::instant::Instant;
use anywire_core::request::{Answer, Refusal, Stop};
use anywire_core::service::{
    SettingError, StreamService, Visitor, catalog, date, echo, file, greet, guess, hello, logdate,
    message,
};
use anywire_core::session::{Breach, Halt, Reason, advance};

#[derive(Default)]
struct Listed(Vec<(&'static str, &'static str, u16)>);

impl Visitor for Listed {
    fn stream<S: StreamService + Send + 'static>(&mut self, mut service: S) {
        self.0.push((S::ABOUT.name, "tcp", S::ABOUT.port));
        assert_eq!(service.set("no-such-thing", "true"), Err(SettingError::Unknown));
    }

    fn datagram<D: DatagramService + Send + 'static>(&mut self, mut service: D) {
        self.0.push((D::ABOUT.name, "udp", D::ABOUT.port));
        assert_eq!(service.set("no-such-thing", "true"), Err(SettingError::Unknown));
    }
}

#[test]
fn every_service_is_listed_on_the_labs_port() {
    let mut listed = Listed::default();
    catalog(&mut listed);
    let expected = [
        ("echo", "tcp", 9900),
        ("echo", "udp", 9900),
        ("hello", "tcp", 65432),
        ("message", "tcp", 9001),
        ("fixed", "tcp", 9004),
        ("knock", "tcp", 9000),
        ("typed", "tcp", 9002),
        ("upload", "tcp", 9003),
        ("file", "tcp", 6565),
        ("date", "tcp", 6015),
        ("logdate", "tcp", 6016),
        ("guess", "udp", 9905),
        ("greet", "tcp", 8888),
    ];
    assert_eq!(listed.0, expected);
}

#[test]
fn settings_are_taken_up_to_their_limits() {
    const LONG: &str = include_str!("catalog.rs").split_at(257).0;
    let mut greet = greet::Greet::default();
    assert_eq!(greet.set("name", LONG.split_at(256).0), Ok(()));
    assert_eq!(greet.name, LONG.split_at(256).0);
    assert_eq!(greet.set("name", LONG), Err(SettingError::Value("at most 256 bytes")));
    let mut message = message::Message::default();
    assert_eq!(message.set("reply-prefix", LONG.split_at(256).0), Ok(()));
    assert_eq!(message.prefix, LONG.split_at(256).0);
    let mut guess = guess::Guess::default();
    for (value, taken) in [("0", false), ("1", true), ("99", true), ("100", false), ("x", false)] {
        assert_eq!(guess.set("secret", value).is_ok(), taken, "{value}");
    }
    assert_eq!(guess.set("redraw", "true"), Ok(()));
    assert_eq!(date::Date::default().set("utc", "true"), Ok(()));
    assert_eq!(logdate::LogDate::default().set("utc", "true"), Ok(()));
    assert_eq!(hello::Hello.set("utc", "true"), Err(SettingError::Unknown));
    assert_eq!(SettingError::Unknown.to_string(), "there is no such setting");
    assert_eq!(SettingError::Value("a number").to_string(), "it must be a number");
}

#[test]
fn a_datagram_comes_back_as_it_was() {
    let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
    for datagram in [&b""[..], b"x"] {
        let answer = DatagramService::answer(&mut echo::Echo, datagram, &mut [], peer, &mut ());
        assert_eq!(answer, Some(datagram));
    }
}

#[test]
fn a_host_that_cannot_send_is_named() {
    let mut session = file::Session::default();
    let mut step = |input: &[u8], answer| {
        let (mut host, mut output) = ((), [0; 8]);
        let mut io = Exchange::new(input, false, &mut output, Instant::ZERO, answer, &mut host);
        (advance(&mut session, &mut io), io.taken())
    };
    assert_eq!(step(b"a\n", None), (Halt::Ask, 0));
    assert_eq!(step(b"a\n", Some(Answer::Opened { len: 5 })), (Halt::Ask, 2));
    let refused = Refusal::Unsupported;
    let halt = step(b"", Some(Answer::Refused(refused))).0;
    assert_eq!(halt, Halt::Abort(Reason::Refused(refused)));
}

#[test]
fn reasons_say_what_happened() {
    let reasons = [
        (Reason::Refused(Refusal::NotFound), "no such file"),
        (Reason::Refused(Refusal::TooLarge { max: 9 }), "more than 9 bytes in one file"),
        (
            Reason::Cut { moved: 7, stop: Stop::Store(Refusal::Full) },
            "the store took no more: no room left, after 7 bytes",
        ),
        (Reason::Cut { moved: 0, stop: Stop::FileShort }, "the file became shorter, after 0 bytes"),
        (
            Reason::EndedEarly { got: 3, want: 10 },
            "the stream ended after 3 of 10 bytes: 7 are missing",
        ),
        (
            Reason::Differs { message: 2, at: 5 },
            "message 2 came back with another byte at offset 5",
        ),
        (Reason::Unread, "the peer took nothing for too long"),
        (Reason::Broken(Breach::NoProgress), "a bug, please report it: NoProgress"),
    ];
    for (reason, text) in reasons {
        assert_eq!(reason.to_string(), text);
    }
    assert_eq!(super::name("a.txt").to_string(), "a.txt");
}

#[test]
fn an_exchange_shows_how_much_there_is_and_no_content() {
    let (mut host, mut output) = ((), [0; 8]);
    let io = Exchange::new(b"secret", false, &mut output, Instant::ZERO, None, &mut host);
    let shown = format!("{io:?}");
    assert!(shown.contains("input: 6") && shown.contains("room: 8"), "{shown}");
}

#[test]
fn a_host_that_says_nothing_else_has_nothing() {
    assert_eq!(Host::line(&mut (), "", &mut [0; 2]), None);
    assert!(!Host::entropy(&mut (), &mut [0; 2]));
    assert_eq!(Host::date(&mut ()), None);
}
