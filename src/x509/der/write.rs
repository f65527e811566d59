//! The few writers that rcgen does not cover: names, requests, PKCS#7, and the frame of a splice.

use super::super::oid;
use super::{BIT_STRING, BOOLEAN, DerError, INTEGER, NULL, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};

/// One element with the given contents.
pub fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    constructed(tag, &[contents])
}

/// One element whose contents are these parts, one after the other.
pub fn constructed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Vec::with_capacity(length + 6);
    push(&mut der, tag, parts);
    der
}

/// The same, put after what is there: for the entries of long lists, where an allocation each would be felt.
pub fn push(der: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    der.push(tag);
    push_length(der, parts.iter().map(|part| part.len()).sum());
    for part in parts {
        der.extend_from_slice(part);
    }
}

/// Tag and length alone, before contents that are too long to be copied once more.
pub fn header(tag: u8, length: usize) -> Vec<u8> {
    let mut der = vec![tag];
    push_length(&mut der, length);
    der
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    constructed(SEQUENCE, parts)
}

pub fn octet_string(octets: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, octets)
}

/// A BIT STRING of whole octets.
pub fn bit_string(octets: &[u8]) -> Vec<u8> {
    constructed(BIT_STRING, &[&[0], octets])
}

pub fn null() -> Vec<u8> {
    element(NULL, &[])
}

pub fn boolean_true() -> Vec<u8> {
    element(BOOLEAN, &[0xff])
}

/// A non-negative INTEGER from its big-endian magnitude, in the shortest form.
pub fn unsigned_integer(magnitude: &[u8]) -> Vec<u8> {
    let start = magnitude.iter().position(|octet| *octet != 0).unwrap_or(magnitude.len());
    let significant = magnitude.get(start..).unwrap_or_default();
    let needs_sign_octet = significant.first().is_none_or(|first| *first >= 0x80);
    constructed(INTEGER, &[if needs_sign_octet { &[0] } else { &[] }, significant])
}

/// An OBJECT IDENTIFIER from dotted text.
pub fn object_identifier(dotted: &str) -> Result<Vec<u8>, DerError> {
    match oid::octets_of(dotted) {
        Some(octets) => Ok(element(OBJECT_IDENTIFIER, octets)),
        None => Ok(element(OBJECT_IDENTIFIER, &spelt_out(dotted)?)),
    }
}

/// Its contents octets, arc by arc.
pub fn spelt_out(dotted: &str) -> Result<Vec<u8>, DerError> {
    let malformed = || DerError::Value { what: "an object identifier" };
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().map_err(|_| malformed())).collect::<Result<_, _>>()?;
    let [first, second, rest @ ..] = arcs.as_slice() else { return Err(malformed()) };
    if *first > 2 || (*first < 2 && *second >= 40) {
        return Err(malformed());
    }
    let joined = second.checked_add(first * 40).ok_or_else(malformed)?;
    let mut octets = Vec::with_capacity(12);
    for arc in std::iter::once(&joined).chain(rest) {
        push_arc(&mut octets, *arc);
    }
    Ok(octets)
}

fn push_arc(octets: &mut Vec<u8>, arc: u64) {
    let groups = (u64::BITS - arc.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        octets.push(((arc >> (group * 7)) & 0x7f) as u8 | more);
    }
}

/// X.690, 10.1: the definite form with the fewest octets.
fn push_length(der: &mut Vec<u8>, length: usize) {
    let octets = length.to_be_bytes();
    let start = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
    match octets.get(start..).unwrap_or_default() {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        long => {
            // A usize has at most eight octets.
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            der.extend_from_slice(long);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Reader, single};
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for length in [0usize, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000] {
            let written = octet_string(&vec![7; length]);
            assert_eq!(single(&written, OCTET_STRING, "").unwrap().value.len(), length);
        }
    }

    #[test]
    fn integers_take_their_shortest_form() {
        for (magnitude, expected) in [
            (&[][..], &[2, 1, 0][..]),
            (&[0, 0, 5], &[2, 1, 5]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0x7f, 1], &[2, 2, 0x7f, 1]),
        ] {
            assert_eq!(unsigned_integer(magnitude), expected);
            assert!(Reader::new(expected).read().unwrap().unsigned_integer("").is_ok());
        }
    }

    #[test]
    fn what_is_no_object_identifier_is_refused() {
        for text in ["", "1", "3.1", "1.40", "1.2.x", "1..2", "-1.2"] {
            assert!(object_identifier(text).is_err(), "{text}");
        }
    }
}
