//! The public PKI addresses that certificates point to: CA certificates and bundles. Cacheable, without credentials.

use actix_web::http::header::{CACHE_CONTROL, ETAG, EntityTag, Header, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse, route, web};

use crate::domain::id::AuthorityId;
use crate::service::Service;
use crate::x509::pem;

use super::envelope::Refusals;
use super::error::ApiError;

const DER_CERTIFICATE: &str = "application/pkix-cert";
const PKCS7: &str = "application/x-pkcs7-certificates";
pub(super) const PEM: &str = "application/x-pem-file";

/// An authority's certificate never changes.
const CERTIFICATE_MAX_AGE: i64 = 86_400;

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

pub(super) fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key("if-none-match"),
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}
