//! A resolver and a name server, in virtual time.

use core::net::IpAddr;
use std::string::ToString;

use anywire_core::datagram::DatagramService;
use anywire_core::event::Host;
use smoltcp::wire::IpCidr;

use super::waiting::memory;
use super::*;
use crate::names::{Addresses, Memory, NameError, Resolver};
use crate::udp::Datagrams;

const A: u16 = 1;
const AAAA: u16 = 28;

/// What a name server says when it is asked for addresses of one kind.
#[derive(Clone, Copy)]
enum Reply {
    Silence,
    Unknown,
    Addresses(&'static [&'static str]),
}

use Reply::{Silence, Unknown};

const V6: Reply = Reply::Addresses(&["fd00::7", "fd00::8"]);
const V4: Reply = Reply::Addresses(&["10.0.0.9", "10.0.0.8"]);

/// Answers from the same two replies, and remembers the kinds that it was asked for.
struct Server {
    v6: Reply,
    v4: Reply,
    asked: Rc<RefCell<Vec<u16>>>,
}

impl DatagramService for Server {
    const ABOUT: About = About { name: "names", port: 53, summary: "" };
    const SCRATCH: usize = 512;

    fn answer<'d>(
        &mut self,
        question: &'d [u8],
        scratch: &'d mut [u8],
        _: SocketAddr,
        _: &mut dyn Host,
    ) -> Option<&'d [u8]> {
        let [.., kind, _, _] = question[12..] else { return None };
        let kind = u16::from(kind);
        self.asked.borrow_mut().push(kind);
        let (code, addresses) = match if kind == AAAA { self.v6 } else { self.v4 } {
            Silence => return None,
            Unknown => (3, &[][..]),
            Reply::Addresses(addresses) => (0, addresses),
        };
        let mut answer = question.to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x80 | code]);
        answer[7] = addresses.len() as u8;
        for address in addresses {
            let octets = match address.parse().unwrap() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            // The name of the question, of this kind, for a minute.
            answer.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 60, 0, octets.len() as u8]);
            answer.extend(octets);
        }
        let answered = scratch.get_mut(..answer.len())?;
        answered.copy_from_slice(&answer);
        Some(answered)
    }
}

/// A client's stack with a resolver, and the server.
struct Setting {
    sim: Sim,
    resolver: Resolver,
    asked: Rc<RefCell<Vec<u16>>>,
}

impl Setting {
    fn new(v6: Reply, v4: Reply) -> Self {
        let asked = Rc::default();
        let server = Server { v6, v4, asked: Rc::clone(&asked) };
        let mut sim = Sim::new(|stack| {
            vec![Box::new(Datagrams::new(stack, server, 53, memory(8, 8192)).unwrap())]
        });
        let memory = Box::leak(Box::new(Memory::default()));
        let resolver = Resolver::new(&mut sim.net.b.stack, memory).unwrap();
        Self { sim, resolver, asked }
    }

    /// Leaves the client those of its addresses only that `keeps` wants.
    fn keep(&mut self, keeps: impl Fn(&IpCidr) -> bool) {
        self.sim.net.b.stack.interface().update_ip_addrs(|all| all.retain(|cidr| keeps(cidr)));
    }

    fn ask(&mut self, server: IpAddr, name: &str, timeout: Duration) -> Result<(), NameError> {
        let now = self.sim.net.now();
        self.resolver.ask(&mut self.sim.net.b.stack, server, name, now, timeout)
    }

    /// What comes of what was asked, and when.
    fn answer(&mut self) -> (Result<Vec<String>, NameError>, Duration) {
        let begun = self.sim.net.now();
        loop {
            let now = self.sim.net.now();
            let answer = self.resolver.answer(&mut self.sim.net.b.stack, now);
            if let Poll::Ready(answer) = answer {
                let addresses = |all: Addresses| all.iter().map(|ip| ip.to_string()).collect();
                return (answer.map(addresses), now.saturating_since(begun));
            }
            assert!(self.resolver.deadline().is_some_and(|due| due > now));
            self.sim.net.run(MS);
        }
    }

    fn resolve(&mut self) -> (Result<Vec<String>, NameError>, Duration) {
        self.ask(v4(), "host.test", SECOND * 4).unwrap();
        self.answer()
    }
}

fn v4() -> IpAddr {
    sim::address(Side::A, 0).ip()
}

fn v6() -> IpAddr {
    "fd00::1".parse().unwrap()
}

fn all(addresses: &[&str]) -> Result<Vec<String>, NameError> {
    Ok(addresses.iter().map(ToString::to_string).collect())
}

#[test]
fn addresses_of_both_kinds_come_in_their_order_as_soon_as_they_are_here() {
    let mut setting = Setting::new(V6, V4);
    for server in [v4(), v6()] {
        setting.ask(server, "host.test", SECOND * 4).unwrap();
        let (found, after) = setting.answer();
        assert_eq!(found, all(&["fd00::7", "fd00::8", "10.0.0.9", "10.0.0.8"]), "{server}");
        assert!(after < MS * 10, "{after:?}");
        assert_eq!(setting.resolver.deadline(), None);
    }
}

#[test]
fn a_kind_that_is_not_answered_is_not_waited_for_long_when_the_other_is_here() {
    let mut setting = Setting::new(Silence, V4);
    let (found, after) = setting.resolve();
    assert_eq!(found, all(&["10.0.0.9", "10.0.0.8"]));
    assert!((MS * 200..MS * 210).contains(&after), "{after:?}");
    // However short the time was to be.
    setting.ask(v4(), "host.test", MS * 50).unwrap();
    let (found, after) = setting.answer();
    assert_eq!((found, after), (all(&["10.0.0.9", "10.0.0.8"]), MS * 50));
}

#[test]
fn a_name_that_the_server_does_not_know_is_unknown_at_once() {
    for (v6, v4, found) in [
        (Unknown, Unknown, Err(NameError::Unknown)),
        (Unknown, V4, all(&["10.0.0.9", "10.0.0.8"])),
        (V6, Unknown, all(&["fd00::7", "fd00::8"])),
        (
            Reply::Addresses(&["ff02::1"]),
            Reply::Addresses(&["255.255.255.255"]),
            Err(NameError::Unknown),
        ),
    ] {
        let (got, after) = Setting::new(v6, v4).resolve();
        assert_eq!(got, found);
        assert!(after < MS * 10, "{after:?}");
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    for v6 in [Silence, Unknown] {
        let mut setting = Setting::new(v6, Silence);
        for (timeout, limit) in [(SECOND * 4, SECOND * 4), (SECOND * 60, SECOND * 9)] {
            let now = setting.sim.net.now();
            setting.ask(v4(), "host.test", timeout).unwrap();
            assert_eq!(setting.resolver.deadline(), Some(now + limit));
            assert_eq!(setting.answer(), (Err(NameError::NoAnswer), limit));
        }
    }
}

#[test]
fn only_kinds_that_we_have_ourselves_are_asked_for() {
    let is_v4 = |cidr: &IpCidr| matches!(cidr, IpCidr::Ipv4(_));
    let mut setting = Setting::new(V6, V4);
    setting.keep(is_v4);
    assert_eq!(setting.resolve().0, all(&["10.0.0.9", "10.0.0.8"]));
    assert_eq!(setting.asked.take(), [A]);

    // One of the link is none to go to others with.
    setting.sim.net.b.stack.interface().update_ip_addrs(|all| {
        all.push(IpCidr::new("fe80::1".parse().unwrap(), 64)).unwrap();
    });
    assert_eq!(setting.resolve().0, all(&["10.0.0.9", "10.0.0.8"]));
    assert_eq!(setting.asked.take(), [A]);

    let mut setting = Setting::new(V6, V4);
    setting.keep(|cidr| !is_v4(cidr));
    setting.ask(v6(), "host.test", SECOND).unwrap();
    assert_eq!(setting.answer().0, all(&["fd00::7", "fd00::8"]));
    assert_eq!(setting.asked.take(), [AAAA]);
}

#[test]
fn what_cannot_be_asked_is_said_at_once() {
    let mut setting = Setting::new(V6, V4);
    let long = ["a"; 64].concat();
    for name in ["", ".", "a..b", &long, &["abc."; 70].concat()] {
        assert_eq!(setting.ask(v4(), name, SECOND), Err(NameError::NotAName), "{name:?}");
    }
    for server in ["0.0.0.0", "255.255.255.255", "224.0.0.251", "ff02::fb"] {
        let server = server.parse().unwrap();
        let refused = setting.ask(server, "host.test", SECOND);
        assert_eq!(refused, Err(NameError::Unaddressable), "{server}");
    }
    setting.keep(|cidr| matches!(cidr, IpCidr::Ipv4(_)));
    assert_eq!(setting.ask(v6(), "host.test", SECOND), Err(NameError::Unaddressable));
    assert_eq!(setting.asked.take(), [0; 0]);
    assert_eq!(setting.resolve().0, all(&["10.0.0.9", "10.0.0.8"]), "it still works");
}

#[test]
fn what_was_asked_before_is_forgotten() {
    let mut setting = Setting::new(Silence, Silence);
    for _ in 0..10 {
        // There is room for one name's questions only.
        setting.ask(v4(), "host.test", SECOND).unwrap();
        setting.sim.net.run(MS);
    }
    setting.resolver.forget(&mut setting.sim.net.b.stack);
    assert_eq!(setting.resolver.deadline(), None);
    setting.asked.take();
    setting.sim.net.run(SECOND * 20);
    assert_eq!(setting.asked.take(), [0; 0], "nobody asks again");
}

#[test]
fn a_stack_without_room_has_no_resolver() {
    let mut wire = Wire::new(leak(vec![Packet::EMPTY]), leak(vec![Packet::EMPTY]));
    let mut full = stack(&mut wire, Side::A, 0, 0);
    assert!(Resolver::new(&mut full, Box::leak(Box::new(Memory::default()))).is_none());
}

#[test]
fn why_there_is_no_address_is_said() {
    for (error, said) in [
        (NameError::NotAName, "that is no name"),
        (NameError::Unaddressable, "there is no way to that server"),
        (NameError::Unknown, "it knows no such name, or no address of it"),
        (NameError::NoAnswer, "no answer in time"),
    ] {
        assert_eq!(error.to_string(), said);
    }
}
