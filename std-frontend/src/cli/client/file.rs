//! `client file`: fetches a file.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use anywire_core::client::file::Session;
use anywire_core::event::Event;
use anywire_core::name::FileName;
use anywire_core::service::StreamService;
use anywire_core::service::file::File as Service;
use anywire_core::store::Store;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::client::upload::shown;
use crate::cli::client::{Server, input_failed};
use crate::cli::failure::Failure;
use crate::cli::network::Network;
use crate::cli::one_file::{OneFile, StdoutStore};
use crate::cli::options::File;
use crate::console::escape::Shown;
use crate::console::input;
use crate::console::output::Output;
use crate::os::BorrowedFd;

pub(super) fn run<N: Network>(options: N::Options, args: File) -> Result<(), Failure> {
    let server = Server::new::<N>(args.target, &options, Service::ABOUT);
    let to_stdout = args.output.as_deref().is_some_and(|output| output.as_os_str() == "-");
    let mut output = Output::stdout();
    let name = match args.name {
        Some(name) => name.into_encoded_bytes(),
        None => ask_name(&mut output, to_stdout, |_| ())?,
    };
    if to_stdout {
        let mut store = StdoutStore::default();
        let fetched = fetch::<N>(options, &server, &name, &mut store, &mut output);
        if let Some(error) = store.failed {
            return Err(Failure::Output(error));
        }
        let len = fetched?;
        let size = size_line(&name, len);
        let _ = writeln!(io::stderr(), "{}", Shown(&size));
        return Ok(());
    }
    let path = match args.output {
        Some(path) => path,
        None => own_path(&name)?,
    };
    let mut store = OneFile::new(path);
    let fetched = fetch::<N>(options, &server, &name, &mut store, &mut output);
    if let Some(error) = store.failed {
        let path = shown(&store.path);
        return Err(anyhow!("cannot write {path}: {error}").into());
    }
    let len = fetched?;
    output.line_with("", &size_line(&name, len));
    output.check().map_err(Failure::Output)
}

/// What is said of a file that has come.
pub(super) fn size_line(name: &[u8], len: u64) -> Vec<u8> {
    [b"The size of ", name, format!(" is {len}").as_bytes()].concat()
}

/// Asks which file. The question must not end up in the file. `wait` is [`input::ask_while`]'s.
pub(super) fn ask_name(
    output: &mut Output,
    to_stdout: bool,
    wait: impl FnMut(BorrowedFd<'_>),
) -> Result<Vec<u8>, Failure> {
    const PROMPT: &[u8] = b"Enter the name of the file: ";
    let prompt = || {
        if to_stdout {
            let _ = io::stderr().write_all(PROMPT);
        } else {
            output.write(PROMPT);
        }
    };
    // Whatever is longer than a name may be is refused by the server, in its own way.
    let name = input::ask_while(prompt, 2 * FileName::MAX, wait).map_err(input_failed)?;
    output.check().map_err(Failure::Output)?;
    Ok(name.ok_or_else(|| anyhow!("no name was given"))?)
}

/// Where a file goes if nothing was said: under its own name, if that leads nowhere else.
fn own_path(name: &[u8]) -> Result<PathBuf, Failure> {
    match FileName::new(name) {
        Ok(name) => Ok(PathBuf::from(OsString::from(name.as_str()))),
        Err(error) => Err(Failure::usage(format!(
            "no file can be named \"{}\" here ({error}): say with -o where it goes",
            Shown(name)
        ))),
    }
}

/// Fetches `name` into `store`, and says how many bytes it has.
fn fetch<N: Network>(
    options: N::Options,
    server: &Server,
    name: &[u8],
    store: &mut impl Store,
    output: &mut Output,
) -> Result<u64, Failure> {
    // The stores here know their place: the name is a formality.
    let save_as = FileName::new(b"download").map_err(anyhow::Error::from)?;
    let mut network = N::open(options)?;
    let bar = bar(name);
    let mut stored = None;
    let session = Session::new(name, save_as);
    let done = server.converse(&mut network, session, store, output, |_, event| match event {
        Event::Moving { moved, .. } => bar.set_position(moved),
        Event::Stored { len } => stored = Some(len),
        _ => {}
    });
    bar.finish_and_clear();
    done?;
    Ok(stored.ok_or_else(|| anyhow!("the file was not stored: a bug, please report it"))?)
}

/// A bar on standard error, if that is a terminal. How long the file is the server does not say.
fn bar(name: &[u8]) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(Shown(name).to_string());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}: {bytes} ({bytes_per_sec})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
