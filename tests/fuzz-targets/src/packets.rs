//! Frames made by hand, and a device that carries them.

use std::collections::VecDeque;
use std::net::IpAddr;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// The server's address on the Ethernet; other stations' end in another byte.
pub const SERVER: [u8; 6] = station(1);

/// A station's address on the Ethernet.
pub const fn station(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, number]
}

/// RFC 1071, over an even number of bytes in each part but the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

/// An Ethernet frame to the server.
pub fn ethernet(from: u8, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&SERVER[..], &station(from), &ethertype.to_be_bytes(), payload].concat()
}

/// Fills in the checksum of TCP (at 16), UDP (at 6) or ICMP (at 2).
fn sealed(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    let at = match protocol {
        6 => 16,
        17 => 6,
        1 | 58 => 2,
        _ => return payload,
    };
    let Some(field) = payload.get_mut(at..at + 2) else { return payload };
    field.fill(0);
    let pseudo = [&octets(src)[..], &octets(dst)].concat();
    let rest = [&(payload.len() as u32).to_be_bytes()[..], &[0, 0, 0, protocol]].concat();
    let sum = match protocol {
        1 => checksum(&[&payload]),
        _ => checksum(&[&pseudo, &rest, &payload]),
    };
    let sum = if protocol == 17 && sum == 0 { 0xffff } else { sum };
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    payload
}

/// A frame with an IP packet from `src` to `dst`, all of whose checksums are right.
pub fn ip(from: u8, src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let payload = sealed(src, dst, protocol, payload);
    match (src, dst) {
        (IpAddr::V4(_), IpAddr::V4(_)) => ipv4(from, src, dst, protocol, 0, &payload),
        _ => {
            let len = payload.len() as u16;
            let head = [&[0x60, 0, 0, 0][..], &len.to_be_bytes(), &[protocol, 64]].concat();
            let packet = [&head[..], &octets(src), &octets(dst), &payload].concat();
            ethernet(from, 0x86dd, &packet)
        }
    }
}

/// An IPv4 packet, or a piece of one: `fragment` is the field of flags and offset.
fn ipv4(from: u8, src: IpAddr, dst: IpAddr, protocol: u8, fragment: u16, piece: &[u8]) -> Vec<u8> {
    let len = (20 + piece.len()) as u16;
    let mut head = [&[0x45, 0][..], &len.to_be_bytes(), &[0, 7], &fragment.to_be_bytes()].concat();
    head.extend([64, protocol, 0, 0]);
    head.extend([octets(src), octets(dst)].concat());
    let sum = checksum(&[&head]);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    ethernet(from, 0x0800, &[&head, piece].concat())
}

/// A piece of an IPv4 packet, whose payload has the right checksum where it is whole.
pub fn fragment(
    from: u8,
    (src, dst): (IpAddr, IpAddr),
    protocol: u8,
    payload: &[u8],
    at: usize,
    len: usize,
) -> Vec<u8> {
    let payload = sealed(src, dst, protocol, payload);
    let at = at.min(payload.len()) & !7;
    let piece = &payload[at..(at + len).min(payload.len())];
    let more = if at + piece.len() < payload.len() { 0x2000 } else { 0 };
    ipv4(from, src, dst, protocol, more | (at / 8) as u16, piece)
}

/// What is known of a TCP segment that the server has sent.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// To whom.
    pub peer: IpAddr,
    /// From which port and to which.
    pub ports: (u16, u16),
    /// The sequence number behind its last byte.
    pub next: u32,
    /// What it acknowledges.
    pub ack: u32,
}

/// Checks a frame that the server has sent: its lengths and checksums. Says what is in it, if that is a TCP segment.
pub fn check(frame: &[u8]) -> Option<Segment> {
    assert_eq!(frame[6..12], SERVER, "the server sends as itself");
    let (src, dst, protocol, payload): (IpAddr, IpAddr, _, _) = match frame[12..14] {
        [0x08, 0x00] => {
            let packet = &frame[14..];
            assert_eq!((packet[0], checksum(&[&packet[..20]])), (0x45, 0));
            let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            let v4 = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap().into();
            if [packet[6] & 0x3f, packet[7]] != [0, 0] {
                // A piece of a datagram.
                return None;
            }
            (v4(12), v4(16), packet[9], &packet[20..len])
        }
        [0x86, 0xdd] => {
            let packet = &frame[14..];
            let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            let v6 = |at: usize| <[u8; 16]>::try_from(&packet[at..at + 16]).unwrap().into();
            (v6(8), v6(24), packet[6], &packet[40..][..len])
        }
        [0x08, 0x06] => return None,
        ref other => panic!("a frame of type {other:?}"),
    };
    let sum = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
    match protocol {
        6 => {
            assert_eq!(sealed(src, dst, 6, payload), payload);
            let data = payload.len() - usize::from(payload[12] >> 4) * 4;
            let flags = payload[13];
            let len = data as u32 + u32::from(flags & 1) + u32::from(flags >> 1 & 1);
            let long = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            let next = long(4).wrapping_add(len);
            Some(Segment { peer: dst, ports: (sum(0), sum(2)), next, ack: long(8) })
        }
        17 => {
            assert_eq!(usize::from(sum(4)), payload.len());
            assert_eq!(sealed(src, dst, 17, payload), payload);
            None
        }
        1 => {
            assert_eq!(sealed(src, dst, 1, payload), payload);
            None
        }
        58 => {
            assert_eq!(sealed(src, dst, 58, payload), payload);
            None
        }
        // Such as a report of IPv6's groups.
        _ => None,
    }
}

/// A device that is fed by hand.
#[derive(Debug, Default)]
pub struct Nic {
    /// Frames that have come.
    pub received: VecDeque<Vec<u8>>,
    /// Frames that were sent.
    pub sent: Vec<Vec<u8>>,
    /// Whether there is no room to send any.
    pub full: bool,
}

/// The longest frame.
const MTU: usize = 1514;

impl Device for Nic {
    type RxToken<'t> = Arrived;
    type TxToken<'t> = Room<'t>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived, Room<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Arrived(frame), Room(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        (!self.full).then_some(Room(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// A frame that has come.
#[derive(Debug)]
pub struct Arrived(Vec<u8>);

/// Room for one to send.
#[derive(Debug)]
pub struct Room<'t>(&'t mut Vec<Vec<u8>>);

impl phy::RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        assert!(len <= MTU, "a frame of {len} bytes");
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}
