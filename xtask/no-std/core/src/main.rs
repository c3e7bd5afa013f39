//! Linked by `cargo xtask no-std`, never run: a program that has the core, and neither std, nor an allocator, nor a
//! panic that can be reached.

#![no_std]
#![no_main]

mod wire;

use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddr};
use core::panic::PanicInfo;
use core::time::Duration;

use anywire_core::blocking::{Buffers, Plain, converse};
use anywire_core::client;
use anywire_core::client::guess::{Answer, Halving};
use anywire_core::conversation::{Conversation, Lent, Limits, Want};
use anywire_core::datagram::{DatagramService, Question};
use anywire_core::date::{Date, Zone};
use anywire_core::frame::{
    Fixed, Found, Order, Overflow, Tag, Tagged, Telnet, UntilEnd, UntilQuiet, Watch,
};
use anywire_core::instant::Instant;
use anywire_core::name::FileName;
use anywire_core::ram::RamStore;
use anywire_core::request::Stop;
use anywire_core::schema::Schema;
use anywire_core::service::{StreamService, Visitor, catalog};
use anywire_core::session::Session;
use anywire_core::store::{NoStore, carry_out, release};

use wire::{Host, Memory};

type Files = RamStore<4, 1024>;

/// Drives the core with input of which the compiler knows nothing, so that it can leave out nothing.
///
/// What is not called here is not checked: every session and every framing belongs here.
fn drive(input: &[u8]) {
    catalog(&mut Served { input });
    frame(input);
    let question = &mut Question::new(now(), black_box(Duration::from_secs(1)));
    black_box(question.turn(now()));

    hold_both(client::echo::Session::new(input), input);
    hold_both(client::hello::Session::new(black_box(Some(input))), input);
    hold_both(client::upload::Session::new(), input);
    hold_both(client::date::Session::default(), input);
    hold_both(client::message::Session::default(), input);
    hold_both(client::greet::Session::new(), input);
    hold_both(client::knock::Session, input);
    hold_both(client::fixed::Session::new(black_box(&mut [0; 16][..])), input);
    let mut halving = black_box(Halving::default());
    halving.hear(Answer::of(input));
    black_box(halving.guess());
    let text = client::typed::Message::Text(input);
    hold_both(client::typed::Session::new(black_box(Schema::Sized), text), input);
    if let Ok(name) = FileName::new(input) {
        hold_both(client::file::Session::new(input, name), input);
        let file = client::typed::Message::File(name);
        hold_both(client::typed::Session::new(black_box(Schema::Close), file), input);
        let mut files = Files::new();
        black_box((files.put(name, input), files.get(name), files.len(), files.in_use()).1);
    }
}

fn now() -> Instant {
    black_box(Instant::ZERO)
}

/// Holds a conversation with every service of the catalog.
struct Served<'a> {
    input: &'a [u8],
}

impl Visitor for Served<'_> {
    fn stream<S: StreamService + Send + 'static>(&mut self, mut service: S) {
        black_box(service.set(black_box("length"), black_box("7")).is_ok());
        hold_both(service.open(), self.input);
    }

    fn datagram<D: DatagramService + Send + 'static>(&mut self, mut service: D) {
        let peer = black_box(SocketAddr::from((Ipv4Addr::LOCALHOST, 9900)));
        let mut scratch = [0; 4096];
        black_box(service.set(black_box("secret"), black_box("7")).is_ok());
        black_box(service.answer(self.input, &mut scratch, peer, &mut Host));
    }
}

/// Holds the same conversation under both drivers that the core has to offer, with files and without.
fn hold_both<S: Session>(session: S, input: &[u8]) {
    if black_box(false) {
        return step_by_hand(session, input);
    }
    let (mut input_buffer, mut output) = ([0; 8192], [0; 8192]);
    let buffers =
        Buffers { input: black_box(&mut input_buffer[..]), output: black_box(&mut output[..]) };
    let limits = black_box(Limits::default());
    let wire = &mut black_box(Memory::new(input));
    if black_box(false) {
        black_box(converse(session, wire, &mut Files::new(), &mut Host, buffers, &limits).end);
    } else if black_box(false) {
        black_box(converse(session, wire, &mut NoStore, &mut Host, buffers, &limits).end);
    } else {
        let wire = &mut Plain(wire);
        black_box(converse(session, wire, &mut NoStore, &mut (), buffers, &limits).end);
    }
}

/// A driver of all that a conversation has, in no sensible order: what matters is that it is called.
fn step_by_hand<S: Session>(session: S, mut input: &[u8]) {
    let limits = black_box(Limits::default());
    let mut conversation = Conversation::new(session, now());
    let (mut files, mut file) = (Files::new(), None);
    let mut output = [0; 8192];
    loop {
        let answer = match black_box(conversation.want()) {
            Want::Answer => conversation
                .request(input)
                .map(|request| carry_out(&mut files, &mut file, None, request)),
            Want::Close | Want::Abort(_) => break,
            _ => None,
        };
        let lent = Lent {
            input,
            ended: black_box(true),
            output: black_box(&mut output[..]),
            now: now(),
            answer,
        };
        let used = conversation.step(lent, &mut Host);
        input = input.get(used.taken..).unwrap_or_default();
        conversation.moved(black_box(1), now(), &mut Host);
        if black_box(true) {
            conversation.stopped(black_box(Stop::Reset));
            conversation.reset();
            conversation.retire(now());
            conversation.peer_ended();
        }
        conversation.shut(now());
        conversation.discarded(black_box(1), &limits);
        conversation.wrote(now());
        conversation.expire(now(), &limits, black_box(true));
        black_box((conversation.deadline(&limits, black_box(true)), conversation.ended()));
    }
    release(&mut files, &mut file);
}

/// Looks for messages of every kind, by rules of which the compiler knows nothing.
fn frame(mut input: &[u8]) {
    let framing = black_box(UntilQuiet {
        max: 64,
        quiet: Some(Duration::from_millis(1)),
        newline: true,
        overflow: Overflow::Drop,
    });
    let mut watch = black_box(Watch::default());
    loop {
        let len = match framing.find(&mut watch, input, black_box(false), now()) {
            Found::Message(message) => {
                watch.next(&message);
                message.len
            }
            Found::Skip(len) => len,
            Found::More { .. } | Found::End => break,
        };
        input = input.get(len..).unwrap_or_default();
    }
    black_box((UntilEnd.request(), UntilEnd.is_whole(black_box(Stop::Ended))));
    let schema = black_box(Schema::Sized).table();
    let tagged = black_box(Tagged { order: Order::Big, tag: Tag::U16, ..schema });
    black_box(tagged.frame(input, black_box(true)).is_ok());
    black_box(Fixed { len: black_box(4) }.message(input, black_box(true)).is_ok());
    black_box(Fixed { len: black_box(4) }.left(black_box(9)));
    let mut telnet = Telnet::default();
    black_box(input.iter().filter_map(|byte| telnet.data(*byte)).count());
    let date = black_box(Date { unix: 0, offset: 3600 });
    black_box(date.rfc3339(black_box(Zone::Local)).as_bytes());
    let len = black_box(300);
    black_box(tagged.fitting(len).and_then(|row| tagged.encode(row.tag, len)));
}

/// The program, as far as the linker is concerned.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    static INPUT: [u8; 4096] = [0; 4096];
    drive(black_box(&INPUT[..]));
    loop {}
}

/// In the linked program only if something can panic.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
