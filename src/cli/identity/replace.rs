//! `countersign identity replace`

use std::path::PathBuf;

use clap::{Arg, Args};

use super::material::{self, MaterialOptions};
use super::{change, find, path};
use crate::cli::Context;
use crate::cli::client::{Call, secret_body};
use crate::cli::error::CliError;
use crate::cli::in_account::InAccount;

/// Put a newer certificate in the place of an identity's; all else about it stays
///
/// Its id, name, hosts, labels and uses stay, and it remains the primary if it is. Without a key the
/// new certificate must be for the key that is kept. Examples:
///
///   countersign identity replace partner renewed.pem
///   countersign identity replace partner renewed.p12 --passphrase-file passphrase
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, mut_arg("key", new_key), mut_arg("trusted_ca", new_authorities))]
pub struct Arguments {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    /// PEM or PKCS#12, told apart by what is in it (`-`: stdin)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    material: MaterialOptions,

    #[command(flatten)]
    place: InAccount,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let material = material::read(&arguments.files, &arguments.material, context)?;
    let opened = arguments.place.open(context).await?;
    let path = path(&opened, find(&opened, &arguments.identity).await?);
    change(&opened, Call::put(path, secret_body(&material)?), context).await
}

fn new_key(option: Arg) -> Arg {
    option.help(
        "PEM file with the private key, if it is a new one that does not stand beside the certificate (`-`: stdin)",
    )
}

fn new_authorities(option: Arg) -> Arg {
    option.help("PEM file with the CAs that its servers are verified by from now on [default: they stay as they are]")
}
