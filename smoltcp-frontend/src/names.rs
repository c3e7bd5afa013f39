//! The addresses of a name, from a DNS server (RFC 1035). No call here waits.

use core::fmt;
use core::net::IpAddr;
use core::task::Poll;
use core::time::Duration;

use anywire_core::instant::Instant;
use smoltcp::config::DNS_MAX_RESULT_COUNT;
use smoltcp::socket::dns::{DnsQuery, GetQueryResultError, QueryHandle, Socket, StartQueryError};
use smoltcp::wire::{DnsQueryType, IpAddress};

use crate::sockets::Handle;
use crate::stack::Stack;

/// The memory of a resolver: a name's IPv6 and its IPv4 addresses are asked for at the same time.
pub type Memory = [Option<DnsQuery>; 2];

/// A socket of a stack that asks for the addresses of one name after the other.
pub struct Resolver {
    handle: Handle,
    /// What was asked and is not answered.
    asked: [Option<QueryHandle>; 2],
    found: Addresses,
    /// It is over then, whatever has come.
    due: Option<Instant>,
}

/// The addresses of a name: IPv6 first, each kind in the order in which the server told them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses([[Option<IpAddress>; DNS_MAX_RESULT_COUNT]; 2]);

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// A name is up to 63 bytes between dots, and 253 in all.
    NotAName,
    /// The server cannot be written to: none of our addresses is of its kind.
    Unaddressable,
    /// The server knows no such name, or no address of it that we could use.
    Unknown,
    /// No answer came in time, or none that was one.
    NoAnswer,
}

/// When the addresses of one kind are here, those of the other may take so long: some servers never answer when asked for IPv6
/// (RFC 8305).
const PATIENCE: Duration = Duration::from_millis(200);

/// No server is waited for longer. smoltcp gives up after 10 s, and that would look like an answer.
const LONGEST: Duration = Duration::from_secs(9);

impl Resolver {
    /// A resolver. `None`: the stack has no room for another socket.
    pub fn new<'a>(stack: &mut Stack<'a>, memory: &'a mut Memory) -> Option<Self> {
        let handle = stack.add(Socket::new(&[], &mut memory[..]))?;
        Some(Self { handle, asked: [None; 2], found: Addresses::default(), due: None })
    }

    /// Asks `server` for the addresses of `name`, of the kinds that the interface has itself, and waits for `timeout`, but no longer than 9 s.
    /// What was asked before is forgotten.
    pub fn ask(
        &mut self,
        stack: &mut Stack<'_>,
        server: IpAddr,
        name: &str,
        now: Instant,
        timeout: Duration,
    ) -> Result<(), NameError> {
        self.forget(stack);
        let server = IpAddress::from(server);
        stack.want(server);
        if !server.is_unicast() || stack.source(server).is_none() {
            return Err(NameError::Unaddressable);
        }
        let interface = &mut *stack.interface;
        let has_v4 = interface.ipv4_addr().is_some();
        let has_v6 = interface.ip_addrs().iter().any(
            |cidr| matches!(cidr.address(), IpAddress::Ipv6(ip) if !ip.is_unicast_link_local()),
        );
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        socket.update_servers(&[server]);
        self.due = Some(now + timeout.min(LONGEST));
        let kinds = [(has_v6, DnsQueryType::Aaaa), (has_v4, DnsQueryType::A)];
        for (asked, (_, kind)) in self.asked.iter_mut().zip(kinds).filter(|(_, kind)| kind.0) {
            let query = socket.start_query(interface.context(), name, kind);
            *asked = Some(query.map_err(|error| match error {
                StartQueryError::InvalidName | StartQueryError::NameTooLong => NameError::NotAName,
                // All were forgotten, and there are as many places as kinds.
                StartQueryError::NoFreeSlot => NameError::Unknown,
            })?);
        }
        Ok(())
    }

    /// What has come, if that is all or has taken long enough.
    pub fn answer(
        &mut self,
        stack: &mut Stack<'_>,
        now: Instant,
    ) -> Poll<Result<Addresses, NameError>> {
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        for (asked, found) in self.asked.iter_mut().zip(&mut self.found.0) {
            let Some(query) = *asked else { continue };
            match socket.get_query_result(query) {
                Err(GetQueryResultError::Pending) => continue,
                Err(GetQueryResultError::Failed) => {}
                Ok(addresses) => {
                    for (place, address) in found.iter_mut().zip(addresses) {
                        *place = Some(address);
                    }
                    self.due = self.due.map(|due| due.min(now + PATIENCE));
                }
            }
            *asked = None;
        }
        let complete = self.asked.iter().all(Option::is_none);
        if !complete && self.due.is_some_and(|due| due > now) {
            return Poll::Pending;
        }
        let found = self.found;
        self.forget(stack);
        Poll::Ready(match found.iter().next() {
            Some(_) => Ok(found),
            None if complete => Err(NameError::Unknown),
            None => Err(NameError::NoAnswer),
        })
    }

    /// When to look again though nothing comes.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Asks no longer.
    pub fn forget(&mut self, stack: &mut Stack<'_>) {
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        for query in self.asked.iter_mut().filter_map(Option::take) {
            socket.cancel_query(query);
        }
        (self.found, self.due) = (Addresses::default(), None);
    }
}

impl Addresses {
    /// One after the other. None is an address that nobody can have.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let all = self.0.iter().flatten().flatten();
        all.filter(|address| address.is_unicast()).map(|&address| address.into())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("found", &self.found)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAName => "that is no name",
            Self::Unaddressable => "there is no way to that server",
            Self::Unknown => "it knows no such name, or no address of it",
            Self::NoAnswer => "no answer in time",
        })
    }
}

impl core::error::Error for NameError {}
