//! Standard input, line by line: what a person is asked for, and what is read instead when nobody is there to be asked.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::os::{self, BorrowedFd};

/// Reads a line of at most `max` bytes, without its newline; the rest of a longer one is dropped. `None`: there are no more.
/// On a terminal `prompt` is called first.
pub fn ask(prompt: impl FnOnce(), max: usize) -> io::Result<Option<Vec<u8>>> {
    ask_while(prompt, max, |_| ())
}

/// The same for whoever has something else to do meanwhile: `wait` is called before every read that might block, and is to come back when
/// there is input, or its end. What has been read before, behind an earlier line, is not waited for.
pub fn ask_while(
    prompt: impl FnOnce(),
    max: usize,
    mut wait: impl FnMut(BorrowedFd<'_>),
) -> io::Result<Option<Vec<u8>>> {
    let asked = io::stdin().is_terminal();
    if asked {
        prompt();
    }
    let mut input = STDIN.lock().unwrap_or_else(PoisonError::into_inner);
    let stdin = os::stdin()?;
    let line = line(&mut input, max, || wait(stdin))?;
    let Line { text, ended, cut } = line;
    // Of a mere Enter the rest is nothing to anybody.
    if cut && max > 0 {
        tracing::warn!("a line is longer than the {max} bytes that can be taken, and was cut");
    }
    if asked && !ended {
        begin_line();
    }
    Ok(text)
}

/// What was read, whether a newline has ended it, and whether it was longer than there was room for.
struct Line {
    text: Option<Vec<u8>>,
    ended: bool,
    cut: bool,
}

/// Begins a new line on the terminal, where the one that a person typed into has not ended: an end of the input (Ctrl-D) shows nothing.
pub fn begin_line() {
    // Whoever does not see it does not miss it.
    let _ = if io::stdout().is_terminal() {
        io::stdout().write_all(b"\n")
    } else if io::stderr().is_terminal() {
        io::stderr().write_all(b"\n")
    } else {
        Ok(())
    };
}

/// The standard library's own buffer does not tell whether there is something in it.
static STDIN: LazyLock<Mutex<BufReader<Stdin>>> =
    LazyLock::new(|| Mutex::new(BufReader::new(Stdin)));

struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match os::read_stdin(buf) {
            // One that is closed has nothing to say.
            Err(error) if os::is_closed(&error) => Ok(0),
            read => read,
        }
    }
}

fn line<R: Read>(input: &mut BufReader<R>, max: usize, mut wait: impl FnMut()) -> io::Result<Line> {
    let mut line = Vec::new();
    let (mut any, mut cut) = (false, false);
    loop {
        if input.buffer().is_empty() {
            wait();
        }
        let buf = match input.fill_buf() {
            Ok(buf) => buf,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buf.is_empty() {
            return Ok(Line { text: any.then_some(line), ended: false, cut });
        }
        any = true;
        let newline = buf.iter().position(|byte| *byte == b'\n');
        let part = buf.get(..newline.unwrap_or(buf.len())).unwrap_or_default();
        let room = max.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(part.get(..room).unwrap_or_default());
        cut |= room < part.len();
        let used = part.len() + usize::from(newline.is_some());
        input.consume(used);
        if newline.is_some() {
            if cfg!(windows) && line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Line { text: Some(line), ended: true, cut });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_bytes_and_an_end() {
        for capacity in [1, 2, 64] {
            let mut input = BufReader::with_capacity(capacity, &b"one\n\n\xff too long\nlast"[..]);
            let mut next = || line(&mut input, 5, || ()).unwrap().text;
            assert_eq!(next().unwrap(), b"one");
            assert_eq!(next().unwrap(), b"");
            assert_eq!(next().unwrap(), b"\xff too");
            assert_eq!(next().unwrap(), b"last");
            assert_eq!(next(), None);
        }
    }

    #[test]
    fn it_waits_only_for_what_has_not_been_read() {
        let mut input = BufReader::new(&b"one\ntwo\nthr"[..]);
        let mut waits = 0;
        for (expected, waited) in [(&b"one"[..], 1), (b"two", 1), (b"thr", 2)] {
            assert_eq!(line(&mut input, 5, || waits += 1).unwrap().text.unwrap(), expected);
            assert_eq!(waits, waited);
        }
    }
}
