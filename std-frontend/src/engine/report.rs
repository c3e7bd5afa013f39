//! What the process of a conversation tells the one that started it, through its standard error: events, what its steps did, and lines
//! of text.
//!
//! All but the lines is in postcard's encoding, made free of zeros (COBS), between two zeros. Whatever is not is text: log lines, which
//! begin with their level, and whatever else a program says that is in trouble. The other direction says when to stop.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anywire_core::event::Event;
use serde::{Deserialize, Serialize};

use super::{Link, Observer, Orders};
use crate::metrics::{StepCounts, Steps};
use crate::os;

/// An observer that tells its parent.
#[derive(Clone, Copy, Debug)]
pub struct Reporter {
    /// Whether it tells of every piece that moves, too: that is as much as the conversation itself.
    pub everything: bool,
    /// Where what the steps do is counted, if it is: that is told, too, by [`tell_of`] and at the end.
    pub steps: Option<&'static Steps>,
}

/// What is told.
#[derive(Serialize, Deserialize)]
enum Told<'a> {
    Event(#[serde(borrow)] Event<'a>),
    Steps(StepCounts),
}

impl Told<'_> {
    fn tell(&self) {
        // Whatever it cannot say its parent could not understand.
        if let Ok(mut frame) = postcard::to_stdvec_cobs(self) {
            frame.insert(0, 0);
            // Without a parent nobody asks.
            let _ = io::stderr().write_all(&frame);
        }
    }
}

impl Observer for Reporter {
    fn observe(&self, _: &Link, event: Event<'_>) {
        let piece =
            matches!(event, Event::Data { .. } | Event::Moving { .. } | Event::Moved { .. });
        if piece && !self.everything {
            // Of a body no step knows.
            if let (Some(steps), Event::Moving { sending, len, .. }) = (self.steps, event) {
                let (received, sent) = if sending { (0, len) } else { (len, 0) };
                steps.moved(received, sent);
            }
            return;
        }
        if let (Some(steps), Event::Ended { .. }) = (self.steps, event) {
            tell_steps(steps);
        }
        Told::Event(event).tell();
    }
}

/// Tells of `steps` ten times a second, as long as there is something to tell.
pub fn tell_of(steps: &'static Steps) -> io::Result<()> {
    steps.each_time(Duration::from_millis(100), tell_steps)
}

fn tell_steps(steps: &Steps) {
    static TELLING: Mutex<()> = Mutex::new(());
    // What another thread is about to tell is told when this returns.
    let _telling = TELLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(counts) = steps.take() {
        Told::Steps(counts).tell();
    }
}

/// What the parent says when the server stops.
pub(super) const RETIRE: u8 = b'r';

/// Passes on to `orders` what the parent says: to retire when the server stops, or when the parent dies; from then on there are `grace`,
/// or as long as a parent that has said so still lives, until what is left is aborted.
pub fn obey(orders: Arc<Orders>, grace: Duration) -> io::Result<()> {
    os::obey(orders, grace)
}

/// Something that a process has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report<'a> {
    /// Something happened on its connection.
    Event(Event<'a>),
    /// Its steps have done so much since the last time.
    Steps(StepCounts),
    /// It has said this, without the newline.
    Line(&'a [u8]),
}

/// Takes apart what one process tells.
#[derive(Debug, Default)]
pub struct Reports {
    /// What is not whole yet.
    begun: Vec<u8>,
    /// That is an event.
    inside: bool,
}

/// No line and no event is longer: of what is, the rest is dropped.
const LONGEST: usize = 1 << 20;

impl Reports {
    /// Takes what was read, and tells `each` of whatever is whole.
    pub fn push(&mut self, read: &[u8], mut each: impl FnMut(Report<'_>)) {
        for &byte in read {
            match byte {
                0 => {
                    self.finish(&mut each);
                    self.inside = !self.inside;
                }
                b'\n' if !self.inside => self.finish(&mut each),
                byte if self.begun.len() < LONGEST => self.begun.push(byte),
                _ => {}
            }
        }
    }

    /// It says no more.
    pub fn end(&mut self, mut each: impl FnMut(Report<'_>)) {
        self.finish(&mut each);
    }

    fn finish(&mut self, each: &mut impl FnMut(Report<'_>)) {
        if !self.begun.is_empty() {
            if !self.inside {
                each(Report::Line(&self.begun));
            } else {
                match postcard::from_bytes_cobs(&mut self.begun) {
                    Ok(Told::Event(event)) => each(Report::Event(event)),
                    Ok(Told::Steps(counts)) => each(Report::Steps(counts)),
                    Err(_) => {}
                }
            }
        }
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use anywire_core::event::End;
    use anywire_core::frame::FrameError;
    use anywire_core::name::NameError;
    use anywire_core::request::{Refusal, Stop};
    use anywire_core::schema::{SIZED, STRING};
    use anywire_core::session::{Breach, Reason};

    use super::*;

    fn frame(event: &Event<'_>) -> Vec<u8> {
        [&[0], &postcard::to_stdvec_cobs(&Told::Event(*event)).unwrap()[..]].concat()
    }

    #[test]
    fn what_is_told_arrives_however_it_is_cut() {
        let allowed = SIZED.only(1, 6).head(b"\x01", false).unwrap_err();
        let name = Refusal::Name(NameError::Forbidden('?'));
        let aborted =
            |reason| Event::Ended { end: End::Aborted(reason), received: 1, sent: 1 << 40 };
        let events = [
            Event::Connected,
            Event::Data { bytes: b"a\0b\nc" },
            Event::Message { text: b"" },
            Event::Refused { name: b"\xff\0?", why: name },
            Event::Opened { name: b"a", len: 583_163 },
            Event::Moving { sending: true, len: 3, moved: 7, of: None },
            Event::Moved { len: 9, stop: Stop::Store(Refusal::TooLarge { max: 8 }) },
            aborted(Reason::Frame(allowed)),
            aborted(Reason::Frame(FrameError::TooLong { name: STRING.name, len: 1, max: 2 })),
            aborted(Reason::Broken(Breach::NoProgress)),
            Event::Ended { end: End::Finished, received: 0, sent: 0 },
        ];
        let mut told = Vec::new();
        for event in &events {
            told.extend(frame(event));
            told.extend(b" WARN a line\n\n");
        }
        told.extend(b"cut off");
        for piece in [1, 7, told.len()] {
            let (mut got, mut lines, mut reports) = (Vec::new(), 0, Reports::default());
            let mut each = |report: Report<'_>| match report {
                Report::Event(event) => got.push(format!("{event:?}")),
                Report::Steps(_) => panic!("nobody has told of steps"),
                Report::Line(line) => {
                    assert!(line == b" WARN a line" || line == b"cut off");
                    lines += 1;
                }
            };
            told.chunks(piece).for_each(|piece| reports.push(piece, &mut each));
            reports.end(&mut each);
            assert_eq!(got, events.map(|event| format!("{event:?}")));
            assert_eq!(lines, events.len() + 1);
        }
    }

    #[test]
    fn garbage_is_no_event_and_takes_no_memory() {
        let (mut reports, mut count) = (Reports::default(), 0);
        let garbage: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8 | 1).collect();
        reports.push(&[&[0], &garbage[..], &[0]].concat(), |_| count += 1);
        assert!(reports.begun.capacity() <= 2 * LONGEST);
        reports.push(b"said\n", |report| {
            assert_eq!(report, Report::Line(b"said"));
            count += 1;
        });
        assert_eq!(count, 1);
    }
}
