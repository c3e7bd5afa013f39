//! Sessions a step at a time: in which phase they wait, what they need to put an answer, what they draw.

use anywire_core::client;
use anywire_core::event::{Event, Host};
use anywire_core::exchange::Exchange;
use anywire_core::frame::Fixed as Framing;
use anywire_core::instant::Instant;
use anywire_core::name::FileName;
use anywire_core::request::{Answer, Refusal, Request};
use anywire_core::schema::Schema;
use anywire_core::service::{StreamService, fixed, greet, message, typed};
use anywire_core::session::{Halt, Phase, Reason, Session, advance};

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

/// Asks, is refused, and says so.
fn is_refused<S: Session>(mut session: S, answers: &[Answer<'static>]) {
    let refused = Refusal::Unsupported;
    let answers = answers.iter().copied().chain([Answer::Refused(refused)]);
    let mut step = |answer| {
        let (mut host, mut output) = (Given::default(), vec![0; S::ROOM]);
        // What is put goes out, and then there is room again.
        loop {
            let mut io = Exchange::new(b"", false, &mut output, Instant::ZERO, answer, &mut host);
            match advance(&mut session, &mut io) {
                Halt::Wait(..) if io.put_len() > 0 => {}
                halt => return halt,
            }
        }
    };
    assert_eq!(step(None), Halt::Ask);
    let mut last = Halt::Ask;
    for answer in answers {
        assert_eq!(last, Halt::Ask);
        last = step(Some(answer));
    }
    assert_eq!(last, Halt::Abort(Reason::Refused(refused)));
}

#[test]
fn clients_say_what_their_host_cannot_do() {
    let name = FileName::new(b"a").unwrap();
    is_refused(client::fixed::Session::new(&mut [0; 4]), &[]);
    is_refused(client::greet::Session::new(), &[]);
    is_refused(client::hello::Session::new(None), &[]);
    is_refused(client::message::Session::default(), &[]);
    is_refused(client::upload::Session::new(), &[]);
    let file = || client::typed::Session::new(Schema::Sized, client::typed::Message::File(name));
    is_refused(file(), &[]);
    is_refused(file(), &[Answer::Opened { len: 3000 }]);
}

/// Where a server waits for the end before it answers.
#[test]
fn the_date_is_asked_for_with_an_end_behind_it() {
    const QUESTION: usize = b"What time is it?".len();
    for room in [QUESTION + 1, QUESTION + 10] {
        let (mut host, mut output) = (Given::default(), vec![0; room]);
        let mut io = Exchange::new(b"", false, &mut output, Instant::ZERO, None, &mut host);
        let halt = advance(&mut client::date::Session::default(), &mut io);
        assert!(matches!(halt, Halt::Wait(Phase::Inside, _)), "{halt:?}");
        // Behind the end nothing can be put.
        assert_eq!((io.put_len(), io.room()), (QUESTION, 0));
        assert_eq!((io.put(b"x"), io.put_len()), (0, QUESTION), "room {room}");
    }
}
