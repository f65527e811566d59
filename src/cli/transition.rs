//! What `revoke` and `reactivate` share: asking for a change of status, and waiting until relying parties can see it.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::bulk::{self, Many};
use super::client::{Call, Client};
use super::connection::{Connection, ZoneChoice};
use super::envelope;
use super::error::CliError;
use super::escape::escape;
use super::objects::Certificate;
use super::progress::Spinner;
use super::{Context, output, resolve};
use crate::domain::id::{CertificateId, ZoneId};
use crate::domain::status::Status;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct Selection {
    /// Certificates, by id, serial number or SHA-256 fingerprint
    #[arg(value_name = "ID", required_unless_present = "conditions", conflicts_with = "conditions")]
    pub certificates: Vec<String>,

    #[command(flatten)]
    pub many: Many,

    /// Wait until the CRL that says so is published; with --where it is waited anyway
    #[arg(long)]
    pub wait: bool,

    /// How many seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait", conflicts_with = "conditions")]
    pub timeout: u64,

    #[command(flatten)]
    pub zone: ZoneChoice,

    #[command(flatten)]
    pub connection: Connection,
}

/// A change of status: how it is asked for, and where it ends.
pub struct Change {
    /// Makes the call for a certificate's path.
    pub call: Box<dyn Fn(String) -> Call>,
    /// The same asked of many: the request of a bulk job without its selection.
    pub bulk: Map<String, Value>,
    pub goal: Status,
    pub on_the_way: Status,
}

/// Asks for all the changes first and waits for them afterwards, so that one CRL can carry them all. A certificate that
/// fails does not keep the others back.
pub async fn run(arguments: Selection, change: Change, context: &Context) -> Result<(), CliError> {
    if !arguments.many.conditions.is_empty() {
        return bulk::start(&arguments.many, change.bulk, &arguments.zone, &arguments.connection, context).await;
    }
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let deadline = Instant::now() + Duration::from_secs(arguments.timeout);
    let mut asked = Vec::new();
    let mut all_are_done = true;
    for given in &arguments.certificates {
        match ask(&client, zone, given, &change).await {
            Ok(certificate) => asked.push(certificate),
            Err(error) => all_are_done &= report(given, &error),
        }
    }
    for (id, certificate) in asked {
        let outcome = match arguments.wait {
            true => wait(&client, zone, id, &change, deadline, context).await,
            false => Ok(certificate),
        };
        match outcome {
            Ok(certificate) => print(&certificate, &change, arguments.connection.json)?,
            Err(error) => all_are_done &= report(&id.to_string(), &error),
        }
    }
    if all_are_done { Ok(()) } else { Err(CliError::Reported) }
}

async fn ask(client: &Client, zone: ZoneId, given: &str, change: &Change) -> Result<(CertificateId, Value), CliError> {
    let id = resolve::certificate(client, zone, given).await?;
    let answer = client.call((change.call)(path(zone, id))).await?;
    Ok((id, answer.result))
}

/// Polls until the status has settled: the server says so only once the CRL is published (design, promise 3).
async fn wait(
    client: &Client,
    zone: ZoneId,
    id: CertificateId,
    change: &Change,
    deadline: Instant,
    context: &Context,
) -> Result<Value, CliError> {
    let _spinner = Spinner::start(format!("{id}: waiting for the CRL"));
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = client.call(Call::get(path(zone, id))).await?;
        let certificate: Certificate = answer.read()?;
        match Status::parse(&certificate.status) {
            Some(status) if status == change.goal => return Ok(answer.result),
            Some(status) if status == change.on_the_way => {}
            _ => {
                return Err(CliError::failure(format_args!(
                    "it has become {}: somebody changed it meanwhile",
                    escape(&certificate.status)
                )));
            }
        }
        if Instant::now() >= deadline {
            return Err(CliError::failure(format_args!(
                "it is still {}; the server goes on with it: look again with `countersign show {id}`, \
                 wait longer with --timeout, or see what `countersign doctor` says",
                change.on_the_way
            )));
        }
        context.clock.sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One line for each certificate: as soon as it is known, for people and for scripts.
fn print(certificate: &Value, change: &Change, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::json_line(certificate);
    }
    let certificate: Certificate = envelope::read(certificate)?;
    let receipt = certificate.receipt.as_ref().filter(|receipt| receipt.status == certificate.status);
    let proof = match receipt {
        Some(receipt) => format!("by CRL {} of {}", receipt.crl_number, escape(&receipt.published_on)),
        None if certificate.status == change.goal.as_str() => String::new(),
        None => "until the next CRL is published".to_owned(),
    };
    let line = format!(
        "{}  {}  {}  {proof}",
        escape(&certificate.id),
        escape(certificate.label()),
        escape(&certificate.status)
    );
    output::line(line.trim_end())
}

fn report(certificate: &str, error: &CliError) -> bool {
    if let Some(message) = error.message() {
        output::note(format_args!("error: {}: {message}", escape(certificate)));
    }
    false
}

fn path(zone: ZoneId, id: CertificateId) -> String {
    format!("/client/v4/zones/{zone}/client_certificates/{id}")
}
