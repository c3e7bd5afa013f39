//! A store in fixed memory.

use crate::name::FileName;
use crate::request::Refusal;
use crate::store::Store;

/// Keeps at most `FILES` files of at most `LEN` bytes each, in itself: no allocation, no clock, no panic.
///
/// A file being written takes a place of its own until it is committed, as it does in a folder; one that is replaced or
/// removed while somebody reads it keeps its place until that reader is done.
///
/// ```
/// use anywire_core::name::FileName;
/// use anywire_core::ram::RamStore;
/// use anywire_core::store::Store;
///
/// let mut store = RamStore::<4, 1024>::new();
/// store.put(FileName::new(b"greeting.txt")?, b"hello")?;
/// let (mut file, len) = store.open(FileName::new(b"greeting.txt")?)?;
/// let mut buf = [0; 8];
/// assert_eq!((len, store.read(&mut file, &mut buf)?), (5, 5));
/// store.close(file);
/// # Ok::<(), anywire_core::request::Refusal>(())
/// ```
#[derive(Debug)]
pub struct RamStore<const FILES: usize, const LEN: usize> {
    places: [Place<LEN>; FILES],
}

/// A file of a [`RamStore`] that is being read.
#[derive(Debug)]
pub struct RamReader {
    place: usize,
    read: usize,
}

/// A file of a [`RamStore`] that is being written.
#[derive(Debug)]
pub struct RamWriter {
    place: usize,
    replace: bool,
}

#[derive(Debug)]
struct Place<const LEN: usize> {
    state: State,
    name: [u8; FileName::MAX],
    /// Invariant: at most `FileName::MAX`.
    name_len: usize,
    data: [u8; LEN],
    /// Invariant: at most `LEN`.
    len: usize,
    readers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Writing,
    Named,
    /// Replaced while it was being read.
    Unnamed,
}

impl<const LEN: usize> Place<LEN> {
    const FREE: Self = Self {
        state: State::Free,
        name: [0; FileName::MAX],
        name_len: 0,
        data: [0; LEN],
        len: 0,
        readers: 0,
    };

    fn name(&self) -> &[u8] {
        self.name.get(..self.name_len).unwrap_or_default()
    }

    fn is_named(&self, name: &[u8]) -> bool {
        self.state == State::Named && self.name() == name
    }

    fn free_if_unused(&mut self) {
        if self.state == State::Unnamed && self.readers == 0 {
            self.state = State::Free;
        }
    }
}

impl<const FILES: usize, const LEN: usize> RamStore<FILES, LEN> {
    /// An empty store.
    pub const fn new() -> Self {
        Self { places: [const { Place::FREE }; FILES] }
    }

    /// Stores `bytes` as `name`.
    pub fn put(&mut self, name: FileName<'_>, bytes: &[u8]) -> Result<(), Refusal> {
        let mut file = self.create(name, true)?;
        let mut left = bytes;
        while !left.is_empty() {
            match self.write(&mut file, left) {
                Ok(n) => left = left.get(n..).unwrap_or_default(),
                Err(refusal) => {
                    self.abandon(file);
                    return Err(refusal);
                }
            }
        }
        self.commit(file)
    }

    /// The bytes of the file `name`.
    pub fn get(&self, name: FileName<'_>) -> Option<&[u8]> {
        let place = self.places.iter().find(|place| place.is_named(name.as_bytes()))?;
        place.data.get(..place.len)
    }

    /// How many files there are under a name.
    pub fn len(&self) -> usize {
        self.places.iter().filter(|place| place.state == State::Named).count()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many places are taken, by files, by files being written, and by those replaced while being read.
    pub fn in_use(&self) -> usize {
        self.places.iter().filter(|place| place.state != State::Free).count()
    }
}

impl<const FILES: usize, const LEN: usize> Default for RamStore<FILES, LEN> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const FILES: usize, const LEN: usize> Store for RamStore<FILES, LEN> {
    type Reader = RamReader;
    type Writer = RamWriter;

    fn open(&mut self, name: FileName<'_>) -> Result<(RamReader, u64), Refusal> {
        let (at, place) = self
            .places
            .iter_mut()
            .enumerate()
            .find(|(_, place)| place.is_named(name.as_bytes()))
            .ok_or(Refusal::NotFound)?;
        place.readers += 1;
        Ok((RamReader { place: at, read: 0 }, place.len as u64))
    }

    fn read(&mut self, file: &mut RamReader, buf: &mut [u8]) -> Result<usize, Refusal> {
        let place = self.places.get(file.place).ok_or(Refusal::Failed)?;
        let left = place.data.get(file.read..place.len).unwrap_or_default();
        let n = left.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), left.get(..n)) {
            to.copy_from_slice(from);
        }
        file.read += n;
        Ok(n)
    }

    fn close(&mut self, file: RamReader) {
        if let Some(place) = self.places.get_mut(file.place) {
            place.readers = place.readers.saturating_sub(1);
            place.free_if_unused();
        }
    }

    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<RamWriter, Refusal> {
        let bytes = name.as_bytes();
        if !replace && self.places.iter().any(|place| place.is_named(bytes)) {
            return Err(Refusal::Exists);
        }
        let (at, place) = self
            .places
            .iter_mut()
            .enumerate()
            .find(|(_, place)| place.state == State::Free)
            .ok_or(Refusal::Full)?;
        if let Some(to) = place.name.get_mut(..bytes.len()) {
            to.copy_from_slice(bytes);
        }
        (place.state, place.name_len, place.len) = (State::Writing, bytes.len(), 0);
        Ok(RamWriter { place: at, replace })
    }

    fn expect(&mut self, _: &mut RamWriter, len: u64) -> Result<(), Refusal> {
        let max = LEN as u64;
        if len > max { Err(Refusal::TooLarge { max }) } else { Ok(()) }
    }

    fn write(&mut self, file: &mut RamWriter, bytes: &[u8]) -> Result<usize, Refusal> {
        let place = self.places.get_mut(file.place).ok_or(Refusal::Failed)?;
        let room = place.data.get_mut(place.len..).unwrap_or_default();
        let n = room.len().min(bytes.len());
        if n == 0 {
            return Err(Refusal::TooLarge { max: LEN as u64 });
        }
        if let (Some(to), Some(from)) = (room.get_mut(..n), bytes.get(..n)) {
            to.copy_from_slice(from);
        }
        place.len += n;
        Ok(n)
    }

    fn commit(&mut self, file: RamWriter) -> Result<(), Refusal> {
        let mut name = [0; FileName::MAX];
        let new = self.places.get_mut(file.place).ok_or(Refusal::Failed)?;
        let name_len = new.name_len;
        name.copy_from_slice(&new.name);
        let name = name.get(..name_len).unwrap_or_default();
        if let Some(old) = self.places.iter_mut().find(|place| place.is_named(name)) {
            if !file.replace {
                self.abandon(file);
                return Err(Refusal::Exists);
            }
            old.state = State::Unnamed;
            old.free_if_unused();
        }
        if let Some(new) = self.places.get_mut(file.place) {
            new.state = State::Named;
        }
        Ok(())
    }

    fn abandon(&mut self, file: RamWriter) {
        if let Some(place) = self.places.get_mut(file.place) {
            place.state = State::Free;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> FileName<'_> {
        FileName::new(name.as_bytes()).unwrap()
    }

    #[test]
    fn nobody_sees_a_file_before_it_is_committed_and_an_abandoned_one_is_gone() {
        let mut store = RamStore::<2, 8>::new();
        let mut file = store.create(name("a"), true).unwrap();
        store.write(&mut file, b"half").unwrap();
        assert_eq!(store.open(name("a")).err(), Some(Refusal::NotFound));
        store.abandon(file);
        assert_eq!((store.len(), store.in_use()), (0, 0));
    }

    #[test]
    fn a_reader_keeps_the_old_file_while_a_new_one_takes_its_name() {
        let mut store = RamStore::<2, 8>::new();
        store.put(name("a"), b"old").unwrap();
        let (mut reader, _) = store.open(name("a")).unwrap();
        store.put(name("a"), b"newer").unwrap();
        assert_eq!(store.get(name("a")), Some(&b"newer"[..]));
        let mut buf = [0; 8];
        assert_eq!(store.read(&mut reader, &mut buf), Ok(3));
        assert_eq!(&buf[..3], b"old");
        assert_eq!(store.in_use(), 2);
        store.close(reader);
        assert_eq!(store.in_use(), 1);
    }

    #[test]
    fn a_name_that_must_be_new_is_not_taken_from_anybody() {
        let mut store = RamStore::<3, 8>::new();
        let mut file = store.create(name("a"), false).unwrap();
        store.write(&mut file, b"late").unwrap();
        store.put(name("a"), b"first").unwrap();
        assert_eq!(store.create(name("a"), false).err(), Some(Refusal::Exists));
        assert_eq!(store.commit(file), Err(Refusal::Exists));
        assert_eq!(store.get(name("a")), Some(&b"first"[..]));
        assert_eq!(store.in_use(), 1);
    }

    #[test]
    fn what_will_not_fit_is_refused_before_it_comes() {
        let mut store = RamStore::<1, 8>::new();
        let mut file = store.create(name("a"), true).unwrap();
        assert_eq!(store.expect(&mut file, 8), Ok(()));
        assert_eq!(store.expect(&mut file, u64::MAX), Err(Refusal::TooLarge { max: 8 }));
        store.abandon(file);
    }

    #[test]
    fn a_full_store_says_so_and_loses_nothing() {
        let mut store = RamStore::<2, 4>::new();
        store.put(name("a"), b"1234").unwrap();
        assert_eq!(store.put(name("a"), b"12345"), Err(Refusal::TooLarge { max: 4 }));
        assert_eq!(store.get(name("a")), Some(&b"1234"[..]));
        store.put(name("b"), b"").unwrap();
        assert_eq!(store.put(name("c"), b""), Err(Refusal::Full));
        assert_eq!(store.len(), 2);
    }
}
