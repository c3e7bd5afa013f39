//! `list`: the services there are.

use crate::cli::catalog::services;
use crate::cli::failure::Failure;
use crate::cli::settings;
use crate::console::output::Output;
use crate::os;

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
    let width = os::columns().unwrap_or(usize::MAX);
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
