//! A store that does what it likes, and remembers what it has stored.

use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::store::{Entry, Store};

use super::play::REFUSALS;

/// Each call has a mood, and the moods come round again: up to 3 they are refusals, above it says how much is moved.
#[derive(Debug)]
pub(crate) struct Moody {
    moods: Vec<u8>,
    calls: usize,
    /// How many files are open.
    pub(crate) open: isize,
    /// What was committed, with its name.
    pub(crate) stored: Vec<(Vec<u8>, Vec<u8>)>,
    /// What was logged: when, and what was asked.
    pub(crate) logged: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Moody {
    pub(crate) fn new(moods: Vec<u8>) -> Self {
        Self { moods, calls: 0, open: 0, stored: Vec::new(), logged: Vec::new() }
    }

    fn mood(&mut self, most: u64) -> Result<u64, Refusal> {
        let mood = self.moods[self.calls % self.moods.len()];
        self.calls += 1;
        match REFUSALS.get(usize::from(mood)) {
            Some(&refusal) => Err(refusal),
            None => Ok(u64::from(mood) % (most + 1)),
        }
    }
}

impl Store for Moody {
    type Reader = ();
    type Writer = (Vec<u8>, Vec<u8>);

    fn open(&mut self, _: FileName<'_>) -> Result<((), u64), Refusal> {
        let len = self.mood(200)?;
        self.open += 1;
        Ok(((), len))
    }

    fn create(&mut self, name: FileName<'_>, _: bool) -> Result<Self::Writer, Refusal> {
        self.mood(0)?;
        self.open += 1;
        Ok((name.as_bytes().to_vec(), Vec::new()))
    }

    fn read(&mut self, (): &mut (), buf: &mut [u8]) -> Result<usize, Refusal> {
        let len = self.mood(buf.len() as u64)? as usize;
        buf[..len].fill(b'b');
        Ok(len)
    }

    fn write(&mut self, file: &mut Self::Writer, bytes: &[u8]) -> Result<usize, Refusal> {
        let len = 1 + self.mood(bytes.len() as u64 - 1)? as usize;
        file.1.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn commit(&mut self, file: Self::Writer) -> Result<(), Refusal> {
        self.open -= 1;
        self.mood(0)?;
        self.stored.push(file);
        Ok(())
    }

    fn close(&mut self, (): ()) {
        self.open -= 1;
    }

    fn abandon(&mut self, _: Self::Writer) {
        self.open -= 1;
    }

    fn expect(&mut self, _: &mut Self::Writer, _: u64) -> Result<(), Refusal> {
        self.mood(0).map(drop)
    }

    fn log(&mut self, entry: Entry<'_>) -> Result<(), Refusal> {
        self.mood(0)?;
        self.logged.push((entry.time.into(), entry.text.into()));
        Ok(())
    }
}
