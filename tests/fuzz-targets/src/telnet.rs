//! Invariant: of a stream, however it is cut, `Telnet` keeps what a reader of RFC 854 and 855 who has all of it at once calls data, and
//! of data that is sent as it should be every byte.

use anywire_core::frame::{IAC, Telnet};

use crate::choices::Choices;

/// See the [module](self).
pub fn run(data: &[u8]) {
    let mut telnet = Telnet::default();
    let kept: Vec<u8> = data.iter().filter_map(|&byte| telnet.data(byte)).collect();
    let (expected, between) = read(data);
    assert_eq!(kept.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert_eq!(telnet.is_between(), between);

    // What is sent, with commands and options between its bytes, is what is kept.
    let mut choices = Choices::new(data);
    let (mut sent, mut wire) = (Vec::new(), Vec::new());
    while !choices.over() {
        match choices.byte() {
            0 => wire.extend([IAC, choices.one_of(&[251, 252, 253, 254]), choices.byte()]),
            1 => wire.extend([IAC, choices.one_of(&[0, 7, 239, 240, 241, 249])]),
            2 => {
                wire.extend([IAC, 250]);
                // Inside, 255 is sent twice.
                wire.extend(choices.bytes(8).iter().flat_map(|&byte| doubled(byte)));
                wire.extend([IAC, 240]);
            }
            byte => {
                sent.push(byte);
                wire.extend(doubled(byte));
            }
        }
    }
    let mut telnet = Telnet::default();
    let kept: Vec<u8> = wire.iter().filter_map(|&byte| telnet.data(byte)).collect();
    assert_eq!(kept, sent);
    assert!(telnet.is_between());
}

fn doubled(byte: u8) -> impl Iterator<Item = u8> {
    std::iter::repeat_n(byte, if byte == IAC { 2 } else { 1 })
}

/// The data of a stream that is all there, and whether it ends between two bytes of it.
fn read(stream: &[u8]) -> (Vec<u8>, bool) {
    let (mut data, mut rest) = (Vec::new(), stream);
    loop {
        rest = match rest {
            [] => return (data, true),
            [IAC] | [IAC, 251..=254] => return (data, false),
            [IAC, IAC, rest @ ..] => {
                data.push(IAC);
                rest
            }
            [IAC, 251..=254, _, rest @ ..] => rest,
            [IAC, 250, inside @ ..] => match behind_subnegotiation(inside) {
                Some(rest) => rest,
                None => return (data, false),
            },
            [IAC, _, rest @ ..] => rest,
            [byte, rest @ ..] => {
                data.push(*byte);
                rest
            }
        };
    }
}

fn behind_subnegotiation(mut inside: &[u8]) -> Option<&[u8]> {
    loop {
        inside = match inside {
            [] | [IAC] => return None,
            [IAC, 240, rest @ ..] => return Some(rest),
            [IAC, _, rest @ ..] | [_, rest @ ..] => rest,
        };
    }
}
