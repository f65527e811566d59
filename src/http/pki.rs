//! The public PKI addresses that certificates point to: CA certificates, bundles and CRLs. Cacheable, without
//! credentials.

use std::io;

use actix_web::body::SizedStream;
use actix_web::http::header::{CACHE_CONTROL, ETAG, EntityTag, Header, IfNoneMatch, LAST_MODIFIED};
use actix_web::{HttpRequest, HttpResponse, route, web};
use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::domain::id::AuthorityId;
use crate::service::Service;
use crate::service::pki::PublishedCrl;
use crate::x509::pem;

use super::envelope::Refusals;
use super::error::ApiError;

const DER_CERTIFICATE: &str = "application/pkix-cert";
const DER_CRL: &str = "application/pkix-crl";
const PKCS7: &str = "application/x-pkcs7-certificates";
const PEM: &str = "application/x-pem-file";

/// An authority's certificate never changes.
const CERTIFICATE_MAX_AGE: i64 = 86_400;
/// A cache may hold a CRL for this long, in seconds: revocations must show, whatever nextUpdate promises.
const CRL_MAX_AGE: i64 = 10;
/// How much of a CRL a connection holds at a time, in octets.
const PIECE: usize = 64 * 1024;

/// The authority's certificate in DER: where the caIssuers address of certificates leads (RFC 5280, 4.2.2.1).
#[utoipa::path(
    method(get, head), path = "/pki/{authority_id}/ca.cer", tag = "PKI", operation_id = "authority-certificate",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    responses(
        (status = 200, description = "the certificate", content_type = "application/pkix-cert", body = Vec<u8>),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{authority_id}/ca.cer", method = "GET", method = "HEAD")]
pub async fn certificate(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let authority = service.public_authority(AuthorityId::parse(&id)).await?;
    Ok(unchanging(&request, DER_CERTIFICATE, &format!("{}-cer", authority.id), authority.certificate))
}

/// The authority's certificate in PEM.
#[utoipa::path(
    method(get, head), path = "/pki/{authority_id}/ca.pem", tag = "PKI", operation_id = "authority-certificate-pem",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    responses(
        (status = 200, description = "the certificate", content_type = "application/x-pem-file", body = String),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{authority_id}/ca.pem", method = "GET", method = "HEAD")]
pub async fn certificate_pem(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let authority = service.public_authority(AuthorityId::parse(&id)).await?;
    let text = pem::encode("CERTIFICATE", &authority.certificate);
    Ok(unchanging(&request, PEM, &format!("{}-pem", authority.id), text.into_bytes()))
}

/// The authority's certificate and those above it, in PEM.
#[utoipa::path(
    method(get, head), path = "/pki/{authority_id}/bundle.pem", tag = "PKI", operation_id = "authority-bundle-pem",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    responses(
        (status = 200, description = "the chain", content_type = "application/x-pem-file", body = String),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{authority_id}/bundle.pem", method = "GET", method = "HEAD")]
pub async fn bundle_pem(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let bundle = service.public_bundle(AuthorityId::parse(&id)).await?;
    Ok(unchanging(&request, PEM, &format!("{id}-bundle-pem"), bundle.pem().into_bytes()))
}

/// The authority's certificate and those above it, as PKCS#7 in DER.
#[utoipa::path(
    method(get, head), path = "/pki/{authority_id}/bundle.p7b", tag = "PKI", operation_id = "authority-bundle-pkcs7",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    responses(
        (status = 200, description = "the chain", content_type = "application/x-pkcs7-certificates", body = Vec<u8>),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{authority_id}/bundle.p7b", method = "GET", method = "HEAD")]
pub async fn bundle_pkcs7(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let bundle = service.public_bundle(AuthorityId::parse(&id)).await?;
    Ok(unchanging(&request, PKCS7, &format!("{id}-bundle-p7b"), bundle.pkcs7()))
}

/// The authority's last CRL in DER: where the distribution point of certificates leads (RFC 5280, 4.2.1.13).
#[utoipa::path(
    method(get, head), path = "/pki/{authority_id}/crl", tag = "PKI", operation_id = "authority-crl",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    responses(
        (status = 200, description = "the CRL", content_type = "application/pkix-crl", body = Vec<u8>),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{authority_id}/crl", method = "GET", method = "HEAD")]
pub async fn revocation_list(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let crl = service.public_crl(AuthorityId::parse(&id)).await?;
    Ok(published(&request, &service, DER_CRL, "crl", &crl, PublishedCrl::der))
}

/// The authority's last CRL in PEM, as nginx and HAProxy read it.
#[utoipa::path(
    method(get, head), path = "/pki/{authority_id}/crl.pem", tag = "PKI", operation_id = "authority-crl-pem",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    responses(
        (status = 200, description = "the CRL", content_type = "application/x-pem-file", body = String),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{authority_id}/crl.pem", method = "GET", method = "HEAD")]
pub async fn revocation_list_pem(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let crl = service.public_crl(AuthorityId::parse(&id)).await?;
    Ok(published(&request, &service, PEM, "pem", &crl, PublishedCrl::pem))
}

fn unchanging(request: &HttpRequest, content_type: &str, tag: &str, body: Vec<u8>) -> HttpResponse {
    let tag = EntityTag::new_strong(tag.to_owned());
    let cache = format!("public, max-age={CERTIFICATE_MAX_AGE}");
    if is_known(request, &tag) {
        return HttpResponse::NotModified().insert_header((ETAG, tag)).insert_header((CACHE_CONTROL, cache)).finish();
    }
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, cache))
        .body(body)
}

fn published(
    request: &HttpRequest,
    service: &Service,
    content_type: &str,
    form: &str,
    crl: &PublishedCrl,
    form_of: impl FnOnce(&PublishedCrl) -> Bytes,
) -> HttpResponse {
    let tag = EntityTag::new_strong(format!("{}-{}-{form}", crl.authority, crl.number));
    let left = (crl.next_update - service.clock().now()).num_seconds();
    let cache = format!("public, max-age={}, must-revalidate", left.clamp(0, CRL_MAX_AGE));
    let modified = crl.this_update.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut response = if is_known(request, &tag) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, tag.clone()))
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((LAST_MODIFIED, modified));
    if is_known(request, &tag) {
        return response.finish();
    }
    response.content_type(content_type).body(in_pieces(form_of(crl)))
}

pub(super) fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key("if-none-match"),
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

/// A body that is handed over piece by piece as the client takes it. In one piece, the connection would copy it whole:
/// clients that ask for a large CRL and do not read would each hold one in memory.
fn in_pieces(bytes: Bytes) -> SizedStream<impl Stream<Item = io::Result<Bytes>>> {
    let length = bytes.len();
    let pieces = (0..length).step_by(PIECE).map(move |start| Ok(bytes.slice(start..length.min(start + PIECE))));
    SizedStream::new(length as u64, stream::iter(pieces))
}
