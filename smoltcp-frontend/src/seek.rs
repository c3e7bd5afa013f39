//! Stations that we go to, looked for in time.
//!
//! smoltcp looks for one neighbour a second, whoever it is: a name leads to an IPv6 address just after the name server was looked for, and the
//! connection would wait for the rest of that second. So the neighbours of whoever is wanted within a second of another are asked for here.

use core::time::Duration;

use anywire_core::instant::Instant;
use smoltcp::iface::Interface;
use smoltcp::wire::IpAddress;

/// Who is wanted, and who was a moment ago.
#[derive(Debug)]
pub(crate) struct Seek {
    wanted: [Option<IpAddress>; PLACES],
    /// Those the interface looks for, or we have asked for, and since when.
    sought: [Option<(IpAddress, Instant)>; PLACES],
}

/// Of more within a second the interface finds the rest, one a second.
const PLACES: usize = 8;

/// As long as the interface is silent after it has looked for a neighbour.
const SILENCE: Duration = Duration::from_secs(1);

impl Seek {
    pub(crate) fn nobody() -> Self {
        Self { wanted: [None; PLACES], sought: [None; PLACES] }
    }

    /// Somebody is about to be sent to.
    pub(crate) fn want(&mut self, interface: &mut Interface, to: IpAddress) {
        let Some(neighbour) = next_hop(interface, to) else { return };
        let known = self.wanted.iter().flatten().any(|wanted| *wanted == neighbour);
        if let Some(place) = self.wanted.iter_mut().find(|place| place.is_none() && !known) {
            *place = Some(neighbour);
        }
    }

    /// One whom the interface will not look for itself yet.
    pub(crate) fn next(&mut self, now: Instant) -> Option<IpAddress> {
        self.wanted.iter_mut().find_map(|place| {
            let wanted = place.take()?;
            for place in &mut self.sought {
                *place = place.filter(|(_, at)| *at + SILENCE > now);
            }
            let mut sought = self.sought.iter().flatten().map(|(sought, _)| *sought).peekable();
            let silent = sought.peek().is_some();
            if sought.any(|sought| sought == wanted) {
                return None;
            }
            let place = self.sought.iter_mut().find(|place| place.is_none())?;
            *place = Some((wanted, now));
            silent.then_some(wanted)
        })
    }
}

/// Who of our own network is to get what is sent there.
fn next_hop(interface: &mut Interface, to: IpAddress) -> Option<IpAddress> {
    if !to.is_unicast() || interface.has_ip_addr(to) {
        return None;
    }
    if interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&to)) {
        return Some(to);
    }
    let mut router = None;
    interface.routes_mut().update(|routes| {
        router = routes
            .iter()
            .filter(|route| route.cidr.contains_addr(&to))
            .max_by_key(|route| route.cidr.prefix_len())
            .map(|route| route.via_router);
    });
    router
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{self, Packet, Side, Wire};

    const FIRST: IpAddress = IpAddress::v4(10, 0, 0, 7);
    const SECOND: IpAddress = IpAddress::v4(10, 0, 0, 8);

    /// Who is sought beside the first, `apart` later.
    fn sought(to: IpAddress, apart: Duration) -> Option<IpAddress> {
        let (mut a, mut b) = ([Packet::EMPTY; 1], [Packet::EMPTY; 1]);
        let mut wire = Wire::new(&mut a, &mut b);
        let mut interface = sim::interface(&mut wire, Side::A);
        let mut seek = Seek::nobody();
        seek.want(&mut interface, FIRST);
        assert_eq!(seek.next(Instant::ZERO), None, "the interface looks for the first itself");
        seek.want(&mut interface, to);
        seek.next(Instant::ZERO + apart)
    }

    #[test]
    fn who_is_wanted_within_a_second_of_another_is_sought() {
        assert_eq!(sought(SECOND, Duration::ZERO), Some(SECOND));
        assert_eq!(sought(SECOND, SILENCE - Duration::from_micros(1)), Some(SECOND));
        assert_eq!(sought(SECOND, SILENCE), None, "the interface may look again");
        assert_eq!(sought(FIRST, Duration::ZERO), None, "the interface looks already");
    }

    #[test]
    fn nobody_is_sought_who_has_no_place_in_our_network() {
        let ours = IpAddress::v4(10, 0, 0, 1);
        for to in [ours, IpAddress::v4(255, 255, 255, 255), IpAddress::v4(224, 0, 0, 1)] {
            assert_eq!(sought(to, Duration::ZERO), None, "{to}");
        }
    }
}
