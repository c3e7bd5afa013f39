//! A TAP device, as smoltcp sees one: Ethernet frames, read from and written to the kernel one by one.
//!
//! With offload, checksums of TCP are left to the kernel, which leaves its own to us and so never computes most of them, and a frame may carry
//! a TCP segment of up to 64 KiB: the kernel cuts it up where it leaves the machine, if it does. What comes from elsewhere, through a bridge, has
//! its checksum looked at here: the stack looks at none of TCP.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use smoltcp::phy::{
    Checksum, Device, DeviceCapabilities, Medium, PacketMeta, PcapLinkType, PcapSink as _, RxToken,
    TxToken,
};
use smoltcp::time::Instant;

use crate::capture::Capture;
use crate::interface;
use crate::vnet::{self, Known};

/// The program's end of a TAP device. It never blocks: wait for its descriptor with poll(2).
///
/// A device can have one owner at a time.
#[derive(Debug)]
pub struct TapDevice {
    tun: OwnedFd,
    mtu: usize,
    offload: bool,
    /// A frame, with its header if there is offload, used again and again.
    received: Box<[u8]>,
    outlet: Outlet,
}

/// What a frame to be sent needs of the device.
#[derive(Debug)]
struct Outlet {
    name: String,
    /// A frame, with room for a header in front of it.
    frame: Box<[u8]>,
    lost: u64,
    /// The interface was down when a frame was last sent.
    down: bool,
    failed: Option<Errno>,
    capture: Capture,
}

/// What stands in front of an IP packet in a frame.
const ETHERNET_HEADER: usize = 14;

/// A VLAN tag, which we do not send, but which must not cut off the end of what we get.
const VLAN_TAG: usize = 4;

/// The longest IP packet, whatever the MTU, where segmentation is left to others.
const MAX_PACKET: usize = 65_535;

impl TapDevice {
    /// Opens the TAP device `name`, which there must be already, and which must be up. `offload`: checksums and segmentation are left to
    /// the kernel, and the kernel's to us, if it can do that.
    pub fn open(name: &str, offload: bool) -> Result<Self, OpenError> {
        if offload {
            match Self::open_as(name, true) {
                Err(OpenError { problem: Problem::NoOffload(errno), .. }) => {
                    let error = io::Error::from(errno);
                    tracing::warn!(
                        "the kernel gives {name} no checksum and segmentation offload ({error}): all works, but large transfers are slower"
                    );
                }
                opened => return opened,
            }
        }
        Self::open_as(name, false)
    }

    fn open_as(name: &str, offload: bool) -> Result<Self, OpenError> {
        let error = |problem| OpenError { name: name.to_owned(), problem };
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let tun = rustix::fs::open(TUN, flags, Mode::empty()).map_err(|errno| {
            error(match errno {
                Errno::NOENT | Errno::NODEV | Errno::NXIO => Problem::NoDriver,
                Errno::ACCESS | Errno::PERM => Problem::DriverForbidden,
                errno => Problem::Other(errno),
            })
        })?;
        // First: a program that may would make a new device when it is asked to attach to one that is not there.
        let mtu = interface::mtu(name).map_err(|errno| {
            error(if errno == Errno::NODEV { Problem::NoDevice } else { Problem::Other(errno) })
        })?;
        interface::attach(tun.as_fd(), name, offload).map_err(|errno| {
            error(match errno {
                Errno::BUSY => Problem::Busy,
                Errno::PERM | Errno::ACCESS => Problem::Forbidden,
                Errno::INVAL if offload => Problem::NoOffload(errno),
                Errno::INVAL => Problem::NoTap,
                errno => Problem::Other(errno),
            })
        })?;
        // Without, too: an earlier program that was killed may have left it on.
        let set = interface::offload(tun.as_fd(), offload);
        if offload {
            set.map_err(|errno| error(Problem::NoOffload(errno)))?;
        }
        if !interface::is_up(name).map_err(|errno| error(Problem::Other(errno)))? {
            return Err(error(Problem::Down));
        }
        let (longest, header) = if offload { (MAX_PACKET.max(mtu), vnet::LEN) } else { (mtu, 0) };
        let outlet = Outlet {
            name: name.to_owned(),
            frame: vec![0; vnet::LEN + ETHERNET_HEADER + longest].into(),
            lost: 0,
            down: false,
            failed: None,
            capture: Capture::default(),
        };
        let received = vec![0; header + ETHERNET_HEADER + VLAN_TAG + longest].into();
        Ok(Self { tun, mtu, offload, received, outlet })
    }

    /// Writes down every frame from now on. One that is longer than the MTU is written as it is, in one piece, and checksums that are left
    /// to others are filled in.
    pub(crate) fn capture(&mut self, mut capture: Capture) {
        capture.global_header(PcapLinkType::Ethernet);
        self.outlet.capture = capture;
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.outlet.name
    }

    /// The longest IP packet that it carries, in bytes.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Frames that the kernel did not take, so far. They are lost as on any wire.
    pub fn lost(&self) -> u64 {
        self.outlet.lost
    }

    /// Fails once the device is gone: it will carry nothing any more.
    pub fn check(&self) -> io::Result<()> {
        match self.outlet.failed {
            None => Ok(()),
            Some(errno) => {
                let error = io::Error::from(errno);
                let name = self.name();
                Err(io::Error::new(
                    error.kind(),
                    format!("the TAP device {name} has gone away ({error})"),
                ))
            }
        }
    }
}

const TUN: &str = "/dev/net/tun";

impl AsFd for TapDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tun.as_fd()
    }
}

impl Drop for TapDevice {
    /// The next program may not know what to do with frames that are not whole.
    fn drop(&mut self) {
        if self.offload {
            let _ = interface::offload(self.tun.as_fd(), false);
        }
    }
}

impl Device for TapDevice {
    type RxToken<'t> = Received<'t>;
    type TxToken<'t> = Transmit<'t>;

    fn receive(&mut self, at: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        let len = match rustix::io::read(&self.tun, &mut *self.received) {
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR) => return None,
            Err(errno) => {
                self.outlet.failed = Some(errno);
                return None;
            }
        };
        let read = self.received.get_mut(..len).unwrap_or_default();
        let frame = if self.offload {
            let (header, frame) = read.split_first_chunk_mut()?;
            let known = Known::parse(header);
            self.outlet.capture.frame(at, frame, known.partial());
            if known.admits(frame) { &*frame } else { &[] }
        } else {
            self.outlet.capture.frame(at, read, None);
            &*read
        };
        let transmit = Transmit {
            tun: self.tun.as_fd(),
            offload: self.offload,
            segment_len: None,
            at,
            outlet: &mut self.outlet,
        };
        Some((Received(frame), transmit))
    }

    fn transmit(&mut self, at: Instant) -> Option<Transmit<'_>> {
        Some(Transmit {
            tun: self.tun.as_fd(),
            offload: self.offload,
            segment_len: None,
            at,
            outlet: &mut self.outlet,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + ETHERNET_HEADER;
        if self.offload {
            capabilities.checksum.tcp = Checksum::None;
            // smoltcp 0.14 drops what is longer than the MTU over IPv6.
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(ETHERNET_HEADER + MAX_PACKET);
        }
        capabilities
    }
}

/// A frame that was received.
#[derive(Debug)]
pub struct Received<'t>(&'t [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// A frame to be sent.
#[derive(Debug)]
pub struct Transmit<'t> {
    tun: BorrowedFd<'t>,
    offload: bool,
    /// The length of the segments that the frame's is to be cut into.
    segment_len: Option<u16>,
    at: Instant,
    outlet: &'t mut Outlet,
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { tun, offload, segment_len, at, outlet } = self;
        let room = outlet.frame.get_mut(..vnet::LEN + len);
        let (header, frame) = room
            .and_then(<[u8]>::split_first_chunk_mut)
            .expect("smoltcp keeps to the lengths that capabilities() tells");
        let done = f(frame);
        let mut left = None;
        if offload {
            (*header, left) = vnet::leave(frame, segment_len);
        }
        outlet.capture.frame(at, frame, left);
        let start = if offload { 0 } else { vnet::LEN };
        let written = outlet.frame.get(start..vnet::LEN + len).unwrap_or_default();
        let name = &outlet.name;
        match rustix::io::write(tun, written) {
            Ok(_) if outlet.down => {
                outlet.down = false;
                tracing::warn!("{name} is up again");
            }
            Ok(_) => {}
            Err(errno @ Errno::BADFD) => outlet.failed = Some(errno),
            // No memory, or the interface is down: for the moment.
            Err(errno) => {
                outlet.lost += 1;
                if errno == Errno::IO && !outlet.down {
                    outlet.down = true;
                    tracing::warn!(
                        "{name} is down, and whatever is sent is lost: `sudo ip link set {name} up`"
                    );
                }
            }
        }
        done
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment_len = meta.segmentation_offload_size.map(Into::into);
    }
}

/// Why a TAP device cannot be opened, and, in its words, what to do about it.
#[derive(Debug)]
pub struct OpenError {
    name: String,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    NoDriver,
    DriverForbidden,
    NoDevice,
    NoTap,
    Busy,
    Forbidden,
    Down,
    NoOffload(Errno),
    Other(Errno),
}

/// Where a device comes from.
const MAKE: &str = "make one with `sudo cargo xtask tap up`, or work in a network of your own with `cargo xtask tap shell`";

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.problem {
            Problem::NoDriver => write!(
                f,
                "there is no {TUN}, so there are no TAP devices: `sudo modprobe tun` brings it; a container needs `--device {TUN}`"
            ),
            Problem::DriverForbidden => {
                write!(f, "{TUN} may not be opened: `sudo chmod a+rw {TUN}` allows it")
            }
            Problem::NoDevice => write!(
                f,
                "there is no TAP device {name}: make it with `sudo cargo xtask tap up --name {name}`, or work in a network of your own with `cargo xtask tap shell --name {name}`"
            ),
            Problem::NoTap => {
                write!(
                    f,
                    "{name} is no TAP device with one queue: give another with --tap, or {MAKE}"
                )
            }
            Problem::Busy => write!(
                f,
                "the TAP device {name} is in use by another program: stop that, or give another device with --tap"
            ),
            Problem::Forbidden => {
                write!(f, "the TAP device {name} belongs to somebody else: {MAKE}")
            }
            Problem::Down => {
                write!(f, "the TAP device {name} is down: `sudo ip link set {name} up`")
            }
            Problem::NoOffload(errno) | Problem::Other(errno) => {
                let error = io::Error::from(*errno);
                write!(f, "the TAP device {name} cannot be opened: {error}")
            }
        }
    }
}

impl std::error::Error for OpenError {}
