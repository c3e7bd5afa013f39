//! Packets made by hand, as no stack would send them.

use smoltcp::phy::{ChecksumCapabilities, Device, TxToken};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, IpRepr, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber,
};

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

/// Puts a frame on the wire at the client's end, whoever it says it is from.
pub(super) fn inject(sim: &mut Sim, frame: &[u8]) {
    let now = crate::time::to_smoltcp(sim.net.now());
    if let Some(token) = sim.net.wire.end(Side::B).transmit(now) {
        token.consume(frame.len(), |room| room.copy_from_slice(frame));
    }
}

/// A frame to the server from a host of its network, with an IPv4 packet in it.
pub(super) fn ethernet(from: u8, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 14];
    let mut header = EthernetFrame::new_unchecked(&mut frame[..]);
    header.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, from]));
    header.set_dst_addr(EthernetAddress([2, 0, 0, 0, 0, 1]));
    header.set_ethertype(EthernetProtocol::Ipv4);
    frame.extend_from_slice(packet);
    frame
}

/// A segment from a host of the server's network: what matters of it.
pub(super) struct Segment<'p> {
    pub(super) control: TcpControl,
    pub(super) port: u16,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) payload: &'p [u8],
}

/// The frame with it, to echo.
pub(super) fn segment(from: u8, segment: Segment<'_>) -> Vec<u8> {
    segment_to(SEGMENT.dst_port, from, segment)
}

/// The same, to any port.
pub(super) fn segment_to(
    to: u16,
    from: u8,
    Segment { control, port, seq, ack, payload }: Segment<'_>,
) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: port,
        dst_port: to,
        control,
        seq_number: TcpSeqNumber(seq as i32),
        ack_number: ack.map(|ack| TcpSeqNumber(ack as i32)),
        payload,
        ..SEGMENT
    };
    let [peer, local] = [from, 1].map(|last| IpAddress::v4(10, 0, 0, last));
    ethernet(from, &packet(peer, local, &tcp))
}

/// A SYN to echo.
pub(super) fn syn(from: u8, port: u16, seq: u32) -> Vec<u8> {
    segment(from, Segment { control: TcpControl::Syn, port, seq, ack: None, payload: b"" })
}
