//! Names of foreign certificates as text (RFC 4514). Unlike the names that we sign, anything readable is read.

use crate::domain::name::AttributeType;

use super::der::{self, DerError, OBJECT_IDENTIFIER, SEQUENCE, SET, Tlv};
use super::text;

/// More than any name in use has; the bound keeps what is stored and shown small.
const MAX_LENGTH: usize = 8 * 1024;

/// A name as people read it.
pub struct Shown {
    /// The last RDN first, as RFC 4514, 2.1 has it.
    pub text: String,
    /// The value of the last CN, not escaped; empty when there is none.
    pub common_name: String,
}

/// Reads an RDNSequence. The error goes on after "its subject".
pub fn read(name: &[u8]) -> Result<Shown, String> {
    if name.len() > MAX_LENGTH {
        return Err(format!("is longer than {} KiB", MAX_LENGTH / 1024));
    }
    let mut common_name = String::new();
    let mut rdns = read_rdns(name, &mut common_name).map_err(|error| format!("is malformed: {error}"))?;
    rdns.reverse();
    Ok(Shown { text: rdns.join(","), common_name })
}

fn read_rdns(name: &[u8], common_name: &mut String) -> Result<Vec<String>, DerError> {
    let mut rdns = Vec::new();
    let mut sequence = der::single(name, SEQUENCE, "the name")?.contents();
    while !sequence.is_empty() {
        let mut members = sequence.expect(SET, "a relative distinguished name")?.contents();
        let mut attributes = Vec::new();
        while !members.is_empty() {
            let mut fields = members.expect(SEQUENCE, "an attribute")?.contents();
            let kind = fields.expect(OBJECT_IDENTIFIER, "the type of an attribute")?.object_identifier()?;
            let value = fields.read()?;
            fields.finish("the value of an attribute")?;
            if AttributeType::from_oid(&kind) == Some(AttributeType::CommonName) {
                *common_name = decode(&value).unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
            }
            attributes.push(show(&kind, &value));
        }
        rdns.push(attributes.join("+"));
    }
    Ok(rdns)
}

/// RFC 4514, 2.4: a type without a short name stands as its OID, with the whole value in hex.
fn show(kind: &str, value: &Tlv<'_>) -> String {
    let short_name = AttributeType::from_oid(kind).map(AttributeType::short_name);
    match (short_name, decode(value)) {
        (Some(name), Some(text)) => format!("{name}={}", escape(&text)),
        (name, _) => format!("{}=#{}", name.unwrap_or(kind), hex::encode(value.whole)),
    }
}

/// Control characters and the like are let through here, to be escaped.
fn decode(value: &Tlv<'_>) -> Option<String> {
    let strict = text::decode(value.tag, value.value).ok().map(|(text, _)| text);
    let is_text =
        matches!(value.tag, text::UTF8_STRING | text::PRINTABLE_STRING | text::IA5_STRING | text::TELETEX_STRING);
    strict.or_else(|| is_text.then(|| String::from_utf8_lossy(value.value).into_owned()))
}

/// RFC 4514, 2.4.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (position, character) in value.chars().enumerate() {
        let is_at_edge =
            (character == ' ' && (position == 0 || position == last)) || (character == '#' && position == 0);
        if character.is_control() {
            let mut octets = [0; 4];
            character.encode_utf8(&mut octets).bytes().for_each(|octet| escaped.push_str(&format!("\\{octet:02X}")));
            continue;
        }
        if is_at_edge || matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::der::write;
    use super::*;

    fn attribute(oid: &str, tag: u8, value: &[u8]) -> Vec<u8> {
        write::sequence(&[&write::object_identifier(oid).unwrap(), &write::element(tag, value)])
    }

    fn shown(rdns: &[&[&[u8]]]) -> String {
        let sets: Vec<Vec<u8>> = rdns.iter().map(|members| write::constructed(SET, members)).collect();
        read(&write::sequence(&sets.iter().map(Vec::as_slice).collect::<Vec<_>>())).unwrap().text
    }

    #[test]
    fn the_last_rdn_stands_first() {
        let (country, organization) = (attribute("2.5.4.6", 0x13, b"US"), attribute("2.5.4.10", 0x0c, b"Example Inc."));
        let (unit, name) = (attribute("2.5.4.11", 0x0c, b"a"), attribute("2.5.4.3", 0x0c, b"x"));
        assert_eq!(shown(&[&[&country], &[&organization], &[&unit, &name]]), "OU=a+CN=x,O=Example Inc.,C=US");
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn what_would_be_misread_is_escaped() {
        let shown = |tag, value: &[u8]| shown(&[&[&attribute("2.5.4.3", tag, value)]]);
        assert_eq!(shown(0x0c, b" #a,b+c\"d\\e<f>;= "), "CN=\\ #a\\,b\\+c\\\"d\\\\e\\<f\\>\\;=\\ ");
        assert_eq!(shown(0x0c, b"#a"), "CN=\\#a");
        assert_eq!(shown(0x0c, b"a\0b\x1b"), "CN=a\\00b\\1B");
        assert_eq!(shown(0x13, b"a@b"), "CN=a@b");
        assert_eq!(shown(0x03, b"\0\x01"), "CN=#03020001");
    }

    #[test]
    fn unknown_types_stand_in_hex() {
        assert_eq!(shown(&[&[&attribute("1.2.3.4", 0x0c, b"a")]]), "1.2.3.4=#0c0161");
    }

    #[test]
    fn malformed_and_endless_names_are_refused() {
        assert!(read(b"\x31\x00").is_err());
        assert!(read(&[0; MAX_LENGTH + 1]).err().unwrap().contains("8 KiB"));
    }
}
