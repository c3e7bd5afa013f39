//! When the next deadline is, and whose.

use std::collections::BTreeSet;

use anywire_core::instant::Instant;

/// At most one time per key.
///
/// A connection's deadline moves with every byte. So a time here may be too early, never too late: whoever
/// is due looks at its real deadline, and comes back if that is later.
#[derive(Debug)]
pub(super) struct Timers<K> {
    order: BTreeSet<(Instant, K)>,
}

impl<K: Copy + Ord> Timers<K> {
    pub(super) fn new() -> Self {
        Self { order: BTreeSet::new() }
    }

    /// Moves `key` from the time `set` to one that is not later than `deadline`.
    pub(super) fn arrange(&mut self, key: K, set: &mut Option<Instant>, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if set.is_some_and(|set| set <= deadline) {
            return;
        }
        self.remove(key, set);
        self.order.insert((deadline, key));
        *set = Some(deadline);
    }

    pub(super) fn remove(&mut self, key: K, set: &mut Option<Instant>) {
        if let Some(set) = set.take() {
            self.order.remove(&(set, key));
        }
    }

    /// The first time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|&(at, _)| at)
    }

    /// Takes the first key whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.order.pop_first().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn a_time_moves_to_earlier_ones_only_and_there_is_one_per_key() {
        let mut timers = Timers::new();
        let (mut a, mut b) = (None, None);
        timers.arrange('a', &mut a, Some(at(30)));
        timers.arrange('b', &mut b, Some(at(20)));
        timers.arrange('a', &mut a, Some(at(10)));
        timers.arrange('a', &mut a, Some(at(40)));
        assert_eq!(timers.order.len(), 2);
        assert_eq!(timers.due(at(9)), None);
        assert_eq!(timers.due(at(20)), Some('a'));
        timers.remove('b', &mut b);
        assert_eq!((timers.due(at(99)), timers.next()), (None, None));
    }
}
