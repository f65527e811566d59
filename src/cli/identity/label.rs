//! `countersign identity label`

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::{change, find, path};
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_account::InAccount;
use crate::cli::objects::Identity;
use crate::cli::{Context, output};

/// Give an identity labels, or take some away; the others stay
///
/// A label that it has already gets the new value. `identity list --label` finds identities by their
/// labels. Examples:
///
///   countersign identity label partner team=billing stage=production
///   countersign identity label partner --remove stage
///   countersign identity label partner --clear
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    /// The labels to give it
    #[arg(value_name = "KEY=VALUE", value_parser = pair, required_unless_present_any = ["removed", "clear"])]
    labels: Vec<(String, String)>,

    /// Take the label with this key away; repeat for more
    #[arg(long = "remove", value_name = "KEY")]
    removed: Vec<String>,

    /// Take all labels away that it has; those given here take their place
    #[arg(long, conflicts_with = "removed")]
    clear: bool,

    #[command(flatten)]
    place: InAccount,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = path(&opened, find(&opened, &arguments.identity).await?);
    // The API takes all labels at once.
    let mut labels = match arguments.clear {
        true => BTreeMap::new(),
        false => opened.client.call(Call::get(&path)).await?.read::<Identity>()?.labels,
    };
    for key in &arguments.removed {
        if labels.remove(key).is_none() {
            output::note(format_args!("note: it has no label {key:?}"));
        }
    }
    labels.extend(arguments.labels);
    change(&opened, Call::patch(path, json!({ "labels": labels })), context).await
}

/// `KEY=VALUE`; the value may hold further equals signs.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is written KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_pairs() {
        assert_eq!(pair("team=billing=eu"), Ok(("team".into(), "billing=eu".into())));
        assert!(pair("team").is_err());
    }
}
