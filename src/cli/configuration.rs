//! The flags of the configuration, made from the one table of settings.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{Flags, Kind, SETTINGS, Setting};

const HEADING: &str = "Configuration";

/// What was given of it.
#[derive(Clone, Debug, Default)]
pub struct ConfigurationFlags(pub Flags);

impl Args for ConfigurationFlags {
    fn augment_args(command: Command) -> Command {
        // A command that talks to a server has some of them already, to find the local one.
        let is_new =
            |command: &Command, argument: &Arg| command.get_arguments().all(|own| own.get_id() != argument.get_id());
        arguments().fold(command, |command, argument| match is_new(&command, &argument) {
            true => command.arg(argument),
            false => command,
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigurationFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Flags::default();
        for setting in SETTINGS.iter().filter(|setting| has_flag(setting)) {
            let value = match setting.kind {
                Kind::Switch => matches.get_one::<bool>(setting.key).map(bool::to_string),
                _ => matches.get_one::<String>(setting.key).cloned(),
            };
            if let Some(value) = value {
                flags.set(setting.key, value);
            }
        }
        Ok(Self(flags))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn arguments() -> impl Iterator<Item = Arg> {
    SETTINGS.iter().filter(|setting| has_flag(setting)).map(argument)
}

/// Whether the flag is one of the configuration's: the commands' own are declared where they are used.
fn has_flag(setting: &Setting) -> bool {
    setting.key == "config" || (setting.is_loaded() && setting.flag.is_some())
}

fn argument(setting: &Setting) -> Arg {
    let plain = |text: &str| text.replace('`', "");
    let default = match setting.default {
        "" => String::new(),
        default => format!(" [default: {}]", plain(default)),
    };
    let help = format!("{} [env: {}]{default}", plain(setting.meaning), setting.variable());
    let long = setting.flag.unwrap_or_default().trim_start_matches('-');
    let argument = Arg::new(setting.key).long(long).help(help).help_heading(HEADING);
    match setting.kind {
        Kind::Switch => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL")
            .value_parser(BoolishValueParser::new()),
        _ => argument.value_name("VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> String {
        let command = ConfigurationFlags::augment_args(Command::new("x").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).unwrap();
        format!("{:?}", ConfigurationFlags::from_arg_matches(&matches).unwrap().0)
    }

    #[test]
    fn every_setting_of_the_file_but_secrets_has_a_flag() {
        let given = parse(&["--tls-cert", "c.pem", "--behind-proxy", "--listen=[::1]:1", "--config", "x.toml"]);
        for part in
            [r#""tls_cert": "c.pem""#, r#""behind_proxy": "true""#, r#""listen": "[::1]:1""#, r#""config": "x.toml""#]
        {
            assert!(given.contains(part), "{given}");
        }
        assert!(parse(&["--behind-proxy=false"]).contains(r#""behind_proxy": "false""#));
        assert!(!arguments().any(|argument| argument.get_id() == "master_key"));
    }
}
