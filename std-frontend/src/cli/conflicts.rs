//! What keeps services from being served, and a command line that avoids as much of it as can be avoided: the same program, the same
//! options, and another port for each service whose own is taken.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::anyhow;
use clap::{ArgAction, ArgMatches, Command};

use crate::cli::serve::Place;
use crate::console::escape::Shown;
use crate::engine::Protocol;
use crate::metrics::Endpoint;

/// A place that cannot be had.
#[derive(Debug)]
pub(super) struct Conflict {
    /// Which of the places it is; `None`: that of the metrics.
    pub(super) place: Option<usize>,
    /// Where it would have been.
    pub(super) addr: SocketAddr,
    /// Over which protocols it cannot be had.
    protocols: Vec<Protocol>,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// Another of our own services is to be served there.
    Ours(&'static str),
    /// It cannot be bound.
    Error(io::Error),
}

impl Conflict {
    /// It cannot be bound over `protocol`.
    pub(super) fn new(
        place: usize,
        addr: SocketAddr,
        protocol: Protocol,
        error: io::Error,
    ) -> Self {
        Self { place: Some(place), addr, protocols: vec![protocol], why: Why::Error(error) }
    }

    /// The metrics cannot be served there.
    pub(super) fn of_metrics(addr: SocketAddr, error: io::Error) -> Self {
        Self { place: None, addr, protocols: vec![Protocol::Tcp], why: Why::Error(error) }
    }

    /// Whether another port would help.
    fn is_of_port(&self) -> bool {
        match &self.why {
            Why::Ours(_) => true,
            Why::Error(error) => match error.kind() {
                io::ErrorKind::AddrInUse => true,
                io::ErrorKind::PermissionDenied => (1..PRIVILEGED).contains(&self.addr.port()),
                _ => false,
            },
        }
    }

    /// The same as `other`, but for the protocol.
    fn is_same(&self, other: &Self) -> bool {
        (self.place, self.addr) == (other.place, other.addr)
            && self.why.to_string() == other.why.to_string()
    }

    /// What is wrong, and what to do.
    fn problem(&self, places: &[Place]) -> Option<anyhow::Error> {
        let (addr, why) = (self.addr, &self.why);
        let listed = match self.place {
            Some(place) => Some(&places.get(place)?.listed),
            None => None,
        };
        let (name, other, with) = match listed.map(|listed| listed.about.name) {
            Some(name) => (name, format!("{name}=PORT ({name}=0 takes a free one)"), "--bind"),
            None => (METRICS, "--metrics [ADDR:]PORT (0 takes a free one)".to_owned(), "--metrics"),
        };
        let advice = match why {
            Why::Ours(_) => format!("; take another port: {other}"),
            Why::Error(error) => match error.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("; stop what uses it, or take another port: {other}")
                }
                io::ErrorKind::AddrNotAvailable => {
                    format!("; give an address of this host with {with}")
                }
                io::ErrorKind::PermissionDenied => {
                    format!("; ports below 1024 may need privileges; take another port: {other}")
                }
                _ => String::new(),
            },
        };
        // Of a service with one protocol, or of all that it has, there is nothing to be said.
        let over = match self.protocols.as_slice() {
            [protocol] if listed.is_some_and(|listed| listed.protocols.len() > 1) => {
                format!(", over {}", protocol.as_str())
            }
            _ => String::new(),
        };
        Some(anyhow!("cannot serve {name} on {addr}: {why}{over}{advice}"))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(name) => write!(f, "another of these services, {name}, has that port"),
            Self::Error(error) => error.fmt(f),
        }
    }
}

/// Ports below this may need privileges.
const PRIVILEGED: u16 = 1024;

/// Whether an earlier one of the places has the port of the place `at` already.
pub(super) fn with_earlier(places: &[Place], at: usize, protocol: Protocol) -> Option<Conflict> {
    let (before, place) = (places.get(..at)?, places.get(at)?);
    let same = |ip: IpAddr, other: IpAddr| {
        let all = ip.is_unspecified() || other.is_unspecified();
        ip == other || (all && ip.is_ipv4() == other.is_ipv4())
    };
    let other = before.iter().find(|other| {
        other.port == place.port
            && place.port != 0
            && other.listed.protocols.contains(&protocol)
            && same(other.host.ip, place.host.ip)
    })?;
    Some(Conflict {
        place: Some(at),
        addr: place.host.at(place.port),
        protocols: vec![protocol],
        why: Why::Ours(other.listed.about.name),
    })
}

/// All conflicts of the places among themselves.
pub(super) fn among(places: &[Place]) -> Vec<Conflict> {
    let each = places.iter().enumerate();
    each.flat_map(|(at, place)| {
        let protocols = place.listed.protocols.iter();
        protocols.filter_map(move |&protocol| with_earlier(places, at, protocol))
    })
    .collect()
}

/// What there is to say of the conflicts: one problem for each place and reason.
pub(super) fn problems(conflicts: Vec<Conflict>, places: &[Place]) -> Vec<anyhow::Error> {
    let mut merged: Vec<Conflict> = Vec::new();
    for conflict in conflicts {
        match merged.iter_mut().find(|other| other.is_same(&conflict)) {
            Some(other) => other.protocols.extend(conflict.protocols),
            None => merged.push(conflict),
        }
    }
    merged.iter().filter_map(|conflict| conflict.problem(places)).collect()
}

/// The command line that avoids the conflicts that a port can avoid, and whether those are all. `can` says whether an address can be had
/// now. `None` if there is nothing to avoid, or no way to.
pub(super) fn instead(
    given: &Given,
    places: &[Place],
    conflicts: &[Conflict],
    mut can: impl FnMut(SocketAddr, Protocol) -> bool,
) -> Option<(String, bool)> {
    let mut ports: Vec<_> = places.iter().map(|place| place.port).collect();
    let mut moved = false;
    let of_port = |conflict: &&Conflict| conflict.is_of_port();
    for (at, place) in places.iter().enumerate() {
        if !conflicts.iter().filter(of_port).any(|conflict| conflict.place == Some(at)) {
            continue;
        }
        moved = true;
        let port = free_port(place, &ports, &mut can)?;
        *ports.get_mut(at)? = port;
    }
    let mut metrics = None;
    if let Some(conflict) = conflicts.iter().filter(of_port).find(|other| other.place.is_none()) {
        metrics = Some(other_place(conflict.addr, &ports)?);
    }
    let all = conflicts.iter().all(Conflict::is_of_port);
    (moved || metrics.is_some()).then(|| (given.line(places, &ports, metrics), all))
}

/// The next place for metrics that is free now, and whose port is asked for by no service.
fn other_place(mut addr: SocketAddr, asked: &[u16]) -> Option<SocketAddr> {
    let near = if addr.port() < PRIVILEGED { addr.port() + 10_000 } else { addr.port() };
    let mut ports = (near..=u16::MAX).filter(|port| !asked.contains(port)).take(TRIES);
    ports.find_map(|port| {
        addr.set_port(port);
        Endpoint::bind(addr).is_ok().then_some(addr)
    })
}

/// So many ports are looked at: each costs a system call or two.
const TRIES: usize = 4096;

/// A port that is free for all that the place is for, and asked for by no other: the service's own default if that is, or else the next
/// one. What was a port for the privileged becomes one of the same look.
fn free_port(
    place: &Place,
    asked: &[u16],
    mut can: impl FnMut(SocketAddr, Protocol) -> bool,
) -> Option<u16> {
    let near = if place.port < PRIVILEGED { place.port + 10_000 } else { place.port };
    let defaults: Vec<_> =
        super::catalog::services().iter().map(|listed| listed.about.port).collect();
    let others = (near..=u16::MAX).chain(PRIVILEGED..near);
    let others = others.filter(|port| !defaults.contains(port)).take(TRIES);
    std::iter::once(place.listed.about.port)
        .chain(others)
        .filter(|port| !asked.contains(port))
        .find(|&port| place.listed.protocols.iter().all(|its| can(place.host.at(port), *its)))
}

/// `serve` as it was asked for: the program, and the options, without the services.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    program: OsString,
    /// Words, in the order in which they were given, with the names of their options.
    options: Vec<(String, Vec<OsString>)>,
    /// The port has been given by its option.
    port: bool,
}

/// The option that gives the port of a single service.
const PORT: &str = "port";

/// The option that says where metrics are, and what they are called.
const METRICS: &str = "metrics";

impl Given {
    /// What was given to `serve`, which has been built.
    pub(super) fn new(program: &OsStr, serve: &Command, matches: &ArgMatches) -> Self {
        let given =
            |id: &str| matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
        let mut options: Vec<_> = serve
            .get_opts()
            .chain(serve.get_arguments().filter(|arg| !arg.get_action().takes_values()))
            .filter(|arg| given(arg.get_id().as_str()))
            .filter_map(|arg| {
                let id = arg.get_id().as_str();
                let long = arg.get_long()?;
                let words = match arg.get_action() {
                    ArgAction::Count => {
                        let short = arg.get_short()?.to_string();
                        vec![format!("-{}", short.repeat(matches.get_count(id).into())).into()]
                    }
                    ArgAction::SetTrue => vec![format!("--{long}").into()],
                    _ => matches.get_raw(id)?.flat_map(|value| option(long, value)).collect(),
                };
                Some((matches.index_of(id), (id.to_owned(), words)))
            })
            .collect();
        options.sort_by_key(|(index, _)| *index);
        let options = options.into_iter().map(|(_, option)| option).collect();
        Self { program: program.to_owned(), options, port: given(PORT) }
    }

    /// The same for `places`, with these `ports`, and with the metrics somewhere else if need be.
    fn line(&self, places: &[Place], ports: &[u16], metrics: Option<SocketAddr>) -> String {
        let mut words = vec![self.program.clone(), super::SERVE.into()];
        for (place, port) in places.iter().zip(ports) {
            let (name, default) = (place.listed.about.name, place.listed.about.port);
            let host = &place.host.text;
            words.push(if place.own_host && host.contains(':') {
                format!("{name}=[{host}]:{port}").into()
            } else if place.own_host {
                format!("{name}={host}:{port}").into()
            } else if self.port || *port == default {
                name.into()
            } else {
                format!("{name}={port}").into()
            });
        }
        for (id, option) in &self.options {
            if id == PORT {
                words.extend(
                    ports
                        .iter()
                        .flat_map(|port| [format!("--{id}"), port.to_string()])
                        .map(OsString::from),
                );
            } else if let Some(addr) = metrics.filter(|_| id == METRICS) {
                words.extend([format!("--{id}"), addr.to_string()].map(OsString::from));
            } else {
                words.extend_from_slice(option);
            }
        }
        let words: Vec<_> = words.iter().map(|word| quoted(word.as_encoded_bytes())).collect();
        words.join(" ")
    }
}

/// An option and its value: together, where the value would be taken for an option.
fn option(long: &str, value: &OsStr) -> Vec<OsString> {
    let mut name = OsString::from(format!("--{long}"));
    if value.as_encoded_bytes().starts_with(b"-") {
        name.push("=");
        name.push(value);
        return vec![name];
    }
    vec![name, value.to_owned()]
}

/// A word as a shell takes it, and a terminal shows it.
fn quoted(word: &[u8]) -> String {
    let shown = Shown(word).to_string();
    if shown.as_bytes() != word {
        // What would act on a terminal, or is no text: only so it can be written. (POSIX has this since 2024, shells have long had it.)
        let bytes = word.iter().map(|byte| match byte {
            b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
            b' '..=b'~' => char::from(*byte).to_string(),
            byte => format!("\\{byte:03o}"),
        });
        return format!("$'{}'", bytes.collect::<String>());
    }
    // An equals sign needs no quotes behind a word.
    if let Some((name, value)) = shown.split_once('=')
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return format!("{name}={}", quoted(value.as_bytes()));
    }
    // There is no NUL in an argument.
    shlex::try_quote(&shown).map_or_else(|_| shown.clone(), |quoted| quoted.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::catalog;
    use crate::cli::endpoint::Host;

    fn places(of: &[(&str, &str, u16)]) -> Vec<Place> {
        let services = catalog::services();
        let place = |&(name, host, port): &(&str, &str, u16)| Place {
            listed: services.iter().find(|listed| listed.about.name == name).unwrap().clone(),
            host: Host::parse(host).unwrap(),
            own_host: host != "127.0.0.1",
            port,
        };
        of.iter().map(place).collect()
    }

    fn in_use(places: &[Place], at: usize) -> Conflict {
        let error = io::ErrorKind::AddrInUse.into();
        Conflict::new(at, places[at].host.at(places[at].port), Protocol::Tcp, error)
    }

    fn given(program: &str) -> Given {
        Given { program: program.into(), ..Given::default() }
    }

    #[test]
    fn services_are_in_each_others_way_by_protocol_port_and_address() {
        let of = |of: &[(&str, &str, u16)]| {
            let places = places(of);
            among(&places).iter().filter_map(|conflict| conflict.place).collect::<Vec<_>>()
        };
        assert_eq!(of(&[("hello", "127.0.0.1", 7), ("date", "127.0.0.1", 7)]), [1]);
        assert_eq!(of(&[("echo", "127.0.0.1", 7), ("echo", "127.0.0.1", 7)]), [1, 1]);
        assert_eq!(of(&[("hello", "0.0.0.0", 7), ("date", "127.0.0.1", 7)]), [1]);
        assert_eq!(of(&[("hello", "127.0.0.2", 7), ("date", "127.0.0.1", 7)]), []);
        assert_eq!(of(&[("hello", "127.0.0.1", 7), ("date", "::1", 7)]), []);
        assert_eq!(of(&[("hello", "127.0.0.1", 7), ("guess", "127.0.0.1", 7)]), []);
        assert_eq!(of(&[("hello", "127.0.0.1", 0), ("date", "127.0.0.1", 0)]), []);
    }

    #[test]
    fn one_problem_for_a_place_and_its_reason() {
        let places = places(&[("echo", "127.0.0.1", 9900), ("hello", "127.0.0.1", 1)]);
        let addr = places[0].host.at(9900);
        let in_use = |protocol| {
            Conflict::new(0, addr, protocol, io::Error::new(io::ErrorKind::AddrInUse, "in use"))
        };
        let said = |conflicts| {
            problems(conflicts, &places).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let both = said(vec![in_use(Protocol::Tcp), in_use(Protocol::Udp)]);
        let advice = "stop what uses it, or take another port: echo=PORT (echo=0 takes a free one)";
        assert_eq!(both, [format!("cannot serve echo on 127.0.0.1:9900: in use; {advice}")]);
        let one = said(vec![in_use(Protocol::Udp)]);
        assert_eq!(
            one,
            [format!("cannot serve echo on 127.0.0.1:9900: in use, over udp; {advice}")]
        );
    }

    #[test]
    fn the_next_port_that_nobody_has_or_asks_for() {
        let line = |of: &[(&str, &str, u16)], conflicts: &[usize], taken: &[u16]| {
            let places = places(of);
            let conflicts: Vec<_> = conflicts.iter().map(|&at| in_use(&places, at)).collect();
            let can = |addr: SocketAddr, _| !taken.contains(&addr.port());
            instead(&given("anywire"), &places, &conflicts, can).map(|(line, _)| line).unwrap()
        };
        let local = "127.0.0.1";
        assert_eq!(line(&[("echo", local, 9900)], &[0], &[9901]), "anywire serve echo=9902");
        // The services' defaults are left to them, and what was asked for to whom it was.
        let two = [("message", local, 9001), ("hello", local, 9006)];
        assert_eq!(line(&two, &[0], &[]), "anywire serve message=9005 hello=9006");
        let two = [("message", local, 9001), ("hello", local, 9005)];
        assert_eq!(line(&two, &[0], &[]), "anywire serve message=9006 hello=9005");
        // Nor are two given the same.
        let two = [("hello", local, 7000), ("date", local, 6015)];
        assert_eq!(line(&two, &[0, 1], &[65432]), "anywire serve hello=7001 date=6017");
        // The default is free.
        assert_eq!(line(&[("echo", local, 7)], &[0], &[]), "anywire serve echo");
        assert_eq!(line(&[("echo", local, 7)], &[0], &[9900]), "anywire serve echo=10007");
        assert_eq!(line(&[("hello", local, 65535)], &[0], &[65432]), "anywire serve hello=1024");
        assert_eq!(line(&[("hello", "::1", 7)], &[0], &[]), "anywire serve hello='[::1]:65432'");
    }

    #[test]
    fn what_no_port_can_avoid_is_said() {
        let places = places(&[("echo", "127.0.0.1", 9900), ("hello", "192.0.2.1", 0)]);
        let error = io::ErrorKind::AddrNotAvailable.into();
        let away = Conflict::new(1, places[1].host.at(0), Protocol::Tcp, error);
        let conflicts = [in_use(&places, 0), away];
        let (_, all) = instead(&given("a"), &places, &conflicts, |_, _| true).unwrap();
        assert!(!all);
        let (_, all) = instead(&given("a"), &places, &conflicts[..1], |_, _| true).unwrap();
        assert!(all);
        assert_eq!(instead(&given("a"), &places, &conflicts[1..], |_, _| true), None);
        assert_eq!(instead(&given("a"), &places, &conflicts, |_, _| false), None);
    }

    /// What a shell makes of it.
    #[cfg(unix)]
    #[test]
    fn quoted_words_are_what_they_were() {
        let words: [&[u8]; 12] = [
            b"plain",
            b"echo=9901",
            b"echo=[::1]:9901",
            b"",
            b"two words",
            b"--dir=it's",
            b"$HOME `x` \\ \"!^",
            b"~",
            b"*",
            b"caf\xc3\xa9",
            b"\x1b[31m\n'\\",
            b"\xff=\xfe7",
        ];
        for word in words {
            let quoted = quoted(word);
            assert_eq!(Shown(quoted.as_bytes()).to_string(), quoted);
            let script = format!("printf %s {quoted}");
            let mut bash = std::process::Command::new("bash");
            let output = bash.args(["-c", &script]).output().unwrap();
            assert_eq!(output.stdout, word, "{quoted}");
        }
        assert_eq!(quoted(b"echo=9901"), "echo=9901");
        assert_eq!(quoted(b"--dir=my files"), "--dir='my files'");
    }
}
