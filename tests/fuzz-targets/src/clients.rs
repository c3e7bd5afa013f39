//! Invariant: whatever a server sends and a driver, a host or a user does, the client's side of each service keeps the contract, and
//! takes for stored, or for whole, only what the server has proven.

use anywire_core::client::typed::Message;
use anywire_core::client::{date, echo, file, fixed, greet, hello, knock, message, typed, upload};
use anywire_core::event::End;
use anywire_core::name::FileName;
use anywire_core::schema::Schema;

use crate::choices::Choices;
use crate::play::play;

/// See the [module](self).
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let client = choices.byte() % 11;
    let text = choices.stream(5000);
    let mut input = choices.stream(5000);
    let choices = &mut choices;
    let mine = FileName::new(b"mine").expect("it is one");
    match client {
        0 => {
            // Half of the time a true echo, up to where it is none.
            if choices.flag() {
                input = [&text, &input[..]].concat();
            }
            let played = play(echo::Session::new(&text), &input, choices);
            assert!(text.starts_with(&played.output));
            // It counts what comes back, and compares nothing.
            if played.end == End::Finished {
                assert!(played.seen >= text.len());
            }
        }
        1 | 2 => {
            let typed = client == 2;
            let session = hello::Session::new((!typed).then_some(&text[..]));
            let played = play(session, &input, choices);
            assert!(typed || text.starts_with(&played.output));
            assert!(input.starts_with(&played.told.concat()));
            if played.end == End::Finished {
                assert!(!played.told.is_empty(), "no reply is no success");
            }
        }
        3 => {
            let played = play(date::Session::default(), &input, choices);
            assert!(date::Session::QUESTION.starts_with(&played.output));
        }
        4 => {
            let played = play(knock::Session, &input, choices);
            assert!(played.output.is_empty());
        }
        5 => {
            play(message::Session::default(), &input, choices);
        }
        6 => {
            play(greet::Session::new(), &input, choices);
        }
        7 => {
            let mut room = vec![0; choices.below(100)];
            let played = play(fixed::Session::new(&mut room), &input, choices);
            // What is told has come back.
            assert!(input.starts_with(&played.told.concat()));
            assert!(played.output.starts_with(&played.told.concat()));
            if played.end == End::Finished {
                assert_eq!(played.output, played.told.concat());
            }
        }
        8 => {
            let played = play(file::Session::new(&text, mine), &input, choices);
            assert!(text.starts_with(&played.output));
            assert!(played.stored.len() <= 1 && played.told_stored <= played.stored.len());
            for (name, body) in &played.stored {
                assert_eq!(name, b"mine");
                assert!(played.peer_ended && *body == input, "only an end makes it whole");
            }
            if played.end == End::Finished {
                assert_eq!(played.told_stored, 1);
            }
        }
        9 => {
            // Answers that are right, up to where they are none.
            let answers =
                choices.one_of(&[&b"OKOKOKOK"[..], b"", b"OK", b"ERR no\n", b"OKERR no\n"]);
            let input = [answers, &input].concat();
            let played = play(upload::Session::new(), &input, choices);
            // Each has its own `OK`, and the one behind it or the end proves it.
            let oks = input.chunks(2).take_while(|answer| answer == b"OK").count();
            assert!(played.told_stored <= oks);
            if !played.peer_ended {
                assert!(played.told_stored == 0 || played.told_stored < oks);
            }
        }
        _ => {
            let schema = choices.one_of(&[Schema::Sized, Schema::Close]);
            let message = choices.one_of(&[Message::Text(&text), Message::File(mine)]);
            let played = play(typed::Session::new(schema, message), &input, choices);
            if played.end == End::Finished {
                assert!(played.peer_ended, "only its end says that it has accepted");
            }
        }
    }
}
