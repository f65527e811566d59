//! The command line: one file per verb. A verb reads its options, calls the service over HTTP and prints; the rules are
//! the server's. `serve`, `migrate`, `backup`, `restore` and `authority export-key` work
//! on the data itself instead.

mod account;
mod authority;
mod backup;
mod bulk;
mod bundle;
mod check;
mod client;
mod configuration;
mod connection;
mod crl;
mod database;
mod dev;
mod doctor;
mod envelope;
mod error;
mod escape;
mod events;
mod export_key;
mod files;
mod healthcheck;
mod identity;
mod in_account;
mod in_zone;
mod issue;
mod list;
mod migrate;
mod objects;
mod openapi;
mod outgoing;
mod output;
mod possession;
mod postgres_tools;
mod private_key;
mod progress;
mod reactivate;
mod readiness;
mod report;
mod resolve;
mod restore;
mod revoke;
mod serve;
mod show;
mod terminal;
mod token;
mod transition;
mod webhook;
mod zone;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

pub use error::CliError;

use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::telemetry;
use configuration::ConfigurationFlags;

/// A certificate authority for client certificates.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, max_term_width = 120, after_help = TOUR)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const TOUR: &str = "\
Without a command, countersign serves. A first tour:
  countersign serve                                   start (in another terminal, go on:)
  countersign issue --common-name device-1 --days 90  make a key and a certificate
  countersign list                                    see it
  countersign revoke ID --wait                        until relying parties can see it
  countersign doctor                                  check the deployment";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Serve),
    Issue(issue::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Revoke(revoke::Arguments),
    Reactivate(reactivate::Arguments),
    #[command(subcommand)]
    Bulk(bulk::Command),
    Bundle(bundle::Arguments),
    Crl(crl::Arguments),
    #[command(subcommand)]
    Account(account::Command),
    #[command(subcommand)]
    Zone(zone::Command),
    #[command(subcommand)]
    Token(token::Command),
    #[command(subcommand)]
    Authority(authority::Command),
    #[command(subcommand)]
    Identity(identity::Command),
    #[command(subcommand)]
    Check(check::Command),
    Events(events::Arguments),
    #[command(subcommand)]
    Webhook(webhook::Command),
    Migrate(migrate::Arguments),
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    Doctor(doctor::Arguments),
    Healthcheck(healthcheck::Arguments),
    Openapi(openapi::Arguments),
    #[command(subcommand, hide = true)]
    Dev(dev::Command),
}

/// Start the server; the first start sets everything up
///
/// Settings come from flags, over the environment, over countersign.toml. Example:
///
///   countersign serve --data-dir /var/lib/countersign --public-url https://ca.example.com
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
struct Serve {
    #[command(flatten)]
    configuration: ConfigurationFlags,
}

/// What commands take from the outside.
pub struct Context {
    pub environment: Environment,
    pub clock: Clock,
}

/// Runs the command that the arguments name, and says how it ended.
pub fn main() -> ExitCode {
    let context = Context { environment: Environment::of_process(), clock: Clock::system() };
    let parsed = CommandLine::try_parse_from(with_default_command(std::env::args_os().collect()));
    let outcome = match parsed {
        Ok(line) => run(line.command, &context),
        Err(error) => return refuse(&error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(message) = error.message() {
                output::note(format_args!("error: {message}"));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::Serve(arguments) => {
            let config = configure(&arguments.configuration, context)?;
            let runtime = runtime(Builder::new_multi_thread())?;
            let outcome = runtime.block_on(serve::run(config));
            // What still runs belongs to nobody: after a graceful end nothing does.
            runtime.shutdown_background();
            outcome
        }
        Command::Migrate(arguments) => migrate::run(&arguments, &configure(&arguments.configuration, context)?),
        Command::Backup(arguments) => {
            let config = configure(&arguments.configuration, context)?;
            runtime(Builder::new_current_thread())?.block_on(backup::run(&arguments, &config))
        }
        Command::Restore(arguments) => {
            let config = configure(&arguments.configuration, context)?;
            runtime(Builder::new_current_thread())?.block_on(restore::run(&arguments, &config))
        }
        Command::Openapi(arguments) => openapi::run(&arguments),
        Command::Dev(dev::Command::Seed(arguments)) => {
            let config = configure(&arguments.configuration, context)?;
            runtime(Builder::new_multi_thread())?.block_on(dev::seed(arguments, config))
        }
        other => runtime(Builder::new_current_thread())?.block_on(call(other, context)),
    }
}

/// The commands that call a server.
async fn call(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::Issue(arguments) => issue::run(arguments, context).await,
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
        Command::Revoke(arguments) => revoke::run(arguments, context).await,
        Command::Reactivate(arguments) => reactivate::run(arguments, context).await,
        Command::Bulk(command) => bulk::run(command, context).await,
        Command::Bundle(arguments) => bundle::run(arguments, context).await,
        Command::Crl(arguments) => crl::run(arguments, context).await,
        Command::Account(command) => account::run(command, context).await,
        Command::Zone(command) => zone::run(command, context).await,
        Command::Token(command) => token::run(command, context).await,
        Command::Authority(command) => authority::run(command, context).await,
        Command::Identity(command) => identity::run(command, context).await,
        Command::Check(command) => check::run(command, context).await,
        Command::Events(arguments) => events::run(arguments, context).await,
        Command::Webhook(command) => webhook::run(command, context).await,
        Command::Doctor(arguments) => doctor::run(arguments, context).await,
        Command::Healthcheck(arguments) => healthcheck::run(arguments, context).await,
        Command::Serve(_) | Command::Migrate(_) | Command::Backup(_) | Command::Restore(_) => Ok(()),
        Command::Openapi(_) | Command::Dev(_) => Ok(()),
    }
}

/// Reads the configuration and starts logging: what the commands need that work on the data itself.
fn configure(flags: &ConfigurationFlags, context: &Context) -> Result<Config, CliError> {
    let environment = &context.environment;
    telemetry::start(|name| environment.get(name).map(str::to_owned)).map_err(CliError::usage)?;
    for name in environment.unknown() {
        tracing::warn!(variable = name, "this variable names no setting of Countersign");
    }
    Ok(Config::load(&flags.0, environment, Path::new("."))?)
}

fn runtime(mut builder: Builder) -> Result<Runtime, CliError> {
    builder.enable_all().build().map_err(|error| CliError::failure(format_args!("cannot start: {error}")))
}

/// Serving is what the program is for, so `countersign` and `countersign --listen …` mean it.
fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let first = arguments.get(1).map(|argument| argument.to_string_lossy().into_owned());
    let is_about_the_program = |argument: &str| matches!(argument, "-h" | "--help" | "-V" | "--version");
    let is_missing = match first.as_deref() {
        None => true,
        Some(argument) => argument.starts_with('-') && !is_about_the_program(argument),
    };
    if is_missing {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

/// Prints what clap has to say: help and version on stdout, a wrong use on stderr.
fn refuse(error: &clap::Error) -> ExitCode {
    // The reader of the help may have left, which is no failure.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn completed(arguments: &[&str]) -> Vec<OsString> {
        with_default_command(arguments.iter().map(OsString::from).collect())
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default() {
        assert_eq!(completed(&["countersign"]), ["countersign", "serve"]);
        assert_eq!(completed(&["countersign", "--listen", "x"]), ["countersign", "serve", "--listen", "x"]);
        assert_eq!(completed(&["countersign", "list"]), ["countersign", "list"]);
        assert_eq!(completed(&["countersign", "--help"]), ["countersign", "--help"]);
    }

    /// What is shown as it is written is broken at 100 columns, in the middle of a sentence.
    #[test]
    fn what_is_not_wrapped_fits_a_terminal() {
        let mut long = Vec::new();
        for (path, command) in all_commands() {
            let texts = [command.get_about(), command.get_long_about(), command.get_after_help()];
            for text in texts.into_iter().flatten().map(ToString::to_string) {
                let lines = text.lines().filter(|line| line.chars().count() > 100);
                long.extend(lines.map(|line| format!("{path} --help: {line}")));
            }
        }
        assert_eq!(long, Vec::<String>::new());
    }

    #[test]
    fn every_command_explains_itself_with_an_example() {
        for (path, command) in all_commands() {
            let about = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.contains(&path), "`{path}` has no example in its help: {about}");
            let lines: Vec<&str> = about.lines().collect();
            let is_continued = |line: &str| line.starts_with("      ") || line.starts_with("  -");
            for pair in lines.windows(2).filter(|pair| is_continued(pair[1])) {
                assert!(pair[0].ends_with('\\'), "`{path}`: the example cannot be pasted at {:?}", pair[0]);
            }
        }
    }

    #[test]
    fn the_help_of_a_change_speaks_of_no_defaults_that_do_not_count() {
        let commands = all_commands();
        let help_of = |path: &str, option: &str| {
            let (_, command) = commands.iter().find(|(known, _)| known == path).unwrap();
            let option = command.get_arguments().find(|argument| argument.get_long() == Some(option)).unwrap();
            option.get_help().unwrap().to_string()
        };
        for option in ["every", "method", "identity", "trusted-ca", "timeout", "status"] {
            assert!(help_of("countersign check create", option).contains("[default: "), "{option}");
            assert!(!help_of("countersign check edit", option).contains("[default: "), "{option}");
        }
        assert!(help_of("countersign check edit", "url").contains("[default: "));
        assert!(help_of("countersign identity replace", "trusted-ca").contains("stay as they are"));
    }

    /// Those that do something, with the words that call them.
    fn all_commands() -> Vec<(String, clap::Command)> {
        fn collect(command: &clap::Command, path: &str, into: &mut Vec<(String, clap::Command)>) {
            let path = format!("{path} {}", command.get_name()).trim().to_owned();
            if !command.has_subcommands() {
                return into.push((path, command.clone()));
            }
            let inner = command.get_subcommands().filter(|inner| inner.get_name() != "help");
            inner.for_each(|inner| collect(inner, &path, into));
        }
        let mut command = CommandLine::command();
        command.build();
        let mut all = Vec::new();
        collect(&command, "", &mut all);
        all
    }
}
