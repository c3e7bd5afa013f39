//! Standard input, line by line: what a person is asked for, and what is read instead when nobody is there to be asked.

use std::io::{self, BufRead, IsTerminal};

/// Reads a line of at most `max` bytes, without its newline; the rest of a longer one is dropped. `None`: there are no more.
/// On a terminal `prompt` is called first.
pub fn ask(prompt: impl FnOnce(), max: usize) -> io::Result<Option<Vec<u8>>> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        prompt();
    }
    line(&mut stdin.lock(), max)
}

fn line(input: &mut impl BufRead, max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let buf = match input.fill_buf() {
            Ok(buf) => buf,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buf.is_empty() {
            return Ok(any.then_some(line));
        }
        any = true;
        let newline = buf.iter().position(|byte| *byte == b'\n');
        let part = buf.get(..newline.unwrap_or(buf.len())).unwrap_or_default();
        let room = max.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(part.get(..room).unwrap_or_default());
        let used = part.len() + usize::from(newline.is_some());
        input.consume(used);
        if newline.is_some() {
            if cfg!(windows) && line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_of_any_bytes_and_an_end() {
        for capacity in [1, 2, 64] {
            let mut input = BufReader::with_capacity(capacity, &b"one\n\n\xff too long\nlast"[..]);
            let mut next = || line(&mut input, 5).unwrap();
            assert_eq!(next().unwrap(), b"one");
            assert_eq!(next().unwrap(), b"");
            assert_eq!(next().unwrap(), b"\xff too");
            assert_eq!(next().unwrap(), b"last");
            assert_eq!(next(), None);
        }
    }
}
