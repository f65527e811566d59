//! Certificate signing requests (PKCS#10, RFC 2986), read strictly: what is signed later must mean the same to us and
//! to every other reader. A request either is a [`CertificationRequest`] with a good key and a valid signature, or
//! the list of everything that is wrong with it.

use crate::domain::plan::CertificationRequest;
use crate::domain::violation::Violation;

use super::der::{DerError, INTEGER, Reader, SEQUENCE, Tlv, context_constructed};
use super::requested_extensions::{self, RequestedExtensions};
use super::signature::{self, SignatureAlgorithm, Signed};
use super::{name, pem, public_key};

/// Reads a request in any of the PEM forms of the wire contract, section 1.3.
///
/// Bounds: 64 KiB of PEM, 64 attributes of the subject, 1000 alternative names.
pub fn parse(pem: &str) -> Result<CertificationRequest, Vec<Violation>> {
    let request = pem::read_request(pem).map_err(|fault| vec![Violation::csr(fault)])?;
    let fields =
        Fields::read(&request.der).map_err(|error| vec![Violation::csr(format!("the CSR is malformed: {error}"))])?;

    let mut faults = Vec::new();
    if fields.version != [0] {
        faults.push("the CSR's version must be 1 (encoded 0)".to_owned());
    }
    let subject = name::read(fields.subject.whole).map_err(|more| {
        faults.extend(more.into_iter().map(|fault| format!("the subject is malformed: {fault}")));
    });
    let requested = fields.requested_extensions().map_err(|more| faults.extend(more));
    let algorithm = SignatureAlgorithm::read(&fields.algorithm).map_err(|fault| faults.push(fault));
    let public_key = public_key::check(fields.spki.whole).map_err(|more| faults.extend(more));

    // A signature by a bad key, or by an algorithm that is refused, tells nothing more.
    if let (Ok(algorithm), Ok(_)) = (&algorithm, &public_key)
        && let Err(fault) = fields.verify(*algorithm)
    {
        faults.push(fault);
    }
    match (subject, requested, public_key) {
        (Ok(subject), Ok(requested), Ok(public_key)) if faults.is_empty() => Ok(CertificationRequest {
            pem: request.text,
            subject,
            public_key,
            subject_alternative_names: requested.names.names,
            unsupported_names: requested.names.unsupported,
            extensions: requested.others,
            asks_for_ca: requested.asks_for_ca,
        }),
        _ => Err(faults.into_iter().map(Violation::csr).collect()),
    }
}

struct Fields<'a> {
    /// CertificationRequestInfo, which is what the signature covers.
    info: Tlv<'a>,
    version: &'a [u8],
    subject: Tlv<'a>,
    spki: Tlv<'a>,
    attributes: Option<Tlv<'a>>,
    algorithm: Tlv<'a>,
    signature: &'a [u8],
}

impl<'a> Fields<'a> {
    fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let Signed { content: info, algorithm, signature } = Signed::read(der)?;
        let mut reader: Reader<'a> = info.contents();
        let version = reader.expect(INTEGER, "the version")?.value;
        let subject = reader.expect(SEQUENCE, "the subject")?;
        let spki = reader.expect(SEQUENCE, "the public key")?;
        // RFC 2986 wants them even when empty; enough tools leave them out then.
        let attributes = reader.optional(context_constructed(0))?;
        reader.finish("the attributes")?;
        Ok(Self { info, version, subject, spki, attributes, algorithm, signature })
    }

    fn requested_extensions(&self) -> Result<RequestedExtensions, Vec<String>> {
        self.attributes.as_ref().map_or_else(|| Ok(RequestedExtensions::default()), requested_extensions::read)
    }

    fn verify(&self, algorithm: SignatureAlgorithm) -> Result<(), String> {
        let (key_type, key) = public_key::identify(self.spki.whole)?;
        signature::verify(algorithm, key_type, key, self.info.whole, self.signature).map_err(|fault| {
            format!("{fault}: the CSR was not signed with the key it holds, or was changed afterwards")
        })
    }
}

#[cfg(test)]
mod tests;
