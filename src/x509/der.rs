//! A strict reader of DER (X.690): definite, minimal lengths, low tag numbers, nothing left over.
//!
//! Every parser of foreign bytes stands on it, so leniency cannot creep in at one of them. The writer is in
//! [`write`].

pub mod write;

use std::borrow::Cow;

use num_bigint::BigUint;

use super::oid;

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OBJECT_IDENTIFIER: u8 = 0x06;
pub const ENUMERATED: u8 = 0x0a;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// `[0]` and `[3]` of TBSCertificate, constructed.
pub const EXPLICIT_0: u8 = context_constructed(0);
pub const EXPLICIT_3: u8 = context_constructed(3);

/// The identifier octet of a primitive context-specific tag below 31.
pub const fn context(number: u8) -> u8 {
    0x80 | number
}

/// The identifier octet of a constructed context-specific tag below 31.
pub const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

/// Why bytes are not the DER that is read. `what` names the field, in the words of its RFC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    #[error("it ends in the middle of a value")]
    Truncated,
    #[error("a length is not in the one form that DER allows")]
    Length,
    #[error("a tag number above 30 is used")]
    HighTag,
    #[error("{what} is missing")]
    Missing { what: &'static str },
    #[error("{what} has the tag 0x{found:02x}")]
    UnexpectedTag { what: &'static str, found: u8 },
    #[error("there are bytes after {what}")]
    Trailing { what: &'static str },
    #[error("{what} is malformed")]
    Value { what: &'static str },
}

/// One element: identifier octet, contents, and both with the length between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    pub tag: u8,
    pub value: &'a [u8],
    pub whole: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// Reads bytes that are exactly one element with this tag.
pub fn single<'a>(bytes: &'a [u8], tag: u8, what: &'static str) -> Result<Tlv<'a>, DerError> {
    let mut reader = Reader::new(bytes);
    let element = reader.expect(tag, what)?;
    reader.finish(what)?;
    Ok(element)
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The identifier octet of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub fn read(&mut self) -> Result<Tlv<'a>, DerError> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(DerError::Truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::HighTag);
        }
        let (length, after_length) = read_length(after_tag)?;
        let (value, rest) = after_length.split_at_checked(length).ok_or(DerError::Truncated)?;
        let (whole, _) = self.rest.split_at_checked(self.rest.len() - rest.len()).ok_or(DerError::Truncated)?;
        self.rest = rest;
        Ok(Tlv { tag, value, whole })
    }

    pub fn expect(&mut self, tag: u8, what: &'static str) -> Result<Tlv<'a>, DerError> {
        match self.peek() {
            Some(found) if found != tag => Err(DerError::UnexpectedTag { what, found }),
            Some(_) => self.read(),
            None => Err(DerError::Missing { what }),
        }
    }

    pub fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, DerError> {
        match self.peek() {
            Some(found) if found == tag => self.read().map(Some),
            _ => Ok(None),
        }
    }

    pub fn finish(self, what: &'static str) -> Result<(), DerError> {
        if self.is_empty() { Ok(()) } else { Err(DerError::Trailing { what }) }
    }
}

/// Reads the head of an element whose contents need not be here: the length that it announces, and what follows the head.
pub fn header<'a>(bytes: &'a [u8], tag: u8, what: &'static str) -> Result<(usize, &'a [u8]), DerError> {
    let (&found, after_tag) = bytes.split_first().ok_or(DerError::Missing { what })?;
    if found != tag {
        return Err(DerError::UnexpectedTag { what, found });
    }
    read_length(after_tag)
}

/// X.690, 10.1: the definite form with the fewest octets. Four length octets are more than any bound of ours lets in.
fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), DerError> {
    let (&first, rest) = bytes.split_first().ok_or(DerError::Truncated)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Err(DerError::Length);
    }
    let (octets, rest) = rest.split_at_checked(count).ok_or(DerError::Truncated)?;
    let length = octets.iter().fold(0usize, |length, octet| (length << 8) | usize::from(*octet));
    let is_minimal = octets.first() != Some(&0) && length >= 0x80;
    if is_minimal { Ok((length, rest)) } else { Err(DerError::Length) }
}

impl<'a> Tlv<'a> {
    /// The elements inside a constructed one.
    pub fn contents(&self) -> Reader<'a> {
        Reader::new(self.value)
    }

    /// X.690, 11.1: TRUE is 0xff.
    pub fn boolean(&self, what: &'static str) -> Result<bool, DerError> {
        match self.value {
            [0xff] => Ok(true),
            [0x00] => Ok(false),
            _ => Err(DerError::Value { what }),
        }
    }

    /// The magnitude of a non-negative INTEGER in its shortest form (X.690, 8.3.2), without the sign octet.
    pub fn unsigned_integer(&self, what: &'static str) -> Result<&'a [u8], DerError> {
        match self.value {
            [] => Err(DerError::Value { what }),
            [0] => Ok(&[]),
            [0, second, ..] if *second < 0x80 => Err(DerError::Value { what }),
            [0, rest @ ..] => Ok(rest),
            [first, ..] if *first >= 0x80 => Err(DerError::Value { what }),
            all => Ok(all),
        }
    }

    pub fn big_unsigned(&self, what: &'static str) -> Result<BigUint, DerError> {
        self.unsigned_integer(what).map(BigUint::from_bytes_be)
    }

    /// A non-negative INTEGER of at most 64 bits.
    pub fn small_unsigned(&self, what: &'static str) -> Result<u64, DerError> {
        let octets = self.unsigned_integer(what)?;
        if octets.len() > 8 {
            return Err(DerError::Value { what });
        }
        Ok(octets.iter().fold(0, |number, octet| (number << 8) | u64::from(*octet)))
    }

    /// A BIT STRING of whole octets, as keys and signatures are.
    pub fn octet_aligned_bits(&self, what: &'static str) -> Result<&'a [u8], DerError> {
        match self.value {
            [0, octets @ ..] => Ok(octets),
            _ => Err(DerError::Value { what }),
        }
    }

    /// A BIT STRING of named bits, bit 0 first; DER cuts trailing zero bits (X.690, 11.2.2).
    pub fn named_bits(&self, what: &'static str) -> Result<Vec<bool>, DerError> {
        let malformed = DerError::Value { what };
        let (&unused, octets) = self.value.split_first().ok_or(malformed.clone())?;
        let Some(last) = octets.last() else {
            return if unused == 0 { Ok(Vec::new()) } else { Err(malformed) };
        };
        if unused > 7 || last.trailing_zeros() != u32::from(unused) {
            return Err(malformed);
        }
        let count = octets.len() * 8 - usize::from(unused);
        Ok(octets.iter().flat_map(|octet| (0..8).map(move |bit| octet & (0x80 >> bit) != 0)).take(count).collect())
    }

    /// An OBJECT IDENTIFIER as dotted text (X.690, 8.19). Arcs are at most 63 bits.
    pub fn object_identifier(&self) -> Result<Cow<'static, str>, DerError> {
        if let Some(known) = oid::of_octets(self.value) {
            return Ok(known.into());
        }
        let read = read_object_identifier(self.value).ok_or(DerError::Value { what: "an object identifier" })?;
        Ok(read.into())
    }
}

fn read_object_identifier(octets: &[u8]) -> Option<String> {
    if octets.len() > 64 || octets.last()? & 0x80 != 0 {
        return None;
    }
    let mut text = String::with_capacity(24);
    let mut arc: u64 = 0;
    let mut starts = true;
    for octet in octets {
        let padded = starts && *octet == 0x80;
        if padded || arc >> 56 != 0 {
            return None;
        }
        arc = (arc << 7) | u64::from(octet & 0x7f);
        starts = octet & 0x80 == 0;
        if starts {
            write_arc(&mut text, arc);
            arc = 0;
        }
    }
    Some(text)
}

/// The first encoded arc stands for two: 40 times the first plus the second.
fn write_arc(text: &mut String, arc: u64) {
    if text.is_empty() {
        let first = (arc / 40).min(2);
        push_decimal(text, first);
        text.push('.');
        push_decimal(text, arc - first * 40);
    } else {
        text.push('.');
        push_decimal(text, arc);
    }
}

/// Some ten object identifiers are read for each certificate, and `format!` would be the dearest part of it.
fn push_decimal(text: &mut String, number: u64) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form_only() {
        let long = [&[0x04, 0x81, 0x80][..], &[7; 128]].concat();
        assert_eq!(Reader::new(&long).read().unwrap().value.len(), 128);
        for wrong in [&[0x04, 0x81, 0x01, 0x00][..], &[0x04, 0x82, 0x00, 0x80], &[0x30, 0x80, 0, 0], &[0x04, 0x85]] {
            assert_eq!(Reader::new(wrong).read(), Err(DerError::Length), "{wrong:02x?}");
        }
        assert_eq!(Reader::new(&[0x04, 0x03, 1, 2]).read(), Err(DerError::Truncated));
        assert_eq!(Reader::new(&[0x1f, 0x81, 0x01, 0x00]).read(), Err(DerError::HighTag));
    }

    #[test]
    fn integers_are_minimal_and_not_negative() {
        let integer = |value| Tlv { tag: INTEGER, value, whole: value };
        assert_eq!(integer(&[0]).unsigned_integer(""), Ok(&[][..]));
        assert_eq!(integer(&[0, 0x80]).unsigned_integer(""), Ok(&[0x80][..]));
        for wrong in [&[][..], &[0, 0x7f], &[0x80], &[0xff, 0xff]] {
            assert!(integer(wrong).unsigned_integer("").is_err(), "{wrong:02x?}");
        }
    }

    #[test]
    fn object_identifiers_are_read_and_written_alike() {
        for dotted in ["2.5.4.3", "1.2.840.113549.1.9.14", "0.9.2342.19200300.100.1.25", "2.999.1", "1.3.101.112"] {
            let written = write::object_identifier(dotted).unwrap();
            assert_eq!(single(&written, OBJECT_IDENTIFIER, "").unwrap().object_identifier().unwrap(), dotted);
        }
        for wrong in
            [&[][..], &[0x80, 0x01], &[0x55, 0x84], &[0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]
        {
            assert_eq!(read_object_identifier(wrong), None, "{wrong:02x?}");
        }
    }

    #[test]
    fn named_bits_are_cut_after_the_last_one() {
        let bits = |value| Tlv { tag: BIT_STRING, value, whole: value }.named_bits("");
        assert_eq!(bits(&[7, 0x80]), Ok(vec![true]));
        assert_eq!(bits(&[1, 0x06]), Ok(vec![false, false, false, false, false, true, true]));
        assert_eq!(bits(&[0]), Ok(vec![]));
        for wrong in [&[][..], &[1], &[0, 0x80], &[8, 0x80], &[7, 0x81], &[0, 0]] {
            assert!(bits(wrong).is_err(), "{wrong:02x?}");
        }
    }
}
