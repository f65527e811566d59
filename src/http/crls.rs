//! CRLs at the public PKI addresses: complete ones, deltas, shards, and the file of a whole chain. Cacheable, without
//! credentials.

use std::io;
use std::sync::Arc;

use actix_web::body::SizedStream;
use actix_web::http::header::{CACHE_CONTROL, ETAG, EntityTag, LAST_MODIFIED};
use actix_web::{HttpRequest, HttpResponse, route, web};
use bytes::Bytes;
use futures_util::stream;

use crate::domain::authority::CrlScope;
use crate::domain::id::{AuthorityId, ZoneId};
use crate::service::Service;
use crate::service::pki::PublishedCrl;
use crate::x509::pem;

use super::envelope::Refusals;
use super::error::ApiError;
use super::pki::{PEM, is_known};

const DER_CRL: &str = "application/pkix-crl";
const LABEL: &str = "X509 CRL";
/// A cache may hold a CRL for this long, in seconds: revocations must show, whatever nextUpdate promises.
const MAX_AGE: i64 = 10;

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
pub async fn complete(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let crl = service.public_crl(AuthorityId::parse(&id), CrlScope::Complete).await?;
    Ok(der(&request, &service, &crl))
}

/// The authority's last CRL in PEM.
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
pub async fn complete_pem(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let crl = service.public_crl(AuthorityId::parse(&id), CrlScope::Complete).await?;
    Ok(in_pem(&request, &service, &[crl]))
}

/// What changed since an earlier complete CRL, the base (RFC 5280, 5.2.4): where freshestCRL leads.
#[utoipa::path(
    method(get, head), path = "/pki/{authority_id}/crl/delta", tag = "PKI", operation_id = "authority-crl-delta",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    responses(
        (status = 200, description = "the delta CRL", content_type = "application/pkix-crl", body = Vec<u8>),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{authority_id}/crl/delta", method = "GET", method = "HEAD")]
pub async fn delta(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let crl = service.public_crl(AuthorityId::parse(&id), CrlScope::Delta).await?;
    Ok(der(&request, &service, &crl))
}

/// One shard of an authority that has shards: where the distribution point of its certificates leads.
#[utoipa::path(
    method(get, head), path = "/pki/{authority_id}/crl/{shard}", tag = "PKI", operation_id = "authority-crl-shard",
    params(
        ("authority_id" = String, Path, description = "UUID of the authority"),
        ("shard" = String, Path, description = "number of the shard, from 0"),
    ),
    responses(
        (status = 200, description = "the CRL of the shard", content_type = "application/pkix-crl", body = Vec<u8>),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{authority_id}/crl/{shard}", method = "GET", method = "HEAD")]
pub async fn shard(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let (id, shard) = path.into_inner();
    // One way to write each number, so that each shard has one address.
    let number = shard.parse::<i32>().ok().filter(|number| *number >= 0 && number.to_string() == shard);
    let scope = number.and_then(CrlScope::from_code);
    let id = AuthorityId::parse(&id).filter(|_| scope.is_some());
    let crl = service.public_crl(id, scope.unwrap_or(CrlScope::Complete)).await?;
    Ok(der(&request, &service, &crl))
}

/// The complete CRLs of every authority in the zone's chain in one PEM file, as nginx and HAProxy want it.
#[utoipa::path(
    method(get, head), path = "/pki/{zone_id}/crl-chain.pem", tag = "PKI", operation_id = "zone-crl-chain",
    params(("zone_id" = String, Path, max_length = 32)),
    responses(
        (status = 200, description = "the CRLs, that of the signing authority first", content_type = "application/x-pem-file", body = String),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{zone_id}/crl-chain.pem", method = "GET", method = "HEAD")]
pub async fn chain(
    request: HttpRequest,
    id: web::Path<String>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let chain = service.public_crl_chain(ZoneId::parse(&id)).await?;
    Ok(in_pem(&request, &service, &chain))
}

fn der(request: &HttpRequest, service: &Service, crl: &Arc<PublishedCrl>) -> HttpResponse {
    let body = || in_pieces(crl.length(), crl.pieces());
    published(request, service, DER_CRL, "crl", std::slice::from_ref(crl), body)
}

fn in_pem(request: &HttpRequest, service: &Service, crls: &[Arc<PublishedCrl>]) -> HttpResponse {
    let body = || {
        let length = crls.iter().map(|crl| pem::encoded_length(LABEL, crl.length())).sum();
        let crls: Vec<_> = crls.iter().map(|crl| pem::encode_pieces(LABEL, crl.pieces())).collect();
        in_pieces(length, crls.into_iter().flatten())
    };
    published(request, service, PEM, "pem", crls, body)
}

/// An answer that caches may hold for a moment, and that says nothing more to whoever has it already.
fn published<B: actix_web::body::MessageBody + 'static>(
    request: &HttpRequest,
    service: &Service,
    content_type: &str,
    form: &str,
    crls: &[Arc<PublishedCrl>],
    body: impl FnOnce() -> B,
) -> HttpResponse {
    // With the date: after a restore from a backup, a number may come again over other entries.
    let name = |crl: &Arc<PublishedCrl>| {
        format!("{}-{}-{}-{}", crl.authority, crl.scope.code(), crl.number, crl.this_update.timestamp())
    };
    let names: Vec<_> = crls.iter().map(name).collect();
    let tag = EntityTag::new_strong(format!("{}-{form}", names.join("-")));
    let now = service.clock().now();
    let left = crls.iter().map(|crl| (crl.next_update - now).num_seconds()).min().unwrap_or_default();
    let cache = format!("public, max-age={}, must-revalidate", left.clamp(0, MAX_AGE));
    let modified = crls.iter().map(|crl| crl.this_update).max().unwrap_or(now);
    let is_known = is_known(request, &tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((LAST_MODIFIED, modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string()));
    if is_known { response.finish() } else { response.content_type(content_type).body(body()) }
}

/// A body that is handed over piece by piece as the client takes it. In one piece, the connection would copy it whole:
/// clients that ask for a large CRL and do not read would each hold one in memory.
fn in_pieces(
    length: usize,
    pieces: impl Iterator<Item = Bytes> + 'static,
) -> SizedStream<impl futures_util::Stream<Item = io::Result<Bytes>>> {
    SizedStream::new(length as u64, stream::iter(pieces.map(Ok)))
}
