//! The services' own settings, as options of `serve`: those that the catalog has, with nothing said of them here.

use anywire_core::service::{Setting, SettingError};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::cli::catalog::Listed;
use crate::cli::failure::Failure;

/// A setting, and every service that has it: where two services mean the same they share an option.
#[derive(Clone, Debug)]
struct Offered {
    setting: Setting,
    services: Vec<&'static str>,
}

/// What was given on the command line: names and values.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings(Vec<(&'static str, &'static str)>);

/// Adds an option for each setting of `services` to the command `serve`.
pub(super) fn add_to(serve: Command, services: &[Listed]) -> Command {
    serve.args(offered(services).iter().map(Offered::option))
}

/// A setting as it is written on a command line.
pub(super) fn usage(setting: &Setting) -> String {
    format!("--{} {}", setting.name, setting.values).trim_end().to_owned()
}

fn offered(services: &[Listed]) -> Vec<Offered> {
    let mut all: Vec<Offered> = Vec::new();
    for listed in services {
        for &setting in &listed.settings {
            let name = listed.about.name;
            match all.iter_mut().find(|offered| offered.setting.name == setting.name) {
                Some(offered) => offered.services.push(name),
                None => all.push(Offered { setting, services: vec![name] }),
            }
        }
    }
    all
}

impl Offered {
    fn option(&self) -> Arg {
        let Setting { name, values, default, help } = self.setting;
        let services = self.services.join(", ");
        let arg = Arg::new(name).long(name).help_heading("Options of services");
        if values.is_empty() {
            return arg.action(ArgAction::SetTrue).help(format!("{help} ({services})"));
        }
        let help = format!("{help} ({services}; default: {default})");
        let arg = arg.value_name(values).help(help).hide_possible_values(true);
        if values.contains('|') {
            arg.value_parser(PossibleValuesParser::new(values.split('|')))
        } else {
            // A text may begin with anything.
            arg.allow_hyphen_values(true)
        }
    }
}

impl Settings {
    /// What of the settings of `services` was given to `serve`.
    pub(super) fn given(serve: &ArgMatches, services: &[Listed]) -> Self {
        let given = offered(services).into_iter().filter_map(|Offered { setting, .. }| {
            let name = setting.name;
            if setting.values.is_empty() {
                return serve.get_flag(name).then_some((name, "true"));
            }
            // Services are copied to every worker, and their texts with them: once for the process.
            let value: &'static str = serve.get_one::<String>(name)?.clone().leak();
            Some((name, value))
        });
        Self(given.collect())
    }

    /// What was given of `its` settings, as arguments of `serve` again.
    pub(super) fn arguments(&self, its: &[Setting]) -> Vec<String> {
        let argument = |setting: &Setting| {
            let (name, value) = self.0.iter().find(|given| given.0 == setting.name)?;
            let flag = setting.values.is_empty();
            Some(if flag { format!("--{name}") } else { format!("--{name}={value}") })
        };
        its.iter().filter_map(argument).collect()
    }

    /// Gives a service what was given of `its` settings.
    pub(super) fn apply(
        &self,
        its: &[Setting],
        mut set: impl FnMut(&str, &'static str) -> Result<(), SettingError>,
    ) -> Result<(), String> {
        for &(name, value) in &self.0 {
            if its.iter().any(|setting| setting.name == name) {
                set(name, value).map_err(|error| match error {
                    SettingError::Value(hint) => format!("--{name} can be {hint}, not {value:?}"),
                    error => format!("--{name} cannot be set to {value:?}: {error:?}"),
                })?;
            }
        }
        Ok(())
    }

    /// Whatever is set belongs to one of the services that are `served`.
    pub(super) fn check(&self, all: &[Listed], served: &[&Listed]) -> Result<(), Failure> {
        let has = |listed: &Listed, name| listed.settings.iter().any(|its| its.name == name);
        for &(name, _) in &self.0 {
            if !served.iter().any(|listed| has(listed, name)) {
                let owners = all.iter().filter(|listed| has(listed, name));
                let owners: Vec<_> = owners.map(|listed| listed.about.name).collect();
                return Err(Failure::usage(format!(
                    "--{name} is an option of {}, which is not served here",
                    owners.join(" and of ")
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anywire_core::service::About;

    use super::*;
    use crate::cli::catalog;

    const PREFIX: Setting =
        Setting { name: "prefix", values: "TEXT", default: "> ", help: "What comes first" };
    const CLOSE: Setting =
        Setting { name: "close", values: "", default: "", help: "Whether one answer is enough" };

    fn listed(name: &'static str, settings: &[Setting]) -> Listed {
        let about = About { name, port: 1, summary: "" };
        let (files, log) = (false, false);
        Listed { about, protocols: Vec::new(), files, log, settings: settings.to_vec() }
    }

    fn given(services: &[Listed], args: &[&str]) -> Settings {
        let command = add_to(Command::new("serve").no_binary_name(true), services);
        Settings::given(&command.try_get_matches_from(args).unwrap(), services)
    }

    #[test]
    fn texts_and_flags_are_given_to_those_that_have_them() {
        let services = [listed("one", &[PREFIX]), listed("two", &[PREFIX, CLOSE])];
        assert!(given(&services, &[]).0.is_empty());
        let settings = given(&services, &["--close", "--prefix", "- "]);
        assert_eq!(settings.0, [("prefix", "- "), ("close", "true")]);
        let mut set = Vec::new();
        let apply = |name: &str, value| {
            set.push((name.to_owned(), value));
            Ok(())
        };
        settings.apply(&[CLOSE], apply).unwrap();
        assert_eq!(set, [("close".to_owned(), "true")]);
        assert_eq!(settings.arguments(&[CLOSE, PREFIX]), ["--close", "--prefix=- "]);
        assert_eq!(given(&services, &["--prefix=- "]).0, [("prefix", "- ")]);
        assert!(settings.arguments(&[]).is_empty());
        assert!(settings.check(&services, &[&services[1]]).is_ok());
        assert!(settings.check(&services, &[&services[0]]).is_err());
    }

    #[test]
    fn a_value_that_cannot_be_is_told_with_what_can() {
        let settings = given(&[listed("one", &[PREFIX])], &["--prefix", "x"]);
        let refused = settings.apply(&[PREFIX], |_, _| Err(SettingError::Value("a longer text")));
        assert_eq!(refused.unwrap_err(), r#"--prefix can be a longer text, not "x""#);
    }

    #[test]
    fn services_that_share_a_name_mean_the_same() {
        let services = catalog::services();
        for offered in offered(&services) {
            let same = |its: &&Setting| its.name == offered.setting.name;
            let its = services.iter().flat_map(|listed| &listed.settings).filter(same);
            assert!(its.clone().all(|its| its.values == offered.setting.values));
            // A default may differ: then it is no default of the option, and has to be said in the help.
            assert!(its.clone().all(|its| its.default == offered.setting.default));
        }
    }
}
