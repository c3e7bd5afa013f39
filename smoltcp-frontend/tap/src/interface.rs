//! What the kernel is asked about a network interface: the only unsafe code here.

use std::ffi::{c_int, c_uint};
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::io::{Errno, Result};
use rustix::ioctl::{IntegerSetter, Opcode, Updater, ioctl, opcode};
use rustix::net::{AddressFamily, SocketType, socket};

/// `struct ifreq` of `<linux/if.h>`: a name, and a union as large as its largest member, 24 bytes on 64-bit systems and 16 on
/// others. Of the union only the front is used.
#[repr(C)]
struct Request {
    name: [u8; NAME_LEN],
    value: [u8; 24],
}

const NAME_LEN: usize = 16;

const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
const TUNSETOFFLOAD: Opcode = opcode::write::<c_uint>(b'T', 208);
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCGIFMTU: Opcode = 0x8921;

const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
const IFF_UP: u16 = 0x0001;

const TUN_F_CSUM: usize = 0x01;
const TUN_F_TSO4: usize = 0x02;
const TUN_F_TSO6: usize = 0x04;

/// Makes `tun`, an open `/dev/net/tun`, the program's end of the TAP device `name`: a frame a read, a frame a write. Nothing is in front of
/// them, or, with `offload`, the [header](crate::vnet) that tells what is left to whoever gets it.
pub(crate) fn attach(tun: BorrowedFd<'_>, name: &str, offload: bool) -> Result<()> {
    let header = if offload { IFF_VNET_HDR } else { 0 };
    ask::<TUNSETIFF>(tun, name, (IFF_TAP | IFF_NO_PI | header).to_ne_bytes()).map(drop)
}

/// Lets Linux leave checksums, and the segmentation of TCP, to the program, or no longer. A device that outlives the program keeps this.
pub(crate) fn offload(tun: BorrowedFd<'_>, on: bool) -> Result<()> {
    let offloads = if on { TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 } else { 0 };
    // SAFETY: TUNSETOFFLOAD takes an integer, any: the kernel refuses bits that it does not know.
    #[allow(unsafe_code)]
    unsafe {
        ioctl(tun, IntegerSetter::<TUNSETOFFLOAD>::new_usize(offloads))
    }
}

/// The MTU of an interface: the longest IP packet, in bytes. `NODEV`: there is no such interface.
pub(crate) fn mtu(name: &str) -> Result<usize> {
    let [a, b, c, d, ..] = about::<SIOCGIFMTU>(name)?;
    usize::try_from(c_int::from_ne_bytes([a, b, c, d])).map_err(|_| Errno::INVAL)
}

/// Whether an interface is up.
pub(crate) fn is_up(name: &str) -> Result<bool> {
    let [a, b, ..] = about::<SIOCGIFFLAGS>(name)?;
    Ok(u16::from_ne_bytes([a, b]) & IFF_UP != 0)
}

fn about<const WHAT: Opcode>(name: &str) -> Result<[u8; 24]> {
    // Any socket will do: it only says in which network namespace.
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    ask::<WHAT>(any.as_fd(), name, [0; 2])
}

/// One of the calls above, with `flags` in front of the union; returns the union.
fn ask<const WHAT: Opcode>(fd: BorrowedFd<'_>, name: &str, flags: [u8; 2]) -> Result<[u8; 24]> {
    let mut request = Request { name: [0; NAME_LEN], value: [0; 24] };
    // The kernel wants a 0 behind the name.
    match request.name.get_mut(..name.len()) {
        Some(room) if room.len() < NAME_LEN && !name.is_empty() => {
            room.copy_from_slice(name.as_bytes());
        }
        _ => return Err(Errno::NODEV),
    }
    [request.value[0], request.value[1]] = flags;
    // SAFETY: `WHAT` is private to this file and one of the three above, each of which takes a pointer to a `struct ifreq`, reads it
    // and writes it back. `Request` is laid out like one and at least as long, it lives in `request` until the call has returned, and
    // every bit pattern is one of its values.
    #[allow(unsafe_code)]
    unsafe {
        ioctl(fd, Updater::<WHAT, Request>::new(&mut request))?;
    }
    Ok(request.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there_and_nonsense_is_not() {
        assert!(mtu("lo").is_ok_and(|mtu| mtu >= 1280));
        assert!(is_up("lo").is_ok());
        for name in ["", "no such", "sixteen letters!", "longer than any interface's name"] {
            assert_eq!(mtu(name), Err(Errno::NODEV), "{name:?}");
        }
    }

    #[test]
    fn the_opcodes_are_those_in_the_header() {
        // From <linux/if_tun.h>, on everything but MIPS, PowerPC and SPARC.
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
        assert_eq!((TUNSETIFF, TUNSETOFFLOAD), (0x4004_54ca, 0x4004_54d0));
    }
}
