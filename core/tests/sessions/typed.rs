//! typed, its server's side and its client's, in both schemas, and what the one makes of the other.

use anywire_core::checked::Checked;
use anywire_core::client;
use anywire_core::client::typed::Message;
use anywire_core::conversation::{Conversation, Lent, Limits, Want};
use anywire_core::event::{End, Event};
use anywire_core::frame::FrameError;
use anywire_core::instant::Instant;
use anywire_core::name::FileName;
use anywire_core::ram::RamStore;
use anywire_core::request::{Refusal, Stop};
use anywire_core::schema::Schema;
use anywire_core::service::typed;
use anywire_core::service::{SettingError, StreamService};
use anywire_core::session::Reason;
use anywire_core::store::{NoStore, carry_out, release};

use super::play::{Play, Played, play};
use super::{ROOMS, cuts, name};

type Files = RamStore<2, 300>;

const SCHEMAS: [Schema; 2] = [Schema::Sized, Schema::Close];

/// What was told of a file's name, which is drawn.
fn drawn(told: &str) -> Option<&str> {
    let name = told.strip_prefix("created ")?;
    let stem = name.strip_suffix(".bin").unwrap();
    assert!(stem.len() == 8 && stem.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
    Some(name)
}

/// Plays the service; what it stored, if anything.
fn serve(schema: Schema, given: &Play<'_>) -> (Played, Option<Vec<u8>>) {
    let mut store = Files::new();
    let played = play(typed::Typed { schema }.open(), &mut store, given);
    assert_eq!(store.in_use(), store.len(), "{given:?}");
    assert!(played.output.is_empty());
    let created = played.told.first().and_then(|told| drawn(told));
    let body = created.and_then(|created| store.get(FileName::new(created.as_bytes()).unwrap()));
    assert_eq!(body.is_none(), store.is_empty());
    let body = body.map(<[u8]>::to_vec);
    (played, body)
}

/// Plays it with every cut, in every room.
fn serve_all(schema: Schema, input: &[u8], check: impl Fn(&Played, Option<&[u8]>)) {
    for cuts in cuts(input.len()) {
        for rooms in ROOMS {
            for (end_with_last, ring) in [(false, false), (true, false), (true, true)] {
                let given = Play { cuts: &cuts, rooms, end_with_last, ring, ..Play::of(input) };
                let (played, body) = serve(schema, &given);
                check(&played, body.as_deref());
            }
        }
    }
}

#[test]
fn a_text_is_told_and_nothing_is_stored() {
    for schema in SCHEMAS {
        for (text, told) in [(&b"a text\n\xff"[..], "noted a text\\n\\xff"), (b"", "noted ")] {
            let message = [&[1, text.len() as u8, 0], text].concat();
            let behind = [&message[..], b"\x02\x01x"].concat();
            for input in [&message, &behind] {
                serve_all(schema, input, |played, body| {
                    assert_eq!((played.end, body), (End::Finished, None));
                    assert_eq!(played.told, [told]);
                    assert_eq!(played.received, message.len() as u64);
                });
            }
        }
    }
}

#[test]
fn data_with_a_length_is_stored_and_what_is_behind_it_is_nobodys() {
    let inputs: [&[u8]; 5] = [
        b"\x02\x04dataand",
        b"\x03\x04\0data\x02",
        b"\x04\x04\0\0datadata",
        b"\x05\x04\0\0\0data",
        b"\x06\x04\0\0\0\0\0\0\0data\x01",
    ];
    for input in inputs {
        serve_all(Schema::Sized, input, |played, body| {
            assert_eq!((played.end, body), (End::Finished, Some(&b"data"[..])));
            assert_eq!(played.told[1..], ["stored 4"]);
        });
    }
    serve_all(Schema::Sized, b"\x02\0", |played, body| {
        assert_eq!((played.end, body), (End::Finished, Some(&b""[..])));
    });
}

#[test]
fn data_to_the_end_is_all_of_it() {
    for body in [&b"data, and \x02\x01all of it"[..], b""] {
        let input = [b"\x02", body].concat();
        serve_all(Schema::Close, &input, |played, stored| {
            assert_eq!((played.end, stored), (End::Finished, Some(body)));
            assert_eq!(played.told[1..], [format!("stored {}", body.len())]);
        });
    }
}

#[test]
fn no_byte_at_all_is_answered_with_the_end() {
    for schema in SCHEMAS {
        let (played, body) = serve(schema, &Play::of(b""));
        assert_eq!((played.end, body, played.told.len()), (End::Finished, None, 0));
        let (played, _) = serve(schema, &Play { end: false, ..Play::of(b"") });
        assert_eq!((played.end, played.millis), (End::Idle, 302_000));
    }
}

#[test]
fn what_is_cut_or_no_message_is_an_abort_and_stores_nothing() {
    let ended = |got, want| Reason::Frame(FrameError::Ended { got, want });
    let tag = |found, schema: Schema| {
        Reason::Frame(FrameError::Tag { found, allowed: schema.table().rows })
    };
    let long = |len| Reason::Frame(FrameError::TooLong { name: "STRING", len, max: 4096 });
    let too_large =
        |moved| Reason::Cut { moved, stop: Stop::Store(Refusal::TooLarge { max: 300 }) };
    let [sized, close] = SCHEMAS;
    let much = [b"\x02", &[7; 301][..]].concat();
    let cases: [(Schema, &[u8], Reason); 14] = [
        (sized, b"\x01", ended(1, 3)),
        (sized, b"\x01\x02\0a", ended(4, 5)),
        (sized, b"\x06\x01\0\0\0\0\0\0", ended(8, 9)),
        (sized, b"\x02\x03", Reason::Cut { moved: 0, stop: Stop::Ended }),
        (sized, b"\x02\x03ab", Reason::Cut { moved: 2, stop: Stop::Ended }),
        (sized, b"\0", tag(0, sized)),
        (sized, b"\x07abc", tag(7, sized)),
        (sized, b"\x01\x01\x10x", long(4097)),
        (sized, b"\x03\x2d\x01", too_large(0)),
        (sized, b"\x06\xff\xff\xff\xff\xff\xff\xff\xffx", too_large(0)),
        (close, b"\x03\0\0", tag(3, close)),
        (close, b"\x01\xff\xff", long(65_535)),
        (close, b"\x01\x02\0a", ended(4, 5)),
        (close, &much, too_large(300)),
    ];
    for (schema, input, reason) in cases {
        serve_all(schema, input, |played, body| {
            assert_eq!((played.end, body), (End::Aborted(reason), None));
        });
    }
}

#[test]
fn a_silence_ends_the_conversation_as_its_stage_has_it() {
    let timed_out = |moved| End::Aborted(Reason::Cut { moved, stop: Stop::TimedOut });
    let [sized, close] = SCHEMAS;
    let cases: [(Schema, &[u8], End, u64); 5] = [
        (sized, b"\x01\x05", End::Aborted(Reason::HeadTimeout), 10_000),
        (sized, b"\x01\x05\0tex", End::Aborted(Reason::Idle), 300_000),
        (sized, b"\x02\x05dat", timed_out(3), 300_000),
        (close, b"\x02", timed_out(0), 300_000),
        (close, b"\x02data", timed_out(4), 300_000),
    ];
    for (schema, input, end, millis) in cases {
        for cuts in [&[][..], &[1]] {
            let (played, body) = serve(schema, &Play { cuts, end: false, ..Play::of(input) });
            assert_eq!((played.end, played.millis, body), (end, millis, None));
        }
    }
}

#[test]
fn a_host_without_entropy_takes_no_data() {
    let given = Play { entropy: false, ..Play::of(b"\x02\x01x") };
    let (played, body) = serve(Schema::Sized, &given);
    assert_eq!((played.end, body), (End::Aborted(Reason::NoEntropy), None));
    let given = Play { entropy: false, ..Play::of(b"\x01\x01\0x") };
    assert_eq!(serve(Schema::Sized, &given).0.end, End::Finished);
}

#[test]
fn each_message_has_a_name_of_its_own() {
    // The host draws the same for each connection, so that the first name is taken.
    let mut store = Files::new();
    for _ in 0..2 {
        let played = play(typed::Typed::default().open(), &mut store, &Play::of(b"\x02\x01x"));
        assert_eq!(played.end, End::Finished);
    }
    assert_eq!((store.len(), store.in_use()), (2, 2));
    let played = play(typed::Typed::default().open(), &mut store, &Play::of(b"\x02\x01x"));
    assert_eq!(played.end, End::Aborted(Reason::Refused(Refusal::Full)));
}

#[test]
fn the_schema_can_be_set_by_name() {
    let mut service = typed::Typed::default();
    assert_eq!(service.set("schema", "sized"), Ok(()));
    assert_eq!(service.set("schema", "close"), Ok(()));
    assert_eq!(service.schema, Schema::Close);
    assert!(matches!(service.set("schema", "open"), Err(SettingError::Value(_))));
    assert_eq!(service.set("length", "3"), Err(SettingError::Unknown));
    assert_eq!(service.schema, Schema::Close);
}

/// The client's file.
fn mine() -> Files {
    let mut store = Files::new();
    store.put(name("mine"), &[7; 300]).unwrap();
    store
}

fn send(schema: Schema, message: Message<'_>, given: &Play<'_>) -> Played {
    let mut store = mine();
    let played = play(client::typed::Session::new(schema, message), &mut store, given);
    store.put(name("mine"), b"").unwrap();
    assert_eq!(store.in_use(), 1, "the file is open still");
    played
}

#[test]
fn what_the_client_sends_the_server_takes_in_every_room() {
    let file = Message::File(name("mine"));
    let long = [b't'; 4096];
    let texts = [Message::Text(b"a text"), Message::Text(b""), Message::Text(&long)];
    for schema in SCHEMAS {
        for rooms in ROOMS {
            for end_with_last in [false, true] {
                // What a server says instead of its end is nobody's.
                for said in [&b""[..], b"welcome"] {
                    let given = Play { rooms, end_with_last, polite: true, ..Play::of(said) };
                    let played = send(schema, file, &given);
                    assert_eq!(played.end, End::Finished);
                    let head: &[u8] =
                        if schema == Schema::Sized { b"\x03\x2c\x01" } else { b"\x02" };
                    assert_eq!(played.output, [head, &[7; 300]].concat());
                    let (_, body) = serve(schema, &Play::of(&played.output));
                    assert_eq!(body.as_deref(), Some(&[7; 300][..]));
                    for message in texts {
                        let Message::Text(text) = message else { unreachable!() };
                        let played = send(schema, message, &given);
                        assert_eq!(played.end, End::Finished);
                        assert_eq!(played.output[3..], *text);
                        let (played, _) = serve(schema, &Play::of(&played.output));
                        let told = format!("noted {}", text.escape_ascii());
                        assert_eq!((played.end, played.told), (End::Finished, vec![told]));
                    }
                }
            }
        }
    }
}

#[test]
fn what_the_client_cannot_send_never_troubles_the_server() {
    let too_long = FrameError::TooLong { name: "STRING", len: 4097, max: 4096 };
    let played = send(Schema::Sized, Message::Text(&[b't'; 4097]), &Play::of(b""));
    assert_eq!(played.end, End::Aborted(Reason::Frame(too_long)));
    assert!(played.output.is_empty());
    let played = send(Schema::Sized, Message::File(name("absent")), &Play::of(b""));
    assert_eq!(played.end, End::Aborted(Reason::Refused(Refusal::NotFound)));
    assert!(played.output.is_empty());
    let session = client::typed::Session::new(Schema::Close, Message::File(name("mine")));
    let played = play(session, &mut NoStore, &Play::of(b""));
    assert_eq!(played.end, End::Aborted(Reason::Refused(Refusal::Unsupported)));
}

#[test]
fn a_server_that_never_ends_has_not_accepted() {
    for message in [Message::Text(b"a text"), Message::File(name("mine"))] {
        let played = send(Schema::Sized, message, &Play { end: false, ..Play::of(b"x") });
        assert_eq!(played.end, End::Aborted(Reason::Idle));
    }
    // Nor has one that ended before the message was whole: a text is not begun then, and of data the last piece is left.
    for (message, sent) in [(Message::Text(b"a text"), 0), (Message::File(name("mine")), 1)] {
        let played = send(Schema::Close, message, &Play::of(b""));
        assert_eq!(played.end, End::Aborted(Reason::NoAnswer));
        assert_eq!(played.output.len(), sent);
    }
    for stop in [Stop::Reset, Stop::FileShort, Stop::TimedOut] {
        let given = Play { stop: Some((13, stop)), polite: true, ..Play::of(b"") };
        let played = send(Schema::Sized, Message::File(name("mine")), &given);
        assert_eq!(played.end, End::Aborted(Reason::Cut { moved: 10, stop }));
    }
}

/// Behind its last byte, the length, a message of no bytes may be answered: the server's end may be there before ours.
#[test]
fn the_client_of_an_empty_file_looks_before_the_head_and_not_behind_it() {
    let name = FileName::new(b"empty").unwrap();
    let (mut files, mut file) = (RamStore::<1, 8>::new(), None);
    files.put(name, b"").unwrap();
    for (before, end) in [(true, End::Aborted(Reason::NoAnswer)), (false, End::Finished)] {
        let session = client::typed::Session::new(Schema::Sized, Message::File(name));
        let mut conversation = Conversation::new(Checked::new(session), Instant::ZERO);
        let mut put = 0;
        for micros in 0..20 {
            let now = Instant::from_micros(micros);
            conversation.expire(now, &Limits::default(), false);
            let answer = match conversation.want() {
                Want::Shutdown => {
                    conversation.shut(now);
                    continue;
                }
                Want::Close | Want::Abort(_) => break,
                Want::Answer => {
                    let request = conversation.request(b"").unwrap();
                    Some(carry_out(&mut files, &mut file, None, request))
                }
                _ => None,
            };
            let ended = if before { micros > 1 } else { put == 2 };
            let lent = Lent { input: b"", ended, output: &mut [0; 8192], now, answer };
            put += conversation.step(lent, &mut ()).put;
        }
        assert_eq!(put, if before { 0 } else { 2 });
        assert!(matches!(conversation.ended(), Some(Event::Ended { end: is, .. }) if is == end));
        release(&mut files, &mut file);
    }
}
