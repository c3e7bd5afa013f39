//! How a command fails: what it says, and with which exit status.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::console::escape::Shown;

/// Why a command did not do what it was told.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was told wrong: exit status 2.
    Usage(clap::Error),
    /// It could not: exit status 1, and each problem on a line; none if all have been told.
    Failed(Vec<anyhow::Error>),
    /// A server could not: the problems, and a command line that avoids them, or only those of them that are of ports.
    Unserved { problems: Vec<anyhow::Error>, instead: Option<(String, bool)> },
    /// Standard output took no more. Where nobody reads any longer (a closed pipe) nothing is said, as if `SIGPIPE` had ended us.
    Output(io::Error),
}

/// 128 and `SIGPIPE`.
const PIPE_CLOSED: u8 = 141;

impl Failure {
    /// Wrong usage, in words.
    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(clap::Error::raw(
            clap::error::ErrorKind::ValueValidation,
            format!("{message}\n"),
        ))
    }

    /// Says it on standard error.
    pub(super) fn report(self, program: &str) -> ExitCode {
        match self {
            Self::Usage(error) => {
                let _ = error.print();
                // Help and version come as errors too.
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Self::Failed(problems) => {
                say_all(program, &problems);
                ExitCode::FAILURE
            }
            Self::Unserved { problems, instead } => {
                say_all(program, &problems);
                if let Some((line, all)) = instead {
                    let what = if all {
                        "This command line avoids it"
                    } else {
                        "When the rest is put right, this command line avoids the ports that are taken"
                    };
                    // Its words are quoted as a shell wants them, and escaped by that.
                    let _ = writeln!(io::stderr(), "{what}:\n  {line}");
                }
                ExitCode::FAILURE
            }
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitCode::from(PIPE_CLOSED)
            }
            Self::Output(error) => {
                say(program, format_args!("cannot write to standard output: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

fn say_all(program: &str, problems: &[anyhow::Error]) {
    for problem in problems {
        say(program, format_args!("{problem:#}"));
    }
}

/// Says something on standard error, fit for a terminal. Nothing can be done if nobody listens.
pub(super) fn say(program: &str, words: impl fmt::Display) {
    let words = words.to_string();
    let _ = writeln!(io::stderr(), "{program}: {}", Shown(words.as_bytes()));
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(vec![error])
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}
