//! The extensions that tell kinds of CRLs apart (RFC 5280, 5.2.4 to 5.2.6). The encoder knows neither deltas nor
//! freshestCRL, and an issuingDistributionPoint only beside other things.

use super::super::der::{self, DerError, INTEGER, Reader, SEQUENCE, context_constructed, write};
use super::super::error::X509Error;
use super::super::extension::Extension;
use super::super::{general_name, oid};
use super::{CrlKind, find};

/// distributionPoint in both structures, fullName in its choice: `[0]`, twice.
const DISTRIBUTION_POINT: u8 = context_constructed(0);
const FULL_NAME: u8 = context_constructed(0);

/// What a kind adds to the authorityKeyIdentifier and the number that every CRL has.
pub fn of(kind: &CrlKind) -> Result<Vec<u8>, X509Error> {
    match kind {
        CrlKind::Complete { freshest: None } => Ok(Vec::new()),
        CrlKind::Complete { freshest: Some(url) } => {
            let point = write::sequence(&[&point_name(url)]);
            extension(oid::FRESHEST_CRL, false, &write::sequence(&[&point]))
        }
        CrlKind::Delta { base } => {
            extension(oid::DELTA_CRL_INDICATOR, true, &write::unsigned_integer(&base.to_be_bytes()))
        }
        CrlKind::Shard { distribution_point } => {
            let content = write::sequence(&[&point_name(distribution_point)]);
            extension(oid::ISSUING_DISTRIBUTION_POINT, true, &content)
        }
    }
}

/// BaseCRLNumber of a delta.
pub fn base(extensions: &[Extension<'_>]) -> Result<Option<u64>, DerError> {
    find(extensions, oid::DELTA_CRL_INDICATOR).map(|found| number(found, "deltaCRLIndicator")).transpose()
}

pub fn number(extension: &Extension<'_>, what: &'static str) -> Result<u64, DerError> {
    der::single(extension.value, INTEGER, what)?.small_unsigned(what)
}

/// The address in an issuingDistributionPoint; its other fields are passed over.
pub fn distribution_point(extensions: &[Extension<'_>]) -> Result<Option<String>, DerError> {
    const WHAT: &str = "issuingDistributionPoint";
    let Some(found) = find(extensions, oid::ISSUING_DISTRIBUTION_POINT) else { return Ok(None) };
    read_point_name(der::single(found.value, SEQUENCE, WHAT)?.contents(), WHAT)
}

/// The first address in a freshestCRL.
pub fn freshest(extensions: &[Extension<'_>]) -> Result<Option<String>, DerError> {
    const WHAT: &str = "freshestCRL";
    let Some(found) = find(extensions, oid::FRESHEST_CRL) else { return Ok(None) };
    let point = der::single(found.value, SEQUENCE, WHAT)?.contents().expect(SEQUENCE, WHAT)?;
    read_point_name(point.contents(), WHAT)
}

fn point_name(url: &str) -> Vec<u8> {
    let name = write::element(general_name::URI, url.as_bytes());
    write::element(DISTRIBUTION_POINT, &write::element(FULL_NAME, &name))
}

fn read_point_name(mut fields: Reader<'_>, what: &'static str) -> Result<Option<String>, DerError> {
    let Some(point) = fields.optional(DISTRIBUTION_POINT)? else { return Ok(None) };
    let Some(names) = point.contents().optional(FULL_NAME)? else { return Ok(None) };
    let Some(uri) = names.contents().optional(general_name::URI)? else { return Ok(None) };
    let text = String::from_utf8(uri.value.to_vec()).map_err(|_| DerError::Value { what })?;
    Ok(Some(text))
}

fn extension(oid: &str, critical: bool, content: &[u8]) -> Result<Vec<u8>, X509Error> {
    let critical = if critical { write::boolean_true() } else { Vec::new() };
    Ok(write::sequence(&[&write::object_identifier(oid)?, &critical, &write::octet_string(content)]))
}
