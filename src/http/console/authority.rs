//! What signs in a zone and how others rely on it: authorities, their CRLs, bundles, and how servers are told.

use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType};
use actix_web::{HttpResponse, get, web};
use askama::Template;
use chrono::{DateTime, Utc};

use crate::domain::authority::{Authority, AuthorityState};
use crate::domain::id::ZoneId;
use crate::service::Service;
use crate::service::access::ReadAuthorities;
use crate::store::Publication;
use crate::x509::certificate::CertificateFacts;

use super::certificate::key_type_name;
use super::fault::Fault;
use super::page::{Page, guarded, show};
use super::relying::{Addresses, Piece, crl_chain_url, pieces};
use super::show;
use super::visitor::ZonePage;

#[derive(Template)]
#[template(path = "authority.html", config = "src/http/console/askama.toml")]
struct AuthorityPage {
    page: Page,
    zone: ZoneId,
    /// The one that signs first, the roots last.
    authorities: Vec<Row>,
    pieces: Vec<Piece>,
    /// Where the CRLs of the whole chain are.
    chain_url: String,
    now: DateTime<Utc>,
}

struct Row {
    authority: Authority,
    facts: CertificateFacts,
    key_type: String,
    publication: Option<Publication>,
    crl_url: String,
    ocsp_url: String,
}

#[get("/zones/{zone_id}/authority")]
pub async fn show_all(here: ZonePage<ReadAuthorities>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    let public_url = service.public_url();
    let mut authorities = Vec::new();
    for shown in service.authorities(&here.permit).await? {
        let facts = crate::x509::certificate::read(&shown.authority.certificate)
            .map_err(|error| crate::service::ServiceError::Internal(error.to_string()))?;
        authorities.push(Row {
            facts,
            key_type: key_type_name(shown.authority.key_type.as_str()),
            crl_url: service.crl_url(shown.authority.id),
            ocsp_url: format!("{public_url}/pki/{}/ocsp", shown.authority.id),
            authority: shown.authority,
            publication: shown.publication,
        });
    }
    let addresses = Addresses { public_url, zone: zone.id.to_string(), trusted: trusted(public_url, &authorities) };
    show(&AuthorityPage {
        page: here.visitor.zone_page(&zone, "Authority", Vec::new()).await?,
        zone: zone.id,
        pieces: pieces(&addresses),
        authorities,
        chain_url: crl_chain_url(&addresses),
        now: service.clock().now(),
    })
}

/// The bundle with which relying parties of the zone verify: also of retired authorities whose certificates live.
#[get("/zones/{zone_id}/authority/bundle/{form}")]
pub async fn download(here: ZonePage<ReadAuthorities>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let bundle = service.bundle(&here.permit).await?;
    let (content_type, file, body) = match here.visitor.request.match_info().query("form") {
        "pem" => ("application/x-pem-file", "clients-ca.pem", bundle.pem().into_bytes()),
        "der" => ("application/octet-stream", "clients-ca.der", bundle.der()),
        "pkcs7" => ("application/x-pkcs7-certificates", "clients-ca.p7b", bundle.pkcs7()),
        _ => return Err(Fault::no_page()),
    };
    let parameters = vec![DispositionParam::Filename(file.into())];
    let mut response = HttpResponse::Ok();
    guarded(&mut response).content_type(content_type);
    response.insert_header(ContentDisposition { disposition: DispositionType::Attachment, parameters });
    Ok(response.body(body))
}

/// In what the bundle can be had: the last part of the address, the name, what it is for.
const FORMS: [(&str, &str, &str); 3] = [
    ("pem", "PEM", "what nginx, HAProxy, Envoy, Traefik, Caddy, Apache, curl and OpenSSL read"),
    ("pkcs7", "PKCS#7", "for Windows and Java"),
    ("der", "DER", "the certificates one after the other, binary"),
];

/// Where anybody gets the certificates of everything that certificates of the zone may have been signed by.
fn trusted(public_url: &str, authorities: &[Row]) -> Vec<String> {
    let issuing = authorities.iter().map(|row| &row.authority).filter(|authority| !authority.is_root());
    let alive: Vec<_> = issuing.filter(|authority| authority.state != AuthorityState::Disabled).collect();
    let parent = alive.first().and_then(|authority| authority.parent);
    let url = |(index, authority): (usize, &&Authority)| {
        // The first brings its root with it, which is mostly the root of all.
        let file = if index > 0 && authority.parent == parent { "ca.pem" } else { "bundle.pem" };
        format!("{public_url}/pki/{}/{file}", authority.id)
    };
    alive.iter().enumerate().map(url).collect()
}

fn state_badge(state: &AuthorityState) -> (&'static str, &'static str) {
    match state {
        AuthorityState::Active => ("active", "Signs"),
        AuthorityState::Retired => ("expired", "Retired: signs CRLs only"),
        AuthorityState::Disabled => ("revoked", "Disabled"),
    }
}
