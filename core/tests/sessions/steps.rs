//! Sessions a step at a time: in which phase they wait, what they need to put an answer, what they draw.

use anywire_core::event::{Event, Host};
use anywire_core::exchange::Exchange;
use anywire_core::frame::Fixed as Framing;
use anywire_core::instant::Instant;
use anywire_core::request::Request;
use anywire_core::service::{StreamService, fixed, greet, message, typed};
use anywire_core::session::{Halt, Phase, Session, advance};

/// Whatever is random is this number; events are counted.
#[derive(Default)]
struct Given {
    random: u64,
    events: usize,
}

impl Host for Given {
    fn observe(&mut self, _: Event<'_>) {
        self.events += 1;
    }

    fn entropy(&mut self, buf: &mut [u8]) -> bool {
        let random = self.random.to_le_bytes();
        buf.copy_from_slice(&random[..buf.len()]);
        true
    }
}

/// What it waits for and what it has put, after the first step with `input`, with so much room.
fn first<S: Session>(
    session: &mut S,
    input: &[u8],
    room: usize,
    host: &mut Given,
) -> (Halt, Vec<u8>) {
    let mut output = vec![0; room];
    let mut io = Exchange::new(input, false, &mut output, Instant::ZERO, None, host);
    let halt = advance(session, &mut io);
    let put = io.put_len();
    output.truncate(put);
    (halt, output)
}

fn phase<S: Session>(mut session: S, input: &[u8]) -> Phase {
    match first(&mut session, input, S::ROOM, &mut Given::default()).0 {
        Halt::Wait(phase, _) => phase,
        other => panic!("{other:?} is no wait"),
    }
}

/// Where a conversation that is silent may be ended, and where it is in the middle of something.
#[test]
fn what_has_begun_is_inside() {
    let phases = [
        (&b""[..], Phase::Between),
        (b"a", Phase::Inside),
        (b"a\n", Phase::Between),
        (b"a\nb", Phase::Inside),
    ];
    for (input, expected) in phases {
        assert_eq!(phase(message::Message::default().open(), input), expected, "{input:?}");
        assert_eq!(phase(greet::Greet::default().open(), input), expected, "{input:?}");
    }
    // Half an option is no less of a beginning.
    let options = [(&[255][..], Phase::Inside), (&[255, 251], Phase::Inside)];
    for (input, expected) in options.into_iter().chain([(&[255, 251, 1][..], Phase::Between)]) {
        assert_eq!(phase(greet::Greet::default().open(), input), expected, "{input:?}");
    }
}

#[test]
fn greet_answers_when_all_of_it_fits() {
    // One byte 255 comes as two, and goes as two.
    let (input, reply) = (b"ab\xff\xffc\n", b"ab\xff\xffc N\r\n");
    let step = |room| {
        let mut session = greet::Greet { name: "N" }.open();
        let (halt, put) = first(&mut session, input, room, &mut Given::default());
        (matches!(halt, Halt::Wait(Phase::Between, _)), put)
    };
    assert_eq!(step(reply.len()), (true, reply.to_vec()));
    assert_eq!(step(reply.len() - 1), (false, Vec::new()));
}

#[test]
fn fixed_tells_of_bytes_and_not_of_none() {
    let mut host = Given::default();
    let mut session = fixed::Fixed { framing: Framing { len: 2 } }.open();
    first(&mut session, b"", 8, &mut host);
    assert_eq!(host.events, 0);
    first(&mut session, b"abc", 8, &mut host);
    assert_eq!(host.events, 1);
}

/// A number of base 62, the lowest digit first.
#[test]
fn each_number_is_another_name() {
    let name = |random| {
        let mut host = Given { random, events: 0 };
        let mut session = typed::Typed::default().open();
        assert_eq!(first(&mut session, b"\x02\x01", 8, &mut host).0, Halt::Ask);
        match session.request(b"") {
            Some(Request::Create { name, replace: false }) => name.as_str().to_owned(),
            other => panic!("{other:?} begins no new file"),
        }
    };
    assert_eq!(name(0), "AAAAAAAA.bin");
    assert_eq!(name(61), "9AAAAAAA.bin");
    assert_eq!(name(62 + 26), "aBAAAAAA.bin");
    assert_eq!(name(62_u64.pow(7) * 25), "AAAAAAAZ.bin");
    assert_eq!(name(62_u64.pow(8)), "AAAAAAAA.bin");
}
