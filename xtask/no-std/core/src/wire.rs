//! A wire in memory, and a host: as little as will do.

use core::hint::black_box;

use anywire_core::blocking::{Interest, Ready, Wire};
use anywire_core::event::{self, Event};
use anywire_core::instant::Instant;
use embedded_io::{ErrorKind, ErrorType, Read, Write};

/// Reads from a slice, and writes to nowhere.
pub(crate) struct Memory<'a> {
    input: &'a [u8],
}

impl<'a> Memory<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input }
    }
}

impl ErrorType for Memory<'_> {
    type Error = ErrorKind;
}

impl Read for Memory<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        let len = self.input.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(self.input) {
            *to = *from;
        }
        self.input = self.input.get(len..).unwrap_or_default();
        black_box(Ok(len))
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        black_box(Ok(buf.len()))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        black_box(Ok(()))
    }
}

impl Wire for Memory<'_> {
    const ENDS: bool = true;

    fn now(&mut self) -> Instant {
        black_box(Instant::ZERO)
    }

    fn wait(&mut self, _: Interest, _: Option<Instant>) -> Result<Ready, ErrorKind> {
        black_box(Ok(Ready { read: true, write: true }))
    }

    fn shutdown(&mut self) -> Result<(), ErrorKind> {
        black_box(Ok(()))
    }

    fn abort(&mut self) {
        black_box(());
    }
}

/// Hears everything, and types a line of any length it likes.
pub(crate) struct Host;

impl event::Host for Host {
    fn observe(&mut self, event: Event<'_>) {
        black_box(event);
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        black_box(buf);
        black_box(true)
    }

    fn line(&mut self, _: &str, line: &mut [u8]) -> Option<usize> {
        black_box(line);
        black_box(Some(1))
    }
}
