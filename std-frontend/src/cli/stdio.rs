//! `serve SERVICE --stdio`: one conversation instead of a server.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use anywire_core::conversation::Limits;
use anywire_core::event::End;
use anywire_core::service::StreamService;

use crate::cli::failure::Failure;
use crate::cli::network::{Meeting, Network, Plan};
use crate::cli::options::{Logging, Serve};
use crate::cli::serve::{Place, Write};
use crate::console::log::Level;
use crate::console::transcript::Transcript;
use crate::console::words::how;
use crate::engine::report::{self, Reporter};
use crate::engine::{Observer, Orders, Protocol, stdio};
use crate::folder::FolderStore;
use crate::metrics::Steps;
use crate::os;

/// Whether one conversation of what is asked for can be held on standard input and output; datagrams are left out.
pub(super) fn prepare<N: Network>(
    args: &Serve<N>,
    places: &mut [Place],
    meeting: Meeting,
) -> Result<(), Failure> {
    os::stdio::can_converse().map_err(|error| Failure::usage(error.to_string()))?;
    if stdio::errors_go_to_the_peer() {
        stdio::silence_errors().map_err(anyhow::Error::from)?;
    }
    let [place] = places else { return Err(Failure::usage("--stdio needs one service, named")) };
    let located = args.services.iter().any(|service| service.port.is_some());
    if located || args.port.is_some() || args.bind.is_some() {
        return Err(Failure::usage(
            "with --stdio nothing listens: there is no address and no port",
        ));
    }
    if args.esc {
        return Err(Failure::usage("with --stdio what is typed is the peer's: there is no --esc"));
    }
    if args.metrics.is_some() && meeting == Meeting::Stdio {
        return Err(Failure::usage(
            "with --stdio there is one conversation: there are no --metrics",
        ));
    }
    place.listed.protocols.retain(|&protocol| protocol == Protocol::Tcp);
    if place.listed.protocols.is_empty() {
        let name = place.listed.about.name;
        return Err(Failure::usage(format!("{name} answers datagrams, and has no conversations")));
    }
    Ok(())
}

/// A transcript on standard error: standard output is the wire.
pub(super) fn transcript() -> Transcript<Write> {
    Transcript::new(Box::new(|text| drop(io::stderr().write_all(text.as_bytes()))))
}

/// What a child tells its parent: all of it, if the parent shows all of it.
pub(super) fn reporter<N: Network>(
    args: &Serve<N>,
    logging: Logging,
    steps: Option<&'static Steps>,
) -> Reporter {
    let everything = args.transcript || logging.level(Level::Normal) == Level::Everything;
    Reporter { everything, steps }
}

/// A child begins in the folder of files, and has opened it by now: should it crash, what the system leaves of that is not to be found there.
pub(super) fn leave_folder() {
    let _ = std::env::set_current_dir("/");
}

/// One conversation, as a server that has one.
pub struct Stdio {
    store: FolderStore,
    observer: Arc<dyn Observer>,
    limits: Limits,
    grace: Duration,
    orders: Arc<Orders>,
    child: bool,
    conversation: Option<Conversation>,
}

type Conversation =
    Box<dyn FnOnce(FolderStore, &dyn Observer, &Limits, &Orders) -> io::Result<End>>;

impl Stdio {
    pub(super) fn new(plan: Plan, meeting: Meeting) -> io::Result<Self> {
        let Plan { store, observer, limits, grace, .. } = plan;
        let (orders, child) = (Arc::new(Orders::new()?), meeting == Meeting::Child);
        Ok(Self { store, observer, limits, grace, orders, child, conversation: None })
    }

    /// There is no address.
    pub(super) fn bind_stream<S>(&mut self, service: S, addr: SocketAddr) -> SocketAddr
    where
        S: StreamService + Send + 'static,
    {
        self.conversation = Some(Box::new(move |store, observer, limits, orders| {
            stdio::converse(service, store, observer, limits, orders)
        }));
        addr
    }

    /// Retires the conversation now, and aborts it after the grace.
    pub(super) fn stopper(&self) -> Box<dyn Fn() + Send> {
        let (orders, grace) = (Arc::clone(&self.orders), self.grace);
        Box::new(move || {
            orders.retire();
            let late = Arc::clone(&orders);
            let waiting = std::thread::Builder::new().name("grace".into()).spawn(move || {
                std::thread::sleep(grace);
                late.abort();
            });
            if waiting.is_err() {
                orders.abort();
            }
        })
    }

    pub(super) fn run(self) -> Result<()> {
        let Some(conversation) = self.conversation else { bail!("there is no service") };
        if self.child {
            report::obey(Arc::clone(&self.orders), self.grace)?;
        }
        let end = conversation(self.store, &*self.observer, &self.limits, &self.orders)?;
        match end {
            // Its parent has been told.
            _ if self.child => Ok(()),
            End::Finished | End::Idle | End::Stopped => Ok(()),
            end => bail!("the conversation was {}", how(end)),
        }
    }
}
