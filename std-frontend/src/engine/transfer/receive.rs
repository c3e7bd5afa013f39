//! A body moved by a thread that may block.

use std::cell::RefCell;
use std::io::{self, Read};
use std::thread;

use anywire_core::request::Refusal;
use anywire_core::store::Store;

use super::{Halt, HostStore, HostWriter, Received};
use crate::os::AsFd;

/// So much is read at once: less costs a fast disk dearly.
const GULP: usize = 1 << 20;

/// So much of one body, and others have their turn.
const TURN: u64 = 2 << 20;

/// So often it looks whether more has come, while other threads have the processor, before it leaves the waiting to the event loop: to be
/// woken up takes longer.
const LOOKS: usize = 16;

/// Moves up to `most` bytes into `file`: those in `held` first, then what can be read from `socket` without waiting. For a thread
/// that may block.
pub(in super::super) fn receive<St: HostStore>(
    store: &mut St,
    file: &mut St::Writer,
    held: &[u8],
    mut socket: impl Read + AsFd,
    most: u64,
) -> Received {
    thread_local! {
        static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; GULP].into());
    }

    let (written, refused) = write(store, file, held);
    let mut len = written;
    if let Some(refusal) = refused {
        return Received { len, halt: Halt::Refused(refusal) };
    }
    let most = most.min(TURN);
    if len >= most {
        return Received { len, halt: Halt::Turn };
    }
    let mut looks = 0;
    while let Some(moved) = file.receive(socket.as_fd(), most.saturating_sub(len)) {
        len += moved.len;
        looks = if moved.len > 0 { 0 } else { looks };
        match moved.halt {
            Halt::WouldBlock if looks < LOOKS => looks += 1,
            // Where it found nothing, not even an end, a read has the last word: at urgent data a splice stops as if there were no more.
            Halt::Ended | Halt::WouldBlock => break,
            halt => return Received { len, halt },
        }
        thread::yield_now();
    }
    BUFFER.with_borrow_mut(|buffer| {
        let halt = loop {
            let left = usize::try_from(most.saturating_sub(len)).unwrap_or(usize::MAX);
            if left == 0 {
                break Halt::Turn;
            }
            let room = buffer.len().min(left);
            let read = match socket.read(buffer.get_mut(..room).unwrap_or_default()) {
                Ok(0) => break Halt::Ended,
                Ok(read) => read,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if looks < LOOKS => {
                        looks += 1;
                        thread::yield_now();
                        continue;
                    }
                    io::ErrorKind::WouldBlock => break Halt::WouldBlock,
                    io::ErrorKind::Interrupted => continue,
                    _ => break Halt::of(&error),
                },
            };
            looks = 0;
            let (written, refused) = write(store, file, buffer.get(..read).unwrap_or_default());
            len += written;
            if let Some(refusal) = refused {
                break Halt::Refused(refusal);
            }
        };
        Received { len, halt }
    })
}

/// Writes all of `bytes`, or as many as the store takes, and then says why not more.
fn write<St: Store>(store: &mut St, file: &mut St::Writer, bytes: &[u8]) -> (u64, Option<Refusal>) {
    let mut left = bytes;
    let refused = loop {
        if left.is_empty() {
            break None;
        }
        match store.write(file, left) {
            // It is to take some, or say why not.
            Ok(0) => break Some(Refusal::Failed),
            Ok(n) => left = left.get(n..).unwrap_or_default(),
            Err(refusal) => break Some(refusal),
        }
    };
    ((bytes.len() - left.len()) as u64, refused)
}
