//! Distinguished names: read strictly, carried byte for byte, written for names of our own.

use std::borrow::Cow;

use crate::domain::name::{AttributeType, Name, NameAttribute, StringEncoding};

use super::der::{self, OBJECT_IDENTIFIER, Reader, SEQUENCE, SET, write};
use super::error::X509Error;
use super::text;

/// More attributes than any name in use has; the bound keeps the work per request small.
pub const MAX_ATTRIBUTES: usize = 64;

/// Reads an RDNSequence with everything in it; all faults of its attributes are told at once. The DER is kept.
pub fn read(der: &[u8]) -> Result<Name, Vec<String>> {
    let sequence = der::single(der, SEQUENCE, "the name").map_err(|error| vec![error.to_string()])?;
    let mut attributes = Vec::new();
    let mut faults = Vec::new();
    let mut reader = sequence.contents();
    let mut rdn = 0;
    while !reader.is_empty() {
        if let Err(fault) = read_rdn(&mut reader, rdn, &mut attributes, &mut faults) {
            faults.push(fault);
            break;
        }
        rdn += 1;
    }
    if faults.is_empty() { Ok(Name { der: der.to_vec(), attributes }) } else { Err(faults) }
}

/// Writes a name, one attribute an RDN, in the string types that RFC 5280, 4.1.2.4 and appendix A prescribe.
pub fn build(attributes: &[(AttributeType, String)]) -> Result<Name, X509Error> {
    let mut rdns = Vec::new();
    for (kind, value) in attributes {
        let oid = write::object_identifier(kind.oid())?;
        let value = write::element(tag_for(*kind, value)?, value.as_bytes());
        rdns.extend(write::element(SET, &write::sequence(&[&oid, &value])));
    }
    read(&write::sequence(&[&rdns])).map_err(|faults| X509Error::Content(faults.join("; ")))
}

/// An error stops the reading; faults of single values are collected.
fn read_rdn(
    reader: &mut Reader<'_>,
    rdn: usize,
    attributes: &mut Vec<NameAttribute>,
    faults: &mut Vec<String>,
) -> Result<(), String> {
    let set = reader.expect(SET, "a relative distinguished name").map_err(|error| error.to_string())?;
    let mut members = set.contents();
    if members.is_empty() {
        return Err("a relative distinguished name is empty".into());
    }
    let mut previous: &[u8] = &[];
    let mut kinds = Vec::new();
    while !members.is_empty() {
        let member = members.expect(SEQUENCE, "an attribute of the name").map_err(|error| error.to_string())?;
        // X.690, 11.6: the members of a SET OF stand in ascending order.
        if member.whole < previous {
            return Err("a multi-valued relative distinguished name is not in DER order".into());
        }
        previous = member.whole;
        if attributes.len() + faults.len() >= MAX_ATTRIBUTES {
            return Err(format!("it has more than {MAX_ATTRIBUTES} attributes"));
        }
        let (kind, attribute) = read_attribute(member.contents(), rdn)?;
        match attribute {
            Ok(attribute) => attributes.push(attribute),
            Err(fault) => faults.push(fault),
        }
        // X.501, 9.3: the types within one RDN are distinct.
        if kinds.contains(&kind) {
            return Err(format!("a multi-valued relative distinguished name has two attributes of the type {kind}"));
        }
        kinds.push(kind);
    }
    Ok(())
}

/// The type, and the attribute or what is wrong with its value. The outer error is of the structure.
fn read_attribute(
    mut reader: Reader<'_>,
    rdn: usize,
) -> Result<(Cow<'static, str>, Result<NameAttribute, String>), String> {
    let words = |error: der::DerError| error.to_string();
    let kind = reader.expect(OBJECT_IDENTIFIER, "the type of an attribute").map_err(words)?;
    let oid = kind.object_identifier().map_err(words)?;
    let value = reader.read().map_err(words)?;
    reader.finish("the value of an attribute").map_err(words)?;
    let attribute = match text::decode(value.tag, value.value) {
        Ok((value, encoding)) => Ok(NameAttribute { rdn, oid: oid.clone().into_owned(), value, encoding }),
        Err(fault) => {
            let name = AttributeType::from_oid(&oid).map_or(oid.as_ref(), |kind| kind.short_name());
            Err(format!("its attribute {name} {fault}"))
        }
    };
    Ok((oid, attribute))
}

fn tag_for(kind: AttributeType, value: &str) -> Result<u8, X509Error> {
    let (tag, fits) = match prescribed_encoding(kind) {
        Some(StringEncoding::Printable) => (text::PRINTABLE_STRING, text::is_printable(value)),
        Some(StringEncoding::Ia5) => (text::IA5_STRING, value.is_ascii()),
        _ => (text::UTF8_STRING, true),
    };
    if fits {
        return Ok(tag);
    }
    Err(X509Error::Content(format!("{:?} holds characters that {} cannot hold", value, kind.short_name())))
}

/// The one string type that an attribute may have; `None` where it is a DirectoryString (RFC 5280, appendix A).
pub fn prescribed_encoding(kind: AttributeType) -> Option<StringEncoding> {
    match kind {
        AttributeType::Country | AttributeType::SerialNumber => Some(StringEncoding::Printable),
        AttributeType::EmailAddress | AttributeType::DomainComponent => Some(StringEncoding::Ia5),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(oid: &str, tag: u8, value: &[u8]) -> Vec<u8> {
        write::sequence(&[&write::object_identifier(oid).unwrap(), &write::element(tag, value)])
    }

    fn sequence_of(rdns: &[&[&[u8]]]) -> Vec<u8> {
        let sets: Vec<Vec<u8>> = rdns.iter().map(|members| write::constructed(SET, members)).collect();
        write::sequence(&sets.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn a_built_name_reads_back() {
        let name = build(&[
            (AttributeType::Country, "PT".into()),
            (AttributeType::OrganizationalUnit, "a".into()),
            (AttributeType::OrganizationalUnit, "b".into()),
            (AttributeType::CommonName, "Gerät 1".into()),
        ])
        .unwrap();
        assert_eq!(name.to_string(), "C=PT, OU=a, OU=b, CN=Gerät 1");
        assert_eq!(name.attributes[0].encoding, StringEncoding::Printable);
        assert!(build(&[(AttributeType::Country, "ü".into())]).is_err());
        assert!(build(&[(AttributeType::CommonName, String::new())]).is_err());
    }

    #[test]
    fn repeated_and_multi_valued_attributes_are_legal() {
        let (cn, ou) = (attribute("2.5.4.3", 0x0c, b"x"), attribute("2.5.4.11", 0x0c, b"y"));
        let der = sequence_of(&[&[&cn, &ou], &[&ou], &[&ou]]);
        let name = read(&der).unwrap();
        assert_eq!(name.der, der);
        assert_eq!(name.attributes.iter().map(|attribute| attribute.rdn).collect::<Vec<_>>(), [0, 0, 1, 2]);
    }

    #[test]
    fn malformed_names_are_refused() {
        let (cn, ou) = (attribute("2.5.4.3", 0x0c, b"x"), attribute("2.5.4.11", 0x0c, b"y"));
        let nul = attribute("2.5.4.3", 0x0c, b"a\0b");
        for (der, words) in [
            (sequence_of(&[&[]]), "empty"),
            (sequence_of(&[&[&ou, &cn]]), "DER order"),
            (sequence_of(&[&[&cn, &attribute("2.5.4.3", 0x0c, b"z")]]), "two attributes of the type 2.5.4.3"),
            (sequence_of(&[&[&nul]]), "U+0000"),
            (sequence_of(&[&[&attribute("2.5.4.3", 0x02, b"\x01")]]), "not a string"),
            ([sequence_of(&[&[&cn]]), vec![0]].concat(), "bytes after"),
            (sequence_of(&vec![&[cn.as_slice()][..]; 65]), "more than 64"),
        ] {
            let faults = read(&der).unwrap_err();
            assert!(faults.iter().any(|fault| fault.contains(words)), "{faults:?}");
        }
    }

    #[test]
    fn every_faulty_attribute_is_named() {
        let (nul, empty) = (attribute("2.5.4.3", 0x0c, b"a\0b"), attribute("2.5.4.10", 0x0c, b""));
        assert_eq!(read(&sequence_of(&[&[&nul], &[&empty]])).unwrap_err().len(), 2);
    }
}
