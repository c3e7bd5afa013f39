//! The samples, in RAM.

use std::sync::{Mutex, PoisonError};

use anywire_core::name::FileName;
use anywire_core::ram::{RamReader, RamStore, RamWriter};
use anywire_core::request::Refusal;
use anywire_core::store::Store;

use crate::samples;

/// One store in RAM, with the samples in it, for all servers.
#[derive(Debug)]
pub(super) struct SharedStore;

/// The samples, and room for as many readers as there may be: reading takes none.
static STORE: Mutex<RamStore<{ samples::FILES.len() }, { samples::LONGEST }>> =
    Mutex::new(RamStore::new());

impl SharedStore {
    fn with<R>(
        act: impl FnOnce(&mut RamStore<{ samples::FILES.len() }, { samples::LONGEST }>) -> R,
    ) -> R {
        let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
        if store.is_empty() {
            for (name, len) in samples::FILES {
                let name = FileName::new(name.as_bytes()).expect("a sample has a good name");
                store.put(name, &samples::bytes(len)).expect("the samples fit");
            }
        }
        act(&mut store)
    }
}

impl Store for SharedStore {
    type Reader = RamReader;
    type Writer = RamWriter;

    fn open(&mut self, name: FileName<'_>) -> Result<(RamReader, u64), Refusal> {
        Self::with(|store| store.open(name))
    }

    fn read(&mut self, file: &mut RamReader, buf: &mut [u8]) -> Result<usize, Refusal> {
        Self::with(|store| store.read(file, buf))
    }

    fn close(&mut self, file: RamReader) {
        Self::with(|store| store.close(file));
    }

    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<RamWriter, Refusal> {
        Self::with(|store| store.create(name, replace))
    }

    fn expect(&mut self, file: &mut RamWriter, len: u64) -> Result<(), Refusal> {
        Self::with(|store| store.expect(file, len))
    }

    fn write(&mut self, file: &mut RamWriter, bytes: &[u8]) -> Result<usize, Refusal> {
        Self::with(|store| store.write(file, bytes))
    }

    fn commit(&mut self, file: RamWriter) -> Result<(), Refusal> {
        Self::with(|store| store.commit(file))
    }

    fn abandon(&mut self, file: RamWriter) {
        Self::with(|store| store.abandon(file));
    }
}
