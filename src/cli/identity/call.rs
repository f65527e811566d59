//! `countersign identity test`

use std::time::Duration;

use clap::Args;

use super::IDENTITIES;
use crate::cli::Context;
use crate::cli::client::{Call, secret_body};
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::in_account::InAccount;
use crate::cli::outgoing::RequestOptions;
use crate::cli::progress::Spinner;
use crate::cli::report::{self, BodyOption};

/// How long the server waits, if it is not told otherwise.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Call an address once with an identity: does this certificate work on that host?
///
/// Countersign's server makes the call, because it has the key. You are told which identity was
/// chosen and why, whether the called server asked for one, and what it answered. The exit code is 0
/// for an answer with a status of 2xx, and 1 for any other and for none. Examples:
///
///   countersign identity test https://api.partner.example/health
///   countersign identity test https://api.partner.example/orders --identity partner \
///       --header 'Content-Type: application/json' --body order.json --body-out -
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The https address to call
    #[arg(value_name = "URL")]
    address: String,

    #[command(flatten)]
    body: BodyOption,

    #[command(flatten)]
    place: InAccount,

    #[command(flatten)]
    request: RequestOptions,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    arguments.body.check(arguments.place.json())?;
    let opened = arguments.place.open(context).await?;
    let timeout = arguments.request.timeout.unwrap_or(USUAL_TIMEOUT);
    let mut request = arguments.request.read(&opened).await?.with_default_method();
    request.url = Some(arguments.address.clone());
    let call = Call::post(opened.path(&format!("{IDENTITIES}/request")), secret_body(&request)?);
    let answer = {
        let _spinner = Spinner::start(format!("calling {}", escape(&arguments.address)));
        opened.client.call(call.while_it_waits(timeout)).await?
    };
    let outcome = report::print(&answer, &arguments.body, opened.json)?;
    if outcome.status.is_some_and(|status| (200..300).contains(&status)) { Ok(()) } else { Err(CliError::Reported) }
}
