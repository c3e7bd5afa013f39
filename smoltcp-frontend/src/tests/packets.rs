//! Packets made by hand, as no stack would send them.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::*;

/// A segment to echo, of which a test says what is different.
pub(crate) const SEGMENT: TcpRepr<'static> = TcpRepr {
    src_port: 49152,
    dst_port: 9900,
    control: TcpControl::None,
    seq_number: TcpSeqNumber(7),
    ack_number: None,
    window_len: 1000,
    window_scale: None,
    max_seg_size: None,
    sack_permitted: false,
    sack_ranges: [None; 3],
    timestamp: None,
    payload: b"",
};

/// The IP packet with this segment in it.
pub(crate) fn packet(peer: IpAddress, local: IpAddress, tcp: &TcpRepr<'_>) -> Vec<u8> {
    let ip = IpRepr::new(peer, local, IpProtocol::Tcp, tcp.buffer_len(), 64);
    let mut packet = vec![0; ip.buffer_len()];
    let caps = ChecksumCapabilities::default();
    ip.emit(&mut packet[..], &caps);
    let mut segment = TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
    tcp.emit(&mut segment, &peer, &local, &caps);
    packet
}

/// The same IPv6 packet, behind hop-by-hop options of as many times 8 bytes.
pub(crate) fn hop_by_hop(mut packet: Vec<u8>, eights: u8) -> Vec<u8> {
    let mut options = vec![packet[6], eights - 1, 1, 4];
    options.resize(8 * usize::from(eights), 0);
    let len = u16::from_be_bytes([packet[4], packet[5]]) + options.len() as u16;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet[6] = 0;
    packet.splice(40..40, options);
    packet
}

/// Ours and a peer's address, of both kinds.
pub(crate) fn ends() -> [(IpAddress, IpAddress); 2] {
    let v6 = |last| IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, last);
    [(IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2)), (v6(1), v6(2))]
}
