//! Messages of one length.

use crate::frame::FrameError;

/// Each message has exactly `len` bytes: the lab's MSGLEN.
///
/// A message need not be held to be dealt with: [`left`](Self::left) tells of any place in the stream how far its message goes on.
/// Short ones can be had whole from [`message`](Self::message).
///
/// ```
/// use anywire_core::frame::Fixed;
///
/// let framing = Fixed { len: 4 };
/// assert_eq!(framing.message(b"abcdef", false)?, Some(&b"abcd"[..]));
/// assert_eq!(framing.message(b"ef", false)?, None);
/// assert!(framing.message(b"ef", true).is_err());
/// # Ok::<(), anywire_core::frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The length of a message, in bytes, at least 1.
    pub len: usize,
}

impl Fixed {
    /// The message at the front of `input`, which is the last there is if `ended`. `None`: more of it must come. No input at all is no
    /// message, and no error either.
    pub fn message<'a>(
        &self,
        input: &'a [u8],
        ended: bool,
    ) -> Result<Option<&'a [u8]>, FrameError> {
        match input.get(..self.len.max(1)) {
            None if ended && !input.is_empty() => {
                Err(FrameError::Ended { got: input.len() as u64, want: self.len as u64 })
            }
            message => Ok(message),
        }
    }

    /// How many bytes of its message are still to come at a place in the stream that has `before` bytes before it; 0: a message ends
    /// there.
    pub fn left(&self, before: u64) -> u64 {
        let len = (self.len as u64).max(1);
        match before % len {
            0 => 0,
            got => len - got,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_knows_how_far_its_message_goes() {
        let framing = Fixed { len: 3 };
        assert_eq!([0, 1, 2, 3, 4].map(|before| framing.left(before)), [0, 2, 1, 0, 2]);
        assert_eq!(Fixed { len: 1 }.left(7), 0);
        assert_eq!(Fixed { len: 0 }.left(7), 0);
        assert_eq!(framing.left(u64::MAX), 0);
    }

    #[test]
    fn an_end_inside_a_message_is_an_error_and_one_between_them_is_not() {
        let framing = Fixed { len: 3 };
        assert_eq!(framing.message(b"", true), Ok(None));
        assert_eq!(framing.message(b"abc", true), Ok(Some(&b"abc"[..])));
        assert_eq!(framing.message(b"ab", true), Err(FrameError::Ended { got: 2, want: 3 }));
    }
}
