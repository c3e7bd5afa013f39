//! `serve`: puts a server together, says where it listens, and runs it.
//!
//! Whatever is wrong is told at once: the folder, and each address that cannot be had.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use anywire_core::conversation::Limits;
use anywire_core::event::Event;

use crate::cli::catalog::{self, Listed};
use crate::cli::endpoint::Host;
use crate::cli::failure::Failure;
use crate::cli::network::{Meeting, Network, Plan, Server};
use crate::cli::options::{Logging, Serve};
use crate::cli::settings::Settings;
use crate::cli::{arguments, signals, stdio, values};
use crate::console::log::EventLog;
use crate::console::output::Output;
use crate::console::transcript::Transcript;
use crate::engine::{Link, Observer, Protocol};
use crate::folder::{FolderOptions, FolderStore};

/// One service, one place.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) listed: Listed,
    host: Host,
    port: u16,
}

/// A service that listens.
struct Bound {
    service: &'static str,
    host: String,
    protocol: Protocol,
    addr: SocketAddr,
}

pub(super) fn run<N: Network>(
    options: N::Options,
    args: Serve<N>,
    settings: &Settings,
    logging: Logging,
) -> Result<(), Failure> {
    let meeting = N::meeting(&args.network);
    let mut places = places(&args, Host::from(N::default_bind(&options)))?;
    if meeting != Meeting::Listening {
        stdio::prepare(&args, &mut places)?;
    }
    check_settings(&places, settings)?;
    warn_beyond_loopback(&places, &Host::from(N::default_bind(&options)));

    let output = Arc::new(Mutex::new(Output::new(false)));
    let transcript = args.transcript.then(|| match meeting {
        Meeting::Listening => Arc::new(transcript_to(Arc::clone(&output))),
        Meeting::Stdio | Meeting::Child => Arc::new(stdio::transcript()),
    });
    let observer: Arc<dyn Observer> = match meeting {
        Meeting::Child => Arc::new(stdio::reporter(&args, logging)),
        _ => Arc::new(Console { transcript: transcript.clone() }),
    };

    let store = match store(&args, &places, meeting) {
        Ok(store) => store,
        Err(mut problems) => {
            problems.extend(check::<N>(&options, &places));
            return Err(Failure::Failed(problems));
        }
    };
    if meeting == Meeting::Child {
        stdio::leave_folder();
    }
    let limits = Limits {
        idle: values::limit(args.idle_timeout),
        head: values::limit(args.head_timeout),
        ..Limits::default()
    };
    let plan = Plan {
        limits,
        max_connections: args.max_connections,
        grace: args.grace,
        once: args.once,
        store,
        observer,
        arguments: Box::new(arguments::of(&args, settings, logging)),
    };
    let mut server = N::server(options, args.network, plan)?;
    let bound = bind_all(&mut server, &places, settings).map_err(Failure::Failed)?;

    signals::stop_by(server.stopper(), args.grace).map_err(anyhow::Error::from)?;
    if meeting == Meeting::Listening {
        let mut output = lock(&output);
        for bound in &bound {
            let (service, protocol) = (bound.service, bound.protocol.as_str());
            output.line(format_args!("listening {service} {protocol} {}", bound.addr));
        }
    }
    if let Some(transcript) = transcript.filter(|_| meeting == Meeting::Listening) {
        for bound in &bound {
            transcript.listening(bound.service, &bound.host, bound.addr.port());
        }
    }
    Ok(server.run()?)
}

/// Opens the folders that are needed, or says what is wrong with each.
fn store<N: Network>(
    args: &Serve<N>,
    places: &[Place],
    meeting: Meeting,
) -> Result<FolderStore, Vec<anyhow::Error>> {
    // A child's parent has seen to all that.
    let child = meeting == Meeting::Child;
    let open = if child { FolderStore::join } else { FolderStore::open };
    let with_log = if child { FolderStore::join_log } else { FolderStore::with_log };
    let options = FolderOptions { max_file: args.max_file, sync: !args.no_sync };
    let mut problems = Vec::new();
    let mut store = FolderStore::nowhere(options);
    if places.iter().any(|place| place.listed.files) {
        match open(&args.dir, options) {
            Ok(folder) => store = folder,
            Err(error) => problems.push(anyhow!(
                "cannot keep files in {}: {error}; give another folder with --dir",
                args.dir.display()
            )),
        }
    }
    if places.iter().any(|place| place.listed.log) {
        let dir = args.log_dir.clone().unwrap_or_else(|| args.dir.join("logs"));
        match with_log(store, &dir) {
            Ok(logging) if problems.is_empty() => return Ok(logging),
            Ok(_) => {}
            Err(error) => problems.push(anyhow!(
                "cannot keep logs in {}: {error}; give another folder with --log-dir",
                dir.display()
            )),
        }
        return Err(problems);
    }
    if problems.is_empty() { Ok(store) } else { Err(problems) }
}

/// Looks up what is to be served; wrong usage is told here.
fn places<N: Network>(args: &Serve<N>, default: Host) -> Result<Vec<Place>, Failure> {
    let all = catalog::services();
    if args.services.len() != 1 {
        for (given, option) in [(args.port.is_some(), "--port"), (args.once, "--once")] {
            if given {
                return Err(Failure::usage(format!("{option} needs one service, named")));
            }
        }
    }
    let host = args.bind.clone().unwrap_or(default);
    if args.services.is_empty() {
        let place = |listed: Listed| Place { port: listed.about.port, host: host.clone(), listed };
        return Ok(all.into_iter().map(place).collect());
    }
    let mut places = Vec::new();
    for endpoint in &args.services {
        let Some(listed) = all.iter().find(|listed| listed.about.name == endpoint.service) else {
            let names: Vec<_> = all.iter().map(|listed| listed.about.name).collect();
            return Err(Failure::usage(format!(
                "there is no service {:?}; there are {}",
                endpoint.service,
                names.join(", ")
            )));
        };
        if endpoint.port.is_some() && args.port.is_some() {
            return Err(Failure::usage(format!(
                "the port of {} is given twice, by = and by --port",
                endpoint.service
            )));
        }
        places.push(Place {
            listed: listed.clone(),
            host: endpoint.host.clone().unwrap_or_else(|| host.clone()),
            port: endpoint.port.or(args.port).unwrap_or(listed.about.port),
        });
    }
    Ok(places)
}

/// What is wrong with the services' options is told before anything is bound.
fn check_settings(places: &[Place], settings: &Settings) -> Result<(), Failure> {
    let served: Vec<_> = places.iter().map(|place| &place.listed).collect();
    settings.check(&catalog::services(), &served)?;
    let names: Vec<_> = served.iter().map(|listed| listed.about.name).collect();
    catalog::check(&names, settings)
}

fn warn_beyond_loopback(places: &[Place], default: &Host) {
    let beyond = |place: &&Place| !place.host.ip.is_loopback() && place.host.ip != default.ip;
    if let Some(place) = places.iter().find(beyond) {
        tracing::warn!(
            "listening on {}, beyond this machine: whoever reaches the port can read and store files",
            place.host.text
        );
    }
}

/// Binds every place, or says what is wrong with each that cannot be had.
fn bind_all(
    server: &mut impl Server,
    places: &[Place],
    settings: &Settings,
) -> Result<Vec<Bound>, Vec<anyhow::Error>> {
    let mut bound: Vec<Bound> = Vec::new();
    let mut problems = Vec::new();
    for place in places {
        let mut port = place.port;
        if port == 0 && place.listed.protocols.len() > 1 {
            match server.free_port(place.host.ip) {
                Ok(free) => port = free,
                Err(error) => {
                    problems.push(problem(place, place.host.at(0), &error));
                    continue;
                }
            }
        }
        for &protocol in &place.listed.protocols {
            let (service, addr) = (place.listed.about.name, place.host.at(port));
            match catalog::bind(server, service, settings, protocol, addr) {
                Some(Ok(addr)) => {
                    bound.push(Bound { service, host: place.host.text.clone(), protocol, addr });
                }
                Some(Err(error)) => problems.push(problem(place, addr, &error)),
                None => {}
            }
        }
    }
    if problems.is_empty() { Ok(bound) } else { Err(problems) }
}

/// What would be wrong with the network, or with each place.
fn check<N: Network>(options: &N::Options, places: &[Place]) -> Vec<anyhow::Error> {
    if let Err(problem) = N::check(options) {
        return vec![problem];
    }
    let each = places
        .iter()
        .flat_map(|place| place.listed.protocols.iter().map(move |protocol| (place, *protocol)));
    let mut problems = Vec::new();
    for (place, protocol) in each {
        let addr = place.host.at(place.port);
        if let Err(error) = N::check_address(options, addr, protocol) {
            problems.push(problem(place, addr, &error));
        }
    }
    problems
}

/// Says what is wrong with a place, and what to do.
fn problem(place: &Place, addr: SocketAddr, error: &io::Error) -> anyhow::Error {
    let name = place.listed.about.name;
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "; stop what uses it, or take another port: {name}=PORT ({name}=0 takes a free one)"
            )
        }
        io::ErrorKind::AddrNotAvailable => "; give an address of this host with --bind".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("; ports below 1024 may need privileges: {name}=PORT takes another")
        }
        _ => String::new(),
    };
    anyhow!("cannot serve {name} on {addr}: {error}{advice}")
}

fn lock(output: &Mutex<Output>) -> std::sync::MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Where a transcript goes.
pub(super) type Write = Box<dyn FnMut(&str) + Send>;

/// A transcript on standard output. Should nobody read it any longer, the server goes on.
fn transcript_to(output: Arc<Mutex<Output>>) -> Transcript<Write> {
    let mut told = false;
    Transcript::new(Box::new(move |text: &str| {
        let mut output = lock(&output);
        output.write(text.as_bytes());
        if output.has_failed() && !std::mem::replace(&mut told, true) {
            tracing::warn!("standard output takes no more: the transcript ends here");
        }
    }))
}

/// The log, and the transcript if there is one.
struct Console {
    transcript: Option<Arc<Transcript<Write>>>,
}

impl Observer for Console {
    fn observe(&self, link: &Link, event: Event<'_>) {
        if let Some(transcript) = &self.transcript {
            transcript.observe(link, event);
        }
        EventLog.observe(link, event);
    }
}
