//! `countersign doctor`: checks of a deployment, each with the way out.
//!
//! It looks at the configuration, the files, the disk and the database of this machine, unless another server was named, and then at the server
//! as its clients and its relying parties see it. It changes nothing, but for a small file that it syncs and removes.

mod authorities;
mod chain;
mod database;
mod deliveries;
mod disk;
mod finding;
mod identities;
mod local;
mod ocsp;
mod server;

use std::io::{self, IsTerminal};
use std::path::Path;

use clap::Args;

use super::Context;
use super::client::is_loopback;
use super::configuration::ConfigurationFlags;
use super::connection::{Connection, ZoneChoice};
use super::error::CliError;
use super::output;
use crate::config::Config;
use finding::{Report, Verdict};

/// Check a deployment: configuration, disk, database, master key, clocks, CRLs, OCSP and the rest
///
/// Every check is one line, ok, warn or fail, with the way out; the exit code is 1 when one fails.
/// Example:
///
///   countersign doctor --data-dir /var/lib/countersign
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    configuration: ConfigurationFlags,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let mut report = Report::default();
    let is_elsewhere = arguments.connection.url(context).is_some_and(|url| !is_loopback(&url));
    if !is_elsewhere {
        local::check(&mut report, &arguments.configuration.0, context);
        if let Ok(config) = Config::load(&arguments.configuration.0, &context.environment, Path::new(".")) {
            disk::check(&mut report, &config.database);
            database::check(&mut report, &config, context).await;
        }
    }
    let client = arguments.connection.open_beside(&arguments.configuration.0, context)?;
    if server::check(&mut report, &client, context).await && server::check_token(&mut report, &client, context).await {
        let named = arguments.zone.zone.as_deref().or_else(|| context.environment.get("COUNTERSIGN_ZONE"));
        authorities::check(&mut report, &client, named, context).await;
        identities::check(&mut report, &client, context).await;
    }
    print(&report, arguments.connection.json)?;
    if report.worst() == Verdict::Fail { Err(CliError::Reported) } else { Ok(()) }
}

fn print(report: &Report, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::json(&report.findings);
    }
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for finding in &report.findings {
        output::line(finding.line(colours))?;
    }
    Ok(())
}
