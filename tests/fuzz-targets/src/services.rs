//! Invariant: whatever a peer sends and a driver or a host does, the server's side of each service keeps the contract; what it says is an
//! answer to what came; and what it stores, or proves by its end, is whole.

use anywire_core::date::Zone;
use anywire_core::event::End;
use anywire_core::frame;
use anywire_core::name::FileName;
use anywire_core::schema::Schema;
use anywire_core::service::{
    StreamService as _, date, echo, file, fixed, greet, hello, knock, logdate, message, typed,
    upload,
};

use crate::choices::Choices;
use crate::play::{FILE_BYTE, play};

/// See the [module](self).
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let service = choices.byte() % 12;
    let input = match service {
        // What has tags and names needs some that are right.
        5 | 6 => messages(&mut choices),
        4 | 7 => [choices.bytes(12), &choices.stream(300)].concat(),
        _ => choices.stream(6000),
    };
    let choices = &mut choices;
    let schema = choices.one_of(&[Schema::Sized, Schema::Close]);
    match service {
        0 => {
            let played = play(echo::Session, &input, choices);
            assert!(input.starts_with(&played.output));
            if played.end == End::Finished {
                assert!(played.peer_ended && played.output == input);
            }
        }
        1 => {
            let played = play(hello::Session::default(), &input, choices);
            let answer = |text: &Vec<u8>| {
                [b"I got \"", &text[..], b"\" from you and I am sending it back."].concat()
            };
            let answers: Vec<_> = played.told.iter().map(answer).collect();
            assert_eq!(played.output, answers.concat());
            assert!(input.starts_with(&played.told.concat()));
            if played.end == End::Finished {
                assert_eq!(played.told.concat(), input);
            }
        }
        2 => {
            let close_after_reply = choices.flag();
            let service = message::Message { prefix: "> ", close_after_reply };
            let played = play(service.open(), &input, choices);
            let answer = |text: &Vec<u8>| [b"> ", &text[..]].concat();
            assert_eq!(played.output, played.told.iter().map(answer).collect::<Vec<_>>().concat());
            assert!(!close_after_reply || played.told.len() <= 1);
        }
        3 => {
            let framing = frame::Fixed { len: 1 + choices.below(3000) };
            let played = play(fixed::Fixed { framing }.open(), &input, choices);
            assert!(input.starts_with(&played.output));
            if played.end == End::Finished {
                assert!(played.output == input && input.len() % framing.len == 0);
            }
        }
        4 => {
            let played = play(file::Session::default(), &input, choices);
            assert!(played.output.iter().all(|&byte| byte == FILE_BYTE));
            let len = played.output.len() as u64;
            assert!(len <= played.opened.unwrap_or(0));
            // Its end is the proof; nothing else ends it in good order.
            let proves = matches!(played.end, End::Finished | End::Idle | End::Stopped);
            assert!(!proves || played.opened == Some(len) || played.end == End::Idle && len == 0);
        }
        5 => {
            let played = play(upload::Session::default(), &input, choices);
            assert!(whole(&input).starts_with(&played.stored));
            assert_eq!(played.told_stored, played.stored.len());
            let oks = played.output.chunks(2).take_while(|answer| answer == b"OK").count();
            assert!(oks >= played.stored.len() && oks <= played.stored.len() + 1);
            let rest = &played.output[2 * oks..];
            assert!(rest.is_empty() || rest.starts_with(b"ERR ") && rest.ends_with(b"\n"));
            if played.end == End::Finished && rest.is_empty() {
                assert_eq!(oks, played.stored.len());
            }
        }
        6 => {
            let played = play(typed::Typed { schema }.open(), &input, choices);
            assert!(played.output.is_empty() && played.stored.len() <= 1);
            let body = body(schema, &input);
            assert!(played.stored.iter().all(|(_, stored)| Some(&stored[..]) == body));
            if schema == Schema::Close && !played.stored.is_empty() {
                assert!(played.peer_ended);
            }
            let kept = !played.stored.is_empty() && played.told_stored == 1;
            assert!(played.told_stored == 0 || kept);
        }
        7 => {
            let played = play(knock::Knock.open(), &input, choices);
            assert!(played.output.is_empty() && played.told.is_empty());
        }
        8 => {
            let zone = choices.one_of(&[Zone::Local, Zone::Utc]);
            let played = play(date::Date { zone }.open(), &input, choices);
            dates(&played.output, played.told.len());
        }
        9 => {
            let zone = choices.one_of(&[Zone::Local, Zone::Utc]);
            let played = play(logdate::LogDate { zone }.open(), &input, choices);
            let answers = played.output.iter().filter(|&&byte| byte == b'\n').count();
            assert!(answers <= played.logged);
            dates(&played.output, answers);
        }
        _ => {
            let played = play(greet::Greet { name: "Ali" }.open(), &input, choices);
            let answer = |text: &Vec<u8>| {
                let doubled =
                    text.iter().flat_map(|&byte| vec![byte; if byte == 255 { 2 } else { 1 }]);
                doubled.chain(*b" Ali\r\n").collect::<Vec<_>>()
            };
            assert_eq!(played.output, played.told.iter().flat_map(answer).collect::<Vec<_>>());
        }
    }
}

/// Each answer is a date and a newline.
fn dates(output: &[u8], count: usize) {
    let lines: Vec<_> = output.split_inclusive(|&byte| byte == b'\n').collect();
    assert_eq!(lines.len(), count);
    for line in lines {
        assert!(matches!(line.len(), 21 | 26) && line[10] == b'T', "{}", line.escape_ascii());
    }
}

/// A length, in as many bytes as the tag has it.
fn length_size(tag: u8) -> Option<usize> {
    [2, 1, 2, 3, 4, 8].get(usize::from(tag).checked_sub(1)?).copied()
}

/// Names and files, and now and then something that is out of place, or half of it.
fn messages(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..choices.below(8) {
        let (tag, body) = match choices.byte() % 8 {
            7 => {
                stream.extend(choices.bytes(20));
                continue;
            }
            0..3 => (1, choices.bytes(6).to_vec()),
            3 => (1, b"name".to_vec()),
            tag => (2 + tag % 5, choices.stream(250)),
        };
        let len = (body.len() as u64).to_le_bytes();
        stream.push(tag);
        stream.extend(&len[..length_size(tag).unwrap_or(1)]);
        stream.extend(body);
    }
    stream
}

/// The message at the front of `stream`, if it is whole: its tag and its body, and what is behind it.
fn split(stream: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = stream.split_first()?;
    let (len, rest) = rest.split_at_checked(length_size(tag)?)?;
    let len = len.iter().rev().fold(0, |len, &byte| len << 8 | u64::from(byte));
    let (body, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((tag, body, rest))
}

/// The files that are whole in a stream of upload's, up to the first thing that is wrong.
fn whole(mut stream: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut files = Vec::new();
    while let Some((1, name, rest)) = split(stream)
        && name.len() <= 4096
        && FileName::new(name).is_ok()
        && let Some((2..=6, body, rest)) = split(rest)
    {
        files.push((name.to_vec(), body.to_vec()));
        stream = rest;
    }
    files
}

/// The body of the data in a stream of typed's, if it is whole where the stream ends.
fn body(schema: Schema, stream: &[u8]) -> Option<&[u8]> {
    match (schema, stream.first()) {
        (Schema::Close, Some(2)) => Some(&stream[1..]),
        (Schema::Sized, Some(2..=6)) => split(stream).map(|message| message.1),
        _ => None,
    }
}
