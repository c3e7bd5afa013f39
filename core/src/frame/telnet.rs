//! What of a telnet connection is data.

/// Leaves telnet's commands and options (RFC 854 and 855) out of a stream, however it is cut. Nothing is negotiated.
///
/// ```
/// use anywire_core::frame::Telnet;
///
/// let mut telnet = Telnet::default();
/// // IAC WILL NAOFFD, a letter, IAC IAC.
/// let data: Vec<u8> = [255, 251, 13, b'a', 255, 255].into_iter().filter_map(|byte| telnet.data(byte)).collect();
/// assert_eq!(data, [b'a', 255]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telnet {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Data,
    /// After IAC.
    Command,
    /// After WILL, WON'T, DO or DON'T: which option?
    Option,
    /// After SB, up to IAC SE.
    Subnegotiation,
    /// After IAC there.
    SubnegotiationCommand,
}

/// "Interpret as command"; twice it is one byte of data.
pub const IAC: u8 = 255;

const SE: u8 = 240;
const SB: u8 = 250;
const WILL: u8 = 251;
const DONT: u8 = 254;

impl Telnet {
    /// The byte of data that `byte`, the next one of the stream, is or ends; `None`: it is a part of something else.
    pub fn data(&mut self, byte: u8) -> Option<u8> {
        let (state, data) = match (self.state, byte) {
            (State::Data, IAC) => (State::Command, None),
            (State::Data, byte) => (State::Data, Some(byte)),
            (State::Command, IAC) => (State::Data, Some(IAC)),
            (State::Command, SB) => (State::Subnegotiation, None),
            (State::Command, WILL..=DONT) => (State::Option, None),
            (State::Command | State::Option, _) => (State::Data, None),
            (State::Subnegotiation, IAC) => (State::SubnegotiationCommand, None),
            (State::SubnegotiationCommand, SE) => (State::Data, None),
            (State::Subnegotiation | State::SubnegotiationCommand, _) => {
                (State::Subnegotiation, None)
            }
        };
        self.state = state;
        data
    }

    /// Whether the stream is between two bytes of data, and not inside a command.
    pub fn is_between(&self) -> bool {
        self.state == State::Data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data<'a>(stream: &'a [u8], telnet: &'a mut Telnet) -> impl Iterator<Item = u8> + 'a {
        stream.iter().filter_map(|&byte| telnet.data(byte))
    }

    #[test]
    fn what_a_client_says_at_the_start_is_no_data() {
        // DO SUPPRESS-GO-AHEAD, WILL TERMINAL-TYPE, NAWS with a 255 inside, NOP, and a letter.
        let stream =
            [255, 253, 3, 255, 251, 24, 255, 250, 31, 0, 255, 255, 0, 24, 255, 240, 255, 241, b'x'];
        assert!(data(&stream, &mut Telnet::default()).eq([b'x']));
    }

    #[test]
    fn commands_are_whole_wherever_the_stream_is_cut() {
        let stream = [b'a', 255, 251, 1, b'b', 255, 255, 255, 250, 24, 1, 255, 240, b'c'];
        for at in 0..stream.len() {
            let mut telnet = Telnet::default();
            let (front, back) = stream.split_at(at);
            assert!(data(front, &mut telnet).count() <= 4);
            let mut telnet = Telnet::default();
            let mut all = [0; 4];
            let mut len = 0;
            for part in [front, back] {
                for byte in data(part, &mut telnet) {
                    all[len] = byte;
                    len += 1;
                }
            }
            assert_eq!(all, [b'a', b'b', 255, b'c']);
            assert!(telnet.is_between());
        }
    }

    #[test]
    fn a_subnegotiation_that_never_ends_is_no_data() {
        let mut telnet = Telnet::default();
        assert_eq!(data(&[255, 250], &mut telnet).count(), 0);
        assert_eq!(data(&[7; 1000], &mut telnet).count(), 0);
        // A command inside it is none.
        assert_eq!(data(&[255, 251, 1], &mut telnet).count(), 0);
        assert!(!telnet.is_between());
    }
}
