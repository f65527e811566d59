//! What a request asks for beside subject and key: the extensionRequest attribute (RFC 2985, 5.4.2).

use crate::domain::plan::RequestedExtension;

use super::der::{BOOLEAN, DerError, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, Tlv, single};
use super::extension::{self, Extension};
use super::general_name::{self, GeneralNames};
use super::oid;

#[derive(Debug, Default)]
pub struct RequestedExtensions {
    pub names: GeneralNames,
    /// All but subjectAltName.
    pub others: Vec<RequestedExtension>,
    pub asks_for_ca: bool,
}

/// Reads the attributes of a request. Those of other types (challengePassword, what Microsoft adds) are passed over.
/// All faults are told at once.
pub fn read(attributes: &Tlv<'_>) -> Result<RequestedExtensions, Vec<String>> {
    let words = |error: DerError| vec![format!("the requested extensions are malformed: {error}")];
    let Some(sequence) = find(attributes)? else { return Ok(RequestedExtensions::default()) };
    let extensions = extension::read_all(&sequence).map_err(words)?;
    let mut faults: Vec<String> = extension::duplicates(&extensions)
        .into_iter()
        .map(|oid| format!("the extension {} is requested more than once", oid::name(oid)))
        .collect();
    let mut requested = RequestedExtensions::default();
    for extension in &extensions {
        if let Err(more) = requested.take(extension) {
            faults.extend(more);
        }
    }
    if faults.is_empty() { Ok(requested) } else { Err(faults) }
}

impl RequestedExtensions {
    fn take(&mut self, extension: &Extension<'_>) -> Result<(), Vec<String>> {
        if extension.oid == oid::SUBJECT_ALT_NAME {
            self.names = general_name::read(extension.value)?;
            return Ok(());
        }
        if extension.oid == oid::BASIC_CONSTRAINTS {
            let is_ca = read_ca_flag(extension.value);
            self.asks_for_ca = is_ca.map_err(|error| vec![format!("basicConstraints: {error}")])?;
        }
        let name = oid::name(&extension.oid).to_owned();
        self.others.push(RequestedExtension {
            oid: extension.oid.clone().into_owned(),
            name,
            critical: extension.critical,
            value: extension.value.to_vec(),
        });
        Ok(())
    }
}

/// The one `Extensions` value of the one extensionRequest attribute. Two of them are refused: readers differ in which
/// one they honour, and what one reader checks another would sign.
fn find<'a>(attributes: &Tlv<'a>) -> Result<Option<Tlv<'a>>, Vec<String>> {
    let words = |error: DerError| vec![format!("the attributes of the request are malformed: {error}")];
    let mut found = None;
    let mut reader = attributes.contents();
    while !reader.is_empty() {
        let mut attribute = reader.expect(SEQUENCE, "an attribute").map_err(words)?.contents();
        let kind = attribute.expect(OBJECT_IDENTIFIER, "the type of an attribute").map_err(words)?;
        let values = attribute.expect(SET, "the values of an attribute").map_err(words)?;
        attribute.finish("the values of an attribute").map_err(words)?;
        if kind.object_identifier().map_err(words)? != oid::EXTENSION_REQUEST {
            continue;
        }
        let value = single(values.value, SEQUENCE, "the extensionRequest").map_err(words)?;
        if found.replace(value).is_some() {
            return Err(vec!["the request has more than one extensionRequest attribute".into()]);
        }
    }
    Ok(found)
}

/// BasicConstraints (RFC 5280, 4.2.1.9). An explicit FALSE, which DER leaves out, is harmless and common.
fn read_ca_flag(octets: &[u8]) -> Result<bool, DerError> {
    let mut fields = single(octets, SEQUENCE, "its sequence")?.contents();
    let is_ca = match fields.optional(BOOLEAN)? {
        Some(flag) => flag.boolean("cA")?,
        None => false,
    };
    if let Some(length) = fields.optional(INTEGER)? {
        length.unsigned_integer("pathLenConstraint")?;
    }
    fields.finish("pathLenConstraint")?;
    Ok(is_ca)
}
