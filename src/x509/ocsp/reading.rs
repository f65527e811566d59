//! Reads answers back, as a relying party does: for `doctor`, and for tests, which hold what was signed against what was
//! meant.

use chrono::{DateTime, Utc};

use crate::domain::ocsp::{CertStatus, Revocation};
use crate::domain::reason::RevocationReason;
use crate::domain::serial::SerialNumber;

use super::super::certificate::{self, CertificateFacts};
use super::super::der::{
    self, BIT_STRING, DerError, ENUMERATED, EXPLICIT_0, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Tlv,
    context, context_constructed,
};
use super::super::error::X509Error;
use super::super::extension::{self, Extension};
use super::super::parsed::ParsedTbs;
use super::super::signature::{SignatureAlgorithm, Signed, verify, verify_document};
use super::super::{oid, public_key, time};
use super::response::Refusal;

/// What stands in a successful answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspFacts {
    pub responder_key: Vec<u8>,
    pub produced_at: DateTime<Utc>,
    pub answers: Vec<SingleFacts>,
    pub nonce: Option<Vec<u8>>,
    /// The responder's certificate in DER. The signature was verified with its key, its own was not.
    pub responder_certificate: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleFacts {
    pub cert_id: Vec<u8>,
    pub serial: SerialNumber,
    pub status: CertStatus,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
}

impl OcspFacts {
    /// The responder, if the authority delegated the answer to it (RFC 6960, 4.2.2.2) and it is valid now.
    pub fn responder(&self, authority: &[u8], now: DateTime<Utc>) -> Result<CertificateFacts, X509Error> {
        let issuer = certificate::read(authority)?;
        verify_document(&self.responder_certificate, &issuer.spki)?;
        let signed = Signed::read(&self.responder_certificate)?;
        let usages = ParsedTbs::read(signed.content.whole)?.extended_key_usage()?.unwrap_or_default();
        if !usages.iter().any(|usage| usage == oid::OCSP_SIGNING) {
            return Err(X509Error::Content("the certificate that signed the answer is none of a responder".into()));
        }
        let responder = certificate::read(&self.responder_certificate)?;
        if responder.issuer != issuer.subject {
            return Err(X509Error::Content("the responder is another authority's".into()));
        }
        if now < responder.not_before || responder.not_after < now {
            return Err(X509Error::Content("the responder's certificate is not valid now".into()));
        }
        Ok(responder)
    }
}

/// Reads an OCSPResponse and verifies it with the key of the certificate inside. The error is the code of one that was
/// not successful, or what is wrong with it.
pub fn read(der: &[u8]) -> Result<OcspFacts, X509Error> {
    let mut fields = der::single(der, SEQUENCE, "OCSPResponse")?.contents();
    let status = fields.expect(ENUMERATED, "responseStatus")?.value;
    if status != [0] {
        let refusal = Refusal::ALL.iter().find(|refusal| refusal.der() == der);
        let what = refusal.map_or_else(|| format!("{status:?}"), |refusal| refusal.as_str().to_owned());
        return Err(X509Error::Content(format!("the responseStatus is {what}")));
    }
    let bytes = fields.expect(EXPLICIT_0, "responseBytes")?;
    fields.finish("responseBytes")?;
    let mut bytes = der::single(bytes.value, SEQUENCE, "responseBytes")?.contents();
    if bytes.expect(OBJECT_IDENTIFIER, "responseType")?.object_identifier()? != oid::OCSP_BASIC {
        return Err(X509Error::Content("it is no basic response".into()));
    }
    let basic = bytes.expect(OCTET_STRING, "response")?;
    bytes.finish("response")?;
    read_basic(basic.value)
}

fn read_basic(der: &[u8]) -> Result<OcspFacts, X509Error> {
    let mut fields = der::single(der, SEQUENCE, "BasicOCSPResponse")?.contents();
    let data = fields.expect(SEQUENCE, "tbsResponseData")?;
    let algorithm = fields.expect(SEQUENCE, "signatureAlgorithm")?;
    let signature = fields.expect(BIT_STRING, "signature")?.octet_aligned_bits("signature")?;
    let certificates = fields.expect(EXPLICIT_0, "certs")?;
    fields.finish("certs")?;
    let certificates = der::single(certificates.value, SEQUENCE, "certs")?;
    let responder = der::single(certificates.value, SEQUENCE, "the responder's certificate")?.whole;

    let facts = certificate::read(responder)?;
    let (key_type, key) = public_key::identify(&facts.spki).map_err(X509Error::Signature)?;
    let algorithm = SignatureAlgorithm::read(&algorithm).map_err(X509Error::Signature)?;
    verify(algorithm, key_type, key, data.whole, signature).map_err(X509Error::Signature)?;
    read_data(&data, responder)
}

fn read_data(data: &Tlv<'_>, responder: &[u8]) -> Result<OcspFacts, X509Error> {
    let mut fields = data.contents();
    let responder_key = fields.expect(context_constructed(2), "byKey")?;
    let responder_key = der::single(responder_key.value, OCTET_STRING, "byKey")?.value.to_vec();
    let produced_at = time::read(&fields.read()?, "producedAt")?;
    let mut list = fields.expect(SEQUENCE, "responses")?.contents();
    let mut answers = Vec::new();
    while !list.is_empty() {
        answers.push(read_answer(&list.expect(SEQUENCE, "a response")?)?);
    }
    let extensions = read_extensions(fields.optional(context_constructed(1))?)?;
    fields.finish("responseExtensions")?;
    let nonce = extensions.iter().find(|extension| extension.oid == oid::OCSP_NONCE);
    let nonce = nonce.map(|nonce| der::single(nonce.value, OCTET_STRING, "the nonce")).transpose()?;
    Ok(OcspFacts {
        responder_key,
        produced_at,
        answers,
        nonce: nonce.map(|nonce| nonce.value.to_vec()),
        responder_certificate: responder.to_vec(),
    })
}

fn read_answer(element: &Tlv<'_>) -> Result<SingleFacts, X509Error> {
    let mut fields = element.contents();
    let cert_id = fields.expect(SEQUENCE, "certID")?;
    let status = fields.read()?;
    let this_update = time::read(&fields.read()?, "thisUpdate")?;
    let next_update = fields.expect(EXPLICIT_0, "nextUpdate")?;
    let next_update = time::read(&next_update.contents().read()?, "nextUpdate")?;
    let extensions = read_extensions(fields.optional(context_constructed(1))?)?;
    fields.finish("singleExtensions")?;

    let mut parts = cert_id.contents();
    for _ in 0..3 {
        parts.read()?;
    }
    let serial = parts.expect(INTEGER, "serialNumber")?.unsigned_integer("serialNumber")?;
    Ok(SingleFacts {
        cert_id: cert_id.whole.to_vec(),
        serial: SerialNumber::from_be_bytes(serial).ok_or(DerError::Value { what: "serialNumber" })?,
        status: read_status(&status, &extensions)?,
        this_update,
        next_update,
    })
}

fn read_status(element: &Tlv<'_>, extensions: &[Extension<'_>]) -> Result<CertStatus, X509Error> {
    const GOOD: u8 = context(0);
    const REVOKED: u8 = context_constructed(1);
    const UNKNOWN: u8 = context(2);
    match element.tag {
        GOOD => Ok(CertStatus::Good),
        UNKNOWN => Ok(CertStatus::Unknown),
        REVOKED => {
            let mut fields = element.contents();
            let revoked_on = time::read(&fields.read()?, "revocationTime")?;
            let reason = match fields.optional(EXPLICIT_0)? {
                Some(explicit) => read_reason(&der::single(explicit.value, ENUMERATED, "revocationReason")?)?,
                None => RevocationReason::Unspecified,
            };
            fields.finish("revocationReason")?;
            let date = extensions.iter().find(|extension| extension.oid == oid::INVALIDITY_DATE);
            let date = date.map(|date| time::read(&der::Reader::new(date.value).read()?, "invalidityDate"));
            Ok(CertStatus::Revoked(Revocation { revoked_on, reason, invalidity_date: date.transpose()? }))
        }
        found => Err(DerError::UnexpectedTag { what: "certStatus", found }.into()),
    }
}

fn read_reason(element: &Tlv<'_>) -> Result<RevocationReason, DerError> {
    let unknown = DerError::Value { what: "revocationReason" };
    let [code] = element.value else { return Err(unknown) };
    RevocationReason::from_code(i16::from(*code)).ok_or(unknown)
}

fn read_extensions(explicit: Option<Tlv<'_>>) -> Result<Vec<Extension<'_>>, DerError> {
    match explicit {
        Some(explicit) => extension::read_all(&der::single(explicit.value, SEQUENCE, "the extensions")?),
        None => Ok(Vec::new()),
    }
}
