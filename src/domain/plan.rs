//! What is asked for, and what was decided: the two ends of a policy decision.

use chrono::{DateTime, Utc};

use super::key::{AuthorityKeyType, PublicKey};
use super::name::Name;
use super::serial::SerialNumber;
use super::subject_alternative_name::SubjectAlternativeName;

/// What a CSR holds, after its form, its signature and its key have been checked.
#[derive(Clone, Debug)]
pub struct CertificationRequest {
    /// The CSR as PEM with LF line ends and one newline at the end: what is stored and echoed.
    pub pem: String,
    pub subject: Name,
    pub public_key: PublicKey,
    /// The subjectAltName entries of the four types we know, in order.
    pub subject_alternative_names: Vec<SubjectAlternativeName>,
    /// SAN entries of other types, by name of the type (such as `directoryName`): never copied.
    pub unsupported_names: Vec<String>,
    /// Every extension asked for except subjectAltName.
    pub extensions: Vec<RequestedExtension>,
    /// Whether basicConstraints with CA:TRUE is asked for.
    pub asks_for_ca: bool,
}

/// An extension that a CSR asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedExtension {
    /// Dotted OID.
    pub oid: String,
    /// The name people know it by, or the OID.
    pub name: String,
    pub critical: bool,
    /// The extnValue's content, DER.
    pub value: Vec<u8>,
}

/// What the policy needs to know of the authority that will sign.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The authority's subject in DER: the issuer field, byte for byte.
    pub subject: Vec<u8>,
    /// The authority's own SKI: the certificate's authorityKeyIdentifier.
    pub ski: Vec<u8>,
    pub key_type: AuthorityKeyType,
    /// The authority's own end: nothing it signs outlives it.
    pub not_after: DateTime<Utc>,
    /// Where its CRL is published (CDP).
    pub crl_url: String,
    /// Where its certificate is published (AIA caIssuers).
    pub certificate_url: String,
    /// Where its OCSP responder answers (AIA OCSP), if it has one.
    pub ocsp_url: Option<String>,
}

/// A certificate as the policy decided it; nothing in it comes from anywhere else.
#[derive(Clone, Debug)]
pub struct Plan {
    pub profile: String,
    pub issuer: Issuer,
    pub serial: SerialNumber,
    pub subject: Name,
    pub public_key: PublicKey,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub kind: PlanKind,
    /// What was asked for and left out, in words for the caller.
    pub messages: Vec<String>,
}

/// The kinds of certificates that we sign.
#[derive(Clone, Debug)]
pub enum PlanKind {
    /// A client certificate under a profile.
    Client {
        subject_alternative_names: Vec<SubjectAlternativeName>,
        key_usage: Vec<KeyUsage>,
        extended_key_usage: Vec<ExtendedKeyUsage>,
        revocation: RevocationPointers,
        /// Extensions of the CSR that the profile keeps, copied byte for byte after our own.
        kept_extensions: Vec<RequestedExtension>,
    },
    /// A CA certificate: a root (self-signed) or an issuing authority.
    Authority {
        /// How many further CAs may follow: `Some(0)` for an issuing authority, `None` for a root.
        path_length: Option<u8>,
        /// CDP and AIA are left out of a root's own certificate.
        self_signed: bool,
    },
    /// The certificate of an authority's OCSP responder (RFC 6960, 4.2.2.2). Short-lived, and not to be checked for
    /// revocation itself: it carries id-pkix-ocsp-nocheck and no pointers to revocation information.
    Responder,
}

/// How a relying party learns of a certificate's revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationPointers {
    /// CRL distribution point, and OCSP where the authority has a responder.
    Published,
    /// None: the noRevAvail extension of RFC 9608, for certificates too short-lived to be worth revoking.
    NotAvailable,
}

/// Bits of the keyUsage extension that a profile may set on a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUsage {
    DigitalSignature,
    ContentCommitment,
    KeyEncipherment,
    KeyAgreement,
}

/// Purposes of the extendedKeyUsage extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtendedKeyUsage {
    ClientAuth,
    ServerAuth,
    EmailProtection,
}

impl KeyUsage {
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::DigitalSignature, "digitalSignature"),
        (Self::ContentCommitment, "contentCommitment"),
        (Self::KeyEncipherment, "keyEncipherment"),
        (Self::KeyAgreement, "keyAgreement"),
    ];
}

impl ExtendedKeyUsage {
    /// Purpose, name in profiles, dotted OID.
    pub const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::ClientAuth, "clientAuth", "1.3.6.1.5.5.7.3.2"),
        (Self::ServerAuth, "serverAuth", "1.3.6.1.5.5.7.3.1"),
        (Self::EmailProtection, "emailProtection", "1.3.6.1.5.5.7.3.4"),
    ];
}
