//! `docs/labs.md` is true: every command on it is typed into a terminal, every program on it is saved and run, and what the terminals
//! then show is what the page shows.
//!
//! trycmd, which is made for this, runs each command to its end before the next one, with pipes for its input and output. The page has
//! servers that stay, several terminals, and clients that ask a person. So the running is ours, and the comparing is that of snapbox, on
//! which trycmd stands: the same `...` and redactions, the same diffs, and `SNAPSHOTS=overwrite` writes what was seen into the page.
//!
//! The page uses the default ports. So it runs in a network namespace of its own, as the TAP tests do, and collides with nothing.

mod page;
mod run;
mod terminal;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use anywire_tests::programs::{directory, in_tap_shell, python_is_missing};
use page::Page;
use run::{Place, Snapshots, run};

/// Nothing on the page takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What this program tells itself when it runs in the namespace.
const INSIDE: &str = "ANYWIRE_LABS_INSIDE";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_page_is_true() {
    if env::var_os(INSIDE).is_none() {
        if python_is_missing() {
            return;
        }
        let Some(mut shell) = in_tap_shell() else { return };
        // The page's first command, as long as it takes, and while there is a network.
        let folder = clone();
        let mut cargo = Command::new(folder.path().join("bin/cargo"));
        assert!(cargo.args(["build", "--quiet", "--workspace"]).status().unwrap().success());
        shell.arg(env::current_exe().unwrap()).args(["--exact", "the_page_is_true", "--nocapture"]);
        let output = shell.env(INSIDE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains(" 1 passed"), "{said}\n{errors}");
        return;
    }
    let path = root().join("docs/labs.md");
    let text = read(&path);
    let page = Page::parse(&text).unwrap_or_else(|error| panic!("docs/labs.md:{error}"));
    let folder = clone();
    let dir = folder.path().join("anywire");
    let place = Place { dir: &dir, programs: &dir.join("lab"), path: search(folder.path()) };
    let snapshots = Snapshots::chosen();
    match run(&page, &place, PATIENCE, snapshots) {
        Ok(seen) if snapshots == Snapshots::Overwrite => {
            fs::write(&path, page::with(&text, &page, &seen)).unwrap();
        }
        Ok(_) => {}
        Err(error) => panic!(
            "docs/labs.md:{error}\nTo have it written as it was seen: SNAPSHOTS=overwrite cargo test -p anywire-tests --test labs"
        ),
    }
}

/// What the page's reader has cloned and built, as far as the page uses it: `target/debug`, and a `cargo` that works on the real one. So
/// nothing that the page makes is made in the real one.
fn clone() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    symlink(directory(), at("anywire/target/debug")).unwrap();
    let release = if directory().ends_with("release") { "--release" } else { "" };
    let cargo = format!(
        "#!/bin/sh\n\
        case $1 in\n\
        xtask) shift; exec '{programs}/xtask' \"$@\";;\n\
        *) exec '{cargo}' \"$@\" {release} --manifest-path '{root}/Cargo.toml';;\n\
        esac\n",
        programs = directory().display(),
        cargo = env!("CARGO"),
        root = root().display(),
    );
    // What `tap shell` runs is a shell like the others.
    let shell = format!("#!/bin/sh\nexec {} \"$@\"\n", terminal::SHELL.join(" "));
    for (name, script) in [("bin/cargo", cargo), ("bin/shell-of-tap", shell)] {
        let path = at(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// PATH with that cargo, and without the programs, which the page's reader puts there.
fn search(folder: &Path) -> std::ffi::OsString {
    let old = env::var_os("PATH").unwrap_or_default();
    let others = env::split_paths(&old).filter(|path| path != directory());
    env::join_paths([folder.join("bin")].into_iter().chain(others)).unwrap()
}

#[test]
fn the_pages_links_lead_somewhere() {
    let path = root().join("docs/labs.md");
    let text = read(&path);
    let there = |link: &str| match link.split_once('#') {
        Some(("", anchor)) => page::anchors(&text).iter().any(|known| known == anchor),
        Some((file, anchor)) => {
            let file = path.with_file_name(file);
            file.exists() && page::anchors(&read(&file)).iter().any(|known| known == anchor)
        }
        None => path.with_file_name(link).exists(),
    };
    let links = page::links(&text);
    assert!(links.len() > 10, "{links:?}");
    let broken: Vec<_> = links.iter().filter(|link| !there(link)).collect();
    assert!(broken.is_empty(), "docs/labs.md leads to what is not there: {broken:?}");
}

/// Runs a page of the test's own, in a folder of its own.
fn try_page(text: &str, snapshots: Snapshots) -> Result<String, String> {
    let page = Page::parse(text)?;
    let folder = tempfile::tempdir().unwrap();
    let path = env::var_os("PATH").unwrap();
    let place = Place { dir: folder.path(), programs: folder.path(), path };
    let seen = run(&page, &place, Duration::from_secs(5), snapshots)?;
    Ok(page::with(text, &page, &seen))
}

/// Three terminals; one of them asks, and another one serves on.
const GOOD: &str = r#"
Save this:
```python
# ask.py
print("asking")
print("got", input("What? "))
```
<!-- types: this -->
```console 1
1$ python3 ask.py; echo "then $?"
asking
What? this
got this
then 0
1$ echo "port 127.0.0.1:40001, ('127.0.0.1', 40002)"
port 127.0.0.1:54321, ('127.0.0.1', 54320)
```
```console 2
2$ mkfifo line; sh -c 'echo one; read -r line <line; echo $line; exec cat'
one
```
It waits.
```console 3
3$ seq 5
1
...
5
3$ echo two >line
```
*Not run: nobody has it.*
```text
anything
```
<!-- types: ^C -->
```console 2
two
^C
```
"#;

#[test]
fn a_page_that_is_true_passes() {
    assert_eq!(try_page(GOOD, Snapshots::Verify).as_deref(), Ok(GOOD));
}

#[test]
fn a_page_that_is_not_true_fails_with_a_diff() {
    let lies = [
        ("got this\n", "got that\n", "- got that"),
        ("then 0\n", "", "+ then 0"),
        ("\n5\n", "\n6\n", "- 6"),
        ("two\n^C", "three\n^C", "- three"),
        ("one\n```", "one\nsurplus\n```", "- surplus"),
        // It goes on, and the page does not say so.
        ("cat'\none\n```", "cat'\none\n2$ echo more\nmore\n```", "- 2$ echo more"),
        ("\n<!-- types: ^C -->\n```console 2\ntwo\n^C\n```\n", "", "- 2$"),
        ("print(\"asking\")", "print(\"asked\")", "+ asked"),
    ];
    // Most of them wait for what does not come.
    std::thread::scope(|scope| {
        for (truth, lie, diff) in lies {
            scope.spawn(move || {
                let wrong = GOOD.replacen(truth, lie, 1);
                assert_ne!(wrong, GOOD);
                let error = try_page(&wrong, Snapshots::Verify).unwrap_err();
                // Behind the lines' numbers on both sides.
                let digits = |c: char| c.is_ascii_digit() || c == ' ';
                let shown = |line: &str| line.trim_start_matches(digits).starts_with(diff);
                assert!(error.lines().any(shown), "{lie:?}: {error}");
            });
        }
    });
}

#[test]
fn what_was_seen_is_written_into_the_page() {
    let untold = GOOD.replace("got this\nthen 0\n", "");
    assert_ne!(untold, GOOD);
    let written = try_page(&untold, Snapshots::Overwrite).unwrap();
    let kept = |page: &str| page.replace("54321", "40001").replace("54320", "40002");
    assert_eq!(kept(&written), kept(GOOD));
}
