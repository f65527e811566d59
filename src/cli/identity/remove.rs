//! `countersign identity remove`

use clap::Args;

use super::{find, path};
use crate::cli::client::{Call, ClientError};
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::in_account::InAccount;
use crate::cli::{Context, output, terminal};

/// The API's code for what others rely on.
const IN_USE: u32 = 1473;

/// Remove an identity and its private key, for good
///
/// On a terminal it is asked whether that is meant; in a script it is not. One that something
/// relies on is kept, unless forced. Examples:
///
///   countersign identity remove partner
///   countersign identity remove partner --force --yes
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    /// Remove it even if something relies on it
    #[arg(long)]
    force: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    place: InAccount,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let id = find(&opened, &arguments.identity).await?;
    if !arguments.yes && terminal::is_attended() {
        let question = format!("remove {:?} and its private key for good?", escape(&arguments.identity));
        if !terminal::confirm(&question)? {
            return Err(CliError::failure("nothing was removed"));
        }
    }
    let call = Call::delete(path(&opened, id));
    let call = if arguments.force { call.query("force", "true") } else { call };
    let answer = opened.client.call(call).await.map_err(refusal)?;
    opened.tell(&answer, |_| output::line(format_args!("removed {id}")))
}

/// What the server says, with the way out where there is one.
fn refusal(error: ClientError) -> CliError {
    match &error {
        ClientError::Refused { errors, .. } if errors.iter().any(|error| error.code == IN_USE) => {
            // The API names its own way out.
            let told = error.to_string().replace("; force=true removes it all the same", "");
            CliError::failure(format_args!("{told}; --force removes it all the same"))
        }
        _ => error.into(),
    }
}
