//! An address from a DHCP server, for a server's stack or a client's.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use anywire_core::instant::earliest;
use anywire_core::store::NoStore;
use anywire_smoltcp::dhcp::{Change, Detached, Dhcp, Lease};
use anywire_smoltcp::endpoint::Endpoint;
use anywire_smoltcp::stack::{self, Stack};
use anywire_std::clock;
use smoltcp::iface::SocketStorage;

use crate::link::Link;
use crate::station::Station;
use crate::wait::wait;

/// Waits for a lease, no longer than `limit`, on a stack that has nothing but a DHCP client. The stack to serve on cannot be made before
/// its address is known; this one's memory is not given back.
pub(crate) fn obtain(
    station: &Station,
    device: &mut Link,
    limit: Duration,
) -> Result<(Detached, Lease)> {
    const NOTHING: &[&mut dyn Endpoint<NoStore>] = &[];
    let interface = Box::leak(Box::new(station.interface(device)?));
    let sockets = vec![SocketStorage::EMPTY].leak();
    let memory = stack::Memory { sockets, output: &mut [], hold: &mut [], backlog: &mut [] };
    let mut stack = Stack::new(interface, memory);
    let mut dhcp = Dhcp::new(&mut stack).context("there is no room for a socket")?;
    let deadline = clock::now() + limit;
    let mut unusable = None;
    loop {
        let nothing: &mut [&mut dyn Endpoint<NoStore>] = &mut [];
        stack.poll(clock::now, device, nothing, &mut NoStore, &mut ());
        device.check()?;
        while let Some(change) = dhcp.poll(&mut stack) {
            tell(change);
            if let Change::Unusable(lease) = change {
                unusable = Some(lease);
            }
        }
        if let Some(&lease) = dhcp.lease() {
            let detached = dhcp.detach(&mut stack).context("the DHCP client is gone")?;
            return Ok((detached, lease));
        }
        if clock::now() >= deadline {
            break;
        }
        let due = earliest(Some(deadline), stack.poll_at(clock::now(), NOTHING));
        wait(device.as_fd(), None, due)?;
    }
    let (name, seconds) = (device.name(), limit.as_secs_f64());
    match unusable {
        Some(lease) => bail!(
            "the DHCP server {} on {name} lends {}, which no station can have",
            lease.server,
            lease.address
        ),
        None => bail!(
            "no DHCP server on {name} has lent an address within {seconds} s: start one there, wait longer with --dhcp=SECONDS, or give an \
             address with --address"
        ),
    }
}

/// Sees what the last poll has brought, and says what has become of the lease.
pub(crate) fn look(dhcp: &mut Option<Dhcp>, stack: &mut Stack<'_>) {
    let Some(dhcp) = dhcp else { return };
    while let Some(change) = dhcp.poll(stack) {
        tell(change);
    }
}

fn tell(change: Change) {
    match change {
        Change::Bound(lease) => tracing::info!("the DHCP lease is {lease}"),
        Change::Lost(lease) => {
            tracing::warn!("the DHCP lease of {} is lost; asking for another", lease.address);
        }
        Change::Unusable(lease) => tracing::warn!(
            "the DHCP server {} lends {}, which no station can have",
            lease.server,
            lease.address
        ),
        _ => {}
    }
}
