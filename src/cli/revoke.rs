//! `countersign revoke`

use clap::Args;
use serde_json::{Map, Value};

use super::client::Call;
use super::error::CliError;
use super::possession::{self, Holding};
use super::transition::{self, Change};
use super::{Context, list};
use crate::domain::reason::RevocationReason;
use crate::domain::status::Status;

/// Revoke certificates
///
/// Without a reason a certificate is put on hold, which `countersign reactivate` can lift; every
/// other reason is final. With --wait the command ends when relying parties can see it on the CRL,
/// and fails if that takes too long. Examples:
///
///   countersign revoke 0d89c70d-ad9f-4843-b99f-6cc0252067e9 --wait
///   countersign revoke "$(openssl x509 -in device-1.pem -noout -serial)" --reason keyCompromise
///
/// Whoever holds a certificate's private key needs no token to revoke it, and no id; without a
/// reason this is final:
///
///   countersign revoke --certificate device-1.pem --key device-1.key --reason keyCompromise --wait
///
/// With --where every certificate that matches is revoked, by a job of the server that goes on when
/// this command ends. keyCompromise blocks the keys, and revokes what else holds them in every zone
/// of the account. Examples:
///
///   countersign revoke --where common-name=device- --where issued-before=2026-01-01 --dry-run
///   countersign revoke --where all --reason cessationOfOperation --yes
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, mut_arg("certificates", |ids| {
    ids.required(false).required_unless_present("certificate").conflicts_with("certificate")
}))]
pub struct Arguments {
    /// Why, in the words of RFC 5280, such as keyCompromise, superseded or cessationOfOperation
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<RevocationReason>,

    /// Since when the key is believed to be in wrong hands (RFC 3339, or a date); it stands on the CRL
    #[arg(long, value_name = "TIME", value_parser = list::time)]
    invalidity_date: Option<String>,

    #[command(flatten)]
    holding: Holding,

    #[command(flatten)]
    transition: transition::Selection,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    if let Some(held) = arguments.holding.files() {
        let Arguments { reason, invalidity_date, transition, .. } = &arguments;
        return possession::run(held, *reason, invalidity_date.as_deref(), transition, context).await;
    }
    let reason = arguments.reason.map(|reason| reason.as_str().to_owned());
    let details = [("reason", reason), ("invalidity_date", arguments.invalidity_date)];
    let details = details.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let details: Vec<(&'static str, String)> = details.collect();
    let mut bulk = Map::from_iter([("action".to_owned(), Value::from("revoke"))]);
    bulk.extend(details.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.clone()))));
    let call =
        move |path| details.iter().fold(Call::delete(path), |call, (name, value)| call.query(name, value.clone()));
    let (goal, on_the_way) = (Status::Revoked, Status::PendingRevocation);
    let change = Change { call: Box::new(call), bulk, goal, on_the_way };
    transition::run(arguments.transition, change, context).await
}

fn reason(text: &str) -> Result<RevocationReason, String> {
    RevocationReason::parse(text).ok_or_else(|| {
        let names: Vec<&str> = RevocationReason::names().collect();
        format!("write one of {}", names.join(", "))
    })
}
