//! `list`: the services there are.

use std::io::{self, IsTerminal};

use crate::cli::catalog::services;
use crate::cli::failure::Failure;
use crate::cli::settings;
use crate::console::output::Output;

/// One line for each service: its name, what it listens on, what it does, and the options that are its own. On a terminal that is too narrow
/// for a line its options stand below.
pub(super) fn run() -> Result<(), Failure> {
    let mut output = Output::stdout();
    let services = services();
    let rows: Vec<_> = services
        .iter()
        .map(|listed| {
            let port = listed.about.port;
            let ports = listed.protocols.iter().map(|p| format!("{} {port}", p.as_str()));
            let options = listed.settings.iter().map(|its| format!("  {}", settings::usage(its)));
            (listed.about, ports.collect::<Vec<_>>().join(", "), options.collect::<String>())
        })
        .collect();
    let names = rows.iter().map(|(about, ..)| about.name.len()).max().unwrap_or(0);
    let ports = rows.iter().map(|(_, ports, _)| ports.len()).max().unwrap_or(0);
    let width = width();
    for (about, port, options) in rows {
        let line = format!("{:names$}  {port:ports$}  {}", about.name, about.summary);
        if line.len() + options.len() > width && !options.is_empty() {
            let indent = names + ports + 2;
            output.line(format_args!("{line}\n{:indent$}{options}", ""));
        } else {
            output.line(format_args!("{line}{options}"));
        }
    }
    output.check().map_err(Failure::Output)
}

/// How much fits on a line of standard output.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
    match size {
        Ok(size) if io::stdout().is_terminal() && size.ws_col > 0 => size.ws_col.into(),
        _ => usize::MAX,
    }
}
