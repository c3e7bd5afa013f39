//! Does what a page says, and compares.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use regex::Regex;
use snapbox::report::{Palette, write_diff};
use snapbox::{Assert, Data, IntoData as _, Redactions};

use crate::page::{Block, Page, Screen};
use crate::terminal::Terminal;

/// Where it is done.
pub(crate) struct Place<'a> {
    /// Where the shells begin.
    pub(crate) dir: &'a Path,
    /// Where programs are saved.
    pub(crate) programs: &'a Path,
    /// Their PATH.
    pub(crate) path: OsString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snapshots {
    Verify,
    Overwrite,
}

impl Snapshots {
    /// As the variable says that snapbox and its kin go by.
    pub(crate) fn chosen() -> Self {
        match env::var("SNAPSHOTS").as_deref() {
            Ok("overwrite") => Self::Overwrite,
            _ => Self::Verify,
        }
    }
}

/// What is never twice the same, and is compared as if it were. The page shows what was once seen.
const VARYING: [(&str, &str); 6] = [
    // The port of a client.
    (
        "[PORT]",
        r"(127\.0\.0\.1|192\.168\.69\.100)(', |:)(?<redacted>([345][0-9]|60)[0-9]{3})(?-u:\b)",
    ),
    ("[DATE]", r"(?<redacted>[0-9-]{10}T[0-9:]{8}(Z|[+-][0-9]{2}:[0-9]{2}))"),
    // In Python's log.
    ("[TIME]", r"- - \[(?<redacted>[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4} [0-9:]{8})\]"),
    // Where typed stores.
    ("[NAME]", r"(?<redacted>[A-Za-z0-9]{8})\.bin(?-u:\b)"),
    // The shell's job.
    ("[PROCESS]", r"(?m)^\[1\] (?<redacted>[0-9]+)$"),
    ("[BUILT]", r"Finished (?<redacted>.* target\(s\) in .*)"),
];

fn redactions() -> Redactions {
    let mut redactions = Redactions::new();
    for (placeholder, pattern) in VARYING {
        redactions.insert(placeholder, Regex::new(pattern).unwrap()).unwrap();
    }
    redactions
}

/// Compares what is seen with what is expected.
struct Judge(Redactions);

impl Judge {
    /// Both, brought as near to each other as wildcards and redactions allow.
    fn normalize(&self, seen: &str, expected: &str) -> (Data, Data) {
        let (seen, expected) = (trimmed(seen), trimmed(expected));
        let assert = Assert::new().normalize_paths(false).redact_with(self.0.clone());
        assert.normalize(seen.into_data(), self.0.redact(&expected).into_data())
    }

    fn same(&self, seen: &str, expected: &str) -> bool {
        let (seen, expected) = self.normalize(seen, expected);
        seen == expected
    }

    fn diff(&self, seen: &str, expected: &str) -> String {
        let (seen, expected) = self.normalize(seen, expected);
        let mut diff = String::new();
        let names: (&str, &str) = ("the page", "the terminal");
        write_diff(&mut diff, &expected, &seen, Some(&names.0), Some(&names.1), Palette::plain())
            .unwrap();
        diff
    }
}

/// Spaces at the ends of lines are not seen, and editors remove them. A line that is not yet ended counts as one if it ends with a
/// space: it is a question.
fn trimmed(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match line.ends_with([' ', '\n']) {
        true => format!("{}\n", line.trim_end()),
        false => line.to_owned(),
    });
    lines.collect()
}

/// Runs a page, and says what its terminals have shown, block by block. The error begins with the number of the page's line.
pub(crate) fn run(
    page: &Page,
    place: &Place<'_>,
    patience: Duration,
    snapshots: Snapshots,
) -> Result<Vec<String>, String> {
    let judge = Judge(redactions());
    let mut terminals: BTreeMap<&str, Terminal> = BTreeMap::new();
    let mut shown = Vec::new();
    for (at, block) in page.blocks.iter().enumerate() {
        let screen = match block {
            Block::Program { name, text } => {
                let saved = fs::write(place.programs.join(name), text);
                saved.map_err(|error| format!(" {name}: {error}"))?;
                continue;
            }
            Block::Screen(screen) => screen,
        };
        let Screen { line, terminal: name, text, .. } = screen;
        let terminal = terminals.entry(name).or_insert_with(|| Terminal::open(name, place));
        let mut expected = text.clone();
        if !page.goes_on(at, name) {
            expected.push_str(&screen.prompt());
        }
        let held = show(screen, &expected, terminal, &judge, patience, snapshots);
        let seen = terminal.seen();
        if !held && snapshots == Snapshots::Verify {
            return Err(format!("{line}: terminal {name}:\n{}", judge.diff(&seen, &expected)));
        }
        // The prompt at its end begins the next block.
        let seen = if terminal.is_idle() { seen.trim_end_matches(&screen.prompt()) } else { &seen };
        shown.push(if held { text.clone() } else { trimmed(seen) });
        terminal.clear();
    }
    Ok(shown)
}

/// Types what is to be typed, each when what stands before it is there; whether all was as expected.
fn show(
    screen: &Screen,
    expected: &str,
    terminal: &mut Terminal,
    judge: &Judge,
    patience: Duration,
    snapshots: Snapshots,
) -> bool {
    // Who wants to see what comes instead does not wait long for what does not.
    let patience = if snapshots == Snapshots::Overwrite {
        patience.min(Duration::from_secs(10))
    } else {
        patience
    };
    let mut held = true;
    for (at, input) in inputs(screen) {
        held &= terminal.wait_for(|seen| judge.same(seen, &expected[..at]), patience);
        if !held && snapshots == Snapshots::Verify {
            return false;
        }
        match input {
            Input::Command(command) => terminal.command(command),
            Input::Keys(keys) => terminal.keys(&keys),
        }
    }
    terminal.wait_for(|seen| judge.same(seen, expected), patience) && held
}

enum Input<'a> {
    Command(&'a str),
    Keys(String),
}

/// What is typed, and where in the text of the screen.
fn inputs(screen: &Screen) -> Vec<(usize, Input<'_>)> {
    let prompt = screen.prompt();
    let mut types = screen.types.iter().peekable();
    let mut inputs = Vec::new();
    let mut at = 0;
    for line in screen.text.split_inclusive('\n') {
        let end = at + line.trim_end_matches('\n').len();
        if let Some(command) = line.strip_prefix(&prompt) {
            // An end of the input shows nothing: it comes behind all that the program has shown.
            if let Some(keys) = types.next_if(|keys| *keys == "^D" && at > 0) {
                inputs.push((at, Input::Keys(control(keys))));
            }
            inputs.push((at + prompt.len(), Input::Command(command.trim_end())));
        } else if let Some(keys) =
            types.next_if(|keys| *keys != "^D" && screen.text[at..end].ends_with(keys.as_str()))
        {
            inputs.push((end - keys.len(), Input::Keys(control(keys))));
        }
        at += line.len();
    }
    inputs.extend(types.map(|keys| (at, Input::Keys(control(keys)))));
    inputs
}

/// The bytes of keys: those of a control key, or a line.
fn control(keys: &str) -> String {
    match keys {
        "^C" => "\x03".to_owned(),
        "^D" => "\x04".to_owned(),
        line => format!("{line}\n"),
    }
}
