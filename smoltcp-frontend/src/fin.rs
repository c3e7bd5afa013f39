//! Keeps smoltcp from taking an end for one that comes too early.
//!
//! smoltcp 0.14 cuts off what goes beyond the window that it has announced, and accepts the FIN behind it all the same: the end of a stream of which the last bytes
//! are missing. It takes a peer that sends more than it may, and smoltcp is one: its fast retransmissions know no window.
//!
//! A FIN by itself is accepted only where the stream has come to. So a segment that has both is taken for two.

use smoltcp::phy::Medium;
use smoltcp::wire::{EthernetFrame, IpAddress, Ipv4Packet, Ipv6Packet, TcpPacket};

use crate::syn::Segment;

/// Longer frames are not looked at: so long they are on Ethernet, with a VLAN's tag.
const LONGEST: usize = 1518;

/// With all the options there can be, headers have 114 bytes.
const HEADERS: usize = 128;

/// A segment with data and a FIN, as two.
pub(crate) struct Split {
    data: [u8; LONGEST],
    data_len: usize,
    fin: [u8; HEADERS],
    fin_len: usize,
}

impl Split {
    /// Splits a frame, if it is one with such a segment, whole and unbroken.
    pub(crate) fn new(medium: Medium, frame: &[u8]) -> Option<Self> {
        let Segment { local, peer, at } = Segment::find(medium, frame)?;
        let segment = TcpPacket::new_checked(frame.get(at.clone())?).ok()?;
        let payload = segment.payload().len();
        let splits = segment.fin() && !segment.syn() && !segment.rst() && payload > 0;
        if !splits || frame.len() > LONGEST || !segment.verify_checksum(&peer, &local) {
            return None;
        }
        let seq = segment.seq_number();
        let (mut data, mut fin) = ([0; LONGEST], [0; HEADERS]);
        data.get_mut(..frame.len())?.copy_from_slice(frame);
        let mut without = TcpPacket::new_unchecked(data.get_mut(at.clone())?);
        without.set_fin(false);
        without.fill_checksum(&peer, &local);

        let fin_len = at.end - payload;
        fin.get_mut(..fin_len)?.copy_from_slice(frame.get(..fin_len)?);
        shorten(medium, fin.get_mut(..fin_len)?, payload, &local)?;
        let mut bare = TcpPacket::new_unchecked(fin.get_mut(at.start..fin_len)?);
        bare.set_seq_number(seq + payload);
        bare.fill_checksum(&peer, &local);
        Some(Self { data, data_len: frame.len(), fin, fin_len })
    }

    /// The frame without its FIN.
    pub(crate) fn data(&self) -> &[u8] {
        self.data.get(..self.data_len).unwrap_or_default()
    }

    /// The frame without its data.
    pub(crate) fn fin(&self) -> &[u8] {
        self.fin.get(..self.fin_len).unwrap_or_default()
    }
}

/// Takes so many bytes off the length that the IP header tells.
fn shorten(medium: Medium, frame: &mut [u8], by: usize, local: &IpAddress) -> Option<()> {
    let start = match medium {
        Medium::Ethernet => EthernetFrame::<&[u8]>::header_len(),
        #[allow(unreachable_patterns, reason = "smoltcp has more media with more features")]
        _ => 0,
    };
    let by = u16::try_from(by).ok()?;
    let packet = frame.get_mut(start..)?;
    match local {
        IpAddress::Ipv4(_) => {
            // A header that is broken stays broken.
            let mut packet = Ipv4Packet::new_unchecked(packet);
            let len = packet.total_len().checked_sub(by)?;
            packet.verify_checksum().then_some(())?;
            packet.set_total_len(len);
            packet.fill_checksum();
        }
        IpAddress::Ipv6(_) => {
            let mut packet = Ipv6Packet::new_unchecked(packet);
            let len = packet.payload_len().checked_sub(by)?;
            packet.set_payload_len(len);
        }
    }
    Some(())
}
