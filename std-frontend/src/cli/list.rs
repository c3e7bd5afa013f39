//! `list`: the services there are.

use crate::cli::catalog::services;
use crate::cli::failure::Failure;
use crate::cli::settings;
use crate::console::output::Output;

/// One line for each service: its name, what it listens on, what it does, and the options that are its own.
pub(super) fn run() -> Result<(), Failure> {
    let mut output = Output::stdout();
    let services = services();
    let rows: Vec<_> = services
        .iter()
        .map(|listed| {
            let port = listed.about.port;
            let ports = listed.protocols.iter().map(|p| format!("{} {port}", p.as_str()));
            let options = listed.settings.iter().map(|its| format!("  {}", settings::usage(its)));
            let what = format!("{}{}", listed.about.summary, options.collect::<String>());
            (listed.about.name, ports.collect::<Vec<_>>().join(", "), what)
        })
        .collect();
    let names = rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
    let ports = rows.iter().map(|row| row.1.len()).max().unwrap_or(0);
    for (name, port, what) in rows {
        output.line(format_args!("{name:names$}  {port:ports$}  {what}"));
    }
    output.check().map_err(Failure::Output)
}
