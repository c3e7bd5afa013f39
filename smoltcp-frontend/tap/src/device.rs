//! A TAP device, as smoltcp sees one: Ethernet frames, read from and written to the kernel one by one.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::interface;

/// The program's end of a TAP device. It never blocks: wait for its descriptor with poll(2).
///
/// A device can have one owner at a time.
#[derive(Debug)]
pub struct TapDevice {
    tun: OwnedFd,
    name: String,
    mtu: usize,
    /// One frame each, used again and again.
    received: Box<[u8]>,
    sent: Box<[u8]>,
    state: State,
}

/// What has become of it.
#[derive(Debug, Default)]
struct State {
    lost: u64,
    /// The interface was down when a frame was last sent.
    down: bool,
    failed: Option<Errno>,
}

/// What stands in front of an IP packet in a frame.
const ETHERNET_HEADER: usize = 14;

/// A VLAN tag, which we do not send, but which must not cut off the end of what we get.
const VLAN_TAG: usize = 4;

impl TapDevice {
    /// Opens the TAP device `name`, which there must be already, and which must be up.
    pub fn open(name: &str) -> Result<Self, OpenError> {
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
        interface::attach(tun.as_fd(), name).map_err(|errno| {
            error(match errno {
                Errno::BUSY => Problem::Busy,
                Errno::PERM | Errno::ACCESS => Problem::Forbidden,
                Errno::INVAL => Problem::NoTap,
                errno => Problem::Other(errno),
            })
        })?;
        if !interface::is_up(name).map_err(|errno| error(Problem::Other(errno)))? {
            return Err(error(Problem::Down));
        }
        Ok(Self {
            tun,
            name: name.to_owned(),
            mtu,
            received: vec![0; mtu + ETHERNET_HEADER + VLAN_TAG].into(),
            sent: vec![0; mtu + ETHERNET_HEADER].into(),
            state: State::default(),
        })
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The longest IP packet that it carries, in bytes.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Frames that the kernel did not take, so far. They are lost as on any wire.
    pub fn lost(&self) -> u64 {
        self.state.lost
    }

    /// Fails once the device is gone: it will carry nothing any more.
    pub fn check(&self) -> io::Result<()> {
        match self.state.failed {
            None => Ok(()),
            Some(errno) => {
                let error = io::Error::from(errno);
                let name = &self.name;
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

impl Device for TapDevice {
    type RxToken<'t> = Received<'t>;
    type TxToken<'t> = Transmit<'t>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        let len = match rustix::io::read(&self.tun, &mut *self.received) {
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR) => return None,
            Err(errno) => {
                self.state.failed = Some(errno);
                return None;
            }
        };
        let frame = self.received.get(..len).unwrap_or_default();
        let transmit = Transmit {
            tun: self.tun.as_fd(),
            name: &self.name,
            frame: &mut self.sent,
            state: &mut self.state,
        };
        Some((Received(frame), transmit))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        Some(Transmit {
            tun: self.tun.as_fd(),
            name: &self.name,
            frame: &mut self.sent,
            state: &mut self.state,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + ETHERNET_HEADER;
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
    name: &'t str,
    frame: &'t mut [u8],
    state: &'t mut State,
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let frame =
            self.frame.get_mut(..len).expect("smoltcp keeps to the MTU that capabilities() tells");
        let done = f(frame);
        let (name, state) = (self.name, self.state);
        match rustix::io::write(self.tun, frame) {
            Ok(_) if state.down => {
                state.down = false;
                tracing::warn!("{name} is up again");
            }
            Ok(_) => {}
            Err(errno @ Errno::BADFD) => state.failed = Some(errno),
            // No memory, or the interface is down: for the moment.
            Err(errno) => {
                state.lost += 1;
                if errno == Errno::IO && !state.down {
                    state.down = true;
                    tracing::warn!(
                        "{name} is down, and whatever is sent is lost: `sudo ip link set {name} up`"
                    );
                }
            }
        }
        done
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
            Problem::Other(errno) => {
                let error = io::Error::from(*errno);
                write!(f, "the TAP device {name} cannot be opened: {error}")
            }
        }
    }
}

impl std::error::Error for OpenError {}
