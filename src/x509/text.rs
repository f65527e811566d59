//! The string types of names (RFC 5280, 4.1.2.4), each with the characters that it may hold.

use crate::domain::name::StringEncoding;

pub const UTF8_STRING: u8 = 0x0c;
pub const NUMERIC_STRING: u8 = 0x12;
pub const PRINTABLE_STRING: u8 = 0x13;
pub const TELETEX_STRING: u8 = 0x14;
pub const IA5_STRING: u8 = 0x16;
pub const UNIVERSAL_STRING: u8 = 0x1c;
pub const BMP_STRING: u8 = 0x1e;

/// Decodes a string by its tag. Refused: other types, characters that the type does not have, empty strings (the
/// types have SIZE (1..MAX)), NUL and control characters, with which names have been faked.
pub fn decode(tag: u8, octets: &[u8]) -> Result<(String, StringEncoding), String> {
    let encoding = encoding_of(tag).ok_or_else(|| format!("is not a string (tag 0x{tag:02x})"))?;
    let text = decode_octets(encoding, octets)
        .ok_or_else(|| format!("holds bytes that a {} cannot hold", type_name(encoding)))?;
    if text.is_empty() {
        return Err("is empty".into());
    }
    if let Some(control) = text.chars().find(|character| character.is_control()) {
        return Err(format!("holds the control character U+{:04X}", u32::from(control)));
    }
    Ok((text, encoding))
}

pub fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte))
}

fn encoding_of(tag: u8) -> Option<StringEncoding> {
    Some(match tag {
        UTF8_STRING => StringEncoding::Utf8,
        NUMERIC_STRING => StringEncoding::Numeric,
        PRINTABLE_STRING => StringEncoding::Printable,
        TELETEX_STRING => StringEncoding::Teletex,
        IA5_STRING => StringEncoding::Ia5,
        UNIVERSAL_STRING => StringEncoding::Universal,
        BMP_STRING => StringEncoding::Bmp,
        _ => return None,
    })
}

fn type_name(encoding: StringEncoding) -> &'static str {
    match encoding {
        StringEncoding::Utf8 => "UTF8String",
        StringEncoding::Printable => "PrintableString",
        StringEncoding::Ia5 => "IA5String",
        StringEncoding::Numeric => "NumericString",
        StringEncoding::Teletex => "TeletexString",
        StringEncoding::Bmp => "BMPString",
        StringEncoding::Universal => "UniversalString",
    }
}

fn decode_octets(encoding: StringEncoding, octets: &[u8]) -> Option<String> {
    match encoding {
        StringEncoding::Utf8 => std::str::from_utf8(octets).ok().map(str::to_owned),
        StringEncoding::Printable => ascii(octets).filter(|text| is_printable(text)),
        StringEncoding::Ia5 => ascii(octets),
        StringEncoding::Numeric => ascii(octets).filter(|text| text.bytes().all(|b| b.is_ascii_digit() || b == b' ')),
        // T.61 in theory; in practice everybody has always read and written it as Latin-1.
        StringEncoding::Teletex => Some(octets.iter().map(|octet| char::from(*octet)).collect()),
        // UCS-2: surrogates are not part of it.
        StringEncoding::Bmp => {
            units::<2>(octets)?.map(|unit| char::from_u32(u16::from_be_bytes(unit).into())).collect()
        }
        StringEncoding::Universal => units::<4>(octets)?.map(|unit| char::from_u32(u32::from_be_bytes(unit))).collect(),
    }
}

fn ascii(octets: &[u8]) -> Option<String> {
    octets.is_ascii().then(|| octets.iter().map(|octet| char::from(*octet)).collect())
}

fn units<const N: usize>(octets: &[u8]) -> Option<impl Iterator<Item = [u8; N]>> {
    let (units, rest) = octets.as_chunks::<N>();
    rest.is_empty().then(|| units.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_decodes_its_own_characters() {
        for (tag, octets, expected) in [
            (UTF8_STRING, "Ünï ✓".as_bytes(), "Ünï ✓"),
            (PRINTABLE_STRING, b"A-z (0)", "A-z (0)"),
            (IA5_STRING, b"a@b", "a@b"),
            (NUMERIC_STRING, b"12 3", "12 3"),
            (TELETEX_STRING, b"M\xfcller", "Müller"),
            (BMP_STRING, b"\x00M\x00\xfc", "Mü"),
            (UNIVERSAL_STRING, b"\x00\x01\xf6\x00", "😀"),
        ] {
            assert_eq!(decode(tag, octets).unwrap().0, expected);
        }
    }

    #[test]
    fn foreign_characters_are_refused() {
        for (tag, octets) in [
            (UTF8_STRING, &b"\xff"[..]),
            (UTF8_STRING, b"a\0b"),
            (UTF8_STRING, b"a\nb"),
            (UTF8_STRING, "\u{85}".as_bytes()),
            (UTF8_STRING, b""),
            (PRINTABLE_STRING, b"a@b"),
            (PRINTABLE_STRING, b"*"),
            (IA5_STRING, b"\xe9"),
            (NUMERIC_STRING, b"1a"),
            (BMP_STRING, b"\xd8\x00"),
            (BMP_STRING, b"\x00"),
            (UNIVERSAL_STRING, b"\x00\x11\x00\x00"),
            (0x02, b"\x01"),
        ] {
            assert!(decode(tag, octets).is_err(), "0x{tag:02x} {octets:02x?}");
        }
    }
}
