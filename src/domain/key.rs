//! Kinds of keys: those that a request may bring, and those that an authority may have.

use std::fmt;

/// The kind of a subject's public key. Every kind that issuance knows; a profile allows some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicKeyType {
    /// Modulus length in bits, 2048 to 8192.
    Rsa(u32),
    P256,
    P384,
    P521,
    Ed25519,
}

impl PublicKeyType {
    /// The word that profiles use; all RSA sizes share one.
    pub fn family(self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl fmt::Display for PublicKeyType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(formatter, "rsa{bits}"),
            other => formatter.write_str(other.family()),
        }
    }
}

/// A subject's public key as it stands in the CSR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub key_type: PublicKeyType,
    /// The whole SubjectPublicKeyInfo in DER, byte for byte from the CSR.
    pub spki: Vec<u8>,
    /// SHA-1 of the subjectPublicKey bits (RFC 5280, 4.2.1.2, method 1).
    pub ski: [u8; 20],
    /// SHA-256 of `spki`, the key's name on block lists.
    pub spki_sha256: [u8; 32],
}

/// The kind of key an authority signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorityKeyType {
    P256,
    P384,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    Ed25519,
}

impl AuthorityKeyType {
    pub const ALL: [Self; 6] = [Self::P256, Self::P384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::Ed25519];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Reads the word case-insensitively; a dash (`P-256`, `rsa-2048`) is accepted.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.to_ascii_lowercase().replace('-', "");
        Self::ALL.into_iter().find(|kind| kind.as_str() == plain)
    }

    /// The name of the signatures this key makes, in the words that CFSSL gave the wire contract (section 1.5).
    pub fn signature_name(self) -> &'static str {
        match self {
            Self::P256 => "ECDSAWithSHA256",
            Self::P384 => "ECDSAWithSHA384",
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => "SHA256WithRSA",
            Self::Ed25519 => "Ed25519",
        }
    }
}

impl fmt::Display for AuthorityKeyType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
