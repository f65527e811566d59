//! Requests (RFC 6960, 4.1): strict DER within bounds, or nothing.

use crate::domain::serial::SerialNumber;

use super::super::der::{
    self, BIT_STRING, DerError, EXPLICIT_0, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Tlv,
    context_constructed,
};
use super::super::error::X509Error;
use super::super::extension::{self, Extension};
use super::super::oid;

/// The longest request that is read, in octets.
pub const MAX_REQUEST: usize = 64 * 1024;
/// How many certificates one request may ask about. Clients ask about one (RFC 9919, 3.1.1), or about a chain.
pub const MAX_CERTIFICATES: usize = 20;
/// RFC 9654, 2.1
const NONCE_OCTETS: std::ops::RangeInclusive<usize> = 1..=128;
/// More than any client sends; each is compared with the others.
const MAX_EXTENSIONS: usize = 16;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspRequest<'a> {
    /// 1 to [`MAX_CERTIFICATES`], in the order of the request.
    pub certificates: Vec<CertId<'a>>,
    /// What the answer must repeat, 1 to 128 octets.
    pub nonce: Option<&'a [u8]>,
}

/// Which certificate is meant: its serial number, and hashes of its issuer's name and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertId<'a> {
    /// The whole CertID in DER: the answer repeats it byte for byte.
    pub der: &'a [u8],
    /// None for any hash algorithm but SHA-1 and SHA-256.
    pub form: Option<CertIdForm>,
    pub issuer_name_hash: &'a [u8],
    pub issuer_key_hash: &'a [u8],
    /// None for a number that no certificate can have: zero, negative, or longer than 20 octets.
    pub serial: Option<SerialNumber>,
}

/// The encodings of the hash algorithm that are in use. With the issuer and the serial number, the form is all there is
/// to a CertID: two of one form are the same octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertIdForm {
    Sha1,
    Sha1WithNull,
    Sha256,
    Sha256WithNull,
}

impl CertIdForm {
    /// Each AlgorithmIdentifier in DER. Parameters are absent or NULL (RFC 5754, 2; RFC 3279, 2.1): both are sent.
    const ALL: [(Self, &'static [u8]); 4] = [
        (Self::Sha1, &[0x30, 0x07, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a]),
        (Self::Sha1WithNull, &[0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00]),
        (Self::Sha256, &[0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]),
        (
            Self::Sha256WithNull,
            &[0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00],
        ),
    ];

    pub fn is_sha1(self) -> bool {
        matches!(self, Self::Sha1 | Self::Sha1WithNull)
    }

    fn of(algorithm: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|entry| entry.1 == algorithm).map(|entry| entry.0)
    }
}

/// Reads an OCSPRequest of version 1. Signatures and the requestor's name are passed over, as are extensions that are
/// not critical; a critical one that is not the nonce makes the request malformed.
pub fn read(der: &[u8]) -> Result<OcspRequest<'_>, X509Error> {
    if der.len() > MAX_REQUEST {
        return Err(X509Error::Content(format!("the request is longer than {MAX_REQUEST} octets")));
    }
    let mut outer = der::single(der, SEQUENCE, "the request")?.contents();
    let mut tbs = outer.expect(SEQUENCE, "tbsRequest")?.contents();
    if let Some(signature) = outer.optional(EXPLICIT_0)? {
        check_signature(&signature)?;
    }
    outer.finish("optionalSignature")?;

    if tbs.peek() == Some(EXPLICIT_0) {
        // DER leaves out what is the DEFAULT (X.690, 11.5), and there is no other version.
        return Err(X509Error::Content("the request is not of version 1".into()));
    }
    tbs.optional(context_constructed(1))?;
    let list = tbs.expect(SEQUENCE, "requestList")?;
    let extensions = match tbs.optional(context_constructed(2))? {
        Some(explicit) => extensions(&explicit)?,
        None => Vec::new(),
    };
    tbs.finish("requestExtensions")?;
    Ok(OcspRequest { certificates: certificates(&list)?, nonce: nonce(&extensions)? })
}

fn certificates<'a>(list: &Tlv<'a>) -> Result<Vec<CertId<'a>>, X509Error> {
    let mut requests = list.contents();
    let mut certificates = Vec::with_capacity(1);
    while !requests.is_empty() {
        if certificates.len() == MAX_CERTIFICATES {
            return Err(X509Error::Content(format!("it asks about more than {MAX_CERTIFICATES} certificates")));
        }
        let mut request = requests.expect(SEQUENCE, "a request")?.contents();
        certificates.push(cert_id(&request.expect(SEQUENCE, "reqCert")?)?);
        if let Some(explicit) = request.optional(EXPLICIT_0)? {
            refuse_critical(&extensions(&explicit)?, None)?;
        }
        request.finish("singleRequestExtensions")?;
    }
    if certificates.is_empty() {
        return Err(X509Error::Content("it asks about no certificate".into()));
    }
    Ok(certificates)
}

fn cert_id<'a>(element: &Tlv<'a>) -> Result<CertId<'a>, X509Error> {
    let mut fields = element.contents();
    let algorithm = fields.expect(SEQUENCE, "hashAlgorithm")?;
    let form = CertIdForm::of(algorithm.whole);
    if form.is_none() {
        check_algorithm(&algorithm)?;
    }
    let issuer_name_hash = fields.expect(OCTET_STRING, "issuerNameHash")?.value;
    let issuer_key_hash = fields.expect(OCTET_STRING, "issuerKeyHash")?.value;
    let serial = serial(&fields.expect(INTEGER, "serialNumber")?)?;
    fields.finish("serialNumber")?;
    Ok(CertId { der: element.whole, form, issuer_name_hash, issuer_key_hash, serial })
}

/// Any INTEGER in its shortest form (X.690, 8.3.2).
fn serial(element: &Tlv<'_>) -> Result<Option<SerialNumber>, DerError> {
    let is_shortest = match element.value {
        [] => false,
        [0, second, ..] => *second >= 0x80,
        [0xff, second, ..] => *second < 0x80,
        _ => true,
    };
    if !is_shortest {
        return Err(DerError::Value { what: "serialNumber" });
    }
    Ok(element.unsigned_integer("serialNumber").ok().and_then(SerialNumber::from_be_bytes))
}

fn check_algorithm(element: &Tlv<'_>) -> Result<(), DerError> {
    let mut fields = element.contents();
    fields.expect(OBJECT_IDENTIFIER, "hashAlgorithm")?.object_identifier()?;
    if !fields.is_empty() {
        fields.read()?;
    }
    fields.finish("hashAlgorithm")
}

/// Its form; whether it verifies is nobody's concern here.
fn check_signature(explicit: &Tlv<'_>) -> Result<(), DerError> {
    let mut fields = der::single(explicit.value, SEQUENCE, "optionalSignature")?.contents();
    fields.expect(SEQUENCE, "signatureAlgorithm")?;
    fields.expect(BIT_STRING, "signature")?;
    fields.optional(EXPLICIT_0)?;
    fields.finish("certs")
}

fn extensions<'a>(explicit: &Tlv<'a>) -> Result<Vec<Extension<'a>>, X509Error> {
    let sequence = der::single(explicit.value, SEQUENCE, "the extensions")?;
    let (mut elements, mut count) = (sequence.contents(), 0);
    while !elements.is_empty() {
        elements.read()?;
        count += 1;
        if count > MAX_EXTENSIONS {
            return Err(X509Error::Content(format!("it has more than {MAX_EXTENSIONS} extensions")));
        }
    }
    let extensions = extension::read_all(&sequence)?;
    match extension::duplicates(&extensions).first() {
        Some(oid) => Err(X509Error::Content(format!("the extension {} stands more than once", oid::name(oid)))),
        None => Ok(extensions),
    }
}

fn nonce<'a>(extensions: &[Extension<'a>]) -> Result<Option<&'a [u8]>, X509Error> {
    refuse_critical(extensions, Some(oid::OCSP_NONCE))?;
    let Some(extension) = extensions.iter().find(|extension| extension.oid == oid::OCSP_NONCE) else { return Ok(None) };
    let nonce = der::single(extension.value, OCTET_STRING, "the nonce")?.value;
    if !NONCE_OCTETS.contains(&nonce.len()) {
        return Err(X509Error::Content(format!("the nonce has {} octets; it must have 1 to 128", nonce.len())));
    }
    Ok(Some(nonce))
}

fn refuse_critical(extensions: &[Extension<'_>], known: Option<&str>) -> Result<(), X509Error> {
    match extensions.iter().find(|extension| extension.critical && known != Some(extension.oid.as_ref())) {
        Some(unknown) => {
            Err(X509Error::Content(format!("the critical extension {} is not known", oid::name(&unknown.oid))))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
