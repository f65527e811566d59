//! Object identifiers by their dotted text, and the names people know them by.

pub const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
pub const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";
pub const MGF1: &str = "1.2.840.113549.1.1.8";
pub const SHA256_WITH_RSA: &str = "1.2.840.113549.1.1.11";
pub const SHA384_WITH_RSA: &str = "1.2.840.113549.1.1.12";
pub const SHA512_WITH_RSA: &str = "1.2.840.113549.1.1.13";
pub const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
pub const CURVE_P256: &str = "1.2.840.10045.3.1.7";
pub const CURVE_P384: &str = "1.3.132.0.34";
pub const CURVE_P521: &str = "1.3.132.0.35";
pub const ECDSA_WITH_SHA256: &str = "1.2.840.10045.4.3.2";
pub const ECDSA_WITH_SHA384: &str = "1.2.840.10045.4.3.3";
pub const ECDSA_WITH_SHA512: &str = "1.2.840.10045.4.3.4";
pub const ED25519: &str = "1.3.101.112";
pub const SHA1: &str = "1.3.14.3.2.26";
pub const SHA256: &str = "2.16.840.1.101.3.4.2.1";
pub const SHA384: &str = "2.16.840.1.101.3.4.2.2";
pub const SHA512: &str = "2.16.840.1.101.3.4.2.3";

pub const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";

pub const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
pub const KEY_USAGE: &str = "2.5.29.15";
pub const SUBJECT_ALT_NAME: &str = "2.5.29.17";
pub const BASIC_CONSTRAINTS: &str = "2.5.29.19";
pub const CRL_NUMBER: &str = "2.5.29.20";
pub const REASON_CODE: &str = "2.5.29.21";
pub const INVALIDITY_DATE: &str = "2.5.29.24";
pub const DELTA_CRL_INDICATOR: &str = "2.5.29.27";
pub const ISSUING_DISTRIBUTION_POINT: &str = "2.5.29.28";
pub const CRL_DISTRIBUTION_POINTS: &str = "2.5.29.31";
pub const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";
pub const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
pub const FRESHEST_CRL: &str = "2.5.29.46";
pub const NO_REV_AVAIL: &str = "2.5.29.56";
pub const AUTHORITY_INFORMATION_ACCESS: &str = "1.3.6.1.5.5.7.1.1";
pub const ACCESS_OCSP: &str = "1.3.6.1.5.5.7.48.1";
pub const ACCESS_CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
pub const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
pub const OCSP_BASIC: &str = "1.3.6.1.5.5.7.48.1.1";
pub const OCSP_NONCE: &str = "1.3.6.1.5.5.7.48.1.2";
pub const OCSP_NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";

/// What people call it, or the dotted text itself.
pub fn name(dotted: &str) -> &str {
    NAMES.iter().find(|entry| entry.0 == dotted).map_or(dotted, |entry| entry.1)
}

/// The dotted text of contents octets, if they are of one that is met all the time.
pub fn of_octets(octets: &[u8]) -> Option<&'static str> {
    ENCODED.iter().find(|entry| entry.1 == octets).map(|entry| entry.0)
}

/// The contents octets of dotted text, if it is of one that is met all the time.
pub fn octets_of(dotted: &str) -> Option<&'static [u8]> {
    ENCODED.iter().find(|entry| entry.0 == dotted).map(|entry| entry.1)
}

/// Those that are met all the time, with the contents octets of their encoding (X.690, 8.19): found, not worked out.
const ENCODED: &[(&str, &[u8])] = &[
    (EC_PUBLIC_KEY, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]),
    (CURVE_P256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
    (ECDSA_WITH_SHA256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]),
    (KEY_USAGE, &[0x55, 0x1d, 0x0f]),
    (EXTENDED_KEY_USAGE, &[0x55, 0x1d, 0x25]),
    (SUBJECT_ALT_NAME, &[0x55, 0x1d, 0x11]),
    (BASIC_CONSTRAINTS, &[0x55, 0x1d, 0x13]),
    (SUBJECT_KEY_IDENTIFIER, &[0x55, 0x1d, 0x0e]),
    (AUTHORITY_KEY_IDENTIFIER, &[0x55, 0x1d, 0x23]),
    (CRL_DISTRIBUTION_POINTS, &[0x55, 0x1d, 0x1f]),
    (AUTHORITY_INFORMATION_ACCESS, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01]),
    (ACCESS_OCSP, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01]),
    (ACCESS_CA_ISSUERS, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02]),
    (EXTENSION_REQUEST, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e]),
    (RSA_ENCRYPTION, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]),
    (RSASSA_PSS, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a]),
    (MGF1, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08]),
    (SHA256_WITH_RSA, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]),
    (SHA384_WITH_RSA, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c]),
    (SHA512_WITH_RSA, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d]),
    (CURVE_P384, &[0x2b, 0x81, 0x04, 0x00, 0x22]),
    (CURVE_P521, &[0x2b, 0x81, 0x04, 0x00, 0x23]),
    (ECDSA_WITH_SHA384, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]),
    (ECDSA_WITH_SHA512, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04]),
    (ED25519, &[0x2b, 0x65, 0x70]),
    (SHA1, &[0x2b, 0x0e, 0x03, 0x02, 0x1a]),
    (SHA256, &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]),
    (SHA384, &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02]),
    (SHA512, &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03]),
    (CRL_NUMBER, &[0x55, 0x1d, 0x14]),
    (REASON_CODE, &[0x55, 0x1d, 0x15]),
    (INVALIDITY_DATE, &[0x55, 0x1d, 0x18]),
    (DELTA_CRL_INDICATOR, &[0x55, 0x1d, 0x1b]),
    (ISSUING_DISTRIBUTION_POINT, &[0x55, 0x1d, 0x1c]),
    (FRESHEST_CRL, &[0x55, 0x1d, 0x2e]),
    (NO_REV_AVAIL, &[0x55, 0x1d, 0x38]),
    (OCSP_SIGNING, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09]),
    (OCSP_BASIC, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01]),
    (OCSP_NONCE, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02]),
    (OCSP_NO_CHECK, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05]),
    ("1.3.6.1.5.5.7.3.2", &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02]),
    ("1.3.6.1.5.5.7.3.1", &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01]),
    ("1.3.6.1.5.5.7.3.4", &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x04]),
    ("2.5.4.3", &[0x55, 0x04, 0x03]),
    ("2.5.4.10", &[0x55, 0x04, 0x0a]),
    ("2.5.4.11", &[0x55, 0x04, 0x0b]),
    ("2.5.4.6", &[0x55, 0x04, 0x06]),
    ("2.5.4.7", &[0x55, 0x04, 0x07]),
    ("2.5.4.8", &[0x55, 0x04, 0x08]),
];

const NAMES: &[(&str, &str)] = &[
    // Extensions
    (SUBJECT_KEY_IDENTIFIER, "subjectKeyIdentifier"),
    (KEY_USAGE, "keyUsage"),
    ("2.5.29.16", "privateKeyUsagePeriod"),
    (SUBJECT_ALT_NAME, "subjectAltName"),
    ("2.5.29.18", "issuerAltName"),
    (BASIC_CONSTRAINTS, "basicConstraints"),
    (CRL_NUMBER, "cRLNumber"),
    (REASON_CODE, "reasonCode"),
    (INVALIDITY_DATE, "invalidityDate"),
    (DELTA_CRL_INDICATOR, "deltaCRLIndicator"),
    (ISSUING_DISTRIBUTION_POINT, "issuingDistributionPoint"),
    ("2.5.29.30", "nameConstraints"),
    (CRL_DISTRIBUTION_POINTS, "cRLDistributionPoints"),
    ("2.5.29.32", "certificatePolicies"),
    ("2.5.29.33", "policyMappings"),
    (AUTHORITY_KEY_IDENTIFIER, "authorityKeyIdentifier"),
    ("2.5.29.36", "policyConstraints"),
    (EXTENDED_KEY_USAGE, "extendedKeyUsage"),
    (FRESHEST_CRL, "freshestCRL"),
    ("2.5.29.54", "inhibitAnyPolicy"),
    (NO_REV_AVAIL, "noRevAvail"),
    (AUTHORITY_INFORMATION_ACCESS, "authorityInfoAccess"),
    ("1.3.6.1.5.5.7.1.11", "subjectInfoAccess"),
    ("1.3.6.1.5.5.7.1.24", "tlsFeature"),
    (OCSP_NO_CHECK, "ocspNoCheck"),
    (OCSP_NONCE, "OCSP nonce"),
    ("1.3.6.1.4.1.311.20.2", "Microsoft certificate template name"),
    ("1.3.6.1.4.1.311.21.7", "Microsoft certificate template"),
    ("1.3.6.1.4.1.311.21.10", "Microsoft application policies"),
    ("1.3.6.1.4.1.311.25.2", "Microsoft SID"),
    ("1.2.840.113549.1.9.15", "sMIMECapabilities"),
    ("2.16.840.1.113730.1.1", "netscapeCertType"),
    ("2.16.840.1.113730.1.13", "netscapeComment"),
    // Keys and curves
    (RSA_ENCRYPTION, "RSA"),
    (RSASSA_PSS, "RSASSA-PSS"),
    (EC_PUBLIC_KEY, "EC"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10046.2.1", "Diffie-Hellman"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    (ED25519, "Ed25519"),
    ("1.3.101.113", "Ed448"),
    (CURVE_P256, "P-256"),
    (CURVE_P384, "P-384"),
    (CURVE_P521, "P-521"),
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.3.132.0.33", "P-224"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
    ("1.2.156.10197.1.301", "SM2"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
    // Signatures
    ("1.2.840.113549.1.1.2", "RSA with MD2"),
    ("1.2.840.113549.1.1.4", "RSA with MD5"),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1"),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224"),
    (SHA256_WITH_RSA, "RSA with SHA-256"),
    (SHA384_WITH_RSA, "RSA with SHA-384"),
    (SHA512_WITH_RSA, "RSA with SHA-512"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    (ECDSA_WITH_SHA256, "ECDSA with SHA-256"),
    (ECDSA_WITH_SHA384, "ECDSA with SHA-384"),
    (ECDSA_WITH_SHA512, "ECDSA with SHA-512"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("2.16.840.1.101.3.4.3.1", "DSA with SHA-224"),
    ("2.16.840.1.101.3.4.3.2", "DSA with SHA-256"),
    ("2.16.840.1.101.3.4.3.10", "ECDSA with SHA3-256"),
    ("2.16.840.1.101.3.4.3.11", "ECDSA with SHA3-384"),
    ("2.16.840.1.101.3.4.3.12", "ECDSA with SHA3-512"),
    // Digests
    (SHA1, "SHA-1"),
    (SHA256, "SHA-256"),
    (SHA384, "SHA-384"),
    (SHA512, "SHA-512"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_an_object_identifier_and_stands_once() {
        for (index, (dotted, _)) in NAMES.iter().enumerate() {
            assert!(super::super::der::write::object_identifier(dotted).is_ok(), "{dotted}");
            assert!(NAMES[..index].iter().all(|entry| entry.0 != *dotted), "{dotted}");
        }
        for (index, (dotted, octets)) in ENCODED.iter().enumerate() {
            assert_eq!(super::super::der::write::spelt_out(dotted).unwrap(), *octets, "{dotted}");
            assert!(ENCODED[..index].iter().all(|entry| entry.0 != *dotted), "{dotted}");
            assert_eq!((of_octets(octets), octets_of(dotted)), (Some(*dotted), Some(*octets)));
        }
        assert_eq!(name("2.5.29.17"), "subjectAltName");
        assert_eq!(name("1.2.3"), "1.2.3");
    }
}
