//! A DHCP client and servers that answer within the poll that asks them, on a clock that jumps.

use std::collections::VecDeque;

use core::net::Ipv4Addr;

use anywire_core::instant::Instant;
use anywire_core::store::NoStore;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DHCP_MAX_DNS_SERVER_COUNT, DhcpMessageType as Kind,
    DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpCidr,
    IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::*;
use crate::dhcp::{Change, Dhcp, Lease};

/// Who lends.
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 69, 100);
const CLIENT_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const SERVER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
const HOUR: u32 = 3600;

/// What the client asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Asked {
    kind: Kind,
    /// The address it has and wants to keep, or none.
    has: Ipv4Addr,
}

const FIRST: [Asked; 2] = [asked(Kind::Discover, 0), asked(Kind::Request, 0)];

const fn asked(kind: Kind, last: u8) -> Asked {
    let has = if last == 0 { Ipv4Addr::UNSPECIFIED } else { address(last) };
    Asked { kind, has }
}

const fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 69, last)
}

/// What a server answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Lend { address: Ipv4Addr, mask: Ipv4Addr, router: Ipv4Addr, seconds: u32 },
    No,
    Silence,
}

use Answer::{No, Silence};

const fn lend(last: u8, seconds: u32) -> Answer {
    Answer::Lend { address: address(last), mask: MASK, router: SERVER, seconds }
}

/// A network with a server and nobody else.
struct Lender {
    answer: Box<dyn FnMut(Asked) -> Answer>,
    frames: VecDeque<Vec<u8>>,
    asked: Vec<(Instant, Asked)>,
}

impl Lender {
    fn hear(&mut self, now: Instant, frame: &[u8]) {
        let heard = EthernetFrame::new_checked(frame).unwrap();
        if heard.ethertype() == EthernetProtocol::Arp {
            self.frames.push_back(is_at(&ArpPacket::new_checked(heard.payload()).unwrap()));
        }
        let Some((asked, id)) = parse(&heard) else { return };
        self.asked.push((now, asked));
        let (kind, lent, options) = match (self.answer)(asked) {
            Silence => return,
            No => (Kind::Nak, Ipv4Addr::UNSPECIFIED, None),
            Answer::Lend { address, mask, router, seconds } => {
                let kind = if asked.kind == Kind::Discover { Kind::Offer } else { Kind::Ack };
                (kind, address, Some((mask, router, seconds)))
            }
        };
        self.frames.push_back(build(&DhcpRepr {
            message_type: kind,
            transaction_id: id,
            secs: 0,
            client_hardware_address: CLIENT_MAC,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: lent,
            server_ip: SERVER,
            router: options.map(|(_, router, _)| router),
            subnet_mask: options.map(|(mask, ..)| mask),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(SERVER),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: options.map(|(.., seconds)| seconds),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        }));
    }
}

/// The answer to whoever looks for the server.
fn is_at(who_has: &ArpPacket<&[u8]>) -> Vec<u8> {
    assert_eq!(who_has.target_protocol_addr(), SERVER.octets());
    let sender = Ipv4Addr::from(<[u8; 4]>::try_from(who_has.source_protocol_addr()).unwrap());
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: SERVER_MAC,
        source_protocol_addr: SERVER,
        target_hardware_addr: CLIENT_MAC,
        target_protocol_addr: sender,
    };
    ethernet(CLIENT_MAC, EthernetProtocol::Arp, arp.buffer_len(), |payload| {
        arp.emit(&mut ArpPacket::new_unchecked(payload));
    })
}

/// A frame of the server's.
fn ethernet(
    to: EthernetAddress,
    ethertype: EthernetProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let header = EthernetRepr { src_addr: SERVER_MAC, dst_addr: to, ethertype };
    let mut frame = vec![0; header.buffer_len() + len];
    header.emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    fill(&mut frame[header.buffer_len()..]);
    frame
}

/// What is asked in this frame, and the question's number; `None`: something else.
fn parse(frame: &EthernetFrame<&[u8]>) -> Option<(Asked, u32)> {
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(frame.payload()).unwrap();
    if ip.next_header() != IpProtocol::Udp {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).unwrap();
    assert_eq!((udp.src_port(), udp.dst_port()), (68, 67));
    let packet = DhcpPacket::new_checked(udp.payload()).unwrap();
    let message = DhcpRepr::parse(&packet).unwrap();
    let asked = Asked { kind: message.message_type, has: message.client_ip };
    Some((asked, message.transaction_id))
}

/// The frame with this message to everybody.
fn build(message: &DhcpRepr<'_>) -> Vec<u8> {
    let caps = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: 67, dst_port: 68 };
    let ip = Ipv4Repr {
        src_addr: SERVER,
        dst_addr: Ipv4Addr::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + message.buffer_len(),
        hop_limit: 64,
    };
    let len = ip.buffer_len() + ip.payload_len;
    ethernet(EthernetAddress::BROADCAST, EthernetProtocol::Ipv4, len, |packet| {
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &caps);
        udp.emit(
            &mut UdpPacket::new_unchecked(&mut packet[ip.buffer_len()..]),
            &ip.src_addr.into(),
            &ip.dst_addr.into(),
            message.buffer_len(),
            |payload| message.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap(),
            &caps,
        );
    })
}

impl Device for Lender {
    type RxToken<'t> = Received;
    type TxToken<'t> = Room<'t>;

    fn receive(&mut self, at: smoltcp::time::Instant) -> Option<(Received, Room<'_>)> {
        let frame = self.frames.pop_front()?;
        Some((Received(frame), self.transmit(at)?))
    }

    fn transmit(&mut self, at: smoltcp::time::Instant) -> Option<Room<'_>> {
        Some(Room { lender: self, now: crate::time::from_smoltcp(at) })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Received(Vec<u8>);

struct Room<'t> {
    lender: &'t mut Lender,
    now: Instant,
}

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.lender.hear(self.now, &frame);
        result
    }
}

/// A client on such a network, and all that it has told.
struct Station {
    lender: Lender,
    stack: Stack<'static>,
    dhcp: Dhcp,
    now: Instant,
    told: Vec<Change>,
}

impl Station {
    fn new(answer: impl FnMut(Asked) -> Answer + 'static) -> Self {
        let mut lender =
            Lender { answer: Box::new(answer), frames: VecDeque::new(), asked: Vec::new() };
        let mut stack = stack(&mut lender);
        let dhcp = Dhcp::new(&mut stack).unwrap();
        let mut station = Self { lender, stack, dhcp, now: Instant::ZERO, told: Vec::new() };
        station.poll();
        station
    }

    fn poll(&mut self) {
        let none: &mut [&mut dyn Endpoint<NoStore>] = &mut [];
        let now = self.now;
        self.stack.poll(|| now, &mut self.lender, none, &mut NoStore, &mut ());
        while let Some(change) = self.dhcp.poll(&mut self.stack) {
            self.told.push(change);
        }
    }

    /// Goes on for so long.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        for turn in 0.. {
            assert!(turn < 1000, "it is never at rest");
            let none: &[&mut dyn Endpoint<NoStore>] = &[];
            let due = self.stack.poll_at(self.now, none);
            let Some(next) = due.filter(|&due| due <= end) else { break };
            self.now = next.max(self.now);
            self.poll();
        }
        self.now = end;
        self.poll();
    }

    /// The interface's addresses, and whether it has a way to other networks.
    fn has(&mut self) -> (Vec<IpCidr>, bool) {
        let interface = self.stack.interface();
        let mut router = false;
        interface.routes_mut().update(|routes| router = !routes.is_empty());
        (interface.ip_addrs().to_vec(), router)
    }

    fn asked(&mut self) -> Vec<Asked> {
        self.lender.asked.drain(..).map(|(_, asked)| asked).collect()
    }

    fn told(&mut self) -> Vec<Change> {
        core::mem::take(&mut self.told)
    }
}

fn stack(lender: &mut Lender) -> Stack<'static> {
    let config = Config::new(CLIENT_MAC.into());
    let interface = Interface::new(config, lender, smoltcp::time::Instant::ZERO);
    let memory = stack::Memory {
        sockets: Vec::leak(vec![SocketStorage::EMPTY]),
        output: &mut [],
        hold: &mut [],
        backlog: &mut [],
    };
    Stack::new(Box::leak(Box::new(interface)), memory)
}

fn cidr(last: u8) -> IpCidr {
    IpCidr::new(address(last).into(), 24)
}

fn lease(last: u8) -> Lease {
    let IpCidr::Ipv4(address) = cidr(last) else { unreachable!() };
    Lease {
        address,
        router: Some(SERVER),
        dns_servers: [None; DHCP_MAX_DNS_SERVER_COUNT],
        server: SERVER,
    }
}

fn seconds(seconds: u32) -> Duration {
    SECOND * seconds
}

#[test]
fn what_is_lent_is_had_within_the_poll_that_asks_and_renewed_at_half_its_time() {
    let mut station = Station::new(|_| lend(57, HOUR));
    assert_eq!(station.told(), [Change::Bound(lease(57))]);
    assert_eq!(station.has(), (vec![cidr(57)], true));
    assert_eq!(station.asked(), FIRST);
    station.run(seconds(HOUR / 2 - 1));
    assert_eq!(station.asked(), []);
    station.run(seconds(2));
    assert_eq!(station.asked(), [asked(Kind::Request, 57)]);
    assert_eq!(station.told(), [], "a renewal is no news");
    assert_eq!(station.dhcp.lease(), Some(&lease(57)));
}

#[test]
fn an_address_that_another_takes_the_place_of_is_lost_first() {
    for next in [57, 58] {
        let mut given = 57;
        let mut station = Station::new(move |asked| {
            if asked.has.is_unspecified() {
                return lend(given, HOUR);
            }
            given = next;
            No
        });
        station.told();
        station.asked();
        station.run(seconds(HOUR / 2));
        let [discover, request] = FIRST;
        assert_eq!(station.asked(), [asked(Kind::Request, 57), discover, request]);
        // The same address may have been lent by a renewal, as far as anyone can tell.
        let lost = (next == 58).then_some(Change::Lost(lease(57)));
        let all: Vec<_> = lost.into_iter().chain([Change::Bound(lease(next))]).collect();
        assert_eq!(station.told(), all);
        assert_eq!(station.has(), (vec![cidr(next)], true));
        assert_eq!(station.dhcp.lease(), Some(&lease(next)));
    }
}

#[test]
fn an_address_whose_time_is_up_is_lost_and_asked_for_again() {
    let mut lent = false;
    let mut station = Station::new(move |asked| {
        if lent {
            return Silence;
        }
        lent = asked.kind == Kind::Request;
        lend(57, 100)
    });
    station.told();
    station.run(seconds(99));
    assert_eq!(station.told(), []);
    assert_eq!(station.has(), (vec![cidr(57)], true));
    station.asked();
    station.run(seconds(1));
    assert_eq!(station.told(), [Change::Lost(lease(57))]);
    assert_eq!((station.has(), station.dhcp.lease()), ((vec![], false), None));
    station.run(seconds(60));
    let again: Vec<_> = station.lender.asked.iter().map(|(at, _)| *at).collect();
    let first = Instant::ZERO + seconds(100);
    assert_eq!(again[..3], [first, first + seconds(5), first + seconds(10)]);
    assert!(station.asked().iter().all(|asked| *asked == FIRST[0]));
    assert_eq!(station.told(), []);
}

#[test]
fn the_first_question_is_asked_again_sooner() {
    let mut station = Station::new(|_| Silence);
    station.run(seconds(12));
    let at: Vec<_> = station.lender.asked.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [0, 1, 6, 11].map(|at| Instant::ZERO + seconds(at)));
    assert_eq!(station.told(), []);
}

#[test]
fn what_no_station_can_have_is_not_taken() {
    let [net_8, net_31] = [[255, 0, 0, 0], [255, 255, 255, 254]].map(Ipv4Addr::from);
    for (lent, mask, taken) in [
        ([192, 168, 69, 57], MASK, true),
        ([192, 168, 69, 254], MASK, true),
        ([192, 168, 69, 255], net_31, true),
        ([192, 168, 69, 255], MASK, false),
        ([192, 168, 69, 57], Ipv4Addr::UNSPECIFIED, false),
        ([127, 0, 0, 1], MASK, false),
        ([0, 0, 0, 1], net_8, false),
    ] {
        let address = Ipv4Addr::from(lent);
        let given = Answer::Lend { address, mask, router: SERVER, seconds: HOUR };
        let mut station = Station::new(move |_| given);
        let told = station.told();
        let bound =
            matches!(told[..], [Change::Bound(lease)] if lease.address.address() == address);
        let unusable =
            matches!(told[..], [Change::Unusable(lease)] if lease.address.address() == address);
        assert_eq!((bound, unusable), (taken, !taken), "{address} {mask}: {told:?}");
        assert_eq!(station.has().0.len(), usize::from(taken));
    }
}

#[test]
fn what_nobody_can_have_is_told_and_takes_the_place_of_nothing() {
    let mut given = 57;
    let mut station = Station::new(move |asked| {
        if asked.has.is_unspecified() {
            return lend(given, HOUR);
        }
        given = 255;
        No
    });
    station.told();
    station.run(seconds(HOUR / 2));
    assert_eq!(station.told(), [Change::Lost(lease(57)), Change::Unusable(lease(255))]);
    assert_eq!((station.has(), station.dhcp.lease()), ((vec![], false), None));
}

#[test]
fn a_router_that_is_no_neighbour_is_none() {
    let away = Ipv4Addr::new(10, 0, 0, 1);
    for router in [away, address(57), address(255), Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
        let given = Answer::Lend { address: address(57), mask: MASK, router, seconds: HOUR };
        let mut station = Station::new(move |_| given);
        assert_eq!(station.told(), [Change::Bound(Lease { router: None, ..lease(57) })]);
        assert_eq!(station.has(), (vec![cidr(57)], false), "{router}");
    }
}

#[test]
fn what_else_the_interface_has_is_left_alone() {
    let mut station = Station::new(|asked| match asked.has.is_unspecified() {
        true => lend(57, HOUR),
        false => No,
    });
    let own = IpCidr::new("fdaa::1".parse().unwrap(), 64);
    station.stack.interface().update_ip_addrs(|addresses| addresses.push(own).unwrap());
    station.lender.answer = Box::new(|_| Silence);
    station.run(seconds(HOUR));
    assert_eq!(station.told(), [Change::Bound(lease(57)), Change::Lost(lease(57))]);
    assert_eq!(station.has(), (vec![own], false));
}

#[test]
fn a_client_takes_its_lease_to_another_stack() {
    let mut station = Station::new(|_| lend(57, 100));
    assert_eq!(station.told(), [Change::Bound(lease(57))]);
    let detached = station.dhcp.detach(&mut station.stack).unwrap();
    station.stack = stack(&mut station.lender);
    station.dhcp = Dhcp::attach(&mut station.stack, detached).unwrap();
    assert_eq!(station.has(), (vec![cidr(57)], true));
    station.asked();
    station.run(seconds(200));
    assert_eq!(station.asked(), [asked(Kind::Request, 57); 4]);
    assert_eq!(station.told(), []);
    assert!(Dhcp::new(&mut station.stack).is_none(), "there is no room for another");
}

#[test]
fn a_lease_says_what_it_is() {
    let mut all = lease(57);
    all.dns_servers[0] = Some(address(1));
    let said =
        "192.168.69.57/24 from 192.168.69.100, router 192.168.69.100, DNS server 192.168.69.1";
    assert_eq!(format!("{all}"), said);
}
