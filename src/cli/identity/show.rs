//! `countersign identity show`

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;

use super::list::{expiry, marks};
use super::{find, path};
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_account::InAccount;
use crate::cli::objects::{Association, Identity};
use crate::cli::{Context, envelope, output};

/// Show an identity and who relies on it
///
/// Examples:
///
///   countersign identity show partner
///   countersign identity show partner --pem | openssl x509 -noout -text
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The identity, by name or id
    #[arg(value_name = "NAME|ID")]
    identity: String,

    /// Print the certificates themselves, in PEM, the leaf first
    #[arg(long, conflicts_with = "json")]
    pem: bool,

    #[command(flatten)]
    place: InAccount,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let opened = arguments.place.open(context).await?;
    let path = path(&opened, find(&opened, &arguments.identity).await?);
    let mut answer = opened.client.call(Call::get(&path)).await?;
    let identity: Identity = answer.read()?;
    if arguments.pem {
        return output::bytes(identity.certificates.as_bytes());
    }
    let uses = opened.client.items(&format!("{path}/associations")).await?;
    if opened.json {
        if let Some(fields) = answer.result.as_object_mut() {
            fields.insert("associations".to_owned(), Value::Array(uses));
        }
        return output::json(&answer.result);
    }
    let uses: Vec<Association> = envelope::read(&Value::Array(uses))?;
    let mut fields = description(&identity, context.clock.now());
    if uses.is_empty() {
        fields.push(("used by", "nothing, as far as is known".to_owned()));
    }
    fields.extend(uses.iter().map(|using| ("used by", in_words(using))));
    output::fields(&fields)
}

/// Its fields, for people.
pub fn description(identity: &Identity, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let labels: Vec<String> = identity.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let managed = identity.managed.as_ref().map(|managed| {
        let (zone, certificate, on) = (&managed.zone_id, &managed.client_certificate_id, &managed.renews_on);
        format!("by zone {zone}, certificate {certificate}, renewed on {on}")
    });
    let trusts = identity.trusted_ca.as_ref().map(|pem| {
        let count = pem.matches("-----BEGIN ").count();
        format!("{count} CA certificate{} of its own", if count == 1 { "" } else { "s" })
    });
    vec![
        ("id", identity.id.clone()),
        ("name", identity.name.clone()),
        ("marks", marks(identity).join(" ")),
        ("hosts", identity.hosts.join(", ")),
        ("labels", labels.join(", ")),
        ("subject", identity.subject.clone()),
        ("issuer", identity.issuer.clone()),
        ("names", identity.subject_alternative_names.join(", ")),
        ("issued", identity.issued_on.clone()),
        ("expires", expiry(&identity.expires_on, now)),
        ("managed", managed.unwrap_or_default()),
        ("trusts", trusts.unwrap_or_default()),
        ("key", identity.key_type.clone()),
        ("serial number", identity.serial_number_hex.clone()),
        ("SHA-256", identity.fingerprint_sha256.clone()),
        ("uploaded", identity.uploaded_on.clone()),
    ]
}

fn in_words(using: &Association) -> String {
    let link = if using.link.is_empty() { String::new() } else { format!(", {}", using.link) };
    format!("{} {}{link}, since {}", using.kind, using.service, using.since)
}
