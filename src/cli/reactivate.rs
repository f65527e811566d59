//! `countersign reactivate`

use clap::Args;
use serde_json::{Map, Value, json};

use super::Context;
use super::client::Call;
use super::error::CliError;
use super::transition::{self, Change};
use crate::domain::status::Status;

/// Lift the hold from revoked certificates, so that they are valid again
///
/// Only certificates that were revoked without a final reason can come back. With --where every
/// certificate that matches is asked, by a job of the server that goes on when this command ends.
/// Examples:
///
///   countersign reactivate 0d89c70d-ad9f-4843-b99f-6cc0252067e9 --wait
///   countersign reactivate --where common-name=device- --where status=revoked
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[command(flatten)]
    transition: transition::Selection,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let call = |path| Call::patch(path, json!({ "reactivate": true }));
    let bulk = Map::from_iter([("action".to_owned(), Value::from("reactivate"))]);
    let (goal, on_the_way) = (Status::Active, Status::PendingReactivation);
    let change = Change { call: Box::new(call), bulk, goal, on_the_way };
    transition::run(arguments.transition, change, context).await
}
