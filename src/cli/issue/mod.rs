//! `countersign issue`

mod artifacts;
mod from_csr;
mod local_key;
mod request;

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::connection::{Connection, ZoneChoice};
use super::error::CliError;
use crate::domain::name::AttributeType;
use crate::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};
use crate::keys::client_key::ClientKeyKind;

/// Issue a certificate: sign a CSR, or make a key here and have it signed
///
/// A key that is made here never leaves this machine. Examples:
///
///   countersign issue --common-name device-1 --san dns:device-1.example.com --days 90
///   countersign issue --common-name Ada --pkcs12 ada.p12 --pkcs12-password-file password
///   countersign issue --csr device-1.csr --days 30 --out device-1.pem
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The CSR to sign, in PEM (`-`: stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "common_name")]
    csr: Option<PathBuf>,

    /// How many days the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    days: u64,

    /// The profile to issue by [default: client]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// A subject alternative name, such as dns:device-1.example.com, email:ada@example.com, uri:urn:x:1 or ip:10.0.0.1;
    /// repeat for more
    #[arg(long = "san", value_name = "TYPE:VALUE", value_parser = subject_alternative_name)]
    sans: Vec<SubjectAlternativeName>,

    /// With --csr: write the certificate to this file instead of stdout. Else: the prefix of the files that are written
    /// (PREFIX.key, PREFIX.pem, PREFIX.chain.pem) [default: from the common name]
    #[arg(long, value_name = "FILE|PREFIX")]
    out: Option<PathBuf>,

    /// Repeating a request with the same key within a day gives the same certificate [default: a random one]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    local: LocalKey,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Key and CSR made here")]
struct LocalKey {
    /// Make a key here, for this common name
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,

    /// The organization (O) in the subject
    #[arg(long, value_name = "NAME", requires = "common_name")]
    organization: Option<String>,

    /// The organizational unit (OU) in the subject
    #[arg(long, value_name = "NAME", requires = "common_name")]
    organizational_unit: Option<String>,

    /// The country (C) in the subject: two letters, such as PT
    #[arg(long, value_name = "CODE", requires = "common_name")]
    country: Option<String>,

    /// The state or province (ST) in the subject
    #[arg(long, value_name = "NAME", requires = "common_name")]
    state: Option<String>,

    /// The locality (L) in the subject
    #[arg(long, value_name = "NAME", requires = "common_name")]
    locality: Option<String>,

    /// p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519
    #[arg(long, value_name = "TYPE", default_value = "p256", value_parser = key_type)]
    key_type: ClientKeyKind,

    /// Encrypt the key file with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE", requires = "common_name")]
    key_passphrase_file: Option<PathBuf>,

    /// Write key, certificate and chain into this PKCS#12 file too, for browsers and operating systems
    #[arg(long, value_name = "FILE", requires = "common_name", requires = "pkcs12_password_file")]
    pkcs12: Option<PathBuf>,

    /// The password of the PKCS#12 file is the first line of this file
    #[arg(long, value_name = "FILE", requires = "pkcs12")]
    pkcs12_password_file: Option<PathBuf>,

    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

impl LocalKey {
    /// The subject in the usual order, from the widest to the narrowest.
    fn subject(&self) -> Vec<(AttributeType, String)> {
        let attributes = [
            (AttributeType::Country, &self.country),
            (AttributeType::State, &self.state),
            (AttributeType::Locality, &self.locality),
            (AttributeType::Organization, &self.organization),
            (AttributeType::OrganizationalUnit, &self.organizational_unit),
            (AttributeType::CommonName, &self.common_name),
        ];
        attributes.into_iter().filter_map(|(kind, value)| Some((kind, value.clone()?))).collect()
    }
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    match (arguments.csr.clone(), &arguments.local.common_name) {
        (Some(csr), _) => from_csr::run(&csr, arguments, context).await,
        (None, Some(_)) => local_key::run(arguments, context).await,
        (None, None) => Err(CliError::usage(
            "what is to be issued? --common-name NAME makes a key and a certificate, --csr FILE signs a CSR",
        )),
    }
}

fn key_type(text: &str) -> Result<ClientKeyKind, String> {
    ClientKeyKind::parse(text).ok_or_else(|| "write one of p256, p384, p521, rsa2048, rsa3072, rsa4096, ed25519".into())
}

fn subject_alternative_name(text: &str) -> Result<SubjectAlternativeName, String> {
    let (kind, value) = text
        .split_once(':')
        .and_then(|(kind, value)| Some((SubjectAlternativeNameType::parse(kind)?, value)))
        .ok_or("write the type first: dns:NAME, email:ADDRESS, uri:URI or ip:ADDRESS")?;
    SubjectAlternativeName::parse(kind, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_with_their_type() {
        assert_eq!(subject_alternative_name("ip:::1").unwrap().to_string(), "ip:::1");
        assert_eq!(subject_alternative_name("URI:urn:x:1").unwrap().to_string(), "uri:urn:x:1");
        for text in ["device.example.com", "dns:", "host:a", "ip:device"] {
            assert!(subject_alternative_name(text).is_err(), "{text}");
        }
    }
}
