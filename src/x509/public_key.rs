//! Public keys of subjects: which kinds there are, and whether a key is good.

use aws_lc_rs::digest;
use aws_lc_rs::signature::EcdsaVerificationAlgorithm;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey};
use num_bigint::BigUint;

use crate::domain::key::{PublicKey, PublicKeyType};

use super::der::{self, BIT_STRING, DerError, INTEGER, NULL, OBJECT_IDENTIFIER, Reader, SEQUENCE};
use super::{oid, weak_rsa};

const ACCEPTED: &str = "accepted are RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519";
const RSA_BITS: std::ops::RangeInclusive<u64> = 2048..=8192;

/// Reads a SubjectPublicKeyInfo and judges the key. All faults are told at once.
pub fn check(spki_der: &[u8]) -> Result<PublicKey, Vec<String>> {
    let (key_type, key) = identify(spki_der).map_err(|fault| vec![fault])?;
    let faults = match key_type {
        PublicKeyType::Rsa(_) => rsa_faults(key),
        PublicKeyType::Ed25519 => ed25519_faults(key),
        PublicKeyType::P256 => point_faults(&ECDSA_P256_SHA256_ASN1, key_type, key),
        PublicKeyType::P384 => point_faults(&ECDSA_P384_SHA384_ASN1, key_type, key),
        PublicKeyType::P521 => point_faults(&ECDSA_P521_SHA512_ASN1, key_type, key),
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(PublicKey { key_type, spki: spki_der.to_vec(), ski: key_identifier(key), spki_sha256: sha256(spki_der) })
}

/// The kind of key and the contents of subjectPublicKey by their form (structure, curve, length). Whether a point lies on
/// its curve, and whether the key is strong, is for [`check`], which costs more.
pub fn identify(spki_der: &[u8]) -> Result<(PublicKeyType, &[u8]), String> {
    let malformed = |error: DerError| format!("the public key is malformed: {error}");
    let (algorithm, key) = split(spki_der).map_err(malformed)?;
    let mut algorithm = algorithm;
    let kind = algorithm.expect(OBJECT_IDENTIFIER, "its algorithm").map_err(malformed)?;
    let kind = kind.object_identifier().map_err(malformed)?;
    let key_type = match kind.as_ref() {
        oid::RSA_ENCRYPTION => rsa_type(algorithm, key).map_err(malformed)?,
        oid::EC_PUBLIC_KEY => elliptic_type(algorithm, key)?,
        oid::ED25519 => ed25519_type(algorithm, key)?,
        oid::RSASSA_PSS => {
            return Err("keys marked for RSASSA-PSS only are not accepted; use a plain RSA key (rsaEncryption)".into());
        }
        other => return Err(format!("keys of the type {} are not accepted; {ACCEPTED}", oid::name(other))),
    };
    Ok((key_type, key))
}

/// SHA-1 of the contents of subjectPublicKey (RFC 5280, 4.2.1.2, method 1).
pub fn key_identifier(key: &[u8]) -> [u8; 20] {
    let mut identifier = [0; 20];
    identifier.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key).as_ref());
    identifier
}

pub fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    hash
}

/// The fields of the AlgorithmIdentifier, and the key.
fn split(spki_der: &[u8]) -> Result<(Reader<'_>, &[u8]), DerError> {
    let mut fields = der::single(spki_der, SEQUENCE, "subjectPublicKeyInfo")?.contents();
    let algorithm = fields.expect(SEQUENCE, "its algorithm")?.contents();
    let key = fields.expect(BIT_STRING, "subjectPublicKey")?.octet_aligned_bits("subjectPublicKey")?;
    fields.finish("subjectPublicKey")?;
    Ok((algorithm, key))
}

/// RFC 3279, 2.3.1: the parameters are NULL.
fn rsa_type(mut parameters: Reader<'_>, key: &[u8]) -> Result<PublicKeyType, DerError> {
    const NULL_PARAMETERS: &str = "the NULL of its algorithm";
    if !parameters.expect(NULL, NULL_PARAMETERS)?.value.is_empty() {
        return Err(DerError::Value { what: NULL_PARAMETERS });
    }
    parameters.finish(NULL_PARAMETERS)?;
    let (modulus, _) = rsa_numbers(key)?;
    u32::try_from(modulus.bits()).map(PublicKeyType::Rsa).map_err(|_| DerError::Length)
}

fn rsa_numbers(key: &[u8]) -> Result<(BigUint, BigUint), DerError> {
    let mut fields = der::single(key, SEQUENCE, "RSAPublicKey")?.contents();
    let modulus = fields.expect(INTEGER, "the modulus")?.big_unsigned("the modulus")?;
    let exponent = fields.expect(INTEGER, "the exponent")?.big_unsigned("the exponent")?;
    fields.finish("the exponent")?;
    Ok((modulus, exponent))
}

fn rsa_faults(key: &[u8]) -> Vec<String> {
    let Ok((modulus, exponent)) = rsa_numbers(key) else { return vec!["the public key is malformed".into()] };
    let mut faults = Vec::new();
    if !RSA_BITS.contains(&modulus.bits()) {
        faults.push(format!("the RSA key has {} bits; it must have 2048 to 8192", modulus.bits()));
    }
    if exponent != BigUint::from(65_537u32) {
        // Decimal digits of a number without bound would be dear.
        let shown =
            u64::try_from(&exponent).map_or_else(|_| format!("of {} bits", exponent.bits()), |small| small.to_string());
        faults.push(format!("the RSA key has the public exponent {shown}; it must be 65537"));
    }
    // Beyond the bound the arithmetic would be paid for by us.
    if modulus.bits() <= *RSA_BITS.end() {
        faults.extend(weak_rsa::weakness(&modulus).map(|weakness| weakness.to_string()));
    }
    faults
}

/// RFC 5480, 2.1.1: named curves only; and of the points only the uncompressed form, which every client reads.
fn elliptic_type(mut parameters: Reader<'_>, point: &[u8]) -> Result<PublicKeyType, String> {
    let Ok(curve) = parameters.expect(OBJECT_IDENTIFIER, "the curve") else {
        return Err("EC keys must name their curve; explicit curve parameters are not accepted".into());
    };
    let curve = curve.object_identifier().map_err(|error| error.to_string())?;
    parameters.finish("the curve").map_err(|error| error.to_string())?;
    let (key_type, length) = match curve.as_ref() {
        oid::CURVE_P256 => (PublicKeyType::P256, 65),
        oid::CURVE_P384 => (PublicKeyType::P384, 97),
        oid::CURVE_P521 => (PublicKeyType::P521, 133),
        other => return Err(format!("EC keys on the curve {} are not accepted; {ACCEPTED}", oid::name(other))),
    };
    if point.first() != Some(&0x04) || point.len() != length {
        return Err(format!("the {key_type} public key is not an uncompressed point of {length} octets"));
    }
    Ok(key_type)
}

/// The library refuses points that are not on the curve.
fn point_faults(verifier: &'static EcdsaVerificationAlgorithm, key_type: PublicKeyType, point: &[u8]) -> Vec<String> {
    match ParsedPublicKey::new(verifier, point) {
        Ok(_) => Vec::new(),
        Err(_) => vec![format!("the public key is not a point on the curve {key_type}")],
    }
}

/// RFC 8410, 3: no parameters, 32 octets.
fn ed25519_type(parameters: Reader<'_>, key: &[u8]) -> Result<PublicKeyType, String> {
    if !parameters.is_empty() {
        return Err("the public key is malformed: Ed25519 has no parameters".into());
    }
    if key.len() != 32 {
        return Err(format!("the Ed25519 public key has {} octets; it must have 32", key.len()));
    }
    Ok(PublicKeyType::Ed25519)
}

/// Points of small order: for them anybody can make signatures that verify.
fn ed25519_faults(key: &[u8]) -> Vec<String> {
    let is_small = key.split_last().is_some_and(|(last, rest)| {
        SMALL_ORDER_POINTS.iter().any(|point| point.starts_with(rest) && point.last() == Some(&(last & 0x7f)))
    });
    if is_small { vec!["the Ed25519 public key is a point of small order".into()] } else { Vec::new() }
}

/// The encodings, canonical and not, of the points whose order divides 8, without the sign bit.
const SMALL_ORDER_POINTS: [[u8; 32]; 7] = [
    with_ends(0x00, 0x00, 0x00),
    with_ends(0x01, 0x00, 0x00),
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut octets = [middle; 32];
    octets[0] = first;
    octets[31] = last;
    octets
}

#[cfg(test)]
mod tests {
    use super::super::der::write;
    use super::super::{algorithm, testing};
    use super::*;

    fn rsa(modulus: &BigUint, exponent: u32) -> Vec<u8> {
        let numbers =
            [write::unsigned_integer(&modulus.to_bytes_be()), write::unsigned_integer(&exponent.to_be_bytes())];
        let key = write::sequence(&[&numbers[0], &numbers[1]]);
        write::sequence(&[&algorithm::with_null(oid::RSA_ENCRYPTION).unwrap(), &write::bit_string(&key)])
    }

    fn elliptic(curve: &str, point: &[u8]) -> Vec<u8> {
        let parts = [write::object_identifier(oid::EC_PUBLIC_KEY).unwrap(), write::object_identifier(curve).unwrap()];
        write::sequence(&[&write::sequence(&[&parts[0], &parts[1]]), &write::bit_string(point)])
    }

    fn one_fault(spki: &[u8]) -> String {
        let faults = check(spki).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults[0].clone()
    }

    #[test]
    fn good_keys_of_all_kinds_pass() {
        for (key, expected) in testing::keys() {
            let checked = check(&key.spki).unwrap();
            assert_eq!(checked.key_type, expected);
            assert_eq!(checked.spki, key.spki);
        }
    }

    #[test]
    fn rsa_keys_are_bounded_and_have_the_usual_exponent() {
        let good = testing::rsa_modulus();
        assert!(check(&rsa(&good, 65_537)).is_ok());
        assert!(one_fault(&rsa(&good, 3)).contains("exponent 3;"));
        assert!(one_fault(&rsa(&testing::semiprime_of_1024_bits(), 65_537)).contains("1024 bits"));
        let numbers = [write::unsigned_integer(&good.to_bytes_be()), write::unsigned_integer(&[0xff; 20_000])];
        let key = write::bit_string(&write::sequence(&[&numbers[0], &numbers[1]]));
        let endless = write::sequence(&[&algorithm::with_null(oid::RSA_ENCRYPTION).unwrap(), &key]);
        assert!(one_fault(&endless).contains("exponent of 160000 bits"));
        let huge = (BigUint::from(1u8) << 8200u32) + 1u8;
        assert!(one_fault(&rsa(&huge, 65_537)).contains("8201 bits"));
    }

    #[test]
    fn other_kinds_are_named() {
        for (kind, name) in
            [("1.2.840.10040.4.1", "DSA"), ("1.3.101.113", "Ed448"), ("1.3.101.110", "X25519"), ("1.2.3.4", "1.2.3.4")]
        {
            let spki = write::sequence(&[&algorithm::without_parameters(kind).unwrap(), &write::bit_string(&[1; 57])]);
            let fault = one_fault(&spki);
            assert!(fault.contains(name) && fault.contains("accepted are RSA"), "{fault}");
        }
        assert!(one_fault(&elliptic("1.3.132.0.33", &[4; 57])).contains("P-224"));
        assert!(one_fault(&elliptic("1.3.132.0.10", &[4; 65])).contains("secp256k1"));
        let pss = write::sequence(&[
            &algorithm::without_parameters(oid::RSASSA_PSS).unwrap(),
            &write::bit_string(&[0x30, 0]),
        ]);
        assert!(one_fault(&pss).contains("rsaEncryption"));
    }

    #[test]
    fn points_must_be_uncompressed_and_on_the_curve() {
        assert!(one_fault(&elliptic(oid::CURVE_P256, &[[2].as_slice(), &[1; 32]].concat())).contains("uncompressed"));
        assert!(
            one_fault(&elliptic(oid::CURVE_P256, &[[4].as_slice(), &[1; 64]].concat()))
                .contains("not a point on the curve")
        );
        assert!(one_fault(&elliptic(oid::CURVE_P384, &[[4].as_slice(), &[1; 64]].concat())).contains("97 octets"));
        let explicit =
            write::sequence(&[&write::object_identifier(oid::EC_PUBLIC_KEY).unwrap(), &write::sequence(&[])]);
        assert!(one_fault(&write::sequence(&[&explicit, &write::bit_string(&[4; 65])])).contains("explicit"));
    }

    #[test]
    fn ed25519_keys_of_small_order_are_refused() {
        let spki = |key: &[u8]| {
            write::sequence(&[&algorithm::without_parameters(oid::ED25519).unwrap(), &write::bit_string(key)])
        };
        for point in SMALL_ORDER_POINTS {
            let mut negative = point;
            negative[31] |= 0x80;
            assert!(one_fault(&spki(&point)).contains("small order"));
            assert!(one_fault(&spki(&negative)).contains("small order"));
        }
        assert!(one_fault(&spki(&[9; 31])).contains("31 octets"));
    }

    #[test]
    fn the_key_identifier_is_that_of_the_wire_contract() {
        let facts = testing::contract_certificate();
        let key = check(&facts.spki).unwrap();
        assert_eq!(hex::encode(key.ski), "ee6559d74a51e399760a5ac3d75349640efafd58");
    }

    #[test]
    fn trailing_and_missing_bytes_are_malformed() {
        let (key, _) = testing::keys().remove(0);
        assert!(check(&[key.spki.as_slice(), &[0]].concat()).is_err());
        assert!(check(&key.spki[..key.spki.len() - 1]).is_err());
    }
}
