//! The bytes of one input, as choices: what is left when they run out is zero, and means that nothing more goes wrong.

use arbitrary::Unstructured;

/// Choices, one behind the other.
#[derive(Debug)]
pub struct Choices<'d>(Unstructured<'d>);

impl<'d> Choices<'d> {
    /// The choices in `data`.
    pub fn new(data: &'d [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    /// Whether there are none left.
    pub fn over(&self) -> bool {
        self.0.is_empty()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Whether or not.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number of up to 16 bits.
    pub fn word(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number of up to 32 bits.
    pub fn long(&mut self) -> u32 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `end`, or 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.word()).checked_rem(end).unwrap_or(0)
    }

    /// One of `items`, the first if nothing is chosen.
    pub fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Up to `max` bytes: first how many, then they themselves.
    pub fn bytes(&mut self, max: usize) -> &'d [u8] {
        let len = self.below(max + 1).min(self.0.len());
        self.0.bytes(len).unwrap_or_default()
    }

    /// The bytes of a stream of up to `max` bytes: given one by one, or a byte again and again, so that long ones are cheap.
    pub fn stream(&mut self, max: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for _ in 0..self.below(16) {
            if self.byte() % 4 == 3 {
                let (byte, len) = (self.byte(), self.below(max + 1));
                stream.extend(std::iter::repeat_n(byte, len));
            } else {
                stream.extend(self.bytes(max));
            }
        }
        stream.truncate(max);
        stream
    }
}
