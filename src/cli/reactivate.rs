//! `countersign reactivate`

use clap::Args;
use serde_json::json;

use super::Context;
use super::client::Call;
use super::error::CliError;
use super::transition::{self, Change};
use crate::domain::status::Status;

/// Lift the hold from revoked certificates, so that they are valid again
///
/// Only certificates that were revoked without a final reason can come back. Example:
///
///   countersign reactivate 0d89c70d-ad9f-4843-b99f-6cc0252067e9 --wait
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[command(flatten)]
    transition: transition::Selection,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let call = |path| Call::patch(path, json!({ "reactivate": true }));
    let change = Change { call: Box::new(call), goal: Status::Active, on_the_way: Status::PendingReactivation };
    transition::run(arguments.transition, change, context).await
}
