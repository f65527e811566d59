//! A TBSCertificate as it was read back, field by field (RFC 5280, 4.1).

use std::borrow::Cow;

use super::der::{
    self, BIT_STRING, BOOLEAN, DerError, INTEGER, OCTET_STRING, Reader, SEQUENCE, Tlv, context, context_constructed,
};
use super::extension::{self, Extension};
use super::oid;

/// An AccessDescription: the method, a dotted OID, and the URI.
pub type Access<'a> = (Cow<'static, str>, &'a str);

pub struct ParsedTbs<'a> {
    /// The encoded number: 2 is version 3.
    pub version: u64,
    pub serial: Tlv<'a>,
    pub signature_algorithm: Tlv<'a>,
    pub issuer: Tlv<'a>,
    pub not_before: Tlv<'a>,
    pub not_after: Tlv<'a>,
    pub subject: Tlv<'a>,
    pub spki: Tlv<'a>,
    pub extensions: Vec<Extension<'a>>,
}

impl<'a> ParsedTbs<'a> {
    pub fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let mut reader: Reader<'a> = der::single(der, SEQUENCE, "TBSCertificate")?.contents();
        let version = match reader.optional(context_constructed(0))? {
            Some(explicit) => der::single(explicit.value, INTEGER, "version")?.small_unsigned("version")?,
            None => 0,
        };
        let serial = reader.expect(INTEGER, "serialNumber")?;
        let signature_algorithm = reader.expect(SEQUENCE, "signature")?;
        let issuer = reader.expect(SEQUENCE, "issuer")?;
        let mut validity = reader.expect(SEQUENCE, "validity")?.contents();
        let not_before = validity.read()?;
        let not_after = validity.read()?;
        validity.finish("notAfter")?;
        let subject = reader.expect(SEQUENCE, "subject")?;
        let spki = reader.expect(SEQUENCE, "subjectPublicKeyInfo")?;
        // The unique identifiers of version 2, which nobody writes.
        reader.optional(context(1))?;
        reader.optional(context(2))?;
        let extensions = match reader.optional(context_constructed(3))? {
            Some(explicit) => extension::read_all(&der::single(explicit.value, SEQUENCE, "extensions")?)?,
            None => Vec::new(),
        };
        reader.finish("extensions")?;
        Ok(Self { version, serial, signature_algorithm, issuer, not_before, not_after, subject, spki, extensions })
    }

    pub fn extension(&self, oid: &str) -> Option<&Extension<'a>> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }

    /// cA and pathLenConstraint (4.2.1.9); `None` without the extension.
    pub fn basic_constraints(&self) -> Result<Option<(bool, Option<u64>)>, DerError> {
        let Some(extension) = self.extension(oid::BASIC_CONSTRAINTS) else { return Ok(None) };
        let mut fields = der::single(extension.value, SEQUENCE, "basicConstraints")?.contents();
        // FALSE is the default, so DER writes only TRUE.
        let is_ca = match fields.optional(BOOLEAN)? {
            Some(flag) if flag.boolean("cA")? => true,
            Some(_) => return Err(DerError::Value { what: "cA" }),
            None => false,
        };
        let path_length = match fields.optional(INTEGER)? {
            Some(length) => Some(length.small_unsigned("pathLenConstraint")?),
            None => None,
        };
        fields.finish("pathLenConstraint")?;
        Ok(Some((is_ca, path_length)))
    }

    /// The bits of keyUsage, digitalSignature first (4.2.1.3).
    pub fn key_usage(&self) -> Result<Option<Vec<bool>>, DerError> {
        let Some(extension) = self.extension(oid::KEY_USAGE) else { return Ok(None) };
        der::single(extension.value, BIT_STRING, "keyUsage")?.named_bits("keyUsage").map(Some)
    }

    /// The purposes as dotted OIDs (4.2.1.12).
    pub fn extended_key_usage(&self) -> Result<Option<Vec<Cow<'static, str>>>, DerError> {
        let Some(extension) = self.extension(oid::EXTENDED_KEY_USAGE) else { return Ok(None) };
        let mut reader = der::single(extension.value, SEQUENCE, "extendedKeyUsage")?.contents();
        let mut purposes = Vec::new();
        while !reader.is_empty() {
            purposes.push(reader.expect(der::OBJECT_IDENTIFIER, "a purpose")?.object_identifier()?);
        }
        Ok(Some(purposes))
    }

    pub fn subject_key_identifier(&self) -> Result<Option<&'a [u8]>, DerError> {
        let Some(extension) = self.extension(oid::SUBJECT_KEY_IDENTIFIER) else { return Ok(None) };
        Ok(Some(der::single(extension.value, OCTET_STRING, "subjectKeyIdentifier")?.value))
    }

    /// The URIs of all distribution points (4.2.1.13). Reasons and cRLIssuer are malformed here: nothing of ours has
    /// them.
    pub fn crl_distribution_points(&self) -> Result<Option<Vec<&'a str>>, DerError> {
        const WHAT: &str = "cRLDistributionPoints";
        let Some(extension) = self.extension(oid::CRL_DISTRIBUTION_POINTS) else { return Ok(None) };
        let mut points = der::single(extension.value, SEQUENCE, WHAT)?.contents();
        let mut urls = Vec::new();
        while !points.is_empty() {
            let point = points.expect(SEQUENCE, WHAT)?;
            let name = der::single(point.value, context_constructed(0), WHAT)?;
            let mut full_name = der::single(name.value, context_constructed(0), WHAT)?.contents();
            while !full_name.is_empty() {
                urls.push(read_uri(&full_name.expect(super::general_name::URI, WHAT)?)?);
            }
        }
        Ok(Some(urls))
    }

    /// Method (dotted OID) and URI of each description (4.2.2.1).
    pub fn information_access(&self) -> Result<Option<Vec<Access<'a>>>, DerError> {
        const WHAT: &str = "authorityInfoAccess";
        let Some(extension) = self.extension(oid::AUTHORITY_INFORMATION_ACCESS) else { return Ok(None) };
        let mut descriptions = der::single(extension.value, SEQUENCE, WHAT)?.contents();
        let mut locations = Vec::new();
        while !descriptions.is_empty() {
            let mut description = descriptions.expect(SEQUENCE, WHAT)?.contents();
            let method = description.expect(der::OBJECT_IDENTIFIER, WHAT)?.object_identifier()?;
            locations.push((method, read_uri(&description.expect(super::general_name::URI, WHAT)?)?));
            description.finish(WHAT)?;
        }
        Ok(Some(locations))
    }
}

/// The AlgorithmIdentifier inside a TBSCertificate, without reading what follows it.
pub fn signature_algorithm(der: &[u8]) -> Result<&[u8], DerError> {
    let mut reader = der::single(der, SEQUENCE, "TBSCertificate")?.contents();
    reader.optional(context_constructed(0))?;
    reader.expect(INTEGER, "serialNumber")?;
    Ok(reader.expect(SEQUENCE, "signature")?.whole)
}

/// keyIdentifier of an authorityKeyIdentifier (4.2.1.1), in certificates and CRLs; the other fields are passed over.
pub fn authority_key_identifier<'a>(extensions: &[Extension<'a>]) -> Result<Option<&'a [u8]>, DerError> {
    const WHAT: &str = "authorityKeyIdentifier";
    let Some(extension) = extensions.iter().find(|extension| extension.oid == oid::AUTHORITY_KEY_IDENTIFIER) else {
        return Ok(None);
    };
    let mut fields = der::single(extension.value, SEQUENCE, WHAT)?.contents();
    Ok(fields.optional(context(0))?.map(|identifier| identifier.value))
}

fn read_uri<'a>(element: &Tlv<'a>) -> Result<&'a str, DerError> {
    let text = std::str::from_utf8(element.value).ok().filter(|text| text.is_ascii());
    text.ok_or(DerError::Value { what: "a URI" })
}
