//! GeneralNames, the contents of a subjectAltName (RFC 5280, 4.2.1.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::domain::policy::MAX_SUBJECT_ALTERNATIVE_NAMES;
use crate::domain::subject_alternative_name::SubjectAlternativeName;

use super::der::{self, SEQUENCE, Tlv, context, context_constructed, write};

/// The bound on names of one request, so that no request makes megabytes of certificate.
pub const MAX_NAMES: usize = MAX_SUBJECT_ALTERNATIVE_NAMES;

const RFC822_NAME: u8 = context(1);
const DNS_NAME: u8 = context(2);
pub const URI: u8 = context(6);
const IP_ADDRESS: u8 = context(7);

/// The names of the types that we know, and the types of the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GeneralNames {
    pub names: Vec<SubjectAlternativeName>,
    pub unsupported: Vec<String>,
}

/// Reads the contents of a subjectAltName extension; all faults are told at once.
pub fn read(octets: &[u8]) -> Result<GeneralNames, Vec<String>> {
    let words = |error: der::DerError| vec![format!("subjectAltName: {error}")];
    let sequence = der::single(octets, SEQUENCE, "the sequence of names").map_err(words)?;
    let mut reader = sequence.contents();
    let mut read = GeneralNames::default();
    let mut faults = Vec::new();
    let mut count = 0;
    while !reader.is_empty() {
        let element = reader.read().map_err(words)?;
        count += 1;
        if count > MAX_NAMES {
            return Err(vec![format!("subjectAltName has more than {MAX_NAMES} names")]);
        }
        match read_one(&element) {
            Ok(Read::Known(name)) => read.names.push(name),
            Ok(Read::Unsupported(kind)) => read.unsupported.push(kind.into()),
            Err(fault) => faults.push(format!("subjectAltName: {fault}")),
        }
    }
    if count == 0 {
        faults.push("subjectAltName has no name; it must have at least one (RFC 5280, 4.2.1.6)".into());
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

/// Writes the contents of a subjectAltName extension.
pub fn write(names: &[SubjectAlternativeName]) -> Vec<u8> {
    let elements: Vec<u8> = names.iter().flat_map(write_one).collect();
    write::sequence(&[&elements])
}

enum Read {
    Known(SubjectAlternativeName),
    Unsupported(&'static str),
}

fn read_one(element: &Tlv<'_>) -> Result<Read, String> {
    let name = match element.tag {
        RFC822_NAME => SubjectAlternativeName::Email(ia5(element.value)?),
        DNS_NAME => SubjectAlternativeName::Dns(ia5(element.value)?),
        URI => SubjectAlternativeName::Uri(ia5(element.value)?),
        IP_ADDRESS => SubjectAlternativeName::Ip(address(element.value)?),
        other => return unsupported_type(other).map(Read::Unsupported),
    };
    name.check()?;
    Ok(Read::Known(name))
}

fn unsupported_type(tag: u8) -> Result<&'static str, String> {
    const OTHER_NAME: u8 = context_constructed(0);
    const X400_ADDRESS: u8 = context_constructed(3);
    const DIRECTORY_NAME: u8 = context_constructed(4);
    const EDI_PARTY_NAME: u8 = context_constructed(5);
    const REGISTERED_ID: u8 = context(8);
    match tag {
        OTHER_NAME => Ok("otherName"),
        X400_ADDRESS => Ok("x400Address"),
        DIRECTORY_NAME => Ok("directoryName"),
        EDI_PARTY_NAME => Ok("ediPartyName"),
        REGISTERED_ID => Ok("registeredID"),
        _ => Err(format!("the tag 0x{tag:02x} is no type of name")),
    }
}

fn ia5(octets: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(octets) {
        Ok(text) if text.is_ascii() => Ok(text.to_owned()),
        _ => Err(format!("{:?} is not ASCII (IA5String)", String::from_utf8_lossy(octets))),
    }
}

/// RFC 5280: four or sixteen octets in a subjectAltName; a mask belongs to name constraints only.
fn address(octets: &[u8]) -> Result<IpAddr, String> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Ok(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(octets);
    sixteen
        .map(|octets| Ipv6Addr::from(octets).into())
        .map_err(|_| format!("an IP address of {} octets; it has 4 or 16", octets.len()))
}

fn write_one(name: &SubjectAlternativeName) -> Vec<u8> {
    match name {
        SubjectAlternativeName::Email(text) => write::element(RFC822_NAME, text.as_bytes()),
        SubjectAlternativeName::Dns(text) => write::element(DNS_NAME, text.as_bytes()),
        SubjectAlternativeName::Uri(text) => write::element(URI, text.as_bytes()),
        SubjectAlternativeName::Ip(IpAddr::V4(address)) => write::element(IP_ADDRESS, &address.octets()),
        SubjectAlternativeName::Ip(IpAddr::V6(address)) => write::element(IP_ADDRESS, &address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let names = vec![
            SubjectAlternativeName::Dns("a.example".into()),
            SubjectAlternativeName::Email("a@example.com".into()),
            SubjectAlternativeName::Uri("spiffe://example.org/a".into()),
            SubjectAlternativeName::Ip("192.0.2.1".parse().unwrap()),
            SubjectAlternativeName::Ip("2001:db8::1".parse().unwrap()),
        ];
        assert_eq!(read(&write(&names)).unwrap().names, names);
    }

    #[test]
    fn other_types_are_told_by_name() {
        let der =
            write::sequence(&[&write::element(context_constructed(4), &[0x30, 0]), &write::element(context(8), &[42])]);
        assert_eq!(read(&der).unwrap().unsupported, ["directoryName", "registeredID"]);
    }

    #[test]
    fn faulty_names_are_refused_all_at_once() {
        let der = write::sequence(&[
            &write::element(DNS_NAME, b"nul\0.example"),
            &write::element(IP_ADDRESS, &[10, 0, 0, 0, 255, 0, 0, 0]),
            &write::element(RFC822_NAME, "ü@example.com".as_bytes()),
            &write::element(0x04, b""),
        ]);
        assert_eq!(read(&der).unwrap_err().len(), 4);
        assert!(read(&write::sequence(&[])).is_err());
        let many = vec![SubjectAlternativeName::Dns("a.example".into()); MAX_NAMES + 1];
        assert!(read(&write(&many)).unwrap_err()[0].contains("more than 1000"));
    }
}
