//! `countersign revoke`

use clap::Args;

use super::Context;
use super::client::Call;
use super::error::CliError;
use super::possession::{self, Holding};
use super::transition::{self, Change};
use crate::domain::reason::RevocationReason;
use crate::domain::status::Status;

/// Revoke certificates
///
/// Without a reason a certificate is put on hold, which `countersign reactivate` can lift; every other reason is final.
/// With --wait the command ends when relying parties can see it on the CRL, and fails if that takes too long. Examples:
///
///   countersign revoke 0d89c70d-ad9f-4843-b99f-6cc0252067e9 --wait
///   countersign revoke "$(openssl x509 -in device-1.pem -noout -serial)" --reason keyCompromise
///
/// Whoever holds a certificate's private key needs no token to revoke it, and no id; without a reason this is final:
///
///   countersign revoke --certificate device-1.pem --key device-1.key --reason keyCompromise --wait
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, mut_arg("certificates", |ids| {
    ids.required(false).required_unless_present("certificate").conflicts_with("certificate")
}))]
pub struct Arguments {
    /// Why, in the words of RFC 5280, such as keyCompromise, superseded or cessationOfOperation
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<RevocationReason>,

    #[command(flatten)]
    holding: Holding,

    #[command(flatten)]
    transition: transition::Selection,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let reason = arguments.reason;
    if let Some(held) = arguments.holding.files() {
        return possession::run(held, reason, &arguments.transition, context).await;
    }
    let call = move |path| match reason {
        Some(reason) => Call::delete(path).query("reason", reason.as_str()),
        None => Call::delete(path),
    };
    let change = Change { call: Box::new(call), goal: Status::Revoked, on_the_way: Status::PendingRevocation };
    transition::run(arguments.transition, change, context).await
}

fn reason(text: &str) -> Result<RevocationReason, String> {
    RevocationReason::parse(text).ok_or_else(|| {
        let names: Vec<&str> = RevocationReason::names().collect();
        format!("write one of {}", names.join(", "))
    })
}
