//! BER turned into DER (X.690), as far as PKCS#12 files need it: NSS, macOS and Bouncy Castle write them with lengths
//! that are found out only at the end, and with octet strings in pieces.
//!
//! Deliberately not here: sets in another order, Booleans of other octets, and tag numbers above 30.

use zeroize::Zeroizing;

use super::der::{DerError, OCTET_STRING, Reader, write};

/// Deeper than any structure that is read; deeper ones are made to exhaust the stack.
const MAX_DEPTH: usize = 32;

const SHORT: usize = 64;

const CONSTRUCTED: u8 = 0x20;
const END_OF_CONTENTS: &[u8] = &[0, 0];

/// The one element that the bytes are, with definite lengths of the shortest form and octet strings in one piece.
/// What is DER already comes back as it is. The octets may be secret, so every copy is overwritten when it goes.
pub fn to_der(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, DerError> {
    let mut rest = bytes;
    let mut der = buffer(bytes.len());
    convert(&mut rest, &mut der, 0)?;
    if rest.is_empty() { Ok(der) } else { Err(DerError::Trailing { what: "the outermost value" }) }
}

fn convert(input: &mut &[u8], output: &mut Vec<u8>, depth: usize) -> Result<(), DerError> {
    if depth > MAX_DEPTH {
        return Err(DerError::Value { what: "the nesting of its values" });
    }
    let (&tag, after_tag) = input.split_first().ok_or(DerError::Truncated)?;
    if tag & 0x1f == 0x1f {
        return Err(DerError::HighTag);
    }
    let is_constructed = tag & CONSTRUCTED != 0;
    let (length, after_length) = read_length(after_tag)?;
    match length {
        Some(length) => {
            let (value, rest) = after_length.split_at_checked(length).ok_or(DerError::Truncated)?;
            *input = rest;
            if !is_constructed {
                write::push(output, tag, &[value]);
                return Ok(());
            }
            let mut members = value;
            let mut contents = buffer(value.len());
            while !members.is_empty() {
                convert(&mut members, &mut contents, depth + 1)?;
            }
            push_constructed(output, tag, &contents)
        }
        None if is_constructed => {
            *input = after_length;
            let mut contents = buffer(after_length.len());
            while !input.starts_with(END_OF_CONTENTS) {
                convert(input, &mut contents, depth + 1)?;
            }
            *input = input.strip_prefix(END_OF_CONTENTS).ok_or(DerError::Truncated)?;
            push_constructed(output, tag, &contents)
        }
        // X.690, 8.1.3.2: a primitive encoding has a definite length.
        None => Err(DerError::Length),
    }
}

/// `None` is the indefinite form (X.690, 8.1.3.6). BER allows more octets than are needed.
fn read_length(bytes: &[u8]) -> Result<(Option<usize>, &[u8]), DerError> {
    let (&first, rest) = bytes.split_first().ok_or(DerError::Truncated)?;
    match first {
        0x80 => Ok((None, rest)),
        short if short < 0x80 => Ok((Some(usize::from(short)), rest)),
        long => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7f)).ok_or(DerError::Truncated)?;
            let start = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
            let significant = octets.get(start..).unwrap_or_default();
            if significant.len() > 4 {
                return Err(DerError::Length);
            }
            let length = significant.iter().fold(0usize, |length, octet| (length << 8) | usize::from(*octet));
            Ok((Some(length), rest))
        }
    }
}

/// X.690, 8.7.3: the octets of a constructed octet string are those of its parts, one after the other.
fn push_constructed(output: &mut Vec<u8>, tag: u8, contents: &[u8]) -> Result<(), DerError> {
    if tag != OCTET_STRING | CONSTRUCTED {
        write::push(output, tag, &[contents]);
        return Ok(());
    }
    write::push(output, OCTET_STRING, &[&concatenated(contents)?]);
    Ok(())
}

/// The octets of the octet strings that stand one after the other.
pub fn concatenated(octet_strings: &[u8]) -> Result<Zeroizing<Vec<u8>>, DerError> {
    let mut octets = buffer(octet_strings.len());
    let mut parts = Reader::new(octet_strings);
    while !parts.is_empty() {
        octets.extend_from_slice(parts.expect(OCTET_STRING, "a part of an octet string")?.value);
    }
    Ok(octets)
}

/// With room for a short value. Longer ones grow: to make room for all that may come would be quadratic in the number of
/// values without a length.
fn buffer(length: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(length.min(SHORT)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{pem, testing};
    use super::*;

    fn converted(bytes: &[u8]) -> Result<Vec<u8>, DerError> {
        to_der(bytes).map(|der| der.to_vec())
    }

    #[test]
    fn der_stays_as_it_is() {
        let certificate = pem::decode_all("CERTIFICATE", testing::CONTRACT_CERTIFICATE).unwrap().remove(0);
        assert_eq!(converted(&certificate), Ok(certificate));
    }

    #[test]
    fn indefinite_lengths_and_pieces_are_joined() {
        let pieces = [0x24, 0x80, 0x04, 1, 7, 0x24, 0x80, 0x04, 1, 8, 0, 0, 0x04, 0x81, 1, 9, 0, 0];
        assert_eq!(converted(&pieces), Ok(vec![0x04, 3, 7, 8, 9]));
        let nested = [&[0x30, 0x80, 0xa0, 0x80][..], &pieces, &[0, 0, 0x02, 0x83, 0, 0, 1, 5, 0, 0]].concat();
        assert_eq!(converted(&nested), Ok(vec![0x30, 10, 0xa0, 5, 0x04, 3, 7, 8, 9, 0x02, 1, 5]));
    }

    #[test]
    fn what_is_no_ber_is_refused() {
        for (bytes, error) in [
            (&[][..], DerError::Truncated),
            (&[0x30, 0x80], DerError::Truncated),
            (&[0x30, 0x80, 0x05], DerError::Truncated),
            (&[0x04, 0x80, 0, 0], DerError::Length),
            (&[0x04, 0x85, 1, 0, 0, 0, 0], DerError::Length),
            (&[0x3f, 0x81, 1, 0], DerError::HighTag),
            (&[0x05, 0, 0], DerError::Trailing { what: "the outermost value" }),
            (&[0x24, 2, 0x05, 0], DerError::UnexpectedTag { what: "a part of an octet string", found: 0x05 }),
        ] {
            assert_eq!(converted(bytes), Err(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn deep_nesting_ends_before_the_stack_does() {
        let deep = DerError::Value { what: "the nesting of its values" };
        assert_eq!(converted(&[0x30, 0x80].repeat(100_000)), Err(deep.clone()));
        assert_eq!(converted(&[0x24, 0x80].repeat(100_000)), Err(deep));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = to_der(&bytes);
        }

        #[test]
        fn what_comes_out_stays_as_it_is(bytes in proptest::collection::vec(
            prop_oneof![Just(0x30u8), Just(0x24), Just(0x80), Just(0x04), Just(0), Just(1), Just(0xa0)], 0..40)) {
            if let Ok(der) = to_der(&bytes) {
                prop_assert_eq!(to_der(&der), Ok(der));
            }
        }
    }
}
