//! Answers (RFC 6960, 4.2): encoded here, signed by `keys::Signer`.

use chrono::{DateTime, Utc};

use crate::domain::key::AuthorityKeyType;
use crate::domain::ocsp::{CertStatus, Revocation};
use crate::domain::reason::RevocationReason;

use super::super::der::{ENUMERATED, EXPLICIT_0, SEQUENCE, context, context_constructed, write};
use super::super::error::X509Error;
use super::super::{algorithm, extension, oid, time};

const EXPLICIT_1: u8 = context_constructed(1);
const EXPLICIT_2: u8 = context_constructed(2);

/// All that an answer shall say.
#[derive(Clone, Debug)]
pub struct OcspPlan<'a> {
    /// SHA-1 of the responder's public key: the responderID.
    pub responder_key: [u8; 20],
    pub key_type: AuthorityKeyType,
    /// The responder's certificate in DER, which goes along.
    pub responder_certificate: &'a [u8],
    pub produced_at: DateTime<Utc>,
    /// One for each certificate that was asked about.
    pub answers: Vec<SingleAnswer<'a>>,
    /// Repeated from the request.
    pub nonce: Option<&'a [u8]>,
}

/// What is said of one certificate. Times are cut to whole seconds.
#[derive(Clone, Debug)]
pub struct SingleAnswer<'a> {
    /// From the request, byte for byte.
    pub cert_id: &'a [u8],
    pub status: CertStatus,
    /// When the status was known to be this.
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
}

/// An encoded ResponseData, ready to be signed.
pub struct OcspTbs {
    der: Vec<u8>,
    responder_key: [u8; 20],
    key_type: AuthorityKeyType,
    responder_certificate: Vec<u8>,
}

/// A signed OCSPResponse. Only [`OcspTbs::seal`] makes one.
#[derive(Clone, Debug)]
pub struct SignedOcsp {
    der: Vec<u8>,
}

/// Encodes the plan.
pub fn build(plan: &OcspPlan<'_>) -> Result<OcspTbs, X509Error> {
    let responder = write::element(EXPLICIT_2, &write::octet_string(&plan.responder_key));
    let produced_at = time::write_generalized(plan.produced_at)?;
    let mut answers = Vec::with_capacity(plan.answers.len() * 160);
    for answer in &plan.answers {
        push_answer(&mut answers, answer)?;
    }
    let answers = write::sequence(&[&answers]);
    let nonce = match plan.nonce {
        Some(nonce) => {
            let extension = extension::write(oid::OCSP_NONCE, false, &write::octet_string(nonce))?;
            write::element(EXPLICIT_1, &write::sequence(&[&extension]))
        }
        None => Vec::new(),
    };
    Ok(OcspTbs {
        der: write::sequence(&[&responder, &produced_at, &answers, &nonce]),
        responder_key: plan.responder_key,
        key_type: plan.key_type,
        responder_certificate: plan.responder_certificate.to_vec(),
    })
}

impl OcspTbs {
    /// The bytes to sign.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn key_type(&self) -> AuthorityKeyType {
        self.key_type
    }

    /// SHA-1 of the public key that it is planned for.
    pub fn responder_key(&self) -> [u8; 20] {
        self.responder_key
    }

    /// Puts the signature under the bytes. Only `keys::Signer` calls it, with the signature that the responder's key
    /// made over exactly [`OcspTbs::der`].
    pub(crate) fn seal(self, signature: &[u8]) -> Result<SignedOcsp, X509Error> {
        let algorithm = algorithm::identifier(self.key_type)?;
        let certificates = write::element(EXPLICIT_0, &write::sequence(&[&self.responder_certificate]));
        let basic = write::sequence(&[&self.der, &algorithm, &write::bit_string(signature), &certificates]);
        let kind = write::object_identifier(oid::OCSP_BASIC)?;
        let bytes = write::sequence(&[&kind, &write::octet_string(&basic)]);
        const SUCCESSFUL: [u8; 3] = [ENUMERATED, 1, 0];
        Ok(SignedOcsp { der: write::sequence(&[&SUCCESSFUL, &write::element(EXPLICIT_0, &bytes)]) })
    }
}

impl SignedOcsp {
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn into_der(self) -> Vec<u8> {
        self.der
    }
}

/// An answer without a status: unsigned, and always the same octets (RFC 6960, 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What was sent is no request, or one beyond the bounds.
    MalformedRequest,
    /// A fault of ours.
    InternalError,
    /// Not now.
    TryLater,
    /// We do not answer for that issuer.
    Unauthorized,
}

impl Refusal {
    pub const ALL: [Self; 4] = [Self::MalformedRequest, Self::InternalError, Self::TryLater, Self::Unauthorized];

    pub fn der(self) -> &'static [u8] {
        const fn refusal(code: u8) -> [u8; 5] {
            [SEQUENCE, 3, ENUMERATED, 1, code]
        }
        const MALFORMED_REQUEST: &[u8] = &refusal(1);
        const INTERNAL_ERROR: &[u8] = &refusal(2);
        const TRY_LATER: &[u8] = &refusal(3);
        const UNAUTHORIZED: &[u8] = &refusal(6);
        match self {
            Self::MalformedRequest => MALFORMED_REQUEST,
            Self::InternalError => INTERNAL_ERROR,
            Self::TryLater => TRY_LATER,
            Self::Unauthorized => UNAUTHORIZED,
        }
    }

    /// The word of RFC 6960.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformedRequest",
            Self::InternalError => "internalError",
            Self::TryLater => "tryLater",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// A SingleResponse.
fn push_answer(answers: &mut Vec<u8>, answer: &SingleAnswer<'_>) -> Result<(), X509Error> {
    let this_update = time::write_generalized(answer.this_update)?;
    let next_update = write::element(EXPLICIT_0, &time::write_generalized(answer.next_update)?);
    let (status, extensions) = match &answer.status {
        CertStatus::Good => (write::element(context(0), &[]), Vec::new()),
        CertStatus::Unknown => (write::element(context(2), &[]), Vec::new()),
        CertStatus::Revoked(revocation) => (revoked(revocation)?, single_extensions(revocation)?),
    };
    write::push(answers, SEQUENCE, &[answer.cert_id, &status, &this_update, &next_update, &extensions]);
    Ok(())
}

/// RevokedInfo. The reason `unspecified` is left out, as in CRLs (RFC 5280, 5.3.1).
fn revoked(revocation: &Revocation) -> Result<Vec<u8>, X509Error> {
    let revoked_on = time::write_generalized(revocation.revoked_on)?;
    let reason = if revocation.reason == RevocationReason::Unspecified {
        Vec::new()
    } else {
        let [_, code] = revocation.reason.code().to_be_bytes();
        write::element(EXPLICIT_0, &[ENUMERATED, 1, code])
    };
    Ok(write::constructed(EXPLICIT_1, &[&revoked_on, &reason]))
}

/// RFC 6960, 4.4.5: extensions of CRL entries may stand here.
fn single_extensions(revocation: &Revocation) -> Result<Vec<u8>, X509Error> {
    let Some(date) = revocation.invalidity_date else { return Ok(Vec::new()) };
    let extension = extension::write(oid::INVALIDITY_DATE, false, &time::write_generalized(date)?)?;
    Ok(write::element(EXPLICIT_1, &write::sequence(&[&extension])))
}

#[cfg(test)]
mod tests;
