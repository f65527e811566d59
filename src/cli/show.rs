//! `countersign show`

use clap::Args;

use super::client::Call;
use super::connection::{Connection, ZoneChoice};
use super::error::CliError;
use super::objects::Certificate;
use super::{Context, output, resolve};

/// Show one certificate
///
/// Examples:
///
///   countersign show 0d89c70d-ad9f-4843-b99f-6cc0252067e9
///   countersign show 0d89c70d-ad9f-4843-b99f-6cc0252067e9 --pem | openssl x509 -noout -text
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The certificate, by id, serial number or SHA-256 fingerprint
    #[arg(value_name = "ID")]
    certificate: String,

    /// Print the certificate itself, in PEM
    #[arg(long, conflicts_with = "json")]
    pem: bool,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let id = resolve::certificate(&client, zone, &arguments.certificate).await?;
    let answer = client.call(Call::get(format!("/client/v4/zones/{zone}/client_certificates/{id}"))).await?;
    if arguments.connection.json {
        return output::json(&answer.result);
    }
    let certificate: Certificate = answer.read()?;
    if arguments.pem {
        return output::bytes(certificate.certificate.as_bytes());
    }
    output::fields(&description(&certificate, certificate.is_expired(context.clock.now())))
}

fn description(certificate: &Certificate, is_expired: bool) -> Vec<(&'static str, String)> {
    let names: Vec<String> = certificate.sans.iter().map(|name| format!("{}:{}", name.kind, name.value)).collect();
    let expired = if is_expired { " (expired)" } else { "" };
    let revocation = certificate.revocation.as_ref().map(|revocation| {
        let revoked_on = revocation.revoked_on.as_ref().map(|time| format!(", revoked {time}")).unwrap_or_default();
        format!("{}, requested {}{revoked_on}", revocation.reason, revocation.requested_on)
    });
    let receipt = certificate
        .receipt
        .as_ref()
        .map(|receipt| format!("{} by CRL {} of {}", receipt.status, receipt.crl_number, receipt.published_on));
    vec![
        ("id", certificate.id.clone()),
        ("status", certificate.status.clone()),
        ("revocation", revocation.unwrap_or_default()),
        ("receipt", receipt.unwrap_or_default()),
        ("common name", certificate.common_name.clone()),
        ("organization", certificate.organization.clone()),
        ("organizational unit", certificate.organizational_unit.clone()),
        ("locality", certificate.location.clone()),
        ("state", certificate.state.clone()),
        ("country", certificate.country.clone()),
        ("names", names.join(", ")),
        ("issued", certificate.issued_on.clone()),
        ("expires", format!("{}{expired}", certificate.expires_on)),
        ("validity", format!("{} days", certificate.validity_days)),
        ("profile", certificate.profile.clone()),
        ("authority", format!("{} ({})", certificate.certificate_authority.name, certificate.certificate_authority.id)),
        ("signature", certificate.signature.clone()),
        ("serial number", certificate.serial_number.clone()),
        ("  in hex", certificate.serial_number_hex.clone()),
        ("SHA-256", certificate.fingerprint_sha256.clone()),
    ]
}
