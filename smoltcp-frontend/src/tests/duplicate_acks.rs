//! Which segments are given another window, and which are left as they came.

use anywire_core::service::echo::Echo;
use anywire_core::service::file;
use smoltcp::phy::Medium;
use smoltcp::wire::{IpAddress, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::ghosts::Ghosts;
use super::packets::{SEGMENT, ethernet, inject, packet};
use super::*;
use crate::duplicate_acks::DuplicateAcks;

const ECHO: u16 = 9900;
const FILE: u16 = 6565;
const HOST: u8 = 11;
const PORT: u16 = 1001;

/// A server of a file of seven bytes, and its number of the first of them, which a peer has asked for.
struct Setting {
    sim: Sim,
    first: u32,
}

impl Setting {
    fn new() -> Self {
        let mut sim = Sim::new(|stack| {
            vec![pool(stack, Watched(file::File), 2, (2048, 2048), Settings::default())]
        });
        sim.file("f", b"content");
        let ghosts = Ghosts::watch(&mut sim);
        let first = ghosts.connect(&mut sim, FILE, HOST, PORT, b"f\n");
        Self { sim, first }
    }

    /// The same, and the peer has got all but the end.
    fn with_a_lone_end() -> Self {
        let mut setting = Self::new();
        let ack = ethernet(HOST, &setting.packet(&setting.ack()));
        inject(&mut setting.sim, &ack);
        setting.sim.net.run(MS);
        setting
    }

    /// The acknowledgement of all seven bytes.
    fn ack(&self) -> TcpRepr<'static> {
        TcpRepr {
            src_port: PORT,
            dst_port: FILE,
            seq_number: TcpSeqNumber(10),
            ack_number: Some(TcpSeqNumber((self.first + 7) as i32)),
            ..SEGMENT
        }
    }

    fn packet(&self, tcp: &TcpRepr<'_>) -> Vec<u8> {
        packet(IpAddress::v4(10, 0, 0, HOST), IpAddress::v4(10, 0, 0, 1), tcp)
    }

    /// The window that each of these comes with when they come one after the other; 0 if it is left as it came.
    fn windows<const N: usize>(&self, full: bool, segments: [TcpRepr<'_>; N]) -> [u16; N] {
        let mut acks = DuplicateAcks::new();
        segments.map(|tcp| self.window(&mut acks, full, false, &self.packet(&tcp)))
    }

    fn window(&self, acks: &mut DuplicateAcks, full: bool, verified: bool, packet: &[u8]) -> u16 {
        let sockets = &self.sim.net.a.stack.sockets;
        let Some(disguised) = acks.disguise(Medium::Ip, packet, sockets, full, verified) else {
            return 0;
        };
        let mut frame = disguised.frame().to_vec();
        let window = TcpPacket::new_checked(&frame[20..]).unwrap().window_len();
        if !verified {
            // Nothing else has changed, and the checksum is right again.
            let mut tcp = TcpPacket::new_checked(&mut frame[20..]).unwrap();
            let [peer, local] = [HOST, 1].map(|last| IpAddress::v4(10, 0, 0, last));
            assert!(tcp.verify_checksum(&peer, &local));
            let came_with = TcpPacket::new_checked(&packet[20..]).unwrap().window_len();
            tcp.set_window_len(came_with);
            tcp.fill_checksum(&peer, &local);
            assert_eq!(frame, packet);
        }
        window
    }
}

#[test]
fn a_lone_end_is_acknowledged_with_another_window_each_time() {
    let setting = Setting::with_a_lone_end();
    let ack = setting.ack();
    assert_eq!(setting.windows(false, [ack; 4]), [1, 2, 3, 4]);
    assert_eq!(setting.windows(true, [ack; 4]), [1, 2, 3, 4]);
}

#[test]
fn while_there_is_data_only_a_full_device_is_a_reason() {
    let setting = Setting::new();
    let ack = setting.ack();
    assert_eq!(setting.windows(false, [ack; 3]), [0; 3]);
    let nine = [999, 998, 997, 996, 995, 994, 993, 1000, 999];
    assert_eq!(setting.windows(true, [ack; 9]), nine);
}

/// In the middle of a conversation, of which nobody has ended anything.
#[test]
fn who_waits_for_nothing_is_left_alone_by_a_full_device() {
    for (sent, windows) in [(&b"hello"[..], [999, 998]), (b"", [0, 0])] {
        let mut sim = Sim::new(|stack| {
            vec![pool(stack, Watched(Echo), 2, (2048, 2048), Settings::default())]
        });
        let ghosts = Ghosts::watch(&mut sim);
        // What comes back it does not acknowledge.
        let first = ghosts.connect(&mut sim, ECHO, HOST, PORT, sent);
        let setting = Setting { sim, first };
        let seq_number = TcpSeqNumber(8 + sent.len() as i32);
        let ack_number = Some(TcpSeqNumber(first as i32));
        let ack = TcpRepr { dst_port: ECHO, seq_number, ack_number, ..setting.ack() };
        assert_eq!(setting.windows(true, [ack; 2]), windows);
        assert_eq!(setting.windows(false, [ack; 2]), [0; 2]);
    }
}

#[test]
fn a_window_that_is_small_already_is_left_alone() {
    let setting = Setting::new();
    let of = |window_len| TcpRepr { window_len, ..setting.ack() };
    assert_eq!(setting.windows(true, [of(10)]), [9]);
    assert_eq!(setting.windows(true, [of(9)]), [0]);
    assert_eq!(setting.windows(true, [of(0)]), [0]);
}

#[test]
fn nothing_is_done_to_anything_else() {
    let setting = Setting::with_a_lone_end();
    let ack = setting.ack();
    let of = |control| TcpRepr { control, ..ack };
    // An end that comes with it is in order after it.
    assert_eq!(setting.windows(false, [of(TcpControl::Fin)]), [1]);
    let others = [
        of(TcpControl::Syn),
        of(TcpControl::Rst),
        TcpRepr { ack_number: None, ..ack },
        TcpRepr { payload: b"x", ..ack },
        TcpRepr { src_port: PORT + 1, ..ack },
        TcpRepr { dst_port: FILE + 1, ..ack },
    ];
    assert_eq!(setting.windows(false, others), [0; 6]);
    // It still counts from the first.
    let stranger = packet(IpAddress::v4(10, 0, 0, 12), IpAddress::v4(10, 0, 0, 1), &ack);
    assert_eq!(setting.window(&mut DuplicateAcks::new(), false, false, &stranger), 0);
}

#[test]
fn what_is_broken_stays_so_unless_the_device_vouches_for_it() {
    let setting = Setting::with_a_lone_end();
    let mut broken = setting.packet(&setting.ack());
    broken[20 + 16] ^= 1;
    assert_eq!(setting.window(&mut DuplicateAcks::new(), false, false, &broken), 0);
    assert_eq!(setting.window(&mut DuplicateAcks::new(), false, true, &broken), 1);
}

#[test]
fn long_frames_are_not_looked_at() {
    let setting = Setting::with_a_lone_end();
    // Short frames are padded on Ethernet.
    let mut frame = ethernet(HOST, &setting.packet(&setting.ack()));
    for (len, looked_at) in [(60, true), (128, true), (129, false)] {
        frame.resize(len, 0);
        let sockets = &setting.sim.net.a.stack.sockets;
        let mut acks = DuplicateAcks::new();
        let disguised = acks.disguise(Medium::Ethernet, &frame, sockets, false, false);
        assert_eq!(disguised.map(|it| it.frame().len()), looked_at.then_some(len));
    }
}

#[test]
fn whether_there_is_an_end_to_look_after_is_looked_at_once_a_burst() {
    let setting = Setting::with_a_lone_end();
    let packet = setting.packet(&setting.ack());
    let mut acks = DuplicateAcks::new();
    let idle = Sim::new(|_| vec![]);
    let safe = &idle.net.a.stack.sockets;
    assert!(acks.disguise(Medium::Ip, &packet, safe, false, false).is_none());
    assert_eq!(setting.window(&mut acks, false, false, &packet), 0, "it is the same burst");
    acks.begin();
    assert_eq!(setting.window(&mut acks, false, false, &packet), 1);
}
