//! A capture file that Wireshark and tshark open.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use anywire_std::clock;
use smoltcp::phy::{PcapLinkType, PcapSink};

use crate::vnet::Partial;

/// Where frames are written, if anywhere: as smoltcp's `PcapSink` has it.
///
/// Each frame is one write to the file, with the file's time: whatever ends the program, what is there can be read.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    file: Option<File>,
    /// What the clock on the wall showed, after 1970, when the stack's clock showed 0.
    beginning: Duration,
    /// What is to be written, header first.
    record: Vec<u8>,
}

impl Capture {
    /// A capture in a new file.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path);
        let file = file.with_context(|| format!("cannot capture into {}", path.display()))?;
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now = Duration::from_micros(clock::now().as_micros());
        let beginning = since_1970.saturating_sub(now);
        Ok(Self { file: Some(file), beginning, record: Vec::new() })
    }

    /// Writes down a frame, with its checksum if that is missing.
    pub(crate) fn frame(
        &mut self,
        at: smoltcp::time::Instant,
        frame: &[u8],
        missing: Option<Partial>,
    ) {
        if self.file.is_none() {
            return;
        }
        self.packet_header(at, frame.len());
        let begins = self.record.len();
        self.record.extend_from_slice(frame);
        if let (Some(missing), Some(frame)) = (missing, self.record.get_mut(begins..)) {
            missing.complete(frame);
        }
        self.finish();
    }

    /// Writes the record. A file that takes no more, on a disk that is full, ends before it, and the program goes on.
    fn finish(&mut self) {
        let Some(file) = &mut self.file else { return };
        let before = file.stream_position();
        if let Err(error) = file.write_all(&self.record) {
            if let Ok(before) = before {
                // If even that fails, readers say that the last frame is cut short.
                let _ = file.set_len(before);
            }
            tracing::warn!("the capture ends here: {error}");
            *self = Self::default();
        }
        self.record.clear();
    }
}

impl PcapSink for Capture {
    fn write(&mut self, data: &[u8]) {
        if self.file.is_some() {
            self.record.extend_from_slice(data);
        }
    }

    fn flush(&mut self) {
        self.finish();
    }

    /// smoltcp's own does not flush: a capture without frames would be an empty file.
    fn global_header(&mut self, link: PcapLinkType) {
        self.write_u32(0xa1b2_c3d4); // microseconds, in this machine's byte order
        self.write_u16(2); // version 2.4
        self.write_u16(4);
        self.write_u32(0); // UTC
        self.write_u32(0); // accuracy: nobody uses it
        self.write_u32(self.max_packet_size());
        self.write_u32(link.into());
        self.flush();
    }

    /// smoltcp says when it began to look for frames, which may be long before this one.
    fn packet_header(&mut self, _: smoltcp::time::Instant, len: usize) {
        let at = self.beginning + Duration::from_micros(clock::now().as_micros());
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        // The format has room until 2106.
        self.write_u32(u32::try_from(at.as_secs()).unwrap_or(u32::MAX));
        self.write_u32(at.subsec_micros());
        self.write_u32(len.min(self.max_packet_size()));
        self.write_u32(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_in_the_file_as_soon_as_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        let before = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let mut capture = Capture::create(&path).unwrap();
        capture.global_header(PcapLinkType::Ethernet);
        assert_eq!(std::fs::read(&path).unwrap().len(), 24);
        let at = smoltcp::time::Instant::ZERO;
        capture.frame(at, b"a frame", None);
        capture.frame(at, b"another", None);
        let bytes = std::fs::read(&path).unwrap();
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((bytes.len(), word(0), word(20)), (24 + 2 * (16 + 7), 0xa1b2_c3d4, 1));
        assert!((0..60).contains(&(u64::from(word(24)) - before)), "{} is not now", word(24));
        assert_eq!((word(32), word(36), &bytes[40..47]), (7, 7, &b"a frame"[..]));
        assert_eq!(&bytes[63..], b"another");
    }

    #[test]
    fn a_disk_that_is_full_ends_the_capture_and_nothing_else() {
        let mut capture = Capture::create(Path::new("/dev/full")).unwrap();
        capture.global_header(PcapLinkType::Ethernet);
        assert!(capture.file.is_none());
        capture.frame(smoltcp::time::Instant::ZERO, b"a frame", None);
        assert_eq!(capture.record.capacity(), 0, "nothing is kept for nobody");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told() {
        let error = Capture::create(Path::new("/no such folder/capture")).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot capture into /no such folder/capture: "));
    }
}
