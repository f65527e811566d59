//! One certificate: what stands in it, how it stands, what became of it; downloads.

use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType};
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use askama::Template;
use chrono::{DateTime, Utc};

use crate::domain::authority::Authority;
use crate::domain::certificate::Certificate;
use crate::domain::id::{CertificateId, ZoneId};
use crate::domain::permission::Permission;
use crate::domain::status::Status;
use crate::service::Service;
use crate::service::access::{ReactivateCertificate, ReadCertificates};
use crate::service::history::History;
use crate::x509::certificate::CertificateFacts;
use crate::x509::foreign_certificate::ForeignCertificate;
use crate::x509::pem;

use super::certificates::{is_expired, is_pending, label};
use super::fault::Fault;
use super::page::{Crumb, Flash, Page, go_to, guarded, show};
use super::reasons;
use super::show;
use super::visitor::{ZoneForm, ZonePage};

#[derive(Template)]
#[template(path = "certificate.html", config = "src/http/console/askama.toml")]
struct CertificatePage {
    page: Page,
    zone: ZoneId,
    certificate: Certificate,
    decoded: Decoded,
    chain: Vec<Authority>,
    history: History,
    is_expired: bool,
    is_pending: bool,
    may_revoke: bool,
    may_reactivate: bool,
    now: DateTime<Utc>,
}

/// What is read out of the certificate itself.
struct Decoded {
    facts: CertificateFacts,
    subject: String,
    issuer: String,
    key_type: String,
    purposes: Vec<&'static str>,
}

#[get("/zones/{zone_id}/certificates/{certificate_id}")]
pub async fn show_one(here: ZonePage<ReadCertificates>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    let certificate = service.certificate(&here.permit, certificate_id(&here.visitor.request)).await?;
    let history = service.history(&here.permit, &certificate).await?;
    let chain = service.authorities_above(&here.permit, &certificate).await?;
    let now = service.clock().now();
    let is_expired = is_expired(&certificate, now);
    let revoking = here.visitor.may(Permission::RevokeCertificates, &zone);
    let is_held = certificate.revocation.as_ref().is_some_and(|revocation| revocation.reason.is_hold());
    let page = here.visitor.zone_page(&zone, &label(&certificate), vec![certificates_crumb(zone.id)]).await?;
    show(&CertificatePage {
        page,
        zone: zone.id,
        decoded: decode(&certificate)?,
        chain,
        history,
        is_expired,
        is_pending: is_pending(&certificate),
        // A hold can become final; what is final stays.
        may_revoke: revoking && (certificate.status == Status::Active || is_held),
        may_reactivate: revoking
            && is_held
            && !is_expired
            && matches!(certificate.status, Status::Revoked | Status::PendingRevocation),
        certificate,
        now,
    })
}

#[post("/zones/{zone_id}/certificates/{certificate_id}/reactivate")]
pub async fn reactivate(
    sent: ZoneForm<ReactivateCertificate>,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    let certificate = service.reactivate(&sent.permit, certificate_id(&sent.visitor.request)).await?;
    Ok(go_to(&address(&certificate), Some(Flash::ReactivationAsked)))
}

#[get("/zones/{zone_id}/certificates/{certificate_id}/download/{form}")]
pub async fn download(here: ZonePage<ReadCertificates>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let certificate = service.certificate(&here.permit, certificate_id(&here.visitor.request)).await?;
    let (content_type, ending, body) = match here.visitor.request.match_info().query("form") {
        "pem" => (PEM, "pem", pem::encode("CERTIFICATE", &certificate.der).into_bytes()),
        "der" => ("application/pkix-cert", "cer", certificate.der.clone()),
        "chain" => {
            let chain = service.certificate_chain(&here.permit, &certificate, false).await?;
            (PEM, "chain.pem", chain.pem().into_bytes())
        }
        "pkcs7" => {
            let chain = service.certificate_chain(&here.permit, &certificate, true).await?;
            ("application/x-pkcs7-certificates", "p7b", chain.pkcs7())
        }
        "csr" => (PEM, "csr.pem", certificate.csr.clone().into_bytes()),
        _ => return Err(Fault::no_page()),
    };
    let file = format!("{}.{ending}", file_name(&certificate));
    let disposition = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(file)],
    };
    let mut response = HttpResponse::Ok();
    guarded(&mut response).content_type(content_type).insert_header(disposition);
    Ok(response.body(body))
}

const PEM: &str = "application/x-pem-file";

/// What can be downloaded: the last part of the address, the name, what it is for.
const FILES: [(&str, &str, &str); 5] = [
    ("pem", "PEM", "the certificate alone, as text"),
    ("chain", "PEM with chain", "what a client presents: certificate and issuer"),
    ("der", "DER", "the certificate alone, binary"),
    ("pkcs7", "PKCS#7", "with the whole chain, for Windows and Java"),
    ("csr", "Request", "the CSR that it was made from"),
];

pub fn certificate_id(request: &HttpRequest) -> Option<CertificateId> {
    CertificateId::parse(request.match_info().query("certificate_id"))
}

pub fn address(certificate: &Certificate) -> String {
    format!("/zones/{}/certificates/{}", certificate.zone, certificate.id)
}

pub fn certificates_crumb(zone: ZoneId) -> Crumb {
    Crumb { label: "Certificates".into(), href: format!("/zones/{zone}/certificates") }
}

/// A name for files: what of the common name every system takes.
fn file_name(certificate: &Certificate) -> String {
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    let plain: String = certificate.subject.common_name.chars().filter(is_plain).take(60).collect();
    let plain = plain.trim_matches('.');
    if plain.is_empty() { certificate.serial.to_hex() } else { plain.to_owned() }
}

fn decode(certificate: &Certificate) -> Result<Decoded, Fault> {
    let unreadable = |error: String| Fault::from(crate::service::ServiceError::Internal(error));
    let facts = crate::x509::certificate::read(&certificate.der).map_err(|error| unreadable(error.to_string()))?;
    let read = ForeignCertificate::from_der(&certificate.der).map_err(unreadable)?;
    Ok(Decoded {
        subject: facts.subject.to_string(),
        issuer: facts.issuer.to_string(),
        facts,
        key_type: key_type_name(&read.key_type),
        purposes: read.extended_key_usage.unwrap_or_default().iter().map(|oid| purpose(oid)).collect(),
    })
}

pub fn key_type_name(word: &str) -> String {
    match word {
        "p256" => "ECDSA P-256".into(),
        "p384" => "ECDSA P-384".into(),
        "p521" => "ECDSA P-521".into(),
        "ed25519" => "Ed25519".into(),
        "rsa" => "RSA".into(),
        rsa => rsa.strip_prefix("rsa").map_or_else(|| word.to_owned(), |bits| format!("RSA, {bits} bits")),
    }
}

/// Kinds of keys one after the other.
pub fn key_type_names(words: &[String]) -> String {
    words.iter().map(|word| key_type_name(word)).collect::<Vec<_>>().join(", ")
}

fn purpose(oid: &str) -> &'static str {
    match oid {
        "1.3.6.1.5.5.7.3.1" => "TLS server (serverAuth)",
        "1.3.6.1.5.5.7.3.2" => "TLS client (clientAuth)",
        "1.3.6.1.5.5.7.3.4" => "e-mail (emailProtection)",
        _ => "another purpose",
    }
}

/// What happened, in words, and how it looks in the history.
fn act_words(action: &str, is_refused: &bool) -> &'static str {
    match (action, is_refused) {
        ("certificate.issue", _) => "Issued",
        ("certificate.revoke", false) => "Revocation asked for",
        ("certificate.revoke", true) => "Revocation refused",
        ("certificate.reactivate", false) => "Reactivation asked for",
        ("certificate.reactivate", true) => "Reactivation refused",
        ("certificate.revoked", _) => "Revoked: relying parties can see it",
        ("certificate.reactivated", _) => "Active again: relying parties can see it",
        _ => "Something else",
    }
}
