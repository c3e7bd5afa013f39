//! All bytes to the end of the stream.

use crate::request::{Request, Stop};

/// One message is the whole rest of the stream: the file service's reply. It is as long as it likes, so it is
/// never held: it is moved by a transfer, and is whole only if the stream ended in good order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UntilEnd;

impl UntilEnd {
    /// What to ask for to receive it.
    pub const fn request(self) -> Request<'static> {
        Request::Receive { len: None }
    }

    /// Whether a transfer that stopped like this brought all of it. A reset, say, did not: how much is missing cannot be
    /// known.
    pub fn is_whole(self, stop: Stop) -> bool {
        stop == Stop::Ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_orderly_end_makes_it_whole() {
        assert!(UntilEnd.is_whole(Stop::Ended));
        for stop in [Stop::Reset, Stop::TimedOut, Stop::Complete, Stop::FileShort] {
            assert!(!UntilEnd.is_whole(stop));
        }
    }
}
