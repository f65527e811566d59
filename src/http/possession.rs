//! Revocation by whoever holds a certificate's private key: public, without a token.

use actix_web::{HttpRequest, HttpResponse, post, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::certificate::Certificate;
use crate::domain::id::AuthorityId;
use crate::domain::json::Members;
use crate::domain::serial::SerialNumber;
use crate::domain::text::timestamp;
use crate::service::Service;
use crate::service::possession::GivenChallenge;
use crate::x509::jws;

use super::api::wire_certificate::{StatusWord, WireRevocation};
use super::authentication::source;
use super::body;
use super::envelope::{self, Refusals, Success};
use super::error::ApiError;

#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the derive alone")]
struct ChallengeRequest {
    /// In decimal or hex.
    #[schema(max_length = 80)]
    serial_number: String,
}

/// What has to be signed.
#[derive(Serialize, ToSchema)]
struct RevocationChallenge {
    /// base64url; it goes into the protected header as `nonce`.
    challenge: String,
    /// When it can no longer be answered, RFC 3339 in UTC.
    expires_on: String,
    /// Where the answer goes; it goes into the protected header as `url`.
    url: String,
}

/// A flattened JSON Web Signature (RFC 7515, 7.2.2), in base64url without padding.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the derive alone")]
struct PossessionProof {
    /// `{"alg", "nonce", "url"}`. alg is that of the certificate's key: ES256 for P-256, ES384 for P-384, ES512 for P-521,
    /// RS256 or PS256 for RSA, EdDSA for Ed25519.
    protected: String,
    /// `{"serial_number", "reason", "invalidity_date"}`, the latter two at will. The reason is `unspecified` without, which
    /// is final; else `keyCompromise`, `affiliationChanged`, `superseded`, `cessationOfOperation` or `certificateHold`.
    payload: String,
    signature: String,
}

/// What became of the certificate.
#[derive(Serialize, ToSchema)]
struct HeldCertificate {
    /// Decimal.
    serial_number: String,
    status: StatusWord,
    #[schema(value_type = Option<WireRevocation>)]
    revocation: Option<WireRevocation>,
}

/// Ask for a challenge, to show with its answer that you hold a certificate's key. Given for every serial number, whether
/// there is such a certificate or not.
#[utoipa::path(
    path = "/pki/{authority_id}/revocation/challenge", tag = "PKI", operation_id = "revocation-challenge",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    request_body = ChallengeRequest,
    responses((status = 200, description = "the challenge", body = Success<RevocationChallenge>), Refusals)
)]
#[post("/pki/{authority_id}/revocation/challenge")]
pub async fn challenge(
    id: web::Path<String>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let serial = serial(&body::read_at_most(payload, jws::MAX_LENGTH).await?)?;
    let given = service.revocation_challenge(AuthorityId::parse(&id), serial).await?;
    Ok(envelope::success(RevocationChallenge::from(given)))
}

/// Revoke a certificate by showing that you hold its key. Repeating the message is safe. One answer, 403, says that the
/// proof failed, whatever was wrong with it.
#[utoipa::path(
    path = "/pki/{authority_id}/revocation", tag = "PKI", operation_id = "revocation-by-holder",
    params(("authority_id" = String, Path, description = "UUID of the authority")),
    request_body = PossessionProof,
    responses(
        (status = 200, description = "pending_revocation until the CRL lists it", body = Success<HeldCertificate>),
        Refusals,
    )
)]
#[post("/pki/{authority_id}/revocation")]
pub async fn revoke(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let message = body::read_at_most(payload, jws::MAX_LENGTH).await?;
    let certificate = service.revoke_by_holder(AuthorityId::parse(&id), &message, source(&request)).await?;
    Ok(envelope::success(HeldCertificate::from(certificate)))
}

fn serial(body: &[u8]) -> Result<SerialNumber, ApiError> {
    let read = || {
        let mut members = Members::read(body)?;
        let serial = SerialNumber::parse(&members.text("serial_number")?);
        members.finish()?;
        serial.ok_or_else(|| "serial_number must be a serial number in decimal or hex".to_owned())
    };
    read().map_err(|why: String| ApiError::undecodable_body(&why))
}

impl From<GivenChallenge> for RevocationChallenge {
    fn from(given: GivenChallenge) -> Self {
        Self { challenge: given.challenge, expires_on: timestamp(given.expires_on), url: given.url }
    }
}

impl From<Certificate> for HeldCertificate {
    fn from(certificate: Certificate) -> Self {
        Self {
            serial_number: certificate.serial.to_decimal(),
            status: certificate.status.into(),
            revocation: certificate.revocation.map(Into::into),
        }
    }
}
