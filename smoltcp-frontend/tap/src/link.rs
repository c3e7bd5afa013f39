//! The device as the stack has it: behind a wire that may be bad, and with a capture of what is on it.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use anywire_smoltcp::chance::Chance;
use anywire_smoltcp::faults::{Faults, Hits, Settings};
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant;

use crate::capture::Capture;
use crate::device::TapDevice;

/// What is done to frames between the stack and the device. The options are those of smoltcp's examples.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LinkOptions {
    /// Capture every frame that is on the device, both ways, for Wireshark or tshark: long ones in one piece, as tcpdump does
    #[arg(long, global = true, help_heading = HEADING, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Lose so many percent of the frames, each way
    #[arg(long, global = true, help_heading = HEADING, value_name = "PERCENT", value_parser = chance)]
    pub drop_chance: Option<Chance>,
    /// Flip a bit in so many percent of the frames, each way
    #[arg(long, global = true, help_heading = HEADING, value_name = "PERCENT", value_parser = chance)]
    pub corrupt_chance: Option<Chance>,
    /// Lose frames that are longer than this, with their Ethernet header
    #[arg(long, global = true, help_heading = HEADING, value_name = "BYTES")]
    pub size_limit: Option<usize>,
    /// Lose what is sent beyond so many frames in an interval; 0 is no limit
    #[arg(long, global = true, help_heading = HEADING, value_name = "N")]
    pub tx_rate_limit: Option<u32>,
    /// Lose what is received beyond so many frames in an interval; 0 is no limit
    #[arg(long, global = true, help_heading = HEADING, value_name = "N")]
    pub rx_rate_limit: Option<u32>,
    /// How long such an interval is, in milliseconds [default: 1000]
    #[arg(long, global = true, help_heading = HEADING, value_name = "MS")]
    pub shaping_interval: Option<u64>,
    /// Leave checksums and the segmentation of TCP to Linux; `off` puts every frame on the device as it would be on a wire, as all the options
    /// above but --pcap do
    #[arg(long, global = true, help_heading = HEADING, value_name = "WHETHER", value_enum, default_value_t)]
    pub offload: Offload,
}

/// Whether checksums and segmentation are left to Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Offload {
    /// Yes, where it can do that.
    #[default]
    On,
    /// No.
    Off,
}

/// Where the options stand in the help.
const HEADING: &str = "The wire";

/// Half of it is more than the longest frame of any device.
const MEMORY: usize = 2 * (96 << 10);

impl LinkOptions {
    /// Opens the device `name`, behind this wire. Faults hit frames as they are on a wire, of which none is longer than the MTU and each has
    /// its checksum.
    pub(crate) fn open(&self, name: &str) -> Result<Link> {
        let settings = self.settings();
        let sound = settings == Settings::default();
        let mut device = TapDevice::open(name, sound && self.offload == Offload::On)?;
        if let Some(path) = self.pcap.as_deref() {
            device.capture(Capture::create(path)?);
        }
        let len = if sound { 0 } else { MEMORY };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).context("the system has no random numbers")?;
        let memory = vec![0; len].into();
        Ok(Link(Faults::new(device, settings, u64::from_ne_bytes(seed), memory)))
    }

    fn settings(&self) -> Settings {
        let most = |frames: Option<u32>| frames.and_then(NonZeroU32::new);
        let default = Settings::default();
        Settings {
            drop: self.drop_chance.unwrap_or_default(),
            corrupt: self.corrupt_chance.unwrap_or_default(),
            max_len: self.size_limit.filter(|&bytes| bytes > 0),
            max_sent: most(self.tx_rate_limit),
            max_received: most(self.rx_rate_limit),
            interval: self.shaping_interval.map_or(default.interval, Duration::from_millis),
        }
    }
}

fn chance(text: &str) -> Result<Chance> {
    match text.parse::<f64>() {
        // It is rounded to the next of a million, and is not negative.
        Ok(percent) if (0.0..=100.0).contains(&percent) => {
            Ok(Chance::per_million((percent * 10_000.0).round() as u32))
        }
        _ => bail!("a number of percent is needed, from 0 to 100"),
    }
}

/// A TAP device at the end of a wire.
#[derive(Debug)]
pub(crate) struct Link(Inner);

/// The capture is next to the device: it shows what Linux sees.
type Inner = Faults<TapDevice, Box<[u8]>>;

impl Link {
    /// Fails once the device is gone: it will carry nothing any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.device().check()
    }

    /// The device's name.
    pub(crate) fn name(&self) -> &str {
        self.device().name()
    }

    /// Frames that the kernel did not take, so far.
    pub(crate) fn lost(&self) -> u64 {
        self.device().lost()
    }

    /// How many of the frames received, and of those sent, the wire has hit.
    pub(crate) fn hits(&self) -> [Hits; 2] {
        self.0.hits()
    }

    fn device(&self) -> &TapDevice {
        self.0.device()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device().as_fd()
    }
}

impl Device for Link {
    type RxToken<'t> = <Inner as Device>::RxToken<'t>;
    type TxToken<'t> = <Inner as Device>::TxToken<'t>;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.0.receive(now)
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.0.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.capabilities()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_may_have_a_fraction_and_is_no_more_than_all() {
        for (text, expected) in [
            ("15", Chance::percent(15)),
            ("0.5", Chance::per_million(5000)),
            ("0", Chance::NEVER),
            ("100", Chance::ALWAYS),
        ] {
            assert_eq!(chance(text).unwrap(), expected, "{text}");
        }
        for wrong in ["", "-1", "100.1", "many", "NaN", "15%"] {
            assert!(chance(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_options_nothing_happens_to_frames() {
        let none = LinkOptions { tx_rate_limit: Some(0), ..LinkOptions::default() };
        assert_eq!(none.settings(), Settings::default());
    }
}
