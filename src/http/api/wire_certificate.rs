//! A client certificate on the wire: the 18 fields of the contract (section 1.5) in its order, then our own.

use data_encoding::HEXLOWER;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::certificate::{Certificate, Receipt, Revocation};
use crate::domain::subject_alternative_name::SubjectAlternativeName;
use crate::domain::text::timestamp;
use crate::x509::pem;

#[derive(Serialize, ToSchema)]
pub struct ClientCertificate {
    /// UUID.
    id: String,
    certificate_authority: CertificateAuthorityName,
    /// The certificate in PEM, without its chain.
    certificate: String,
    /// The CSR as it was sent, with LF line ends.
    csr: String,
    /// SHA-1 of the subjectPublicKey bits, 40 hex digits.
    ski: String,
    /// Decimal.
    serial_number: String,
    /// Algorithm of the certificate's signature.
    #[schema(example = "ECDSAWithSHA256")]
    signature: String,
    common_name: String,
    organization: String,
    organizational_unit: String,
    country: String,
    state: String,
    location: String,
    /// notAfter, RFC 3339 in UTC.
    expires_on: String,
    /// notBefore, RFC 3339 in UTC.
    issued_on: String,
    /// SHA-256 of the certificate's DER, 64 hex digits.
    fingerprint_sha256: String,
    status: StatusWord,
    /// As asked for.
    validity_days: i32,
    /// The serial number in hex.
    serial_number_hex: String,
    /// From the request to revoke until the certificate is active again; else null.
    #[schema(value_type = Option<WireRevocation>)]
    revocation: Option<WireRevocation>,
    /// What proves that the last change of status took effect; null before the first.
    #[schema(value_type = Option<WireReceipt>)]
    receipt: Option<WireReceipt>,
    sans: Vec<WireName>,
    profile: String,
}

/// The authority that signed.
#[derive(Serialize, ToSchema)]
pub struct CertificateAuthorityName {
    id: String,
    name: String,
}

/// `active`, `pending_reactivation`, `pending_revocation` or `revoked`. There is no `expired`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusWord {
    Active,
    PendingReactivation,
    PendingRevocation,
    Revoked,
}

/// CRLReason of RFC 5280, 5.3.1; requests may write it in any case.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "requests are read by hand; this is their description")]
pub enum ReasonWord {
    Unspecified,
    KeyCompromise,
    #[serde(rename = "cACompromise")]
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    PrivilegeWithdrawn,
    #[serde(rename = "aACompromise")]
    AaCompromise,
}

#[derive(Serialize, ToSchema)]
pub struct WireRevocation {
    #[schema(value_type = ReasonWord, example = "certificateHold")]
    reason: &'static str,
    requested_on: String,
    /// Since when the key is believed to be in wrong hands; null where that was not said.
    invalidity_date: Option<String>,
    /// The date on the CRL; null while the revocation is pending.
    revoked_on: Option<String>,
    /// The first CRL that listed it; null while the revocation is pending.
    crl_number: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct WireReceipt {
    status: StatusWord,
    crl_number: i64,
    /// thisUpdate of that CRL.
    published_on: String,
}

/// A subject alternative name.
#[derive(Serialize, ToSchema)]
pub struct WireName {
    /// `dns`, `email`, `uri` or `ip`.
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
}

impl From<Certificate> for ClientCertificate {
    fn from(certificate: Certificate) -> Self {
        let subject = certificate.subject;
        Self {
            id: certificate.id.to_string(),
            certificate_authority: CertificateAuthorityName {
                id: certificate.authority.to_string(),
                name: certificate.authority_name,
            },
            certificate: pem::encode("CERTIFICATE", &certificate.der),
            csr: certificate.csr,
            ski: HEXLOWER.encode(&certificate.ski),
            serial_number: certificate.serial.to_decimal(),
            signature: certificate.signature,
            common_name: subject.common_name,
            organization: subject.organization,
            organizational_unit: subject.organizational_unit,
            country: subject.country,
            state: subject.state,
            location: subject.location,
            expires_on: timestamp(certificate.not_after),
            issued_on: timestamp(certificate.not_before),
            fingerprint_sha256: HEXLOWER.encode(&certificate.fingerprint_sha256),
            status: certificate.status.into(),
            validity_days: certificate.validity_days,
            serial_number_hex: certificate.serial.to_hex(),
            revocation: certificate.revocation.map(Into::into),
            receipt: certificate.receipt.map(Into::into),
            sans: certificate.subject_alternative_names.iter().map(Into::into).collect(),
            profile: certificate.profile,
        }
    }
}

impl From<crate::domain::status::Status> for StatusWord {
    fn from(status: crate::domain::status::Status) -> Self {
        use crate::domain::status::Status;
        match status {
            Status::Active => Self::Active,
            Status::PendingReactivation => Self::PendingReactivation,
            Status::PendingRevocation => Self::PendingRevocation,
            Status::Revoked => Self::Revoked,
        }
    }
}

impl From<Revocation> for WireRevocation {
    fn from(revocation: Revocation) -> Self {
        Self {
            reason: revocation.reason.as_str(),
            requested_on: timestamp(revocation.requested_on),
            invalidity_date: revocation.invalidity_date.map(timestamp),
            revoked_on: revocation.revoked_on.map(timestamp),
            crl_number: revocation.crl_number,
        }
    }
}

impl From<Receipt> for WireReceipt {
    fn from(receipt: Receipt) -> Self {
        Self {
            status: receipt.status.into(),
            crl_number: receipt.crl_number,
            published_on: timestamp(receipt.published_on),
        }
    }
}

impl From<&SubjectAlternativeName> for WireName {
    fn from(name: &SubjectAlternativeName) -> Self {
        Self { kind: name.kind().as_str(), value: name.value() }
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;
    use crate::domain::reason::RevocationReason;

    #[test]
    fn the_reasons_of_the_description_are_those_that_there_are() {
        let described = serde_json::to_value(ReasonWord::schema()).unwrap();
        let names: Vec<_> = RevocationReason::names().collect();
        assert_eq!(described["enum"], serde_json::json!(names));
    }
}
