//! OCSP over HTTP (RFC 6960, appendix A; headers for caches by RFC 9919, 5 and 6). Public, without credentials.
//!
//! What is wrong with a request is told in OCSP, with status 200, as clients expect; what is wrong with its transport
//! (too long, another content type, no such authority) in the service's own envelope.

use std::time::SystemTime;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, EntityTag, HttpDate, LAST_MODIFIED, RETRY_AFTER,
};
use actix_web::{HttpRequest, HttpResponse, post, route, web};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::domain::id::AuthorityId;
use crate::service::Service;
use crate::service::ocsp::{OcspAnswer, SignedAnswer};
use crate::x509::ocsp::request::MAX_REQUEST;
use crate::x509::ocsp::response::Refusal;

use super::body;
use super::envelope::Refusals;
use super::error::ApiError;
use super::pki::is_known;

const REQUEST_TYPE: &str = "application/ocsp-request";
const RESPONSE_TYPE: &str = "application/ocsp-response";
/// A cache may hold an answer for this long, in seconds: revocations must show, whatever nextUpdate promises.
const MAX_AGE: i64 = 10;
/// When to come again after `tryLater`, in seconds.
const RETRY_SECONDS: &str = "1";
const NO_STORE: &str = "no-store";

/// Is this certificate revoked? The body is an OCSPRequest in DER.
#[utoipa::path(
    path = "/pki/{authority_id}/ocsp", tag = "PKI", operation_id = "ocsp",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    request_body(content = Vec<u8>, content_type = "application/ocsp-request"),
    responses(
        (status = 200, description = "the answer, also one that refuses", content_type = "application/ocsp-response", body = Vec<u8>),
        Refusals,
    )
)]
#[post("/pki/{authority_id}/ocsp")]
pub async fn ask(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    require_type(&request)?;
    let body = body::read_at_most(payload, MAX_REQUEST).await?;
    let answer = service.answer_ocsp(AuthorityId::parse(&id), &body).await?;
    Ok(respond(None, answer, service.clock().now()))
}

/// Is this certificate revoked? The request stands in the address: base64 of an OCSPRequest, percent-encoded.
#[utoipa::path(
    method(get, head), path = "/pki/{authority_id}/ocsp/{request}", tag = "PKI", operation_id = "ocsp-in-address",
    params(
        ("authority_id" = String, Path, description = "UUID of the authority"),
        ("request" = String, Path, description = "an OCSPRequest in base64, percent-encoded or not")
    ),
    responses(
        (status = 200, description = "the answer, also one that refuses", content_type = "application/ocsp-response", body = Vec<u8>),
        (status = 304, description = "unchanged"),
        Refusals,
    )
)]
#[route("/pki/{authority_id}/ocsp/{request:.*}", method = "GET", method = "HEAD")]
pub async fn ask_in_address(request: HttpRequest, service: web::Data<Service>) -> Result<HttpResponse, ApiError> {
    // What is no base64 is no request either, and answered as one.
    let der = decode(request.uri().path()).unwrap_or_default();
    let id = request.match_info().get("authority_id").and_then(AuthorityId::parse);
    let answer = service.answer_ocsp(id, &der).await?;
    Ok(respond(Some(&request), answer, service.clock().now()))
}

/// Parameters of the type are passed over; no type at all is taken for the right one.
fn require_type(request: &HttpRequest) -> Result<(), ApiError> {
    let Some(value) = request.headers().get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(REQUEST_TYPE)) {
        return Ok(());
    }
    let message = format!("the content type of an OCSP request is {REQUEST_TYPE}");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 1400, message))
}

/// The request out of the address as it was sent: base64 has characters that mean something in addresses, and clients
/// differ in which of them they percent-encode.
fn decode(path: &str) -> Option<Vec<u8>> {
    let (_, encoded) = path.split_once("/ocsp/")?;
    let mut text = percent_decoded(encoded.trim_start_matches('/'))?;
    // The alphabet for addresses (RFC 4648, 5) is not asked for, but it is sent.
    text.iter_mut().for_each(|octet| match octet {
        b'-' => *octet = b'+',
        b'_' => *octet = b'/',
        _ => {}
    });
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&alphabet::STANDARD, lenient).decode(text).ok().filter(|der| der.len() <= MAX_REQUEST)
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut octets = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            decoded.push(octet);
            continue;
        }
        let mut digit = || octets.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = (digit()?, digit()?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(decoded)
}

/// `conditional` is the request, if it may be answered by 304.
fn respond(conditional: Option<&HttpRequest>, answer: OcspAnswer, now: DateTime<Utc>) -> HttpResponse {
    match answer {
        OcspAnswer::Shared(answer) => shared(conditional, &answer, now),
        OcspAnswer::Once(der) => unshared(der),
        OcspAnswer::Refused(refusal) => {
            let mut response = unshared(Bytes::from_static(refusal.der()));
            if refusal == Refusal::TryLater {
                let value = actix_web::http::header::HeaderValue::from_static(RETRY_SECONDS);
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            response
        }
    }
}

fn unshared(der: Bytes) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, RESPONSE_TYPE)).insert_header((CACHE_CONTROL, NO_STORE)).body(der)
}

fn shared(conditional: Option<&HttpRequest>, answer: &SignedAnswer, now: DateTime<Utc>) -> HttpResponse {
    let tag = EntityTag::new_strong(answer.digest.clone());
    let is_known = conditional.is_some_and(|request| is_known(request, &tag));
    let left = (answer.next_update - now).num_seconds();
    let cache = format!("max-age={}, public, no-transform, must-revalidate", left.clamp(0, MAX_AGE));
    let date = |time: DateTime<Utc>| HttpDate::from(SystemTime::from(time));
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((LAST_MODIFIED, date(answer.this_update)))
        .insert_header((EXPIRES, date(answer.next_update)));
    if is_known {
        return response.finish();
    }
    response.insert_header((CONTENT_TYPE, RESPONSE_TYPE)).body(answer.der.clone())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

    use super::*;

    #[test]
    fn requests_in_addresses_are_read_however_they_are_written() {
        let der: Vec<u8> = (0..=255).chain([62, 63, 255, 239, 190, 1]).collect();
        let plain = STANDARD.encode(&der);
        assert!(plain.contains('+') && plain.contains('/') && plain.ends_with('='));
        let escaped = plain.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
        let everything: String = plain.bytes().map(|octet| format!("%{octet:02x}")).collect();
        for text in [plain, escaped, everything, STANDARD_NO_PAD.encode(&der), URL_SAFE.encode(&der)] {
            assert_eq!(decode(&format!("/pki/id/ocsp/{text}")), Some(der.clone()), "{text}");
            assert_eq!(decode(&format!("/pki/id/ocsp//{text}")), Some(der.clone()), "{text}");
        }
    }

    #[test]
    fn what_is_no_base64_is_no_request() {
        for text in ["%", "%4", "%zz", "MEow!", "A", "%00", "ü", "MA==MA=="] {
            assert_eq!(decode(&format!("/pki/id/ocsp/{text}")), None, "{text}");
        }
        assert_eq!(decode("/pki/id/ocsp/"), Some(Vec::new()));
        assert_eq!(decode("/pki/id"), None);
        assert_eq!(decode(&format!("/pki/id/ocsp/{}", "A".repeat(MAX_REQUEST * 2))), None);
    }
}
