//! What is on a page: programs to be saved, and what terminals show.
//!
//! - A block `python` is a program; its first line is a comment that is its name.
//! - A block `console N` is what terminal N shows, from its prompt `N$ ` on, or from where the last block of that terminal ended. What
//!   is typed there at a program's prompts is named before the block: `<!-- types: first, second, ^D -->`, or `^C`.
//! - Any other block is an error, unless the line before it says `*Not run: why*`.

use std::ops::Range;

/// A page's blocks, in its order.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) blocks: Vec<Block>,
}

#[derive(Debug)]
pub(crate) enum Block {
    Program { name: String, text: String },
    Screen(Screen),
}

/// What a terminal shows.
#[derive(Debug)]
pub(crate) struct Screen {
    /// The line of the page it begins in.
    pub(crate) line: usize,
    /// Where in the page it is.
    pub(crate) range: Range<usize>,
    pub(crate) terminal: String,
    pub(crate) text: String,
    pub(crate) types: Vec<String>,
}

impl Screen {
    /// What the shell of this terminal asks with.
    pub(crate) fn prompt(&self) -> String {
        prompt(&self.terminal)
    }

    /// It begins with a command, and not with what an earlier one goes on to say.
    fn is_command(&self) -> bool {
        self.text.starts_with(&self.prompt())
    }
}

/// The prompt of a terminal.
pub(crate) fn prompt(terminal: &str) -> String {
    format!("{terminal}$ ")
}

impl Page {
    /// Reads a page. The error begins with the number of its line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut blocks = Vec::new();
        let mut before = "";
        let mut open: Option<(usize, &str, &str, usize)> = None;
        let mut at = 0;
        for (number, whole) in (1..).zip(text.split_inclusive('\n')) {
            let (begin, line) = (at, whole.trim_end());
            at += whole.len();
            match open {
                Some((first, info, said, from)) if line == "```" => {
                    blocks.extend(
                        block(first, info, said, text, from..begin)
                            .map_err(|error| format!("{first}: {error}"))?,
                    );
                    (open, before) = (None, "");
                }
                Some(_) => {}
                None if line.starts_with("```") => open = Some((number, &line[3..], before, at)),
                // They would be taken for prose, and not run.
                None if line.contains("```") || line.contains("~~~") => {
                    return Err(format!(
                        "{number}: a block begins with ``` at the line's beginning"
                    ));
                }
                None if !line.is_empty() => before = line,
                None => {}
            }
        }
        if let Some((first, ..)) = open {
            return Err(format!("{first}: the block does not end"));
        }
        let page = Self { blocks };
        page.check_programs()?;
        Ok(page)
    }

    /// Every program is run by somebody.
    fn check_programs(&self) -> Result<(), String> {
        for block in &self.blocks {
            let Block::Program { name, .. } = block else { continue };
            let run = self.screens().any(|screen| {
                let command =
                    |line: &str| line.starts_with(&screen.prompt()) && line.contains(name.as_str());
                screen.text.lines().any(command)
            });
            if !run {
                return Err(format!(" {name} is not run"));
            }
        }
        Ok(())
    }

    /// Behind block `at`, more is shown of what the last command of this terminal does.
    pub(crate) fn goes_on(&self, at: usize, terminal: &str) -> bool {
        let next = self.blocks[at + 1..].iter().find_map(|block| match block {
            Block::Screen(next) if next.terminal == terminal => Some(next),
            _ => None,
        });
        next.is_some_and(|next| !next.is_command())
    }

    pub(crate) fn screens(&self) -> impl Iterator<Item = &Screen> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Screen(screen) => Some(screen),
            Block::Program { .. } => None,
        })
    }
}

/// What a block is; nothing, if it says that it is not run.
fn block(
    line: usize,
    info: &str,
    before: &str,
    page: &str,
    range: Range<usize>,
) -> Result<Option<Block>, String> {
    let text = page[range.clone()].to_owned();
    let words: Vec<_> = info.split_whitespace().collect();
    match *words {
        _ if before.starts_with("*Not run: ") => Ok(None),
        ["python"] => {
            let name = text.lines().next().and_then(|first| first.strip_prefix("# "));
            let name = name.filter(|name| name.ends_with(".py") && !name.contains(['/', ' ']));
            let name = name.ok_or("a program begins with its name: `# NAME.py`")?.to_owned();
            Ok(Some(Block::Program { name, text }))
        }
        ["console", _] if text.trim().is_empty() => Err("the terminal shows nothing".to_owned()),
        ["console", terminal] => {
            let types =
                before.strip_prefix("<!-- types: ").and_then(|rest| rest.strip_suffix(" -->"));
            let types =
                types.map_or(Vec::new(), |all| all.split(", ").map(str::to_owned).collect());
            let terminal = terminal.to_owned();
            Ok(Some(Block::Screen(Screen { line, range, terminal, text, types })))
        }
        _ => Err(format!(
            "a block is `python` or `console N`, or the line before says `*Not run: why*`; this is `{info}`"
        )),
    }
}

/// The page with what was seen in the place of what it shows.
pub(crate) fn with(text: &str, page: &Page, seen: &[String]) -> String {
    let mut new = text.to_owned();
    // From the end, so that what is before stays where it is.
    for (screen, seen) in page.screens().zip(seen).collect::<Vec<_>>().into_iter().rev() {
        new.replace_range(screen.range.clone(), seen);
    }
    new
}

/// The places that a page leads to, but for those on the web: files, relative to its folder, and headings of its own.
pub(crate) fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://")).collect()
}

/// What leads to the headings of a page, as GitHub has it.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| {
        line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))
    });
    let anchor = |c: char| match c {
        ' ' => Some('-'),
        c => (c.is_alphanumeric() || c == '-').then(|| c.to_ascii_lowercase()),
    };
    headings.map(|heading| heading.chars().filter_map(anchor).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(page: &str) -> String {
        Page::parse(page).unwrap_err()
    }

    #[test]
    fn what_would_not_be_run_is_an_error() {
        for (page, expected) in [
            ("a\n```sh\nls\n```\n", "2: a block is "),
            ("```\nls\n```\n", "1: a block is "),
            ("```console\n1$ ls\n```\n", "1: a block is "),
            ("- a\n  ```console 1\n  1$ ls\n  ```\n", "2: a block begins with "),
            ("> ```console 1\n> 1$ ls\n> ```\n", "1: a block begins with "),
            ("~~~console 1\n1$ ls\n~~~\n", "1: a block begins with "),
            ("```console 1\n1$ ls\n", "1: the block does not end"),
            ("```console 1\n\n```\n", "1: the terminal shows nothing"),
            ("```python\nprint()\n```\n", "1: a program begins with its name"),
            ("```python\n# ../a.py\n```\n", "1: a program begins with its name"),
            ("```python\n# a.py\n```\n", " a.py is not run"),
        ] {
            let error = error(page);
            assert!(error.starts_with(expected), "{page}: {error}");
        }
        Page::parse("*Not run: it takes a browser.*\n\n```sh\nls\n```\n").unwrap();
    }

    #[test]
    fn links_and_headings_are_found() {
        let text = "# A page\n[a](../core/a.rs), [b](b.md#top)\n[c](https://d/e) [f](#g) x[0](y)\n### What time is it?";
        assert_eq!(links(text), ["../core/a.rs", "b.md#top", "#g", "y"]);
        assert_eq!(anchors(text), ["a-page", "what-time-is-it"]);
    }
}
