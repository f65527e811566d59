//! `countersign bundle`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::client::Call;
use super::connection::{Connection, ZoneChoice};
use super::error::CliError;
use super::files::{self, Access};
use super::{Context, output};

/// Get the CA certificates that a relying party of the zone trusts: issuing authorities and root
///
/// Example, for nginx (`ssl_client_certificate`):
///
///   countersign bundle --out /etc/nginx/clients-ca.pem
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[arg(long, value_enum, default_value_t = Format::Pem)]
    format: Format,

    /// Write to this file instead of stdout; a reader never finds a part of it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Pem,
    /// The certificates in DER, one after the other
    Der,
    /// A PKCS#7 of certificates only, in DER
    Pkcs7,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pem => "pem",
            Self::Der => "der",
            Self::Pkcs7 => "pkcs7",
        }
    }
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let path = format!("/client/v4/zones/{zone}/certificate_authorities/bundle");
    let content = client.fetch(Call::get(path).query("format", arguments.format.as_str())).await?;
    let is_text = arguments.format == Format::Pem;
    deliver(&content, is_text, arguments.out, arguments.connection.json, arguments.format.as_str())
}

/// Hands over a fetched file: into a file, to stdout, or told in JSON. (Shared with `crl`.)
pub fn deliver(
    content: &[u8],
    is_text: bool,
    out: Option<PathBuf>,
    as_json: bool,
    format: &str,
) -> Result<(), CliError> {
    match (out, as_json) {
        (Some(path), _) => {
            files::replace(&path, content, Access::Public)?;
            if as_json {
                return output::json(&json!({ "file": path, "format": format, "bytes": content.len() }));
            }
            output::note(format_args!("wrote {} ({} bytes)", path.display(), content.len()));
            Ok(())
        }
        (None, true) if is_text => {
            output::json(&json!({ "format": format, "content": String::from_utf8_lossy(content) }))
        }
        (None, true) => {
            Err(CliError::usage("binary content does not go into JSON; add --out FILE, or use --format pem"))
        }
        (None, false) if is_text => output::bytes(content),
        (None, false) => output::binary(content),
    }
}
