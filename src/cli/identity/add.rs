//! `countersign identity add`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::material::{self, Material, MaterialOptions};
use super::{IDENTITIES, change, label};
use crate::cli::Context;
use crate::cli::client::{Call, secret_body};
use crate::cli::connection::ZoneChoice;
use crate::cli::error::CliError;
use crate::cli::in_account::{InAccount, Opened, seconds};
use crate::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};
use crate::keys::client_key::ClientKeyKind;

/// Keep a certificate with its key, to be presented to the servers of whoever issued it
///
/// The key is sealed by the server and never handed out again. Files are PEM, in any order and
/// number, or one PKCS#12 file. With --ca they are a bundle of CAs to verify servers by, without a
/// key. With --managed, one of your own zones issues the certificate and renews it. Examples:
///
///   countersign identity add partner.pem --key partner.key --host '*.partner.example'
///   countersign identity add partner.p12 --passphrase-file passphrase --primary
///   countersign identity add --ca partner-ca.pem --name partner-ca
///   countersign identity add --managed --zone services --common-name billing --host ledger.internal
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// PEM or PKCS#12, told apart by what is in it (`-`: stdin)
    #[arg(value_name = "FILE", required_unless_present = "managed", conflicts_with = "managed")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    material: MaterialOptions,

    /// What it is to be called [default: the common name in the certificate]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// A host name or a pattern such as *.example.com that it is presented to; repeat for more
    #[arg(long = "host", value_name = "PATTERN")]
    hosts: Vec<String>,

    /// Present it to every host that no identity is for; the one that was primary before is it no longer
    #[arg(long)]
    primary: bool,

    /// A label, to find it by; repeat for more
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label::pair)]
    labels: Vec<(String, String)>,

    /// Take the place of the identity with the same key, else of the one with this name, as `identity replace` does
    #[arg(long, conflicts_with = "managed")]
    replace: bool,

    /// The files are CAs to verify servers by, without a key
    #[arg(long, conflicts_with_all = ["managed", "key", "primary", "hosts", "trusted_ca"])]
    ca: bool,

    #[command(flatten)]
    managed: Managed,

    #[command(flatten)]
    place: InAccount,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Issued by one of your own zones")]
struct Managed {
    /// Have a zone issue the certificate, for a key that is made there, and renew it at two thirds of its life
    #[arg(long, requires = "common_name", conflicts_with_all = ["key", "passphrase_file"])]
    managed: bool,

    /// The zone, by name or id [env: COUNTERSIGN_ZONE] [default: default]
    #[arg(long, value_name = "NAME|ID", requires = "managed")]
    zone: Option<String>,

    /// The common name (CN) in the subject
    #[arg(long, value_name = "NAME", requires = "managed")]
    common_name: Option<String>,

    /// The organization (O) in the subject
    #[arg(long, value_name = "NAME", requires = "managed")]
    organization: Option<String>,

    /// The organizational unit (OU) in the subject
    #[arg(long, value_name = "NAME", requires = "managed")]
    organizational_unit: Option<String>,

    /// A subject alternative name, such as dns:billing.example.com; repeat for more
    #[arg(long = "san", value_name = "TYPE:VALUE", requires = "managed", value_parser = alternative_name)]
    sans: Vec<String>,

    /// p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519 [default: p256]
    #[arg(long, value_name = "TYPE", requires = "managed", value_parser = key_type)]
    key_type: Option<ClientKeyKind>,

    /// The profile to issue by [default: client]
    #[arg(long, value_name = "NAME", requires = "managed")]
    profile: Option<String>,

    /// How many days each certificate is valid [default: 90]
    #[arg(long, value_name = "DAYS", requires = "managed")]
    days: Option<u64>,

    /// How long a replaced certificate stays valid before it is revoked, such as 12h [default: 1d]
    #[arg(long, value_name = "DURATION", requires = "managed", value_parser = seconds)]
    grace: Option<Duration>,
}

#[derive(Serialize)]
struct Request {
    #[serde(flatten)]
    material: Material,
    ca: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    hosts: Vec<String>,
    primary: bool,
    labels: BTreeMap<String, String>,
    replace: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed: Option<ManagedRequest>,
}

#[derive(Serialize)]
struct ManagedRequest {
    zone_id: String,
    common_name: Option<String>,
    organization: Option<String>,
    organizational_unit: Option<String>,
    subject_alternative_names: Vec<String>,
    key_type: Option<&'static str>,
    profile: Option<String>,
    validity_days: Option<u64>,
    grace_seconds: Option<u64>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let material = material::read(&arguments.files, &arguments.material, context)?;
    let opened = arguments.place.open(context).await?;
    let managed = match arguments.managed.managed {
        true => Some(arguments.managed.request(&opened, context).await?),
        false => None,
    };
    let request = Request {
        material,
        ca: arguments.ca,
        name: arguments.name,
        hosts: arguments.hosts,
        primary: arguments.primary,
        labels: arguments.labels.into_iter().collect(),
        replace: arguments.replace,
        managed,
    };
    let call = Call::post(opened.path(IDENTITIES), secret_body(&request)?);
    change(&opened, call, context).await
}

impl Managed {
    async fn request(self, opened: &Opened, context: &Context) -> Result<ManagedRequest, CliError> {
        let zone = ZoneChoice { zone: self.zone }.resolve(&opened.client, context).await?;
        Ok(ManagedRequest {
            zone_id: zone.to_string(),
            common_name: self.common_name,
            organization: self.organization,
            organizational_unit: self.organizational_unit,
            subject_alternative_names: self.sans,
            key_type: self.key_type.map(ClientKeyKind::as_str),
            profile: self.profile,
            validity_days: self.days,
            grace_seconds: self.grace.map(|time| time.as_secs()),
        })
    }
}

fn key_type(text: &str) -> Result<ClientKeyKind, String> {
    ClientKeyKind::parse(text).ok_or_else(|| {
        let words: Vec<&str> = ClientKeyKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("write one of {}", words.join(", "))
    })
}

fn alternative_name(text: &str) -> Result<String, String> {
    let (kind, value) = text
        .split_once(':')
        .and_then(|(kind, value)| Some((SubjectAlternativeNameType::parse(kind)?, value)))
        .ok_or("write the type first: dns:NAME, email:ADDRESS, uri:URI or ip:ADDRESS")?;
    Ok(SubjectAlternativeName::parse(kind, value)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_with_their_type() {
        assert_eq!(alternative_name("DNS:a.example").as_deref(), Ok("dns:a.example"));
        assert!(alternative_name("a.example").is_err());
    }
}
