//! Certificate serial numbers.

use std::fmt;

use data_encoding::HEXLOWER;
use num_bigint::BigUint;

/// A positive serial number of at most 20 octets (RFC 5280, 4.1.2.2), kept without leading zero octets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber(Vec<u8>);

impl SerialNumber {
    /// A positive number of exactly 20 octets from 159 random bits: the sign bit is cleared. `None` in the one case
    /// of 128 where the first octet is then zero and the number would be shorter: draw again.
    pub fn from_random(mut octets: [u8; 20]) -> Option<Self> {
        octets[0] &= 0x7f;
        (octets[0] != 0).then(|| Self(octets.to_vec()))
    }

    /// Takes the magnitude, big-endian; `None` for zero and for more than 20 octets.
    pub fn from_be_bytes(bytes: &[u8]) -> Option<Self> {
        let first = bytes.iter().position(|byte| *byte != 0)?;
        let magnitude = bytes.get(first..)?;
        (magnitude.len() <= 20).then(|| Self(magnitude.to_vec()))
    }

    /// Reads what people type: a decimal number, or hex digits (with or without `0x` and colons).
    ///
    /// Digits alone are ambiguous; they are decimal, as the API writes them, unless decimal would not fit.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 80 {
            return None;
        }
        let decimal = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
        if decimal && let Some(serial) = BigUint::parse_bytes(text.as_bytes(), 10).and_then(Self::from_big) {
            return Some(serial);
        }
        let hex = text.trim_start_matches("0x").replace(':', "");
        BigUint::parse_bytes(hex.as_bytes(), 16).and_then(Self::from_big)
    }

    /// The magnitude, big-endian, without leading zero octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn to_decimal(&self) -> String {
        BigUint::from_bytes_be(&self.0).to_string()
    }

    /// Lower-case hex, two digits an octet.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    fn from_big(number: BigUint) -> Option<Self> {
        Self::from_be_bytes(&number.to_bytes_be())
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_decimal())
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_serials_are_positive_and_twenty_octets_long() {
        for octets in [[0xff; 20], [0x81; 20], [0x01; 20]] {
            let serial = SerialNumber::from_random(octets).unwrap();
            assert_eq!(serial.as_bytes().len(), 20);
            assert!(serial.as_bytes()[0] < 0x80);
        }
        assert_eq!(SerialNumber::from_random([0x80; 20]), None);
    }

    #[test]
    fn decimal_and_hex_name_the_same_number() {
        let decimal = "178330214396732578226290616980440577183373074272";
        let serial = SerialNumber::parse(decimal).unwrap();
        assert_eq!(serial.to_decimal(), decimal);
        assert_eq!(SerialNumber::parse(&serial.to_hex()), Some(serial.clone()));
        assert_eq!(SerialNumber::parse(&format!("0x{}", serial.to_hex())), Some(serial));
    }

    #[test]
    fn what_is_no_serial_is_refused() {
        for text in ["", "0", "xyz", "-1", &"9".repeat(90)] {
            assert_eq!(SerialNumber::parse(text), None, "{text}");
        }
    }
}
