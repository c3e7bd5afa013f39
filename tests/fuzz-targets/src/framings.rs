//! Invariant: however a stream is cut, a decoder finds what a reader of the whole of it finds, takes every byte once, and waits for no
//! more than it says it may.

use std::time::Duration;

use anywire_core::frame::{
    Body, Fixed, Found, FrameError, Order, Overflow, Row, Tag, Tagged, UntilQuiet, Watch,
};
use anywire_core::instant::Instant;
use anywire_core::schema::{CLOSE, SIZED};

use crate::choices::Choices;

/// See the [module](self).
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    match choices.byte() % 4 {
        0 => fixed(&mut choices),
        1 => tagged(&mut choices),
        _ => until_quiet(&mut choices),
    }
}

/// A stream in pieces, each some milliseconds after the one before.
struct Pieces<'c, 'd, 's> {
    choices: &'c mut Choices<'d>,
    rest: &'s [u8],
}

impl<'s> Pieces<'_, '_, 's> {
    /// The next piece, how long it took, and whether it is the last.
    fn next(&mut self) -> (&'s [u8], u64, bool) {
        let len = match self.choices.byte() {
            0 => self.rest.len(),
            byte @ 1..200 => usize::from(byte % 8),
            _ => self.choices.below(self.rest.len() + 1),
        };
        let (piece, later) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = later;
        (piece, u64::from(self.choices.byte() % 8), later.is_empty())
    }
}

fn fixed(choices: &mut Choices<'_>) {
    let len = 1 + choices.below(40);
    let framing = Fixed { len };
    let stream = choices.stream(400);
    let mut pieces = Pieces { choices, rest: &stream };
    let (mut held, mut before) = (Vec::new(), 0);
    loop {
        let (piece, _, ended) = pieces.next();
        held.extend(piece);
        let left = loop {
            match framing.message(&held, ended) {
                Ok(Some(message)) => {
                    assert_eq!(message, &stream[before..][..len]);
                    assert_eq!(framing.left(before as u64), 0);
                    before += len;
                    held.drain(..len);
                }
                Ok(None) => break 0,
                Err(FrameError::Ended { got, want }) => {
                    assert!(ended && want == len as u64);
                    break got;
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert!(held.len() < len);
        assert_eq!(framing.left((before + held.len()) as u64), ((len - held.len()) % len) as u64);
        if ended {
            assert_eq!((before + held.len(), left), (stream.len(), held.len() as u64));
            return;
        }
    }
}

/// Everything that a table can say.
const ROWS: &[Row] = &[
    Row::new(0, "EMPTY", Body::Fixed(0)),
    Row::new(7, "FIXED", Body::Fixed(3)),
    Row::new(8, "B1", Body::U8),
    Row::new(9, "B2", Body::U16).at_most(300),
    Row::new(10, "B3", Body::U24),
    Row::new(11, "B4", Body::U32),
    Row::new(12, "B8", Body::U64),
    Row::new(255, "REST", Body::ToEnd),
];

/// A whole message: its row, the length of its head, and its body.
type Whole<'s> = (&'static Row, usize, &'s [u8]);

/// The message at the front of a stream that is all there; `None`: it is cut.
fn read<'s>(table: &Tagged, stream: &'s [u8]) -> Result<Option<Whole<'s>>, ()> {
    let number = |bytes: &[u8]| {
        let mut wide = [0; 8];
        match table.order {
            Order::Little => wide[..bytes.len()].copy_from_slice(bytes),
            Order::Big => wide[8 - bytes.len()..].copy_from_slice(bytes),
        }
        match table.order {
            Order::Little => u64::from_le_bytes(wide),
            Order::Big => u64::from_be_bytes(wide),
        }
    };
    let tag = if table.tag == Tag::U8 { 1 } else { 2 };
    let Some((found, rest)) = stream.split_at_checked(tag) else { return Ok(None) };
    let row = table.rows.iter().find(|row| u64::from(row.tag) == number(found)).ok_or(())?;
    let size = match row.body {
        Body::Fixed(_) | Body::ToEnd => 0,
        Body::U8 => 1,
        Body::U16 => 2,
        Body::U24 => 3,
        Body::U32 => 4,
        Body::U64 => 8,
    };
    let Some((len, rest)) = rest.split_at_checked(size) else { return Ok(None) };
    let len = match row.body {
        Body::Fixed(len) => len,
        Body::ToEnd => rest.len() as u64,
        _ => number(len),
    };
    if len > row.max {
        return Err(());
    }
    let body = usize::try_from(len).ok().and_then(|len| rest.get(..len));
    Ok(body.map(|body| (row, tag + size, body)))
}

fn tagged(choices: &mut Choices<'_>) {
    let tag = choices.one_of(&[Tag::U8, Tag::U16]);
    let order = choices.one_of(&[Order::Little, Order::Big]);
    let table = choices.one_of(&[Tagged { tag, order, rows: ROWS }, SIZED, CLOSE]);
    let mut stream = Vec::new();
    for _ in 0..choices.below(8) {
        if choices.byte() % 4 == 3 {
            stream.extend(choices.bytes(20));
            continue;
        }
        let row = choices.one_of(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let row = &table.rows[row % table.rows.len()];
        let body = choices.stream(320);
        let len = if let Body::Fixed(len) = row.body { len } else { body.len() as u64 };
        let head = table.encode(row.tag, len);
        assert_eq!(head.is_some(), row.fits(len));
        let Some(head) = head else { continue };
        assert!(head.as_bytes().len() <= Tagged::HEAD_MAX);
        stream.extend(head.as_bytes());
        stream.extend(body.into_iter().chain(std::iter::repeat(0)).take(len as usize));
    }

    let mut pieces = Pieces { choices, rest: &stream };
    let (mut held, mut before) = (Vec::new(), 0);
    loop {
        let (piece, _, ended) = pieces.next();
        held.extend(piece);
        loop {
            let whole = read(&table, &stream[before..]);
            let head = table.head(&held, ended);
            match (table.frame(&held, ended), whole) {
                (Ok(Some(frame)), Ok(Some((row, head_len, body)))) => {
                    assert_eq!(
                        (frame.row, frame.body, frame.len),
                        (row, body, head_len + body.len())
                    );
                    let head = head.unwrap().unwrap();
                    assert_eq!((head.row, head.len), (row, head_len));
                    let len = (row.body != Body::ToEnd).then_some(body.len() as u64);
                    assert_eq!(head.body, len);
                    before += frame.len;
                    held.drain(..frame.len);
                }
                // More must come: of the head, or of a body of which it is known how long it is.
                (Ok(None), whole) => {
                    assert!(!ended || held.is_empty());
                    assert!(matches!(head, Ok(Some(_))) || held.len() < Tagged::HEAD_MAX);
                    if let Ok(Some((row, head_len, body))) = whole
                        && row.body != Body::ToEnd
                    {
                        assert!(held.len() < head_len + body.len());
                    }
                    break;
                }
                (Err(FrameError::Ended { got, want }), Ok(None)) => {
                    assert!(ended && got == held.len() as u64 && want > got);
                    break;
                }
                (Err(FrameError::Tag { .. } | FrameError::TooLong { .. }), Err(())) => return,
                (found, whole) => panic!("{found:?}, and {whole:?}"),
            }
            if held.is_empty() && ended {
                break;
            }
        }
        if ended {
            assert_eq!(before + held.len(), stream.len());
            return;
        }
    }
}

/// `UntilQuiet` as SERVICES has it, a byte at a time.
#[derive(Default)]
struct Reader {
    text: Vec<u8>,
    dropping: bool,
    ignores_newline: bool,
    /// When the last byte came.
    last: Option<u64>,
    messages: Vec<Vec<u8>>,
}

impl Reader {
    fn byte(&mut self, framing: &UntilQuiet, byte: u8, now: u64) {
        self.last = Some(now);
        let newline = framing.newline && byte == b'\n';
        let ignored = std::mem::take(&mut self.ignores_newline) && newline;
        if self.dropping {
            self.dropping = !newline;
        } else if newline && !ignored {
            if self.text.last() == Some(&b'\r') {
                self.text.pop();
            }
            self.message();
        } else if !ignored {
            self.text.push(byte);
            if self.text.len() == framing.max {
                self.message();
                self.dropping = framing.overflow == Overflow::Drop;
            }
        }
    }

    /// Nothing came before `now`: was that a silence?
    fn look(&mut self, framing: &UntilQuiet, now: u64) {
        let Some(quiet) = framing.quiet.map(|quiet| quiet.as_millis() as u64) else { return };
        if self.last.is_some_and(|last| last + quiet <= now) {
            self.dropping = false;
            if !self.text.is_empty() {
                self.ignores_newline = framing.newline && self.text.ends_with(b"\r");
                self.message();
            }
        }
    }

    fn message(&mut self) {
        self.messages.push(std::mem::take(&mut self.text));
    }
}

fn until_quiet(choices: &mut Choices<'_>) {
    let framing = UntilQuiet {
        max: 1 + choices.below(20),
        quiet: choices.one_of(&[None, Some(0), Some(1), Some(3)]).map(Duration::from_millis),
        newline: choices.flag(),
        overflow: choices.one_of(&[Overflow::Split, Overflow::Drop]),
    };
    let mut stream = choices.stream(200);
    // Ends of lines are not rare.
    stream.iter_mut().for_each(|byte| match *byte {
        0..40 => *byte = b'\n',
        40..80 => *byte = b'\r',
        _ => {}
    });
    let mut reader = Reader::default();
    let (mut watch, mut held, mut found) = (Watch::default(), Vec::new(), Vec::new());
    let (mut now, mut due) = (0, None);
    let mut pieces = Pieces { choices, rest: &stream };
    loop {
        let (piece, gap, ended) = pieces.next();
        let at = now + gap;
        // The deadlines before it comes.
        while let Some(deadline) = due.filter(|&due| due < at) {
            now = deadline;
            due = look(&framing, &mut watch, &mut held, false, now, &mut found);
        }
        now = at;
        // What comes at the very moment at which a silence would be over comes in time.
        reader.look(&framing, if piece.is_empty() { now } else { now.saturating_sub(1) });
        piece.iter().for_each(|&byte| reader.byte(&framing, byte, now));
        if framing.quiet == Some(Duration::ZERO) {
            reader.look(&framing, now);
        }
        held.extend(piece);
        due = look(&framing, &mut watch, &mut held, ended, now, &mut found);
        if ended {
            assert!(due.is_none() && held.is_empty());
            if !reader.text.is_empty() {
                reader.message();
            }
            assert_eq!(found, reader.messages, "{framing:?} of {}", stream.escape_ascii());
            return;
        }
    }
}

/// Looks until there is no more to find, and says when to look again.
fn look(
    framing: &UntilQuiet,
    watch: &mut Watch,
    held: &mut Vec<u8>,
    ended: bool,
    now: u64,
    messages: &mut Vec<Vec<u8>>,
) -> Option<u64> {
    let instant = Instant::from_micros(now * 1000);
    loop {
        match framing.find(watch, held, ended, instant) {
            Found::Message(message) => {
                assert!(message.text.len() <= framing.max && message.len <= framing.max);
                messages.push(message.text.to_vec());
                let len = message.len;
                watch.next(&message);
                held.drain(..len);
            }
            Found::Skip(len) => {
                assert!(len > 0);
                held.drain(..len);
            }
            Found::More { quiet_at } => {
                assert!(!ended && held.len() < framing.max);
                assert!(quiet_at.is_none_or(|at| at > instant));
                return quiet_at.map(|at| at.as_micros() / 1000);
            }
            Found::End => {
                assert!(ended && held.is_empty());
                return None;
            }
        }
    }
}
