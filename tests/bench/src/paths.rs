//! The core's hot paths, to be counted in instructions by `cargo xtask bench --check`: `paths NAME TIMES`. Without a name, the names.

use std::hint::black_box;
use std::time::Duration;

use anywire_core::conversation::{Conversation, Lent};
use anywire_core::frame::{
    Body, Found, Order, Overflow, Row, Tag, Tagged, Telnet, UntilQuiet, Watch,
};
use anywire_core::instant::Instant;
use anywire_core::schema::SIZED;
use anywire_core::service::StreamService;
use anywire_core::service::{echo::Echo, hello::Hello};

type Path = fn(u64);

const PATHS: &[(&str, Path)] = &[
    ("echo-64-bytes", |times| answer(&Echo, &[7; 64], times)),
    ("hello-5-bytes", |times| answer(&Hello, b"World", times)),
    ("open-and-end", |times| (0..times).for_each(|_| open_and_end())),
    ("frame-tagged-32-bytes", |times| frames(&SIZED, 2, 32, times)),
    ("frame-tagged-4-kib", |times| frames(&SIZED, 3, 4096, times)),
    ("frame-prefixed-32-bytes", |times| frames(&PREFIXED, 0, 32, times)),
    ("frame-line-32-bytes", lines),
    ("telnet-32-bytes", telnet),
];

const PREFIXED: Tagged = Tagged::new(Tag::None, Order::Big, &[Row::new(0, "FRAME", Body::U32)]);

fn main() {
    let mut args = std::env::args().skip(1);
    match (args.next(), args.next().and_then(|times| times.parse().ok())) {
        (Some(name), Some(times)) => {
            let path = PATHS.iter().find(|(of, _)| *of == name).expect("a name of the list");
            path.1(times);
        }
        _ => PATHS.iter().for_each(|(name, _)| println!("{name}")),
    }
}

/// A question and its answer, as an engine has it from the event to the write.
fn answer<S: StreamService>(service: &S, question: &[u8], times: u64) {
    let mut conversation = Conversation::new(service.open(), Instant::ZERO);
    let mut output = vec![0; 4096];
    for at in 0..times {
        let now = Instant::from_micros(at);
        let input = black_box(question);
        let lent = Lent { input, ended: false, output: &mut output, now, answer: None };
        let used = conversation.step(lent, &mut ());
        assert_eq!(used.taken, question.len());
        black_box(&output[..used.put]);
        black_box(conversation.want());
        // Its answer is out.
        conversation.settle(now);
        black_box(conversation.want());
    }
}

fn open_and_end() {
    let mut conversation = Conversation::new(Echo.open(), Instant::ZERO);
    let (mut output, now) = ([0; 64], Instant::ZERO);
    let lent = Lent { input: &[], ended: true, output: &mut output, now, answer: None };
    black_box(conversation.step(black_box(lent), &mut ()));
    conversation.shut(now);
    conversation.peer_ended();
    black_box(conversation.ended());
}

/// A table is known when the program is built.
#[inline(always)]
fn frames(schema: &Tagged, tag: u16, len: usize, times: u64) {
    let mut stream = Vec::new();
    for _ in 0..100 {
        stream.extend(schema.encode(tag, len as u64).expect("it fits").as_bytes());
        stream.extend(vec![7; len]);
    }
    let mut left = &stream[..];
    for _ in 0..times {
        let frame = schema.frame(left, false).expect("it is sound").expect("it is whole");
        black_box(frame.body);
        left = &left[frame.len..];
        if left.is_empty() {
            left = &stream;
        }
    }
}

fn lines(times: u64) {
    let framing = UntilQuiet {
        max: 4096,
        quiet: Some(Duration::from_millis(50)),
        newline: true,
        overflow: Overflow::Split,
    };
    let mut watch = Watch::default();
    let line = b"a line of thirty-two bytes, all\n";
    for at in 0..times {
        match framing.find(&mut watch, black_box(line), false, Instant::from_micros(at)) {
            Found::Message(message) => watch.next(&black_box(message)),
            other => panic!("{other:?}"),
        }
    }
}

fn telnet(times: u64) {
    let mut telnet = Telnet::default();
    for _ in 0..times {
        let line = black_box(b"a line of thirty-two bytes, all\n");
        black_box(line.iter().filter_map(|byte| telnet.data(*byte)).count());
    }
}
