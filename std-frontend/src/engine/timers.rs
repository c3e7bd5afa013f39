//! When the next deadline is, and whose.

use anywire_core::instant::Instant;

use super::worker::Key;

/// At most one time per key: a heap, and where in it each key is. A connection that waits has 20 bytes here.
///
/// A connection's deadline moves with every byte. So a time here may be too early, never too late: whoever
/// is due looks at its real deadline, and comes back if that is later.
#[derive(Debug)]
pub(super) struct Timers {
    /// None is later than those at twice its place, counted from 1, and behind that.
    heap: Vec<(Instant, Key)>,
    /// For each table and slot, the place in the heap, counted from 1; 0: none.
    places: Vec<Vec<u32>>,
}

/// Room for so many from the beginning is address space, which becomes memory as it is used. A smaller one would grow in the allocator's
/// heap, and leave gaps there.
const FIRST: usize = 32 << 10;

impl Timers {
    pub(super) fn new() -> Self {
        Self { heap: Vec::with_capacity(FIRST), places: Vec::new() }
    }

    /// Sees to it that `key` has a time that is not later than `deadline`.
    pub(super) fn arrange(&mut self, key: Key, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        match self.place(key) {
            0 => {
                self.heap.push((deadline, key));
                self.rise(self.heap.len());
            }
            place => {
                if let Some((at, _)) = self.heap.get_mut(place - 1)
                    && *at > deadline
                {
                    *at = deadline;
                    self.rise(place);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        let place = self.place(key);
        if place == 0 {
            return;
        }
        self.heap.swap_remove(place - 1);
        self.set(key, 0);
        // What was the last one stands there now, unless that was it.
        if place <= self.heap.len() {
            self.sink(place);
            self.rise(place);
        }
    }

    /// The first time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|&(at, _)| at)
    }

    /// Takes the first key whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Key> {
        let &(at, key) = self.heap.first()?;
        if at > now {
            return None;
        }
        self.remove(key);
        Some(key)
    }

    fn place(&self, key: Key) -> usize {
        let place = self.places.get(usize::from(key.table())).and_then(|of| of.get(key.slot()));
        place.map_or(0, |&place| place as usize)
    }

    /// There are fewer than 2^32 keys.
    fn set(&mut self, key: Key, place: usize) {
        let (table, slot) = (usize::from(key.table()), key.slot());
        if self.places.len() <= table {
            self.places.resize_with(table + 1, || Vec::with_capacity(FIRST));
        }
        if let Some(of) = self.places.get_mut(table) {
            if of.len() <= slot {
                of.resize(slot + 1, 0);
            }
            if let Some(at) = of.get_mut(slot) {
                *at = place as u32;
            }
        }
    }

    /// Moves what is at `place` up, as far as it is earlier, and notes where it and what made room for it are.
    fn rise(&mut self, mut place: usize) {
        let Some(&moving) = self.heap.get(place - 1) else { return };
        while let Some(&above) = (place / 2).checked_sub(1).and_then(|at| self.heap.get(at))
            && moving < above
        {
            self.put(place, above);
            place /= 2;
        }
        self.put(place, moving);
    }

    /// Moves what is at `place` down, as far as it is later.
    fn sink(&mut self, mut place: usize) {
        let Some(&moving) = self.heap.get(place - 1) else { return };
        loop {
            let below = [2 * place, 2 * place + 1];
            let below = below.map(|place| self.heap.get(place - 1).map(|&entry| (entry, place)));
            match below.into_iter().flatten().min() {
                Some((entry, from)) if entry < moving => {
                    self.put(place, entry);
                    place = from;
                }
                _ => break,
            }
        }
        self.put(place, moving);
    }

    fn put(&mut self, place: usize, entry: (Instant, Key)) {
        if let Some(at) = self.heap.get_mut(place - 1) {
            *at = entry;
        }
        self.set(entry.1, place);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn a_time_moves_to_earlier_ones_only_and_there_is_one_per_key() {
        let mut timers = Timers::new();
        let (a, b) = (Key::new(0, 7), Key::new(2, 7));
        timers.arrange(a, Some(at(30)));
        timers.arrange(b, Some(at(20)));
        timers.arrange(a, Some(at(10)));
        timers.arrange(a, Some(at(40)));
        assert_eq!(timers.heap.len(), 2);
        assert_eq!(timers.due(at(9)), None);
        assert_eq!(timers.due(at(20)), Some(a));
        timers.remove(b);
        timers.remove(b);
        assert_eq!((timers.due(at(99)), timers.next()), (None, None));
    }

    #[test]
    fn of_many_the_first_is_always_known() {
        let (mut timers, mut known) = (Timers::new(), BTreeMap::new());
        let mut random = 1_u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (key, time) = (
                Key::new((random >> 60) as u8 & 1, (random >> 40) as usize & 63),
                at(random >> 50),
            );
            match random >> 33 & 3 {
                0 => {
                    timers.remove(key);
                    known.remove(&key);
                }
                1 => {
                    let due = timers.due(time);
                    let first = known.iter().map(|(key, time)| (*time, *key)).min();
                    let first = first.filter(|(first, _)| *first <= time).map(|(_, key)| key);
                    assert_eq!(due, first);
                    due.map(|due| known.remove(&due));
                }
                _ => {
                    timers.arrange(key, Some(time));
                    let earlier = known.entry(key).or_insert(time);
                    *earlier = time.min(*earlier);
                }
            }
            assert_eq!(timers.heap.len(), known.len());
            assert_eq!(timers.next(), known.values().min().copied());
        }
    }
}
