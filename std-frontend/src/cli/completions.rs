//! `completions`: scripts that have a shell complete command lines, made from the definition that parses them.

use anywire_core::service::About;
use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;

use crate::cli::catalog;
use crate::cli::failure::Failure;
use crate::console::output::Output;

/// Prints the script for `shell`.
pub(super) fn run(command: Command, shell: Shell) -> Result<(), Failure> {
    let mut output = Output::stdout();
    output.write(script(command, shell).as_bytes());
    output.check().map_err(Failure::Output)
}

fn script(command: Command, shell: Shell) -> String {
    let program = command.get_name().to_owned();
    let services: Vec<_> = catalog::services().into_iter().map(|listed| listed.about).collect();
    // A place may stand behind a name, so these are not all that is allowed; but all that can be completed.
    let names = PossibleValuesParser::new(services.iter().map(|about| about.name));
    let mut command = command.mut_subcommand(super::SERVE, |serve| {
        serve.mut_arg("services", |arg| arg.value_parser(names))
    });
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, &program, &mut script);
    name_services(String::from_utf8_lossy(&script).into_owned(), &program, shell, &services)
}

/// Adds the services to what `serve` is completed with, for the shells whose scripts have only options there.
fn name_services(script: String, program: &str, shell: Shell, services: &[About]) -> String {
    let each = |line: &dyn Fn(&About) -> String| services.iter().map(line).collect::<String>();
    // Within quotes of these shells a quote is written twice.
    let summary = |about: &About| about.summary.replace('\'', "''");
    let path = format!("'{program};{}'", super::SERVE);
    match shell {
        Shell::Fish => {
            let function = program.replace('-', "_");
            let condition = format!("__fish_{function}_using_subcommand {}", super::SERVE);
            script
                + &each(&|about| {
                    let what = about.summary.replace('\'', "\\'");
                    let name = about.name;
                    format!(
                        "complete -c {program} -n \"{condition}\" -f -a \"{name}\" -d '{what}'\n"
                    )
                })
        }
        Shell::Elvish => {
            let lines =
                each(&|about| format!("            cand {} '{}'\n", about.name, summary(about)));
            let head = format!("&{path}= {{\n");
            script.replacen(&head, &format!("{head}{lines}"), 1)
        }
        Shell::PowerShell => {
            let lines = each(&|About { name, summary, .. }| {
                let summary = summary.replace('\'', "''");
                format!(
                    "            [CompletionResult]::new('{name}', '{name}', \
                     [CompletionResultType]::ParameterValue, '{summary}')\n"
                )
            });
            let head = format!("        {path} {{\n");
            script.replacen(&head, &format!("{head}{lines}"), 1)
        }
        _ => script,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::cli::system::System;

    /// Bash itself is asked in the program's tests.
    #[test]
    fn each_shells_serve_has_every_service_and_every_setting() {
        let services = catalog::services();
        let part = |script: &str, from: &str, to: &str| {
            let (_, part) =
                script.split_once(from).unwrap_or_else(|| panic!("{from} is not there"));
            part.split_once(to).unwrap_or_else(|| panic!("{to} is not there")).0.to_owned()
        };
        for shell in Shell::value_variants() {
            let script = script(super::super::command::<System>(&services), *shell);
            let serve = match shell {
                Shell::Bash => part(&script, "\n        anywire__subcmd__serve)", ";;\n        "),
                Shell::Elvish => part(&script, "&'anywire;serve'= {", "}"),
                Shell::Fish => {
                    let lines =
                        script.lines().filter(|line| line.contains("using_subcommand serve"));
                    lines.collect::<Vec<_>>().join("\n")
                }
                Shell::PowerShell => part(&script, "'anywire;serve' {", "break"),
                _ => part(&script, "\n(serve)\n", "\n;;\n"),
            };
            for listed in &services {
                let name = listed.about.name;
                let words: Vec<_> =
                    serve.split(|c: char| !c.is_alphanumeric() && c != '-').collect();
                assert!(words.contains(&name), "{name} for {shell}: {serve}");
                for setting in &listed.settings {
                    // fish writes options without their dashes.
                    let option = match shell {
                        Shell::Fish => setting.name.to_owned(),
                        _ => format!("--{}", setting.name),
                    };
                    assert!(words.contains(&&*option), "{option} for {shell}: {serve}");
                }
            }
        }
    }
}
