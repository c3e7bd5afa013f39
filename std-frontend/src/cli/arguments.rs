//! What was said on the command line, said again to a child.

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::catalog;
use crate::cli::network::Network;
use crate::cli::options::{Logging, Serve};
use crate::cli::serve::LOGS;
use crate::cli::settings::Settings;

/// Makes the arguments with which one service is served as `args` and `settings` say; but for the folder.
pub(super) fn of<N: Network>(
    args: &Serve<N>,
    settings: &Settings,
    logging: Logging,
) -> impl Fn(&str) -> Vec<OsString> + Send + Sync + 'static {
    let seconds = |time: Duration| OsString::from(time.as_secs_f64().to_string());
    let values: [(&str, OsString); 4] = [
        ("--idle-timeout", seconds(args.idle_timeout)),
        ("--head-timeout", seconds(args.head_timeout)),
        ("--grace", seconds(args.grace)),
        ("--max-file", args.max_file.to_string().into()),
    ];
    // A child begins elsewhere.
    let log_dir = args.log_dir.clone().unwrap_or_else(|| args.dir.join(LOGS));
    let log_dir = std::path::absolute(&log_dir).unwrap_or(log_dir);
    let flags = [("--no-sync", args.no_sync), ("--transcript", args.transcript)];
    let mut common = logging.arguments();
    for (option, value) in values.into_iter().chain([("--log-dir", log_dir.into())]) {
        common.extend([option.into(), value]);
    }
    if args.metrics.is_some() {
        // So that it counts, too, and tells of that; nobody scrapes it.
        common.extend(["--metrics".into(), "0".into()]);
    }
    common.extend(flags.into_iter().filter(|flag| flag.1).map(|flag| flag.0.into()));
    let settings = settings.clone();
    move |service| {
        let mut arguments = vec!["serve".into(), service.into()];
        arguments.extend(common.iter().cloned());
        let services = catalog::services();
        let listed = services.iter().find(|listed| listed.about.name == service);
        let its = listed.map_or_else(Vec::new, |listed| settings.arguments(&listed.settings));
        arguments.extend(its.into_iter().map(OsString::from));
        arguments
    }
}
