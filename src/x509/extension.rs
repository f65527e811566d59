//! Extensions, of certificates, CRLs, CRL entries and requests alike (RFC 5280, 4.1).

use std::borrow::Cow;

use super::der::{BOOLEAN, DerError, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Tlv, write};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Dotted OID.
    pub oid: Cow<'static, str>,
    pub critical: bool,
    /// The contents of extnValue: DER of the type that the OID stands for.
    pub value: &'a [u8],
}

/// Reads the elements of `Extensions ::= SEQUENCE OF Extension`.
pub fn read_all<'a>(sequence: &Tlv<'a>) -> Result<Vec<Extension<'a>>, DerError> {
    let mut extensions = Vec::new();
    let mut reader = sequence.contents();
    while !reader.is_empty() {
        extensions.push(read(&reader.expect(SEQUENCE, "an extension")?)?);
    }
    Ok(extensions)
}

/// The OIDs that stand more than once, which RFC 5280, 4.2 forbids.
pub fn duplicates<'e>(extensions: &'e [Extension<'_>]) -> Vec<&'e str> {
    let repeated = |index: usize, oid: &str| {
        let before = extensions.iter().take(index).filter(|earlier| earlier.oid == oid).count();
        before == 1
    };
    let all = extensions.iter().enumerate();
    all.filter(|(index, extension)| repeated(*index, &extension.oid))
        .map(|(_, extension)| extension.oid.as_ref())
        .collect()
}

pub fn write(oid: &str, critical: bool, value: &[u8]) -> Result<Vec<u8>, DerError> {
    let oid = write::object_identifier(oid)?;
    let critical = if critical { write::boolean_true() } else { Vec::new() };
    Ok(write::sequence(&[&oid, &critical, &write::octet_string(value)]))
}

fn read<'a>(element: &Tlv<'a>) -> Result<Extension<'a>, DerError> {
    let mut reader = element.contents();
    let oid = reader.expect(OBJECT_IDENTIFIER, "the type of an extension")?.object_identifier()?;
    let critical = match reader.optional(BOOLEAN)? {
        // DER leaves out what is the DEFAULT (X.690, 11.5), so only TRUE can be written.
        Some(flag) if flag.boolean("the criticality of an extension")? => true,
        Some(_) => return Err(DerError::Value { what: "the criticality of an extension" }),
        None => false,
    };
    let value = reader.expect(OCTET_STRING, "the value of an extension")?.value;
    reader.finish("the value of an extension")?;
    Ok(Extension { oid, critical, value })
}

#[cfg(test)]
mod tests {
    use super::super::der::single;
    use super::*;

    #[test]
    fn extensions_are_read_as_written_and_duplicates_told() {
        let (first, second) = (write("2.5.29.17", true, b"a").unwrap(), write("2.5.29.15", false, b"b").unwrap());
        let sequence = write::sequence(&[&first, &second, &first, &first]);
        let extensions = read_all(&single(&sequence, SEQUENCE, "").unwrap()).unwrap();
        assert_eq!(extensions[0], Extension { oid: "2.5.29.17".into(), critical: true, value: b"a" });
        assert!(!extensions[1].critical);
        assert_eq!(duplicates(&extensions), ["2.5.29.17"]);
    }

    #[test]
    fn an_explicit_false_is_no_der() {
        let oid = write::object_identifier("2.5.29.17").unwrap();
        let extension = write::sequence(&[&oid, &[1, 1, 0], &write::octet_string(b"")]);
        let sequence = write::sequence(&[&extension]);
        assert!(read_all(&single(&sequence, SEQUENCE, "").unwrap()).is_err());
    }
}
