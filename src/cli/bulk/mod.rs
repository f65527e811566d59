//! `countersign bulk`, and the part of `revoke` and `reactivate` that asks for many certificates at once.

mod conditions;
mod job;
mod list;
mod show;
mod start;
mod watch;

use clap::{Args, Subcommand};

use super::Context;
use super::error::CliError;
use crate::domain::id::{JobId, ZoneId};
use conditions::Condition;

pub use job::Job;
pub use start::run as start;

const TOUR: &str = "\
Jobs are made by `revoke --where` and `reactivate --where`, and by a key that is reported
compromised, for whatever else holds it. A first tour:
  countersign revoke --where common-name=device- --dry-run      which and how many would that be?
  countersign revoke --where common-name=device- --reason superseded
  countersign bulk list                                         how far they all are";

/// Bulk jobs: revoking and reactivating many certificates at once
#[derive(Debug, Subcommand)]
#[command(after_help = TOUR)]
pub enum Command {
    List(list::Arguments),
    Show(show::Show),
    Cancel(show::Cancel),
}

/// Certificates by what they have in common.
#[derive(Args, Debug)]
#[command(next_help_heading = "Many at once")]
pub struct Many {
    /// Every certificate that matches, instead of IDs; repeated, all conditions hold together: common-name=PREFIX,
    /// issued-before=TIME, issued-after=TIME, authority=ID, key=SHA-256 of the SubjectPublicKeyInfo in hex,
    /// status=STATUS; or all
    #[arg(long = "where", value_name = "KEY=VALUE", value_parser = Condition::parse)]
    pub conditions: Vec<Condition>,

    /// Only tell what would be done
    #[arg(long, requires = "conditions", conflicts_with = "certificates")]
    pub dry_run: bool,

    /// Do not ask whether that is meant
    #[arg(long, short, requires = "conditions", conflicts_with = "certificates")]
    pub yes: bool,

    /// Leave the job to the server, instead of watching it until relying parties can see all of it
    #[arg(long, requires = "conditions", conflicts_with = "certificates")]
    pub detach: bool,
}

pub async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::show(arguments, context).await,
        Command::Cancel(arguments) => show::cancel(arguments, context).await,
    }
}

fn certificates(count: u64) -> String {
    format!("{count} {}", if count == 1 { "certificate" } else { "certificates" })
}

fn jobs(zone: ZoneId) -> String {
    format!("/client/v4/zones/{zone}/client_certificates/bulk")
}

fn job_id(text: &str) -> Result<JobId, String> {
    JobId::parse(text).ok_or_else(|| "a job's id is a UUID; `countersign bulk list` shows it".into())
}
