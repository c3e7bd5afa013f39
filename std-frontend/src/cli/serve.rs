//! `serve`: puts a server together, says where it listens, and runs it.
//!
//! Whatever is wrong is told at once: the folder, the network, and each address that cannot be had.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, anyhow};
use anywire_core::conversation::Limits;
use anywire_core::event::Event;

use crate::cli::catalog::{self, Listed};
use crate::cli::conflicts::{self, Conflict, Given};
use crate::cli::endpoint::Host;
use crate::cli::failure::Failure;
use crate::cli::network::{Meeting, Network, Plan, Server};
use crate::cli::options::{Logging, Serve};
use crate::cli::settings::Settings;
use crate::cli::{arguments, signals, stdio, values};
use crate::console::TOLD;
use crate::console::escape::Shown;
use crate::console::log::{Format, Level, Log};
use crate::console::output::Output;
use crate::console::summary::Summary;
use crate::console::transcript::Transcript;
use crate::console::visits::Visits;
use crate::engine::report;
use crate::engine::{Link, Observer, Protocol};
use crate::folder::{FolderOptions, FolderStore};
use crate::metrics::{Endpoint, Kind, Metrics, StepCounts};
use crate::os;

/// One service, one place.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) listed: Listed,
    pub(super) host: Host,
    /// The host was given for this service, not for all.
    pub(super) own_host: bool,
    pub(super) port: u16,
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
    given: &Given,
    logging: Logging,
    log: Option<&Log>,
) -> Result<(), Failure> {
    let meeting = N::meeting(&args.network);
    let default = N::default_bind(&options);
    let mut places = places(&args, Host::from(default))?;
    if meeting != Meeting::Listening {
        stdio::prepare(&args, &mut places, meeting)?;
    }
    check_settings(&places, settings)?;

    let output = Arc::new(Mutex::new(Output::new(false)));
    let transcript = args.transcript.then(|| match meeting {
        Meeting::Listening => Arc::new(transcript_to(Arc::clone(&output))),
        Meeting::Stdio | Meeting::Child => Arc::new(stdio::transcript()),
    });
    let summary = Summary::new(places.iter().map(|place| place.listed.about.name));
    let metrics = args.metrics.map(|_| counted(&places, log));
    let visits = Visits::default();
    let console = Console { transcript: transcript.clone(), visits, summary, metrics };
    let console = Arc::new(console);

    let steps = metrics.zip(places.first());
    let steps = steps.and_then(|(all, place)| all.steps(place.listed.about.name));
    let (store, mut problems) = store(&args, &places, meeting);
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
        observer: match meeting {
            Meeting::Child => Arc::new(stdio::reporter(&args, logging, steps)),
            Meeting::Listening | Meeting::Stdio => Arc::clone(&console) as _,
        },
        arguments: Box::new(arguments::of(&args, settings, logging)),
    };
    let (server, bound, mut conflicts) = match N::server(options.clone(), args.network, plan) {
        Ok(mut server) => {
            let (bound, conflicts) = bind_all(&mut server, &places, settings, metrics);
            (Some(server), bound, conflicts)
        }
        Err(problem) => {
            problems.push(problem);
            (None, Vec::new(), conflicts::among(&places))
        }
    };
    let endpoint = args.metrics.filter(|_| meeting == Meeting::Listening).and_then(|addr| {
        let bound = Endpoint::bind(addr);
        bound.map_err(|error| conflicts.push(Conflict::of_metrics(addr, error))).ok()
    });
    let Some(server) = server.filter(|_| problems.is_empty() && conflicts.is_empty()) else {
        let can = |addr, protocol| N::check_address(&options, addr, protocol).is_ok();
        let instead = conflicts::instead(given, &places, &conflicts, can);
        let instead = instead.map(|(line, all)| (line, all && problems.is_empty()));
        problems.extend(conflicts::problems(conflicts, &places));
        return Err(Failure::Unserved { problems, instead });
    };

    warn_beyond_loopback(&places, default);
    let scraped = endpoint.as_ref().map(Endpoint::addr);
    if let (Some(endpoint), Some(metrics)) = (endpoint, metrics) {
        let (addr, url) = (endpoint.addr(), endpoint.url());
        endpoint.serve(metrics).context("cannot serve metrics")?;
        tracing::info!(target: TOLD, url, "metrics are at {url}");
        if !addr.ip().to_canonical().is_loopback() {
            tracing::warn!(
                "metrics are served on {}, beyond this machine: whoever reaches the port can read them",
                addr.ip()
            );
        }
    }
    signals::stop_by(server.stopper(), args.grace).map_err(anyhow::Error::from)?;
    if meeting != Meeting::Listening {
        if let Some(steps) = steps.filter(|_| meeting == Meeting::Child) {
            report::tell_of(steps).context("cannot tell of steps")?;
        }
        return Ok(server.run()?);
    }
    let listening = args.esc.then(os::esc::begin).transpose();
    let _keys = listening.context("cannot listen for Esc")?;
    {
        let mut output = lock(&output);
        for bound in &bound {
            let (service, protocol) = (bound.service, bound.protocol.as_str());
            output.line(format_args!("listening {service} {protocol} {}", bound.addr));
        }
        if let Some(addr) = scraped {
            output.line(format_args!("listening metrics tcp {addr}"));
        }
    }
    if let Some(transcript) = &transcript {
        for bound in &bound {
            transcript.listening(bound.service, &bound.host, bound.addr.port());
        }
    }
    let log = log.filter(|log| log.level() >= Level::Normal);
    let text = log.is_some_and(|log| log.format() == Format::Text);
    if let Some(log) = log.filter(|_| text && io::stderr().is_terminal()) {
        log.write(header(&args.dir, args.log_dir.as_deref(), &places));
    }
    let done = server.run();
    if let Some(log) = log {
        // There must be room for it.
        log.catch_up();
        let lost = log.lost();
        let words = "lines of the log that nobody read in time, and are lost";
        if text {
            log.write(&console.summary);
        } else {
            console.summary.log();
        }
        if lost > 0 && text {
            log.write(format_args!("{words}: {lost}\n"));
        } else if lost > 0 {
            tracing::warn!(lost, "{words}");
        }
    }
    Ok(done?)
}

/// What a person who watches wants to know, besides where it listens.
fn header(dir: &Path, log_dir: Option<&Path>, places: &[Place]) -> String {
    let shown = |path: &Path| Shown(path.as_os_str().as_encoded_bytes()).to_string();
    let mut header = String::new();
    if places.iter().any(|place| place.listed.files) {
        header += &format!("files are kept in {}; ", shown(dir));
    }
    if places.iter().any(|place| place.listed.log) {
        let logs = log_dir.map_or_else(|| dir.join(LOGS), Path::to_owned);
        header += &format!("logdate's logs in {}; ", shown(&logs));
    }
    header + "Ctrl-C ends it\n"
}

/// Opens the folders that are needed, and says what is wrong with each that cannot be had.
fn store<N: Network>(
    args: &Serve<N>,
    places: &[Place],
    meeting: Meeting,
) -> (FolderStore, Vec<anyhow::Error>) {
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
        let dir = args.log_dir.clone().unwrap_or_else(|| args.dir.join(LOGS));
        match with_log(store.clone(), &dir) {
            Ok(logging) => store = logging,
            Err(error) => problems.push(anyhow!(
                "cannot keep logs in {}: {error}; give another folder with --log-dir",
                dir.display()
            )),
        }
    }
    (store, problems)
}

/// Where logs are unless it is said, in the folder for files.
pub(super) const LOGS: &str = "logs";

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
        let place = |listed: Listed| Place {
            port: listed.about.port,
            host: host.clone(),
            own_host: false,
            listed,
        };
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
            own_host: endpoint.host.is_some(),
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

/// The metrics of what is served. They are scraped as long as the process lives.
fn counted(places: &[Place], log: Option<&Log>) -> &'static Metrics {
    let kind = |listed: &Listed| Kind {
        streams: listed.protocols.contains(&Protocol::Tcp),
        datagrams: listed.protocols.contains(&Protocol::Udp),
        files: listed.files,
        log: listed.log,
    };
    let services = places.iter().map(|place| (place.listed.about.name, kind(&place.listed)));
    // A child's log is its parent's.
    let lost = log.map(Log::lost_counter);
    let lost = move || lost.as_ref().map_or(0, |lost| lost());
    Box::leak(Box::new(Metrics::new(services, lost)))
}

fn warn_beyond_loopback(places: &[Place], default: IpAddr) {
    let beyond =
        |place: &&Place| !place.host.ip.to_canonical().is_loopback() && place.host.ip != default;
    if let Some(place) = places.iter().find(beyond) {
        tracing::warn!(
            "listening on {}, beyond this machine: whoever reaches the port can read and store files",
            place.host.text
        );
    }
}

/// Binds every place that can be had; says which ones cannot.
fn bind_all(
    server: &mut impl Server,
    places: &[Place],
    settings: &Settings,
    metrics: Option<&'static Metrics>,
) -> (Vec<Bound>, Vec<Conflict>) {
    let mut bound: Vec<Bound> = Vec::new();
    let mut conflicts = Vec::new();
    for (at, place) in places.iter().enumerate() {
        let mut port = place.port;
        if port == 0 && place.listed.protocols.len() > 1 {
            match server.free_port(place.host.at(0)) {
                Ok(free) => port = free,
                Err(error) => {
                    conflicts.push(Conflict::new(at, place.host.at(0), Protocol::Tcp, error));
                    continue;
                }
            }
        }
        for &protocol in &place.listed.protocols {
            if let Some(conflict) = conflicts::with_earlier(places, at, protocol) {
                conflicts.push(conflict);
                continue;
            }
            let (service, addr) = (place.listed.about.name, place.host.at(port));
            match catalog::bind(server, service, settings, protocol, addr, metrics) {
                Some(Ok(addr)) => {
                    bound.push(Bound { service, host: place.host.text.clone(), protocol, addr });
                }
                Some(Err(error)) => conflicts.push(Conflict::new(at, addr, protocol, error)),
                None => {}
            }
        }
    }
    (bound, conflicts)
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

/// The log, what is counted, and the transcript if there is one.
struct Console {
    transcript: Option<Arc<Transcript<Write>>>,
    visits: Visits,
    summary: Summary,
    metrics: Option<&'static Metrics>,
}

impl Observer for Console {
    fn observe(&self, link: &Link, event: Event<'_>) {
        if let Some(transcript) = &self.transcript {
            transcript.observe(link, event);
        }
        self.visits.observe(link, event);
        self.summary.observe(link, event);
        if let Some(metrics) = self.metrics {
            metrics.observe(link, event);
        }
    }

    fn stepped(&self, link: &Link, counts: &StepCounts) {
        if let Some(metrics) = self.metrics {
            metrics.stepped(link, counts);
        }
    }

    fn not_accepted(&self, error: &io::Error) {
        if let Some(metrics) = self.metrics {
            metrics.not_accepted(error);
        }
    }
}
