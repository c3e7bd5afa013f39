//! Probabilities, and numbers that look random and are the same in every run.

/// How likely something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance {
    per_million: u32,
}

impl Chance {
    /// It does not happen.
    pub const NEVER: Self = Self::per_million(0);

    /// It always does.
    pub const ALWAYS: Self = Self::percent(100);

    /// So many times in a hundred; 100 and more is always.
    pub const fn percent(percent: u8) -> Self {
        Self::per_million(percent as u32 * 10_000)
    }

    /// So many times in a million; that and more is always.
    pub const fn per_million(times: u32) -> Self {
        Self { per_million: times }
    }

    /// Whether it happens now.
    pub fn happens(self, random: &mut Random) -> bool {
        random.below(1_000_000) < u64::from(self.per_million)
    }
}

/// SplitMix64: the generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014), with the
/// constants of Java's `SplittableRandom`. A crate's may change with its version; with this one, a seed that was written down years
/// ago still shows what it showed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number, at least 0 and less than `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // Of 2^64 equally likely numbers each of these has its share, give or take one.
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_ones_of_the_paper() {
        // As Vigna's reference implementation and Java have them.
        let mut random = Random::new(1_234_567);
        let numbers = [(); 3].map(|()| random.next_u64());
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn a_chance_happens_as_often_as_it_says() {
        let mut random = Random::new(0);
        let mut often =
            |chance: Chance| (0..100_000).filter(|_| chance.happens(&mut random)).count();
        assert_eq!((often(Chance::NEVER), often(Chance::ALWAYS)), (0, 100_000));
        for (chance, expected) in [(Chance::percent(20), 20_000), (Chance::per_million(500), 50)] {
            let times = often(chance);
            assert!(times.abs_diff(expected) < expected / 2, "{times} instead of {expected}");
        }
    }

    #[test]
    fn what_never_happens_does_not_happen_at_0_either() {
        let zero = Random::new(0x9e37_79b9_7f4a_7c15_u64.wrapping_neg());
        assert_eq!(zero.clone().next_u64(), 0);
        assert!(!Chance::NEVER.happens(&mut zero.clone()));
        assert!(Chance::per_million(1).happens(&mut zero.clone()));
    }
}
